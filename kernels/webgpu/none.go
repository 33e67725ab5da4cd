//go:build !(((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm))

// Package webgpu computes on a GPU. This build has no way to reach one.
package webgpu

import (
	"errors"
	"fmt"
	"runtime"

	"transformer2/shared/compute"
)

// ErrNoAdapter says that this build reaches no GPU.
var ErrNoAdapter = errors.New("webgpu: no GPU driver found")

// Device exists so that callers need no build tags; New makes none.
type Device struct {
	compute.Device
	compute.Decomposer
}

// New fails: the GPU library does not support this platform.
func New(Options) (*Device, error) {
	return nil, fmt.Errorf("%w: builds for %s/%s have none", ErrNoAdapter, runtime.GOOS,
		runtime.GOARCH)
}

// List gives no adapters.
func List() ([]Adapter, error) { return nil, nil }

// Info is the adapter that the device runs on.
func (d *Device) Info() Adapter { return Adapter{} }

// Trim gives nothing back.
func (d *Device) Trim() {}
