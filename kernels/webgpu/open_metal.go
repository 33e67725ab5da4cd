//go:build darwin && (amd64 || arm64)

package webgpu

import (
	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"
	_ "github.com/gogpu/wgpu/hal/metal" // registers the API
)

const (
	backendAPI  = gputypes.BackendMetal
	backendMask = gputypes.BackendsMetal
)

// module compiles a kernel.
func (d *Device) module(name, source string) (*wgpu.ShaderModule, error) {
	return d.dev.CreateShaderModule(&wgpu.ShaderModuleDescriptor{Label: name, WGSL: source})
}
