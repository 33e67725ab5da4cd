//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"

	"transformer2/kernels"
)

// most is the storage buffers of one kernel; every WebGPU device has 8, and what takes more asks.
const most = 9

// pipe is a compiled kernel.
type pipe struct {
	pipeline *wgpu.ComputePipeline
	layout   *layout
}

// layout is shared by all kernels with the same accesses, so that they share bind groups.
type layout struct {
	id        uint32
	n         int // storage buffers
	writes    [most]bool
	group     *wgpu.BindGroupLayout
	pipelines *wgpu.PipelineLayout
}

// groupKey names a bind group: its layout and its buffers.
type groupKey struct {
	layout uint32
	ids    [most]uint32
}

// pipe gives the pipeline of v, compiled when it is first used.
func (d *Device) pipe(v kernels.Variant) (*pipe, error) {
	if p, ok := d.pipes[v]; ok {
		return p, nil
	}
	source, err := kernels.Source(v)
	if err != nil {
		return nil, err
	}
	return d.compile(v, source)
}

// compile makes source the pipeline of v.
func (d *Device) compile(v kernels.Variant, source string) (*pipe, error) {
	shape, err := kernels.Describe(source)
	if err != nil {
		return nil, err
	}
	l, err := d.layout(shape.Bindings)
	if err != nil {
		return nil, err
	}
	m, err := d.module(v.Name, source)
	if err != nil {
		return nil, fmt.Errorf("kernel %+v: %w", v, err)
	}
	defer m.Release()
	pipeline, err := d.dev.CreateComputePipeline(&wgpu.ComputePipelineDescriptor{Label: v.Name,
		Layout: l.pipelines, Module: m, EntryPoint: "main"})
	if err != nil {
		return nil, fmt.Errorf("kernel %+v: %w", v, err)
	}
	p := &pipe{pipeline: pipeline, layout: l}
	d.pipes[v] = p
	return p, nil
}

func (d *Device) layout(bindings []kernels.Access) (*layout, error) {
	name := fmt.Sprint(bindings)
	if l, ok := d.layouts[name]; ok {
		return l, nil
	}
	if len(bindings) > most {
		return nil, fmt.Errorf("%d storage buffers, want %d or fewer", len(bindings), most)
	}
	l := &layout{id: uint32(len(d.layouts)), n: len(bindings)}
	var entries []gputypes.BindGroupLayoutEntry
	entry := func(b *gputypes.BufferBindingLayout) {
		entries = append(entries, gputypes.BindGroupLayoutEntry{Binding: uint32(len(entries)),
			Visibility: gputypes.ShaderStageCompute, Buffer: b})
	}
	for i, a := range bindings {
		kind := gputypes.BufferBindingTypeReadOnlyStorage
		if a == kernels.Write {
			kind, l.writes[i] = gputypes.BufferBindingTypeStorage, true
		}
		entry(&gputypes.BufferBindingLayout{Type: kind})
	}
	entry(&gputypes.BufferBindingLayout{Type: gputypes.BufferBindingTypeUniform,
		HasDynamicOffset: true, MinBindingSize: 4 * kernels.ParamWords})
	var err error
	l.group, err = d.dev.CreateBindGroupLayout(&wgpu.BindGroupLayoutDescriptor{Label: name,
		Entries: entries})
	if err != nil {
		return nil, err
	}
	l.pipelines, err = d.dev.CreatePipelineLayout(&wgpu.PipelineLayoutDescriptor{Label: name,
		BindGroupLayouts: []*wgpu.BindGroupLayout{l.group}})
	if err != nil {
		return nil, err
	}
	d.layouts[name] = l
	return l, nil
}

// group gives the bind group of buffers, made when they first meet.
func (d *Device) group(l *layout, bufs *[most]*buffer) (*wgpu.BindGroup, error) {
	key := groupKey{layout: l.id}
	for i := range l.n {
		key.ids[i] = bufs[i].id
	}
	if g, ok := d.groups[key]; ok {
		return g, nil
	}
	entries := make([]wgpu.BindGroupEntry, 0, most+1)
	for i := range l.n {
		entries = append(entries, wgpu.BindGroupEntry{Binding: uint32(i), Buffer: bufs[i].raw,
			Size: bufs[i].size})
	}
	entries = append(entries, wgpu.BindGroupEntry{Binding: uint32(l.n), Buffer: d.rec.params,
		Size: 4 * kernels.ParamWords})
	g, err := d.dev.CreateBindGroup(&wgpu.BindGroupDescriptor{Layout: l.group, Entries: entries})
	if err != nil {
		return nil, err
	}
	d.groups[key] = g
	for i := range l.n {
		bufs[i].groups = append(bufs[i].groups, key)
	}
	return g, nil
}
