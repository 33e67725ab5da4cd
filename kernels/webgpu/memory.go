//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"
	"unsafe"

	"github.com/gogpu/gputypes"
	"github.com/gogpu/wgpu"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

const (
	// zeroByWrite is up to which size a new buffer is zeroed by a write rather than a dispatch.
	zeroByWrite = 64 << 10
	// chunk is what is moved at once between host and device: staging memory stays flat.
	chunk = 16 << 20
	// mapTimeout bounds the wait for a mapping whose work has ended.
	mapTimeout = time.Minute
)

// floats, integers and weight are the kinds of compute.Buffer.
type floats struct {
	d *Device
	b *buffer
	n int
}

type integers struct {
	d *Device
	b *buffer
	n int
}

func (f *floats) Len() int   { return f.n }
func (x *integers) Len() int { return x.n }

// room refuses sizes that a kernel could not see.
func (d *Device) room(what string, rows, cols int) error {
	binding := d.limits.MaxStorageBufferBindingSize
	hi, n := bits.Mul64(uint64(max(rows, 0)), uint64(max(cols, 0)))
	if rows < 0 || cols < 0 || hi != 0 || n > binding/4 {
		asked := "too much"
		if hi == 0 && n < 1<<61 && rows >= 0 && cols >= 0 {
			asked = size(4 * n)
		}
		return fmt.Errorf("webgpu: %s [%d %d]: %s, want %s or less, the most that a kernel sees on %s",
			what, rows, cols, asked, size(binding), d.adapter.Name)
	}
	return nil
}

// NewTensor: see compute.Memory.
func (d *Device) NewTensor(rows, cols int) (compute.Tensor, error) {
	if err := d.room("tensor", rows, cols); err != nil {
		return compute.Tensor{}, err
	}
	b, err := d.zeroed("tensor", 4*uint64(rows)*uint64(cols))
	if err != nil {
		return compute.Tensor{}, err
	}
	f := &floats{d: d, b: b, n: rows * cols}
	return compute.Tensor{Buf: f, Rows: rows, Cols: cols}, nil
}

// NewInts: see compute.Memory.
func (d *Device) NewInts(n int) (compute.Ints, error) {
	if err := d.room("ints", n, 1); err != nil {
		return compute.Ints{}, err
	}
	b, err := d.zeroed("ints", 4*uint64(n))
	if err != nil {
		return compute.Ints{}, err
	}
	return compute.Ints{Buf: &integers{d: d, b: b, n: n}, N: n}, nil
}

// zeroed allocates and clears.
func (d *Device) zeroed(what string, bytes uint64) (*buffer, error) {
	if d.err != nil {
		return nil, d.err
	}
	b, err := d.alloc(what, bytes)
	if err != nil {
		return nil, err
	}
	if b.size <= zeroByWrite && b.batch != d.rec.batch {
		d.fail(d.queue.WriteBuffer(b.raw, 0, d.zeros[:b.size]))
	} else {
		d.fill(b, 0, int(b.size/4), 0)
	}
	if d.err != nil {
		return nil, d.err
	}
	return b, nil
}

func (d *Device) fill(b *buffer, off, n int, bits uint32) {
	d.run(kernels.Variant{Name: "fill"}, threads(n), [most]*buffer{b}, uint32(n), uint32(off), bits)
}

// Free keeps the storage for what is allocated next; a later use of the view panics.
func (d *Device) Free(b compute.Buffer) {
	d.let() // what is held back knows the weight by its view
	switch b := b.(type) {
	case *floats:
		d.pool.put(d, b.b)
		b.b, b.n = nil, 0
	case *integers:
		d.pool.put(d, b.b)
		b.b, b.n = nil, 0
	case *weight:
		for _, p := range b.parts {
			d.pool.put(d, p.b)
		}
		b.parts, b.out, b.in, b.freed = nil, 0, 0, true
	}
}

// vals is the buffer of t and where t starts in it.
func (d *Device) vals(op string, t compute.Tensor) (*buffer, uint32) {
	f, ok := t.Buf.(*floats)
	if !ok || f.d != d {
		panic(fmt.Sprintf("webgpu: %s: the tensor %v belongs to another device", op, t))
	}
	if t.Off < 0 || t.Off+t.Len() > f.n || f.b == nil {
		panic(fmt.Sprintf("webgpu: %s: the tensor %v at %d leaves its buffer of %d (freed?)",
			op, t, t.Off, f.n))
	}
	return f.b, uint32(t.Off)
}

func (d *Device) ints(op string, x compute.Ints) (*buffer, uint32) {
	b, ok := x.Buf.(*integers)
	if !ok || b.d != d {
		panic(fmt.Sprintf("webgpu: %s: %d ints belong to another device", op, x.N))
	}
	if x.Off < 0 || x.Off+x.N > b.n || b.b == nil {
		panic(fmt.Sprintf("webgpu: %s: %d ints at %d leave their buffer of %d (freed?)",
			op, x.N, x.Off, b.n))
	}
	return b.b, uint32(x.Off)
}

// shape panics unless t is [rows cols]; like is what decides, named in the message.
func shape(op, name string, t compute.Tensor, rows, cols int, like compute.Tensor) {
	if t.Rows != rows || t.Cols != cols {
		panic(fmt.Sprintf("webgpu: %s: %s is %v, want [%d %d] to fit %v",
			op, name, t, rows, cols, like))
	}
}

