package linalg

import (
	"math"
	"math/rand/v2"

	"transformer2/shared/compute"
)

// probes is how many vectors Probe takes: what it estimates is then right to about a fifth.
const probes = 16

// Probe says how far the decomposition is from that of W [Out In] without the products of whole
// matrices that Residual and Orthogonality take: over vectors a of N(0, 1) [R],
//
//	residual = |Bᵀ W Wᵀ B a − σ²∘a| / |σ²∘a|      (right: Wᵀ W)
//	orthogonality = |Bᵀ B a − a| / |a|
//
// They estimate |E|F/|D|F, where D is what the matrix should be, diag(σ²) or I, and E what it is
// off by, and so see a weight that differs a little everywhere, as a fine-tuned one does. The
// vectors are always the same.
func (d *Decomposition) Probe(p compute.Dense64, w []float32) (residual, orthogonality float64) {
	r := d.R
	rng := rand.New(rand.NewPCG(0, 0))
	a := make([]float64, probes*r) // row v: a vector
	for i := range a {
		a[i] = rng.NormFloat64()
	}
	// (B a)ᵀ, (Bᵀ B a)ᵀ, (W Wᵀ B a)ᵀ, (Bᵀ W Wᵀ B a)ᵀ, all [probes R]
	x, back, z, t := make([]float64, len(a)), make([]float64, len(a)), make([]float64, len(a)),
		make([]float64, len(a))
	p.Gemm64(probes, r, r, 1, a, r, 1, d.Basis, 1, r, x, r)
	p.Gemm64(probes, r, r, 1, x, r, 1, d.Basis, r, 1, back, r)
	other := max(d.Out, d.In)
	buf := make([]float64, r*min(other, GramChunk))
	y := make([]float64, probes*min(other, GramChunk))
	for at := 0; at < other; at += GramChunk {
		c := widen(p, d.Out, d.In, w, d.Left, at, min(GramChunk, other-at), buf)
		part := y[:probes*c.len]
		clear(part)
		p.Gemm64(probes, c.len, r, 1, x, r, 1, c.x, c.ns, c.ss, part, c.len)
		p.Gemm64(probes, r, c.len, 1, part, c.len, 1, c.x, c.ss, c.ns, z, r)
	}
	p.Gemm64(probes, r, r, 1, z, r, 1, d.Basis, r, 1, t, r)
	want := make([]float64, len(a))
	for i, v := range a {
		s := d.Sigma[i%r]
		want[i] = s * s * v
	}
	return offBy(t, want), offBy(back, a)
}

// offBy is |got − want| / |want|, 0 where both are zero.
func offBy(got, want []float64) float64 {
	var off, all float64
	for i, v := range want {
		off += (got[i] - v) * (got[i] - v)
		all += v * v
	}
	if off == 0 {
		return 0
	}
	return math.Sqrt(off / all)
}
