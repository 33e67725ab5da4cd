package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"transformer2/shared/compute"
)

// eachBench runs f on every fast form with one and with two threads.
func eachBench(b *testing.B, f func(b *testing.B, d *Device)) {
	for _, form := range Forms() {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s×%d", form, threads), func(b *testing.B) {
				f(b, open(b, form, threads))
			})
		}
	}
}

// rate runs f for the time of the benchmark and reports how much of a unit the fastest call did
// per nanosecond: GFLOP/s, GB/s, or billions. The fastest, because neighbours only ever slow down.
func rate(b *testing.B, each float64, unit string, f func()) {
	best := time.Hour
	f()
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(each/float64(best.Nanoseconds()), unit)
	b.ReportMetric(0, "ns/op")
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{512, 768, 768}, {4096, 384, 128}, {4096, 128, 384},
		{4096, 1024, 256}} {
		m, n, k := s[0], s[1], s[2]
		for _, o := range []compute.Orientation{compute.NT, compute.NN, compute.TN} {
			b.Run(fmt.Sprintf("%v_%dx%dx%d", o, m, n, k), func(b *testing.B) {
				eachBench(b, func(b *testing.B, d *Device) { benchGemm(b, d, o, m, n, k) })
			})
		}
	}
}

// benchGemm is the forward (NT) m×n×k product, or the gradient product that belongs to it.
func benchGemm(b *testing.B, d *Device, o compute.Orientation, m, n, k int) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, w, y := tensor(b, d, rng, m, k), tensor(b, d, rng, n, k), tensor(b, d, rng, m, n)
	rate(b, 2*float64(m)*float64(n)*float64(k), "GFLOP/s", func() {
		switch o {
		case compute.NT:
			d.Gemm(o, y, x, w, false)
		case compute.NN:
			d.Gemm(o, x, y, w, false)
		case compute.TN:
			d.Gemm(o, w, y, x, true)
		}
	})
}

func BenchmarkMatvec(b *testing.B) {
	for _, s := range [][2]int{{768, 768}, {32000, 768}, {32768, 4096}} {
		for t := range compute.Q4 + 1 {
			b.Run(fmt.Sprintf("%v_%dx%d", t, s[0], s[1]), func(b *testing.B) {
				eachBench(b, func(b *testing.B, d *Device) { benchMatvec(b, d, t, s[0], s[1]) })
			})
		}
		b.Run(fmt.Sprintf("int8_%dx%d", s[0], s[1]), func(b *testing.B) {
			eachBench(b, func(b *testing.B, d *Device) {
				d.int8 = true
				benchMatvec(b, d, compute.Q8, s[0], s[1])
			})
		})
	}
}

func benchMatvec(b *testing.B, d *Device, t compute.DType, out, in int) {
	rng := rand.New(rand.NewPCG(1, 3))
	w, err := d.NewWeight(t, out, in)
	if err != nil {
		b.Fatal(err)
	}
	d.Pack(w, tensor(b, d, rng, out, in))
	x, y := tensor(b, d, rng, 1, in), tensor(b, d, rng, 1, out)
	rate(b, float64(w.Bytes()), "GB/s", func() { d.MatMul(y, x, w) })
}

// BenchmarkAttention is a training batch: sequences of 256, 4 heads of 32 and 8 of 64.
func BenchmarkAttention(b *testing.B) {
	for _, h := range []compute.Heads{{Q: 4, KV: 4, Dim: 32, Scale: 0.18},
		{Q: 8, KV: 2, Dim: 64, Scale: 0.125}} {
		for _, grad := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dx%dx%d_grad=%v", h.Q, h.KV, h.Dim, grad), func(b *testing.B) {
				eachBench(b, func(b *testing.B, d *Device) { benchAttention(b, d, h, grad) })
			})
		}
	}
}

