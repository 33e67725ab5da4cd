package linalg

import (
	"fmt"
	"slices"

	"transformer2/shared/compute"
)

// refineRatio is where refine starts a new pass: σ below it times the largest of the pass. The Gram
// matrix knows σ_i u_i only to roundoff·σ₁²/σ_i, so a pass is good for 1e-14·σ₁. A larger ratio
// would repeat the whole decomposition where one σ towers above the others.
const refineRatio = 1e-2

// noise is the part of σ₁ below which σ is the rounding error of Bᵀ W.
func (d *Decomposition) noise() float64 {
	if d.R == 0 {
		return 0
	}
	return float64(d.R) * roundoff * slices.Max(d.Sigma)
}

// refine separates the vectors of small σ, which the Gram matrix of all of W mixes: it decomposes
// the Gram matrix of their part of M = Bᵀ W, turns those columns of B by it, and goes on with the
// yet smaller ones. Few columns are left after the first pass for most weights.
func (d *Decomposition) refine(p compute.Dense64, w []float32) error {
	for from := 0; ; {
		s := d.passEnd(from)
		if from == 0 { // what the Gram matrix of all of W says of them is not good enough
			d.measure(p, w, s)
		}
		if s >= d.R || slices.Max(d.Sigma[s:]) <= d.noise() {
			return nil
		}
		k, r := d.R-s, d.R
		h := make([]float64, k*k)
		d.project(p, w, s, func(_, n int, m []float64) {
			gemmLower(p, k, n, 1, m, n, 1, m, 1, n, h, k)
		})
		_, y, err := eigenSym(p, k, h, k, h)
		if err != nil {
			return fmt.Errorf("linalg: Basis: σ from %d on: %w", s, err)
		}
		turned := make([]float64, r*k)
		p.Gemm64(r, k, k, 1, d.Basis[s:], r, 1, y, k, 1, turned, k)
		for i := range r {
			copy(d.Basis[i*r+s:(i+1)*r], turned[i*k:])
		}
		d.measure(p, w, s)
		from = s
	}
}

// passEnd is the first index after from whose σ is below refineRatio times the largest since from.
func (d *Decomposition) passEnd(from int) int {
	var top float64
	for i := from; i < d.R; i++ {
		if top = max(top, d.Sigma[i]); d.Sigma[i] < refineRatio*top {
			return i
		}
	}
	return d.R
}
