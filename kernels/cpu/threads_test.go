package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"transformer2/shared/compute"
)

// everyReduction runs the ops that sum over rows, tokens or blocks, and gives all their results.
func everyReduction(t *testing.T, d *Device) []float32 {
	rng := rand.New(rand.NewPCG(4, 1))
	const rows, cols = 2500, 96
	of := func(r, c int) compute.Tensor { return tensor(t, d, rng, r, c) }
	var all []float32
	keep := func(ts ...compute.Tensor) {
		for _, x := range ts {
			all = append(all, read(d, x)...)
		}
	}
	a, b, c, wide := of(rows, cols), of(rows, cols), of(cols, cols), of(rows, 200)
	d.Gemm(compute.TN, c, a, b, true)
	keep(c)
	e := of(cols, 200)
	d.Gemm(compute.TN, e, a, wide, false)
	keep(e)
	f := of(rows, rows)
	d.Gemm(compute.NT, f, a, b, false)
	keep(f.Slice(0, 300))
	d.Gemm(compute.NN, a, f, b, true)
	keep(a)
	sum, g := of(1, cols), of(1, cols)
	d.ColDot(sum, a, b)
	keep(sum)
	dx := of(rows, cols)
	d.RMSNormGrad(dx, sum, a, b, g, 1e-5)
	keep(dx, sum)
	one := of(1, 1)
	d.SumSquares(one, wide)
	keep(one)
	ids := make([]int32, rows)
	for i := range ids {
		ids[i] = rng.Int32N(40)
	}
	table := of(40, cols)
	d.ScatterAddRows(table, a, ints(t, d, ids...))
	keep(table)
	return append(all, attentionBothWays(t, d, rng)...)
}

// attentionBothWays is sequences of many lengths, some of one row with far keys, some windows.
func attentionBothWays(t *testing.T, d *Device, rng *rand.Rand) []float32 {
	h := compute.Heads{Q: 6, KV: 2, Dim: 24, Scale: 0.2}
	const keys = 1400
	var spans []int32
	for start := int32(0); start < keys-200; {
		n := 1 + rng.Int32N(190)
		for i := range n {
			spans = append(spans, max(start, start+i-100), start+i+1)
		}
		start += n + rng.Int32N(2)
	}
	spans = append(spans, 0, 0, 5, 1300, 900, 901)
	rows := len(spans) / 2
	of := func(r, c int) compute.Tensor { return tensor(t, d, rng, r, c) }
	q, k, v := of(rows, h.Q*h.Dim), of(keys, h.KV*h.Dim), of(keys, h.KV*h.Dim)
	o, lse, do := of(rows, h.Q*h.Dim), of(rows, h.Q), of(rows, h.Q*h.Dim)
	dq, dk, dv := of(rows, h.Q*h.Dim), of(keys, h.KV*h.Dim), of(keys, h.KV*h.Dim)
	sp := ints(t, d, spans...)
	d.Attention(o, lse, q, k, v, sp, h)
	d.AttentionGrad(dq, dk, dv, do, o, lse, q, k, v, sp, h)
	var all []float32
	for _, x := range []compute.Tensor{o, lse, dq, dk, dv} {
		all = append(all, read(d, x)...)
	}
	return all
}

// The number of threads decides who computes what, never what comes out.
func TestThreadsDoNotMatter(t *testing.T) {
	for _, form := range Forms() {
		if form == "loops" && testing.Short() {
			continue
		}
		want := everyReduction(t, open(t, form, 1))
		for _, threads := range []int{2, 5} {
			got := everyReduction(t, open(t, form, threads))
			for i, w := range want {
				if math.Float32bits(got[i]) != math.Float32bits(w) {
					t.Fatalf("%s ×%d: number %d is %v, with one thread %v", form, threads, i,
						got[i], w)
				}
			}
		}
	}
}

// Many small jobs from a caller that now and then pauses: workers spin, sleep and wake.
func TestPoolWakes(t *testing.T) {
	d := open(t, "", 4)
	hits := make([]int32, 64)
	for job := range 3000 {
		d.Parallel(len(hits), 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				hits[i]++
			}
		})
		if job%500 == 0 {
			for range spins {
				d.pool.done.Load() // longer than a worker waits
			}
		}
	}
	for i, n := range hits {
		if n != 3000 {
			t.Fatalf("item %d was done %d times", i, n)
		}
	}
}
