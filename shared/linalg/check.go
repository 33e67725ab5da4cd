package linalg

import (
	"math"

	"transformer2/shared/compute"
)

// Orthogonality is |BᵀB − I|max, 1e-15 to 1e-14 for a good basis.
func (d *Decomposition) Orthogonality(p compute.Dense64) float64 {
	r := d.R
	g := make([]float64, r*r)
	p.Gemm64(r, r, r, 1, d.Basis, 1, r, d.Basis, r, 1, g, r)
	var worst float64
	for i, v := range g {
		if i%(r+1) == 0 {
			v--
		}
		worst = larger(worst, math.Abs(v))
	}
	return worst
}

// Residual says how far the decomposition is from that of W [Out In]. With M = Bᵀ W (right:
// M = Bᵀ Wᵀ, and Wᵀ below) it is the sum of what must vanish:
//
//	|W − B M|F / |W|F                     B spans the side
//	max_i ||M_i| − σ_i| / σ₁              σ are the lengths of the rows of M
//	max_{i≠j} |M_i·M_j| / σ₁²             and these are orthogonal: B are singular vectors
func (d *Decomposition) Residual(p compute.Dense64, w []float32) float64 {
	r := d.R
	if r == 0 {
		return 0
	}
	h := make([]float64, r*r)
	var missing, total float64
	buf := make([]float64, r*min(GramChunk, max(d.Out, d.In)))
	d.project(p, w, 0, func(at, n int, m []float64) {
		gemmLower(p, r, n, 1, m, n, 1, m, 1, n, h, r)
		c := widen(p, d.Out, d.In, w, d.Left, at, n, buf)
		x := c.x[:r*n]
		total += dot(x, x)
		if d.Left {
			p.Gemm64(r, n, r, -1, d.Basis, r, 1, m, n, 1, x, n)
		} else { // the part holds rows of W: Wᵀ − B M, transposed
			p.Gemm64(n, r, r, -1, m, 1, n, d.Basis, 1, r, x, r)
		}
		missing += dot(x, x)
	})
	if total == 0 {
		return larger(maxOf(d.Sigma), 0)
	}
	top := d.Sigma[0]
	var length, angle float64
	for i := range r {
		length = larger(length, math.Abs(math.Sqrt(h[i*r+i])-d.Sigma[i])/top)
		for _, v := range h[i*r : i*r+i] {
			angle = larger(angle, math.Abs(v)/(top*top))
		}
	}
	return math.Sqrt(missing/total) + length + angle
}

// larger is max, but keeps a NaN: a broken basis must not look good.
func larger(a, b float64) float64 {
	if b > a || b != b {
		return b
	}
	return a
}

func maxOf(x []float64) float64 {
	var m float64
	for _, v := range x {
		m = larger(m, math.Abs(v))
	}
	return m
}
