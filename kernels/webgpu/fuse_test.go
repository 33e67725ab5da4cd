//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"
	"testing"

	"transformer2/shared/compute"
)

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

// stored is what rotations of q and k and scatters of k and v leave in all of their tensors, done
// together or one by one.
func stored(t *testing.T, d *Device, kv, vcols int, together bool) []float32 {
	t.Helper()
	const rows, slots, dim = 3, 9, 8
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

// TestStore: rotations and scatters give the same whether they are done together or one by one,
// also where one of them does not fit.
func TestStore(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	for _, cols := range [][2]int{{16, 16}, {8, 8}, {16, 24}} {
		one := stored(t, d, cols[0], cols[1], true)
		four := stored(t, d, cols[0], cols[1], false)
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

// TestGate: two products and their gated unit, done together, are what they are one by one.
func TestGate(t *testing.T) {
	b := newBoth(t)
	gpu := b.devs[1].(*Device)
	gpu.mostFew = 4
	for typ := range compute.Q4 + 1 {
		for _, s := range [][3]int{{1, 515, 1024}, {2, 96, 4096}, {3, 33, 160}, {16, 130, 512}} {
			rows, out, in := s[0], s[1], s[2]
			wg, wu := b.weight(typ, out, in), b.weight(typ, out, in)
			x, gate, up, y := b.tensor(rows, in), b.tensor(rows, out), b.tensor(rows, out),
				b.tensor(rows, out)
			if err := gpu.Submit(); err != nil {
				t.Fatal(err)
			}
			for j, d := range b.devs {
				d.MatMul(gate[j], x[j], wg[j])
				d.MatMul(up[j], x[j], wu[j])
				d.SwiGLU(y[j], gate[j], up[j])
			}
			gpu.let()
			want := 1
			if rows > 2 && typ != compute.F32 { // both products of four rows each, and the unit
				want = (rows+3)/4 + 1
			}
			if n := len(gpu.rec.replay.now); n != want {
				t.Errorf("%v %v: %d dispatches, want %d", typ, s, n, want)
			}
			what := fmt.Sprintf("%v %v: ", typ, s)
			b.same(what+"gate", gate, productTol(in))
			b.same(what+"up", up, productTol(in))
			b.same(what+"y", y, 4*productTol(in)) // products of two
			b.free(x, gate, up, y)
		}
	}
}

// TestJoined: a norm that takes no dispatch of its own between a sum and the products of it, and a
// product done with a sum of it or to it, are what they are one by one.
func TestJoined(t *testing.T) {
	b := newBoth(t)
	for typ := range compute.Q4 + 1 {
		for _, s := range [][2]int{{259, 1024}, {96, 4096}, {33, 160}, {515, 352}} {
			out, in := s[0], s[1]
			if !typ.Blocked() {
				in -= 3 * (out % 2) // also widths that no vec4 fits
			}
			b.joined(typ, out, in)
		}
	}
}

// joined runs sequences of ops that are done together.
func (b *both) joined(typ compute.DType, out, in int) {
	b.t.Helper()
	gpu := b.devs[1].(*Device)
	wa, wb, wc := b.weight(typ, out, in), b.weight(typ, out, in), b.weight(typ, out, in)
	wd, we := b.weight(typ, out, in), b.weight(typ, in, in)
	x, g, h, u := b.tensor(1, in), b.tensor(1, in), b.tensor(1, in), b.tensor(1, in)
	ya, yb, yc, yd := b.tensor(1, out), b.tensor(1, out), b.tensor(1, out), b.tensor(1, out)
	// sum adds a product to x, or x to it.
	sum := func(j int, d compute.Device, to bool) compute.Tensor {
		d.MatMul(h[j], u[j], we[j])
		if to {
			d.Add(h[j], x[j])
			return h[j]
		}
		d.Add(x[j], h[j])
		return x[j]
	}
	steps := []struct {
		name       string
		dispatches int
		run        func(j int, d compute.Device)
		outs       []twin
	}{
		{"norm and three products", 2, func(j int, d compute.Device) {
			d.RMSNorm(h[j], x[j], g[j], 0.1)
			d.MatMul(ya[j], h[j], wa[j])
			d.MatMul(yb[j], h[j], wb[j])
			d.MatMul(yc[j], h[j], wc[j])
		}, []twin{h, ya, yb, yc}},
		{"sum, norm and three products", 2, func(j int, d compute.Device) {
			d.RMSNorm(h[j], sum(j, d, false), g[j], 0.1)
			d.MatMul(ya[j], h[j], wa[j])
			d.MatMul(yb[j], h[j], wb[j])
			d.MatMul(yc[j], h[j], wc[j])
		}, []twin{x, h, ya, yb, yc}},
		{"sum, norm in place, two products, gated unit", 2, func(j int, d compute.Device) {
			d.RMSNorm(h[j], sum(j, d, true), g[j], 0.2)
			d.MatMul(ya[j], h[j], wa[j])
			d.MatMul(yb[j], h[j], wb[j])
			d.SwiGLU(yc[j], ya[j], yb[j])
		}, []twin{h, ya, yb, yc}},
		{"sum and norm, and something else", 3, func(j int, d compute.Device) {
			d.RMSNorm(h[j], sum(j, d, false), g[j], 0.3)
			d.MatMul(ya[j], x[j], wa[j])
		}, []twin{x, h, ya}},
		{"product and sum to it", 1, func(j int, d compute.Device) {
			d.MatMul(yd[j], x[j], wd[j])
			d.Add(yd[j], ya[j])
		}, []twin{yd}},
		{"product and sum of it", 1, func(j int, d compute.Device) {
			d.MatMul(yd[j], x[j], wd[j])
			d.Add(ya[j], yd[j])
		}, []twin{ya, yd}},
		{"norm of something else", 2, func(j int, d compute.Device) {
			d.RMSNorm(h[j], x[j], g[j], 0.3)
			d.MatMul(ya[j], x[j], wa[j])
		}, []twin{h, ya}},
	}
	for _, step := range steps {
		if err := gpu.Submit(); err != nil {
			b.t.Fatal(err)
		}
		for j, d := range b.devs {
			step.run(j, d)
		}
		gpu.let()
		if n := len(gpu.rec.replay.now); n != step.dispatches && gpu.binds(most) {
			b.t.Errorf("%v %v, %s: %d dispatches, want %d", typ, [2]int{out, in}, step.name, n,
				step.dispatches)
		}
		for i, o := range step.outs {
			b.same(fmt.Sprintf("%v %v, %s: output %d", typ, [2]int{out, in}, step.name, i), o,
				8*productTol(in))
		}
	}
	b.free(x, g, h, u, ya, yb, yc, yd)
}