// count panics unless x has n numbers.
func count(op, name string, x compute.Ints, n int, like compute.Tensor) {
	if x.N != n {
		panic(fmt.Sprintf("webgpu: %s: %s has %d ints, want %d to fit %v", op, name, x.N, n, like))
	}
}

// Write: see compute.Memory.
func (d *Device) Write(dst compute.Tensor, src []float32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("webgpu: Write: %d numbers into %v", len(src), dst))
	}
	b, off := d.vals("Write", dst)
	d.write(b, off, bytesOf(src))
}

// WriteInts: see compute.Memory.
func (d *Device) WriteInts(dst compute.Ints, src []int32) {
	if len(src) != dst.N {
		panic(fmt.Sprintf("webgpu: WriteInts: %d numbers into %d", len(src), dst.N))
	}
	b, off := d.ints("WriteInts", dst)
	d.write(b, off, bytesOf(src))
}

// write puts data at word off of b. The queue writes before it runs what is submitted next, so that
// what was recorded and touches b must go first.
func (d *Device) write(b *buffer, off uint32, data []byte) {
	if d.err != nil || len(data) == 0 {
		return
	}
	if b.batch == d.rec.batch {
		d.Submit() // its error stays with the device
	}
	at := 4 * uint64(off)
	for len(data) > chunk && d.err == nil {
		d.fail(d.queue.WriteBuffer(b.raw, at, data[:chunk]))
		d.flush()
		at, data = at+chunk, data[chunk:]
	}
	if d.err == nil {
		d.fail(d.queue.WriteBuffer(b.raw, at, data))
	}
}

// flush ends when the device has done everything: the staging memory of what was written is free.
func (d *Device) flush() error {
	d.submit(func(*wgpu.CommandEncoder) {})
	d.wait()
	return d.err
}

// bytesOf views numbers as they lie in memory.
func bytesOf[T float32 | int32](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// Read: see compute.Memory.
func (d *Device) Read(dst []float32, src compute.Tensor) error {
	if len(dst) != src.Len() {
		panic(fmt.Sprintf("webgpu: Read: %v into %d numbers", src, len(dst)))
	}
	b, off := d.vals("Read", src)
	return d.read(bytesOf(dst), b, off)
}

// ReadInts: see compute.Memory.
func (d *Device) ReadInts(dst []int32, src compute.Ints) error {
	if len(dst) != src.N {
		panic(fmt.Sprintf("webgpu: ReadInts: %d ints into %d", src.N, len(dst)))
	}
	b, off := d.ints("ReadInts", src)
	return d.read(bytesOf(dst), b, off)
}

// read copies from word off of b, the first chunk in the submission of what was recorded.
func (d *Device) read(dst []byte, b *buffer, off uint32) error {
	if len(dst) == 0 {
		return d.Submit()
	}
	if err := d.stage(uint64(min(len(dst), chunk))); err != nil {
		return err
	}
	at := 4 * uint64(off)
	for len(dst) > 0 {
		n := min(len(dst), chunk)
		err := d.submit(func(e *wgpu.CommandEncoder) {
			e.CopyBufferToBuffer(b.raw, at, d.staging, 0, uint64(n))
		})
		if err != nil {
			return err
		}
		d.prepare()
		d.wait()
		if d.err == nil {
			d.fail(d.fetch(dst[:n]))
		}
		if d.err != nil {
			return d.err
		}
		at, dst = at+uint64(n), dst[n:]
	}
	return nil
}

// stage makes the staging buffer large enough.
func (d *Device) stage(bytes uint64) error {
	if d.err != nil {
		return d.err
	}
	if d.staging != nil && d.staging.Size() >= bytes {
		return nil
	}
	if d.staging != nil {
		d.staging.Release()
		d.staging = nil
	}
	var err error
	d.staging, err = d.dev.CreateBuffer(&wgpu.BufferDescriptor{Label: "staging", Size: class(bytes),
		Usage: gputypes.BufferUsageMapRead | gputypes.BufferUsageCopyDst})
	d.fail(err)
	return d.err
}

// fetch maps the staging buffer and copies from it.
func (d *Device) fetch(dst []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), mapTimeout)
	defer cancel()
	n := uint64(len(dst))
	if err := d.staging.Map(ctx, wgpu.MapModeRead, 0, n); err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	r, err := d.staging.MappedRange(0, n)
	if err == nil {
		copy(dst, r.Bytes())
	}
	return errors.Join(err, d.staging.Unmap())
}

// Copy: see compute.Memory.
func (d *Device) Copy(dst, src compute.Tensor) {
	if dst.Len() != src.Len() {
		panic(fmt.Sprintf("webgpu: Copy: %v to %v", src, dst))
	}
	y, yo := d.vals("Copy", dst)
	x, xo := d.vals("Copy", src)
	n := uint32(dst.Len())
	if n%4 == 0 && yo%4 == 0 && xo%4 == 0 {
		d.run(kernels.Variant{Name: "copy", Vec: true}, threads(int(n/4)), bufs{y, x}, n/4, yo/4, xo/4)
		return
	}
	d.run(plain("copy"), threads(int(n)), bufs{y, x}, n, yo, xo)
}

// Fill: see compute.Memory.
func (d *Device) Fill(dst compute.Tensor, v float32) {
	y, yo := d.vals("Fill", dst)
	d.fill(y, int(yo), dst.Len(), f32(v))
}
