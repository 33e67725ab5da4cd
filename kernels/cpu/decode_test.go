package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"transformer2/shared/compute"
)

// weightOf is a random [out in] weight of type t, and its rounded numbers.
func weightOf(t testing.TB, d *Device, rng *rand.Rand, dt compute.DType, out, in int) (
	compute.Weight, []float32) {
	t.Helper()
	w, err := d.NewWeight(dt, out, in)
	if err != nil {
		t.Fatal(err)
	}
	src := tensor(t, d, rng, out, in)
	d.Pack(w, src)
	d.Unpack(src, w)
	return w, read(d, src)
}

// A row alone gives the bits that it gives among others, so that decoding one sequence equals
// decoding it in a batch, and a prompt in one piece equals a prompt in two.
func TestRowsStandAlone(t *testing.T) {
	eachForm(t, 2, func(t *testing.T, d *Device) {
		rng := rand.New(rand.NewPCG(3, 1))
		for dt := range compute.Q4 + 1 {
			for _, i8 := range []bool{false, true} {
				d.int8 = i8
				w, _ := weightOf(t, d, rng, dt, 150, 416)
				x, y := tensor(t, d, rng, 131, 416), tensor(t, d, rng, 131, 150)
				d.MatMul(y, x, w)
				all := read(d, y)
				for _, r := range []int{0, 17, 130} {
					one := tensor(t, d, rng, 1, 150)
					d.MatMul(one, x.Slice(r, r+1), w)
					for j, v := range read(d, one) {
						if v != all[r*150+j] {
							t.Fatalf("%v: row %d alone is %v at %d, in a batch %v", dt, r, v, j,
								all[r*150+j])
						}
					}
				}
			}
		}
	})
}

// Int8 is off by the rounding of x only: half a step of 1/127 of the block's largest number, at
// random, for each of the inputs.
func TestInt8(t *testing.T) {
	for _, form := range Forms() {
		d, err := New(Options{Form: form, Int8: true, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		rng := rand.New(rand.NewPCG(3, 2))
		const out, in = 70, 256
		w, ws := weightOf(t, d, rng, compute.Q8, out, in)
		for _, rows := range []int{1, 2, 9} {
			x, y := tensor(t, d, rng, rows, in), tensor(t, d, rng, rows, out)
			d.MatMul(y, x, w)
			xs, got, worst := read(d, x), read(d, y), 0.0
			for r := range rows {
				for j := range out {
					want := 0.0
					for l := range in {
						want += float64(xs[r*in+l]) * float64(ws[j*in+l])
					}
					worst = max(worst, math.Abs(float64(got[r*out+j])-want))
				}
			}
			// A step is about 2.4/127 here, its standard error a √12-th, over √256 products: 0.087.
			if worst > 0.087*5 || worst == 0 {
				t.Errorf("%s, %d rows: worst error %v", form, rows, worst)
			}
		}
	}
}

// decodeStep is one layer's ops on one row, as a decode loop calls them.
func decodeStep(t testing.TB, d *Device, dt compute.DType) func() {
	rng := rand.New(rand.NewPCG(3, 3))
	const dim, hidden, vocab, ctx = 128, 384, 512, 64
	h := compute.Heads{Q: 4, KV: 2, Dim: 32, Scale: 0.18}
	of := func(cols int) compute.Tensor { return tensor(t, d, rng, 1, cols) }
	wt := func(out, in int) compute.Weight { w, _ := weightOf(t, d, rng, dt, out, in); return w }
	x, n, g, q, kv, o := of(dim), of(dim), of(dim), of(dim), of(64), of(dim)
	gate, up, logits := of(hidden), of(hidden), of(vocab)
	cacheK, cacheV := tensor(t, d, rng, ctx, 64), tensor(t, d, rng, ctx, 64)
	cosSin := tensor(t, d, rng, ctx, h.Dim)
	pos, spans, ids := ints(t, d, 17), ints(t, d, 0, 18), ints(t, d, 0)
	wq, wkv, wo := wt(dim, dim), wt(64, dim), wt(dim, dim)
	wg, wu, wd, head := wt(hidden, dim), wt(hidden, dim), wt(dim, hidden), wt(vocab, dim)
	return func() {
		d.RMSNorm(n, x, g, 1e-5)
		d.MatMul(q, n, wq)
		d.MatMul(kv, n, wkv)
		d.RoPE(q, cosSin, pos, h.Dim, false)
		d.RoPE(kv, cosSin, pos, h.Dim, false)
		d.ScatterRows(cacheK, kv, pos)
		d.ScatterRows(cacheV, kv, pos)
		d.Attention(o, compute.Tensor{}, q, cacheK, cacheV, spans, h)
		d.MatMul(n, o, wo)
		d.MatMulT(o, n, wo, false)
		d.Add(x, n)
		d.RMSNorm(n, x, g, 1e-5)
		d.MatMul(gate, n, wg)
		d.MatMul(up, n, wu)
		d.SwiGLU(gate, gate, up)
		d.MatMul(n, gate, wd)
		d.Add(x, n)
		d.MatMul(logits, x, head)
		d.ArgMax(ids, logits)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		eachForm(t, threads, func(t *testing.T, d *Device) {
			for dt := range compute.Q4 + 1 {
				d.int8 = dt == compute.Q8
				step := decodeStep(t, d, dt)
				if n := testing.AllocsPerRun(5, step); n != 0 {
					t.Errorf("%v, %d threads: %v allocations a token", dt, threads, n)
				}
			}
		})
	}
}

func BenchmarkDecodeStep(b *testing.B) {
	for dt := range compute.Q4 + 1 {
		b.Run(fmt.Sprint(dt), func(b *testing.B) {
			eachBench(b, func(b *testing.B, d *Device) {
				step := decodeStep(b, d, dt)
				rate(b, 1e9, "steps/s", step)
			})
		})
	}
}
