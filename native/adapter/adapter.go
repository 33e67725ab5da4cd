// Package adapter answers one question: which device computes, and why that one?
//
// A choice is "cpu"; "gpu", the best GPU there is; "gpu:NAME", the one whose name has NAME in it;
// or "auto", a real GPU where there is one that computes rightly, else the CPU. Whoever asks for a
// GPU gets one or an error, never the CPU in its place.
package adapter

import (
	"errors"
	"fmt"
	"strings"

	"transformer2/kernels/cpu"
	"transformer2/kernels/webgpu"
	"transformer2/shared/compute"
)

// Usage describes a choice in a word.
const Usage = "cpu, gpu, gpu:NAME or auto"

// Choice is what was asked for.
type Choice struct {
	Kind string // CPU, GPU, Auto
	Name string // a part of the GPU's name; "" for the best
}

// Kinds of choices.
const (
	CPU  = "cpu"
	GPU  = "gpu"
	Auto = "auto"
)

// Parse reads a choice; "" is CPU.
func Parse(s string) (Choice, error) {
	kind, name, named := strings.Cut(s, ":")
	switch {
	case s == "":
		return Choice{Kind: CPU}, nil
	case !named && (kind == CPU || kind == GPU || kind == Auto):
		return Choice{Kind: kind}, nil
	case kind == GPU && name != "":
		return Choice{Kind: GPU, Name: name}, nil
	}
	return Choice{}, fmt.Errorf("device %q: want %s", s, Usage)
}

// Device is a chosen device. What needs f64, a decomposition, runs on the CPU also where the rest
// runs on a GPU, which has no f64.
type Device struct {
	compute.Device
	compute.Dense64
	host   *cpu.Device
	reason string
}

// Unwrap is the device that computes in f32.
func (d *Device) Unwrap() compute.Device { return d.Device }

// Open opens the device that c chooses; o is for the CPU.
func Open(c Choice, o cpu.Options) (*Device, error) {
	host, err := cpu.New(o)
	if err != nil {
		return nil, err
	}
	d := &Device{Device: host, Dense64: host, host: host, reason: host.Reason()}
	if c.Kind == CPU {
		return d, nil
	}
	list, err := webgpu.List()
	gpu, reason, err := openGPU(c, list, err, webgpu.New)
	if err != nil {
		host.Close()
		return nil, err
	}
	if gpu == nil {
		d.reason = reason + "; " + d.reason
		return d, nil
	}
	d.Device, d.reason = gpu, reason
	return d, nil
}

// openGPU opens a GPU of the list, which may have an error. Where c leaves the choice and there is
// none to take, gpu is nil and the reason says why.
func openGPU(c Choice, list []webgpu.Adapter, err error,
	open func(webgpu.Options) (*webgpu.Device, error)) (*webgpu.Device, string, error) {
	if err != nil && c.Kind == GPU {
		return nil, "", err
	}
	if c.Kind == Auto {
		switch {
		case err != nil:
			return nil, fmt.Sprintf("the CPU, since GPUs cannot be listed (%v)", err), nil
		case len(list) == 0:
			return nil, "the CPU, since no GPU driver was found", nil
		case list[0].Kind == webgpu.KindCPU:
			return nil, fmt.Sprintf("the CPU, since the only GPU driver, %s, runs on it too",
				list[0].Name), nil
		}
	}
	gpu, err := open(webgpu.Options{Adapter: c.Name})
	switch {
	case err == nil:
		return gpu, because(c, gpu.Info(), len(list)), nil
	case c.Kind == Auto:
		return nil, fmt.Sprintf("the CPU, since the GPU cannot be used (%v)", err), nil
	case errors.Is(err, webgpu.ErrNoAdapter):
		return nil, "", fmt.Errorf("--device gpu: %w; --device cpu needs none", err)
	}
	return nil, "", err
}

// because is why the adapter was taken out of so many.
func because(c Choice, a webgpu.Adapter, count int) string {
	switch {
	case c.Name != "":
		return fmt.Sprintf("the first whose name has %q in it", c.Name)
	case count == 1:
		return "the only one there is"
	}
	return fmt.Sprintf("the best of %d: %s", count, a.Kind)
}

// Name says what computes.
func (d *Device) Name() string { return d.Device.Name() }

// Kernel is the form of the arithmetic: that of the CPU's, or "webgpu".
func (d *Device) Kernel() string {
	if d.Host() {
		return d.host.Form()
	}
	return "webgpu"
}

// Threads is how many of the CPU's compute, or wait for the GPU.
func (d *Device) Threads() int {
	if d.Host() {
		return d.host.Threads()
	}
	return 1
}

// Reason says in a sentence why this device was taken.
func (d *Device) Reason() string { return d.reason }

// Host reports whether the CPU computes, in the system's memory.
func (d *Device) Host() bool { return d.Device == compute.Device(d.host) }

// Close closes the device, and the CPU beside it.
func (d *Device) Close() error {
	if d.Host() {
		return d.host.Close()
	}
	return errors.Join(d.Device.Close(), d.host.Close())
}
