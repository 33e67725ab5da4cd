//go:build js && wasm

package webgpu

import (
	"errors"
	"fmt"

	"github.com/gogpu/wgpu"
)

// ErrNoAdapter says that the browser has no WebGPU, or no GPU that it would use.
var ErrNoAdapter = errors.New("webgpu: this browser offers no GPU")

// browserAdapter describes the one adapter that a browser gives, which it does not name.
func browserAdapter(binding uint64) Adapter {
	return Adapter{Name: "browser", Kind: KindOther, API: "WebGPU", Binding: binding}
}

// List gives the browser's adapter; none where it has no WebGPU.
func List() ([]Adapter, error) {
	instance, err := wgpu.CreateInstance(nil)
	if err != nil {
		return nil, nil
	}
	defer instance.Release()
	a, err := instance.RequestAdapter(nil)
	if err != nil {
		return nil, nil
	}
	defer a.Release()
	return []Adapter{browserAdapter(a.Limits().MaxStorageBufferBindingSize)}, nil
}

func open(Options) (*Device, error) {
	instance, err := wgpu.CreateInstance(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAdapter, err)
	}
	a, err := instance.RequestAdapter(nil)
	if err != nil {
		instance.Release()
		return nil, fmt.Errorf("%w: %w", ErrNoAdapter, err)
	}
	// Without limits a browser gives its defaults, not the adapter's.
	dev, err := a.RequestDevice(&wgpu.DeviceDescriptor{Label: "t2", RequiredLimits: a.Limits()})
	if err != nil {
		instance.Release()
		return nil, fmt.Errorf("webgpu: the browser's GPU does not open: %w", err)
	}
	return &Device{adapter: browserAdapter(a.Limits().MaxStorageBufferBindingSize),
		release: instance.Release, dev: dev, limits: a.Limits()}, nil
}

// module hands a kernel to the browser, which compiles it.
func (d *Device) module(name, source string) (*wgpu.ShaderModule, error) {
	return d.dev.CreateShaderModule(&wgpu.ShaderModuleDescriptor{Label: name, WGSL: source})
}