func benchAttention(b *testing.B, d *Device, h compute.Heads, grad bool) {
	const seqs, length = 16, 256
	rng := rand.New(rand.NewPCG(1, 4))
	spans := make([]int32, 0, 2*seqs*length)
	for i := range int32(seqs * length) {
		spans = append(spans, i/length*length, i+1)
	}
	sp := ints(b, d, spans...)
	rows := seqs * length
	of := func(cols int) compute.Tensor { return tensor(b, d, rng, rows, cols) }
	q, k, v := of(h.Q*h.Dim), of(h.KV*h.Dim), of(h.KV*h.Dim)
	o, do, dq, dk, dv, lse := of(q.Cols), of(q.Cols), of(q.Cols), of(k.Cols), of(k.Cols), of(h.Q)
	d.Attention(o, lse, q, k, v, sp, h)
	products := 2.0
	f := func() { d.Attention(o, lse, q, k, v, sp, h) }
	if grad {
		products = 5
		f = func() { d.AttentionGrad(dq, dk, dv, do, o, lse, q, k, v, sp, h) }
	}
	rate(b, products*2*seqs*length*(length+1)/2*float64(h.Q*h.Dim), "GFLOP/s", f)
}

// BenchmarkLayers is the cheap ops on a batch of 4096 tokens, in billions of numbers a second.
func BenchmarkLayers(b *testing.B) {
	eachBench(b, func(b *testing.B, d *Device) {
		rng := rand.New(rand.NewPCG(1, 5))
		const rows, cols = 4096, 384
		x, y, z, u := tensor(b, d, rng, rows, cols), tensor(b, d, rng, rows, cols),
			tensor(b, d, rng, rows, cols), tensor(b, d, rng, rows, cols)
		g, dg := tensor(b, d, rng, 1, cols), tensor(b, d, rng, 1, cols)
		w := tensor(b, d, rng, rows, 1)
		ids := make([]int32, rows)
		for i := range ids {
			ids[i] = rng.Int32N(cols)
		}
		targets := ints(b, d, ids...)
		cosSin := tensor(b, d, rng, cols, 32)
		for _, op := range []struct {
			name string
			f    func()
		}{
			{"Add", func() { d.Add(y, x) }},
			{"RMSNorm", func() { d.RMSNorm(y, x, g, 1e-5) }},
			{"RMSNormGrad", func() { d.RMSNormGrad(y, dg, z, x, g, 1e-5) }},
			{"RoPE", func() { d.RoPE(y, cosSin, targets, 32, false) }},
			{"SwiGLU", func() { d.SwiGLU(y, x, z) }},
			{"SwiGLUGrad", func() { d.SwiGLUGrad(y, u, x, z, x) }},
			{"ColDot", func() { d.ColDot(dg, x, z) }},
			{"Gather", func() { d.GatherRows(y, x, targets) }},
			{"ScatterAdd", func() { d.ScatterAddRows(y, x, targets) }},
			{"LogProbs", func() { d.LogProbs(w, x, targets) }},
			{"LogProbsGrad", func() { d.LogProbsGrad(y, x, targets, w) }},
			{"KL", func() { d.KL(w, x, z) }},
			{"KLGrad", func() { d.KLGrad(y, x, z, w) }},
			{"AdamW", func() {
				d.AdamW(y, x, z, u, compute.AdamWParams{LR: 1e-9, Beta1: 0.9,
					Beta2: 0.95, Eps: 1e-8, Step: 10, GradScale: 1})
			}},
			{"SumSquares", func() { d.SumSquares(w.Slice(0, 1), x) }},
			{"ArgMax", func() { d.ArgMax(targets, x) }},
		} {
			b.Run(op.name, func(b *testing.B) {
				d.Fill(u, 1)
				d.Fill(y, 0)
				rate(b, rows*cols, "G/s", op.f)
			})
		}
	})
}

func BenchmarkGemm64(b *testing.B) {
	for _, s := range [][3]int{{1024, 1024, 1024}, {2048, 2048, 32}} {
		m, n, k := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, n, k), func(b *testing.B) {
			eachBench(b, func(b *testing.B, d *Device) {
				rng := rand.New(rand.NewPCG(1, 6))
				x, y, z := normal64(rng, m*k), normal64(rng, k*n), normal64(rng, m*n)
				rate(b, 2*float64(m)*float64(n)*float64(k), "GFLOP/s", func() {
					d.Gemm64(m, n, k, 1e-3, x, k, 1, y, n, 1, z, n)
				})
			})
		})
	}
}

func BenchmarkSymv64(b *testing.B) {
	eachBench(b, func(b *testing.B, d *Device) {
		const n = 2048
		rng := rand.New(rand.NewPCG(1, 7))
		a, x, y := normal64(rng, n*n), normal64(rng, n), make([]float64, n)
		rate(b, 4*n*n, "GB/s", func() { d.Symv64(n, a, n, x, y) })
	})
}
