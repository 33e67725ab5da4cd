//go:build (linux || windows) && (amd64 || arm64)

package webgpu

import (
	"encoding/binary"
	"fmt"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/naga"
	"github.com/gogpu/wgpu"
	_ "github.com/gogpu/wgpu/hal/vulkan" // registers the API
)

const (
	backendAPI  = gputypes.BackendVulkan
	backendMask = gputypes.BackendsVulkan
)

// module compiles a kernel. The library would compile WGSL itself, but see stripZeroInit.
func (d *Device) module(name, source string) (*wgpu.ShaderModule, error) {
	words, err := compile(source)
	if err != nil {
		return nil, err
	}
	return d.dev.CreateShaderModule(&wgpu.ShaderModuleDescriptor{Label: name, SPIRV: words})
}

// compile gives the SPIR-V of a kernel.
func compile(source string) ([]uint32, error) {
	code, err := naga.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("naga: %w", err)
	}
	words := make([]uint32, len(code)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(code[4*i:])
	}
	stripZeroInit(words)
	return words, nil
}

// SPIR-V opcodes and the storage class that stripZeroInit looks for (SPIR-V 1.6, §3).
const (
	opNop           = 0
	opConstantNull  = 46
	opVariable      = 59
	opStore         = 62
	classWorkgroup  = 4
	spirvHeader     = 5
	spirvLengthBits = 16
)

// stripZeroInit turns the stores that zero workgroup memory into no-ops. naga lets thread 0 of
// every workgroup clear all of it before the kernel runs, which costs a hundred times what a tiled
// product costs itself; our kernels write such memory before they read it, as a test of package
// kernels requires.
func stripZeroInit(words []uint32) (stripped int) {
	nulls, shared := map[uint32]bool{}, map[uint32]bool{}
	for i := spirvHeader; i < len(words); {
		op, n := words[i]&(1<<spirvLengthBits-1), int(words[i]>>spirvLengthBits)
		switch {
		case n == 0:
			return stripped // not SPIR-V; the driver says so
		case op == opConstantNull:
			nulls[words[i+2]] = true
		case op == opVariable && words[i+3] == classWorkgroup:
			shared[words[i+2]] = true
		case op == opStore && shared[words[i+1]] && nulls[words[i+2]]:
			for k := range n {
				words[i+k] = 1<<spirvLengthBits | opNop
			}
			stripped++
		}
		i += n
	}
	return stripped
}
