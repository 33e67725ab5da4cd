//go:build js && wasm

package main

import (
	"fmt"
	"syscall/js"

	"transformer2/kernels/cpu"
	"transformer2/kernels/webgpu"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
)

// chosen is a device and what a face is told of it.
type chosen struct {
	dev    engine.Device
	kernel string
	reason string
}

// onGPU computes on a GPU, and in f64, which a GPU lacks, on the processor.
type onGPU struct {
	*webgpu.Device
	compute.Dense64
}

// choose opens what the script asks for: globalThis.t2gpu names a GPU to try, or is empty, and then
// globalThis.t2why says why. A GPU that does not pass its self-test is not taken.
func choose() (chosen, error) {
	host, err := cpu.New(cpu.Options{Threads: 1, Int8: true})
	if err != nil {
		return chosen{}, err
	}
	c := chosen{dev: host, kernel: host.Form(), reason: host.Reason()}
	name := text("t2gpu")
	if name == "" {
		if why := text("t2why"); why != "" {
			c.reason = why
		}
		return c, nil
	}
	gpu, err := webgpu.New(webgpu.Options{})
	if err != nil {
		c.reason = fmt.Sprintf("the processor, since the GPU cannot be used: %v", err)
		return c, nil
	}
	return chosen{dev: onGPU{gpu, host}, kernel: "webgpu", reason: name + ", which passed its self-test"},
		nil
}

// text is a global string, "" where there is none.
func text(name string) string {
	if v := js.Global().Get(name); v.Type() == js.TypeString {
		return v.String()
	}
	return ""
}
