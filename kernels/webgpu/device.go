//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

// Package webgpu computes on a GPU: the compute.Device over Vulkan, Metal and the browser's WebGPU,
// by github.com/gogpu/wgpu and the WGSL of package kernels.
//
// Ops record dispatches into one compute pass, which Submit, or a Read, hands to the queue: a
// decoded token, or a training step, is one submission. What a dispatch needs besides its pipeline
// is a bind group of whole buffers and a slot of parameters (offsets and sizes) at a dynamic
// offset, so that a bind group lives as long as its buffers and steady work makes none.
//
// An op has no error to return: the first failure (a kernel that does not compile, a lost device)
// stays with the device, later ops do nothing, and Submit and Read return it.
package webgpu

import (
	"fmt"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

// Device is a GPU as a compute.Device. One goroutine uses it at a time.
type Device struct {
	adapter Adapter
	release func() // of what is under the device
	dev     *wgpu.Device
	queue   *wgpu.Queue
	limits  gputypes.Limits

	pipes   map[kernels.Variant]*pipe
	layouts map[string]*layout
	groups  map[groupKey]*wgpu.BindGroup

	rec      recorder
	held     held
	pool     pool
	staging  *wgpu.Buffer // what Read maps
	scratch  [scratchCount]*buffer
	zeros    []byte
	maxRows  int // of a part of a weight; 0: what a kernel can see
	mostFew  int // rows of few at once
	mostHead int // numbers in a head of attention row by row
	err      error
}

var _ compute.Device = (*Device)(nil)

// New opens an adapter. The error says which adapters there are where the one asked for is not.
func New(o Options) (*Device, error) {
	d, err := open(o)
	if err != nil {
		return nil, err
	}
	d.queue = d.dev.Queue()
	d.mostFew, d.mostHead = 4, 128
	if d.adapter.rank() < rankUnknown {
		d.mostFew, d.mostHead = 16, mostDim
	}
	d.pipes = map[kernels.Variant]*pipe{}
	d.layouts = map[string]*layout{}
	d.groups = map[groupKey]*wgpu.BindGroup{}
	d.zeros = make([]byte, zeroByWrite)
	if err := d.rec.start(d); err != nil {
		d.Close()
		return nil, fmt.Errorf("webgpu: %s does not open: %w", d.adapter.Name, err)
	}
	if !o.Unchecked {
		if err := d.SelfTest(); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// Name is the API and the adapter: "gpu NVIDIA H200 (Vulkan)".
func (d *Device) Name() string { return "gpu " + d.adapter.String() }

// Info is the adapter that the device runs on.
func (d *Device) Info() Adapter { return d.adapter }

// Close waits for what was submitted and frees everything.
func (d *Device) Close() error {
	if d.dev == nil {
		return nil
	}
	d.held = held{}
	d.rec.drop()
	var err error
	if d.err == nil {
		err = d.dev.WaitIdle()
	}
	for _, g := range d.groups {
		g.Release()
	}
	for _, p := range d.pipes {
		p.pipeline.Release()
	}
	for _, l := range d.layouts {
		l.pipelines.Release()
		l.group.Release()
	}
	if d.staging != nil {
		d.staging.Release()
	}
	d.rec.release()
	d.pool.release()
	d.dev.Release()
	d.release()
	d.dev, d.groups, d.pipes, d.layouts = nil, nil, nil, nil
	if d.err == nil {
		d.err = fmt.Errorf("webgpu: the device is closed")
	}
	return err
}

// fail keeps the first error.
func (d *Device) fail(err error) {
	if d.err == nil && err != nil {
		d.err = fmt.Errorf("webgpu: %s: %w", d.adapter.Name, err)
	}
}
