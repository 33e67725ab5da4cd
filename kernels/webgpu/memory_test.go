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
	s.x, s.h, s.q, s.k, s.v = tensor(1, 64), tensor(1, 64), tensor(1, 64), tensor(1, 32), tensor(1, 32)
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

// TestReplay: steady work is recorded in advance; where other work comes than was expected, sooner,
// later or shorter, it is done as it was asked for.
func TestReplay(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	x, err := d.NewTensor(4, 1)
	if err != nil {
		t.Fatal(err)
	}
	host := []float32{0, 0, 0, 0}
	round := func(n int, fills ...float32) {
		t.Helper()
		for i, v := range fills {
			d.Fill(x.Slice(i, i+1), v)
			host[i] = v
		}
		got := make([]float32, 4)
		if err := d.Read(got, x); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if v != host[i] {
				t.Errorf("round %d: number %d is %v, want %v", n, i, v, host[i])
			}
		}
	}
	round(0, 1, 2, 3)
	round(1, 1, 2, 3)
	if d.rec.replay.ready == nil {
		t.Error("after two equal submissions nothing is recorded in advance")
	}
	d.Write(x, []float32{9, 9, 9, 9})
	host[3] = 9
	round(2, 1, 2, 3)    // as expected, after a write that it must not hide
	round(3, 5, 2, 3)    // the first differs
	round(4, 5, 2, 3)    // twice: expected again
	round(5, 5, 2, 4)    // the last differs
	round(6, 5, 2, 4)    // expected again
	round(7, 5, 2)       // shorter
	round(8, 5, 2)       // expected again
	round(9, 5, 2, 4, 8) // longer
	round(10, 5, 2, 4, 8)
	round(11) // nothing at all
	d.Trim()
	if d.rec.replay.ready != nil || len(d.rec.replay.before) > 0 {
		t.Error("after Trim, which frees buffers, something is still expected")
	}
	round(12, 5, 2, 4, 8)
}

// TestStore: rotations and scatters give the same whether they are done together or one by one, also
// where one of them does not fit.
func TestStore(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	const rows, slots, dim = 3, 9, 8
	run := func(kv, vcols int, together bool) []float32 {
		t.Helper()
		var all []compute.Tensor
		tensor := func(n, cols int) compute.Tensor {
			x, err := d.NewTensor(n, cols)
			if err != nil {
				t.Fatal(err)
			}
			host := make([]float32, n*cols)
			for i := range host {
				host[i] = float32(i%13) - 6
			}
			d.Write(x, host)
			all = append(all, x)
			return x
		}
		q, k, v, turn := tensor(rows, 2*kv), tensor(rows, kv), tensor(rows, vcols), tensor(20, dim)
		keys, values := tensor(slots, kv), tensor(slots, vcols)
		pos, err := d.NewInts(rows)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := d.NewInts(rows)
		if err != nil {
			t.Fatal(err)
		}
		d.WriteInts(pos, []int32{4, 0, 17})
		d.WriteInts(ids, []int32{2, -1, 8})
		if err := d.Submit(); err != nil {
			t.Fatal(err)
		}
		for _, f := range []func(){
			func() { d.RoPE(q, turn, pos, dim, false) }, func() { d.RoPE(k, turn, pos, dim, false) },
			func() { d.ScatterRows(keys, k, ids) }, func() { d.ScatterRows(values, v, ids) },
		} {
			if f(); !together {
				d.let()
			}
		}
		d.let()
		if n := len(d.rec.replay.now); together && vcols == kv && n != 1 {
			t.Errorf("two rotations and two scatters are %d dispatches, want 1", n)
		}
		var got []float32
		for _, x := range all {
			host := make([]float32, x.Len())
			if err := d.Read(host, x); err != nil {
				t.Fatal(err)
			}
			got = append(got, host...)
			d.Free(x.Buf)
		}
		return got
	}
	for _, cols := range [][2]int{{16, 16}, {8, 8}, {16, 24}} {
		one, four := run(cols[0], cols[1], true), run(cols[0], cols[1], false)
		for i := range four {
			if one[i] != four[i] {
				t.Fatalf("%v: number %d is %v done together, %v one by one", cols, i, one[i], four[i])
			}
		}
	}
}

// TestFreeWhileHeld: a product that waits for its like is done with the weight it was called with.
func TestFreeWhileHeld(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	s := newDecodeStep(t, d)
	src, err := d.NewTensor(64, 64)
	if err != nil {
		t.Fatal(err)
	}
	d.Fill(src, 0.5)
	d.Pack(s.w[0], src)
	d.Fill(s.h, 1)
	d.MatMul(s.q, s.h, s.w[0])
	d.Free(s.w[0].(compute.Buffer))
	if s.w[0], err = d.NewWeight(compute.BF16, 64, 64); err != nil { // takes its storage
		t.Fatal(err)
	}
	got := make([]float32, 64)
	if err := d.Read(got, s.q); err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v != 32 {
			t.Fatalf("number %d is %v, want 32", i, v)
		}
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

// TestNoRoom: what does not fit is refused in a sentence that says what was asked for and what there
// is, and the device goes on.
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

// TestAhead: a batch that goes in parts gives what one that goes whole does.
func TestAhead(t *testing.T) {
	whole := openDevice(t)
	defer whole.Close()
	parts, err := New(Options{Ahead: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer parts.Close()
	var got [2][]float32
	for i, d := range []*Device{whole, parts} {
		before := d.rec.batch
		x, err := d.NewTensor(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		y, err := d.NewTensor(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		d.Fill(y, 1)
		for range 20 {
			d.Add(x, y)
			d.Add(y, x)
		}
		got[i] = make([]float32, 1)
		if err := d.Read(got[i], x); err != nil {
			t.Fatal(err)
		}
		if n := d.rec.batch - before; n != uint64(1+2*i) {
			t.Errorf("device %d: %d submissions, want %d", i, n, 1+2*i)
		}
	}
	if got[0][0] != got[1][0] || got[0][0] < 1e6 {
		t.Errorf("whole %v, in parts %v, want the same Fibonacci number", got[0], got[1])
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
