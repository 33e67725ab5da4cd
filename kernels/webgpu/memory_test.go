//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"transformer2/shared/compute"
)

// decodeStep is the ops of a token of a small layer.
type decodeStep struct {
	d                *Device
	x, h, q, k, v, g compute.Tensor
	cache            [2]compute.Tensor
	turn             compute.Tensor
	w                []compute.Weight
	pos, spans, ids  compute.Ints
}

func newDecodeStep(t *testing.T, d *Device) *decodeStep {
	t.Helper()
	s := &decodeStep{d: d}
	tensor := func(rows, cols int) compute.Tensor {
		x, err := d.NewTensor(rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	ints := func(n int) compute.Ints {
		x, err := d.NewInts(n)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	s.x, s.h, s.q = tensor(1, 64), tensor(1, 64), tensor(1, 64)
	s.k, s.v = tensor(1, 32), tensor(1, 32)
	s.g, s.turn = tensor(1, 64), tensor(128, 16)
	s.cache = [2]compute.Tensor{tensor(128, 32), tensor(128, 32)}
	s.pos, s.spans, s.ids = ints(1), ints(2), ints(1)
	for _, out := range []int{64, 32, 32, 64} {
		w, err := d.NewWeight(compute.BF16, out, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.w = append(s.w, w)
	}
	return s
}

func (s *decodeStep) run(t *testing.T, pos int32) {
	t.Helper()
	d := s.d
	d.WriteInts(s.pos, []int32{pos})
	d.WriteInts(s.spans, []int32{0, pos + 1})
	d.Add(s.x, s.h)
	d.RMSNorm(s.h, s.x, s.g, 1e-5)
	d.MatMul(s.q, s.h, s.w[0])
	d.MatMul(s.k, s.h, s.w[1])
	d.MatMul(s.v, s.h, s.w[2])
	d.RoPE(s.q, s.turn, s.pos, 16, false)
	d.RoPE(s.k, s.turn, s.pos, 16, false)
	d.ScatterRows(s.cache[0], s.k, s.pos)
	d.ScatterRows(s.cache[1], s.v, s.pos)
	d.Attention(s.q, compute.Tensor{}, s.q, s.cache[0], s.cache[1], s.spans,
		compute.Heads{Q: 4, KV: 2, Dim: 16, Scale: 0.25})
	d.MatMul(s.h, s.q, s.w[3])
	d.ArgMax(s.ids, s.h)
	if err := d.ReadInts(make([]int32, 1), s.ids); err != nil {
		t.Fatal(err)
	}
}

// TestSteady: after the first token nothing is made for the next ones: no bind group, no buffer, no
// pipeline; a token is one submission, and like ops share a dispatch.
func TestSteady(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	s := newDecodeStep(t, d)
	s.run(t, 0)
	groups, buffers, pipes, batch := len(d.groups), d.pool.next, len(d.pipes), d.rec.batch
	const tokens = 100
	for pos := range int32(tokens) {
		s.run(t, pos+1)
	}
	if len(d.groups) != groups || d.pool.next != buffers || len(d.pipes) != pipes {
		t.Errorf("after %d tokens there are %d bind groups, %d buffers, %d pipelines, want %d, %d, %d",
			tokens, len(d.groups), d.pool.next, len(d.pipes), groups, buffers, pipes)
	}
	if n := d.rec.batch - batch; n != tokens {
		t.Errorf("%d tokens took %d submissions, want one each", tokens, n)
	}
	before := d.rec.batch
	d.Add(s.x, s.h)
	d.RMSNorm(s.h, s.x, s.g, 1e-5)
	d.MatMul(s.q, s.h, s.w[0])
	d.MatMul(s.k, s.h, s.w[1])
	d.MatMul(s.v, s.h, s.w[2])
	d.let()
	if n := len(d.rec.replay.now); n != 2 || d.rec.batch != before {
		t.Errorf("a sum, its norm and three products are %d dispatches, want 2", n)
	}
}

// TestFlat: a thousand more tokens leave nothing on the heap.
func TestFlat(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	s := newDecodeStep(t, d)
	objects := func() int {
		var m runtime.MemStats
		for pos := range int32(500) {
			s.run(t, pos%100)
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapObjects)
	}
	objects()
	before := objects()
	objects()
	const noise = 150 // measured 20; one object a token would be 1000
	if after := objects(); after > before+noise {
		t.Errorf("%d objects after 1000 more tokens, want about the %d of before", after, before)
	}
}

// TestLargeWrite: more than a chunk goes up and comes back.
func TestLargeWrite(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	n := chunk/4*2 + 12345
	x, err := d.NewTensor(1, n)
	if err != nil {
		t.Fatal(err)
	}
	host, back := make([]float32, n), make([]float32, n)
	for i := range host {
		host[i] = float32(i)
	}
	d.Write(x, host)
	if err := d.Read(back, x); err != nil {
		t.Fatal(err)
	}
	for i := range host {
		if back[i] != host[i] {
			t.Fatalf("number %d of %d came back as %v", i, n, back[i])
		}
	}
}

// TestNoRoom: what does not fit is refused in a sentence that says what was asked for and what
// there is, and the device goes on.
func TestNoRoom(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	for _, size := range [][2]int{{1 << 40, 1}, {1 << 20, 1 << 20}, {-1, 4}, {1 << 62, 1 << 62}} {
		_, err := d.NewTensor(size[0], size[1])
		if err == nil || !strings.Contains(err.Error(), "webgpu: tensor [") ||
			!strings.Contains(err.Error(), "iB or less") {
			t.Errorf("a tensor %v: %v, want an error with both sizes", size, err)
		}
	}
	// The size of what is refused, and the most, on a device whose kernels see little.
	binding := d.limits.MaxStorageBufferBindingSize
	d.limits.MaxStorageBufferBindingSize = 1 << 16
	if _, err := d.NewTensor(1<<8, 1<<7); err == nil ||
		!strings.Contains(err.Error(), "tensor [256 128]: 128 KiB, want 64 KiB or less") {
		t.Errorf("128 KiB where 64 are seen: %v", err)
	}
	if w, err := d.NewWeight(compute.F32, 1<<8, 1<<7); err != nil || len(w.(*weight).parts) != 2 {
		t.Errorf("a weight of 128 KiB where 64 are seen: %v, want it in two parts", err)
	} else {
		tableInParts(t, d, w)
	}
	d.limits.MaxStorageBufferBindingSize = binding
	// The driver refuses: the limit that we ask it for is not one that it has.
	d.limits.MaxStorageBufferBindingSize = 1 << 45
	_, err := d.NewTensor(1<<20, 1<<21)
	if err == nil || !strings.Contains(err.Error(), "8.19e+03 GiB asked for") ||
		!strings.Contains(err.Error(), "in use") {
		t.Errorf("8 TiB: %v, want an error that says how much was asked for and is in use", err)
	}
	x, err := d.NewTensor(4, 4)
	if err != nil {
		t.Fatal(err)
	}
	d.Fill(x, 3)
	got := make([]float32, 16)
	if err := d.Read(got, x); err != nil || got[15] != 3 {
		t.Errorf("afterwards: %v, %v, want 3", got[15], err)
	}
}

// tableInParts: a weight that no kernel sees whole is filled, and gives rows, in all its parts.
func tableInParts(t *testing.T, d *Device, w compute.Weight) {
	t.Helper()
	out, in := w.Dims()
	err := d.PackFrom(w, func(lo int, rows []float32) error {
		for i := range rows {
			rows[i] = float32(lo + i/in)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []int32{0, int32(out - 1), int32(out / 2), int32(out/2 - 1)}
	ids, err := d.NewInts(len(want))
	if err != nil {
		t.Fatal(err)
	}
	d.WriteInts(ids, want)
	y, err := d.NewTensor(len(want), in)
	if err != nil {
		t.Fatal(err)
	}
	d.UnpackRows(y, w, ids)
	got := make([]float32, y.Len())
	if err := d.Read(got, y); err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v != float32(want[i/in]) {
			t.Errorf("number %d of row %d is %v, want %d", i%in, want[i/in], v, want[i/in])
			return
		}
	}
}

// TestErrorStays: after a failure ops do nothing, and whoever waits hears of it.
func TestErrorStays(t *testing.T) {
	d := openDevice(t)
	x, err := d.NewTensor(1, 4)
	if err != nil {
		t.Fatal(err)
	}
	d.Fill(x, 1)
	lost := errors.New("the device is lost")
	d.fail(lost)
	d.Fill(x, 2)
	d.Write(x, make([]float32, 4))
	if err := d.Submit(); !errors.Is(err, lost) {
		t.Errorf("Submit: %v, want %v", err, lost)
	}
	if err := d.Read(make([]float32, 4), x); !errors.Is(err, lost) {
		t.Errorf("Read: %v, want %v", err, lost)
	}
	if _, err := d.NewTensor(1, 1); !errors.Is(err, lost) {
		t.Errorf("NewTensor: %v, want %v", err, lost)
	}
	d.Free(x.Buf)
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// TestPool: what is freed is used again, bind groups and all, and given back when asked.
func TestPool(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	made := func() uint32 {
		x, err := d.NewTensor(100, 100)
		if err != nil {
			t.Fatal(err)
		}
		d.Fill(x, 1)
		id := x.Buf.(*floats).b.id
		d.Free(x.Buf)
		return id
	}
	id := made()
	groups, total := len(d.groups), d.pool.total
	for range 10 {
		if again := made(); again != id {
			t.Errorf("buffer %d was free, and %d was made", id, again)
		}
	}
	if len(d.groups) != groups || d.pool.total != total {
		t.Errorf("%d bind groups, %d bytes, want %d, %d", len(d.groups), d.pool.total, groups, total)
	}
	d.Trim()
	if d.pool.idle != 0 || d.pool.total >= total || len(d.groups) >= groups {
		t.Errorf("after Trim %d bytes lie free of %d, with %d bind groups", d.pool.idle, d.pool.total,
			len(d.groups))
	}
	if err := d.Submit(); err != nil {
		t.Error(err)
	}
}

func TestClass(t *testing.T) {
	for n, want := range map[uint64]uint64{0: 256, 1: 256, 256: 256, 257: 512, 1000: 1024,
		4097: 5120, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1<<18} {
		if got := class(n); got != want {
			t.Errorf("%d bytes: %d, want %d", n, got, want)
		}
	}
}
