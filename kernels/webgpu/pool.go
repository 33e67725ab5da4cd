//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"
	"math/bits"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"
)

// buffer is storage on the GPU. Its bind groups live as long as it does, also while it lies in the
// pool.
type buffer struct {
	raw    *wgpu.Buffer
	id     uint32 // from 1
	size   uint64
	batch  uint64 // the submission that used it last
	groups []groupKey
}

const (
	leastBuffer = 256
	// poolKeeps is how many bytes lie free before large ones are given back to the driver.
	poolKeeps = 1 << 30
)

// pool keeps buffers that were freed, by size. Work runs in the order in which it is recorded, so
// that one may be used again at once.
type pool struct {
	free  map[uint64][]*buffer
	all   map[uint32]*buffer
	next  uint32
	idle  uint64 // bytes that lie free
	total uint64 // bytes in all
}

// class is the size that is allocated for n bytes: four classes to a power of two, so that little
// is lost and much is found again.
func class(n uint64) uint64 {
	n = max(n, leastBuffer)
	step := uint64(1) << max(bits.Len64(n-1)-3, 8)
	return (n + step - 1) / step * step
}

// alloc finds or makes a buffer; what it holds is whatever was there.
func (d *Device) alloc(what string, bytes uint64) (*buffer, error) {
	p := &d.pool
	if p.all == nil {
		p.free, p.all = map[uint64][]*buffer{}, map[uint32]*buffer{}
	}
	n := min(class(bytes), max(d.limits.MaxStorageBufferBindingSize&^3, bytes))
	if list := p.free[n]; len(list) > 0 {
		b := list[len(list)-1]
		p.free[n] = list[:len(list)-1]
		p.idle -= n
		return b, nil
	}
	raw, err := d.create(n)
	if err != nil && p.idle > 0 {
		d.Trim()
		raw, err = d.create(n)
	}
	if err != nil {
		return nil, fmt.Errorf("webgpu: %s: %s asked for, %s of %s in use: %w", what, size(n),
			size(p.total), d.adapter.Name, err)
	}
	p.next++
	b := &buffer{raw: raw, id: p.next, size: n}
	p.all[b.id] = b
	p.total += n
	return b, nil
}

func (d *Device) create(n uint64) (*wgpu.Buffer, error) {
	return d.dev.CreateBuffer(&wgpu.BufferDescriptor{Size: n, Usage: gputypes.BufferUsageStorage |
		gputypes.BufferUsageCopyDst | gputypes.BufferUsageCopySrc})
}

// put takes a buffer back.
func (p *pool) put(d *Device, b *buffer) {
	if b == nil || d.dev == nil {
		return
	}
	p.free[b.size] = append(p.free[b.size], b)
	if p.idle += b.size; p.idle > poolKeeps {
		d.Trim()
	}
}

// Trim gives storage that lies free back to the driver.
func (d *Device) Trim() {
	if d.Submit() != nil {
		return
	}
	d.wait()
	d.rec.replay.forget()
	for _, list := range d.pool.free {
		for _, b := range list {
			d.destroy(b)
		}
	}
	clear(d.pool.free)
	d.pool.idle = 0
}

// destroy releases a buffer that no work uses, and its bind groups.
func (d *Device) destroy(b *buffer) {
	for _, key := range b.groups {
		if g, ok := d.groups[key]; ok {
			g.Release()
			delete(d.groups, key)
		}
	}
	b.raw.Release()
	delete(d.pool.all, b.id)
	d.pool.total -= b.size
}

func (p *pool) release() {
	for _, b := range p.all {
		b.raw.Release()
	}
	p.all, p.free = nil, nil
}

// Scratch buffers, grown when an op needs more.
const (
	scratchPart    = iota // partial sums
	scratchRows           // a number a row
	scratchGained         // a sum times the gain of the norm of it
	scratchSquares        // the parts of its sum of squares
	scratchSpare          // what a kernel must be given and does not touch
	scratchAlias          // copies of aliased inputs, one a binding
	scratchCount   = scratchAlias + most
)

// scratchBuffer is a buffer of at least n words, which the next op may use again.
func (d *Device) scratchBuffer(slot, n int) *buffer {
	if b := d.scratch[slot]; b != nil && b.size >= 4*uint64(n) {
		return b
	}
	b, err := d.alloc("scratch", 4*uint64(n))
	if err != nil {
		d.fail(err)
		return &buffer{} // run does nothing from now on
	}
	d.pool.put(d, d.scratch[slot])
	d.scratch[slot] = b
	return b
}

// size is n bytes for people.
func size(n uint64) string {
	for _, u := range []struct {
		bits int
		name string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<u.bits {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(uint64(1)<<u.bits), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
