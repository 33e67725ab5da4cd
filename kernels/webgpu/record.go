//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"encoding/binary"
	"math"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"

	"transformer2/kernels"
)

const (
	// slotBytes is the alignment of dynamic offsets on every device.
	slotBytes = 256
	// slotCount bounds the dispatches of one submission.
	slotCount = 4096
	// inFlight bounds the submissions that nobody has waited for.
	inFlight = 32
	// mostGroups is the workgroups in one dimension of a grid, on every device.
	mostGroups = 65535
)

// recorder collects dispatches for one submission.
type recorder struct {
	encoder *wgpu.CommandEncoder
	pass    *wgpu.ComputePassEncoder
	params  *wgpu.Buffer // slots of parameters
	host    []byte       // what the slots of this submission hold
	batch   uint64       // counts submissions, from 1
	waiting int          // submissions since the last wait
	offset  [1]uint32
	replay  replay
}

func (r *recorder) start(d *Device) (err error) {
	r.batch, r.host = 1, make([]byte, slotBytes*slotCount)
	r.params, err = d.dev.CreateBuffer(&wgpu.BufferDescriptor{Label: "params",
		Size:  slotBytes * slotCount,
		Usage: gputypes.BufferUsageUniform | gputypes.BufferUsageCopyDst})
	return err
}

// drop forgets what was recorded and not submitted.
func (r *recorder) drop() {
	if r.pass != nil {
		r.pass.End()
	}
	if r.encoder != nil {
		r.encoder.DiscardEncoding()
	}
	r.pass, r.encoder = nil, nil
	r.replay.forget()
}

func (r *recorder) release() {
	if r.params != nil {
		r.params.Release()
	}
}

// grid is the workgroups of a dispatch.
type grid struct{ x, y, z uint32 }

// line is a grid of at least n workgroups, for kernels that count x and y as one.
func line(n int) grid {
	if n <= mostGroups {
		return grid{uint32(n), 1, 1}
	}
	const width = 32768
	return grid{width, uint32((n + width - 1) / width), 1}
}

// threads is the grid for n threads of the kernels that have 256 a workgroup.
func threads(n int) grid { return line((n + kernels.Threads - 1) / kernels.Threads) }

// u32 and f32 are parameters.
func f32(x float32) uint32 { return math.Float32bits(x) }

// run records one dispatch.
func (d *Device) run(v kernels.Variant, g grid, bufs [most]*buffer, params ...uint32) {
	d.let()
	if d.err != nil || g.x == 0 || g.y == 0 || g.z == 0 {
		return
	}
	p, err := d.pipe(v)
	if err != nil {
		d.fail(err)
		return
	}
	r := &d.rec
	if len(r.replay.now) == slotCount {
		d.Submit() // its error stays with the device
	}
	if aliasesForbidden {
		d.unalias(p.layout, &bufs)
	}
	group, err := d.group(p.layout, &bufs)
	if err != nil {
		d.fail(err)
		return
	}
	for i := range p.layout.n {
		bufs[i].batch = r.batch
	}
	c := command{pipe: p, group: group, grid: g}
	copy(c.params[:], params)
	slot := len(r.replay.now)
	at := slot * slotBytes
	for i, w := range params {
		binary.LittleEndian.PutUint32(r.host[at+4*i:], w)
	}
	if d.expected(c) {
		return
	}
	d.record(c, slot)
}

// record puts a dispatch into the pass.
func (d *Device) record(c command, slot int) {
	if !d.begin() {
		return
	}
	r := &d.rec
	r.offset[0] = uint32(slot * slotBytes)
	r.pass.SetPipeline(c.pipe.pipeline)
	r.pass.SetBindGroup(0, c.group, r.offset[:])
	r.pass.Dispatch(c.grid.x, c.grid.y, c.grid.z)
}

// begin opens the encoder and its pass.
func (d *Device) begin() bool {
	if d.err != nil {
		return false
	}
	r := &d.rec
	var err error
	if r.encoder == nil {
		if r.encoder, err = d.dev.CreateCommandEncoder(nil); err != nil {
			d.fail(err)
			return false
		}
	}
	if r.pass == nil {
		if r.pass, err = r.encoder.BeginComputePass(nil); err != nil {
			d.fail(err)
			return false
		}
	}
	return true
}

// Submit starts what was recorded. It does not wait, unless many submissions are under way.
func (d *Device) Submit() error { return d.submit(nil) }

// submit ends the pass, lets last add commands after it, and hands all to the queue.
func (d *Device) submit(last func(*wgpu.CommandEncoder)) error {
	d.let()
	r := &d.rec
	if d.err != nil {
		r.drop()
		return d.err
	}
	if len(r.replay.now) == 0 && last == nil {
		return nil
	}
	d.take()
	d.fail(d.send(last))
	r.replay.turn()
	r.encoder, r.pass = nil, nil
	r.batch++
	if r.waiting++; r.waiting >= inFlight {
		d.wait()
	}
	return d.err
}

func (d *Device) send(last func(*wgpu.CommandEncoder)) (err error) {
	r := &d.rec
	if n := len(r.replay.now); n > 0 {
		if err := d.queue.WriteBuffer(r.params, 0, r.host[:n*slotBytes]); err != nil {
			return err
		}
	}
	if r.encoder == nil {
		if r.encoder, err = d.dev.CreateCommandEncoder(nil); err != nil {
			return err
		}
	}
	if r.pass != nil {
		if err := r.pass.End(); err != nil {
			return err
		}
	}
	if last != nil {
		last(r.encoder)
	}
	commands, err := r.encoder.Finish()
	if err != nil {
		return err
	}
	_, err = d.queue.Submit(commands)
	return err
}

// wait ends when the device has done everything, or is lost.
func (d *Device) wait() {
	d.rec.waiting = 0
	d.fail(d.dev.WaitIdle())
}
