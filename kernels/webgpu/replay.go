//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"github.com/gogpu/wgpu"

	"transformer2/kernels"
)

// A token's dispatches are those of the token before, to the last parameter: positions, spans and
// ids lie in buffers. To record them takes the processor a fifth of the time that a large GPU takes
// to do them, and the GPU waits meanwhile. So when two submissions were the same, the next one is
// recorded in advance, while the GPU works and somebody waits for what it gives. If what then comes
// is what was expected, it only has to be compared; if not, what was recorded is thrown away.

// command is one dispatch.
type command struct {
	pipe   *pipe
	group  *wgpu.BindGroup
	grid   grid
	params [kernels.ParamWords]uint32
}

// replay knows what was submitted last.
type replay struct {
	now, before []command
	differs     bool                 // now from before, so far
	steady      bool                 // the last two submissions were the same
	ready       *wgpu.CommandEncoder // before, recorded; its pass has ended
}

// expected notes a command, and reports whether it is recorded already.
func (d *Device) expected(c command) bool {
	r := &d.rec.replay
	i := len(r.now)
	r.differs = r.differs || i >= len(r.before) || r.before[i] != c
	if r.ready != nil {
		if !r.differs {
			r.now = append(r.now, c)
			return true
		}
		d.unready()
	}
	r.now = append(r.now, c)
	return false
}

// unready gives up what was recorded in advance, and records what was expected rightly anew.
func (d *Device) unready() {
	r := &d.rec.replay
	r.ready.DiscardEncoding()
	r.ready = nil
	for i, c := range r.now {
		d.record(c, i)
	}
}

// take makes what was recorded in advance the submission, if it is what has come.
func (d *Device) take() {
	r := &d.rec.replay
	if r.ready == nil || len(r.now) == 0 {
		return
	}
	if len(r.now) < len(r.before) {
		d.unready()
		return
	}
	d.rec.encoder, r.ready = r.ready, nil
}

// turn makes this submission the last one.
func (r *replay) turn() {
	if len(r.now) == 0 {
		return
	}
	r.steady = !r.differs && len(r.now) == len(r.before)
	r.now, r.before = r.before[:0], r.now
	r.differs = false
}

// prepare records what is expected next.
func (d *Device) prepare() {
	r := &d.rec.replay
	if !r.steady || r.ready != nil || d.err != nil || len(r.now) > 0 {
		return
	}
	for i, c := range r.before {
		d.record(c, i)
	}
	if d.err != nil {
		return
	}
	d.fail(d.rec.pass.End())
	r.ready, d.rec.encoder, d.rec.pass = d.rec.encoder, nil, nil
}

// forget drops all that is known: what it points to may be gone.
func (r *replay) forget() {
	if r.ready != nil {
		r.ready.DiscardEncoding()
	}
	clear(r.now[:cap(r.now)])
	clear(r.before[:cap(r.before)])
	*r = replay{now: r.now[:0], before: r.before[:0]}
}
