package linalg

import "transformer2/shared/compute"

// lowerLeaf is the side of the diagonal blocks that gemmLower computes as full squares.
const lowerLeaf = 128

// gemmLower adds alpha·A·B, known to be symmetric, to the lower triangle of c [m m]; inside the
// diagonal blocks of at most lowerLeaf rows it also writes above the diagonal.
// Element (i, l) of A [m k] is a[i*ars+l*acs], and (l, j) of B [k m] is b[l*brs+j*bcs].
//
// It splits c = [C₁ ·; R C₂] and R is one product: half the arithmetic of the full square in few,
// large calls.
func gemmLower(p compute.Dense64, m, k int, alpha float64, a []float64, ars, acs int,
	b []float64, brs, bcs int, c []float64, ldc int) {
	if m == 0 || k == 0 {
		return
	}
	if m <= lowerLeaf {
		p.Gemm64(m, m, k, alpha, a, ars, acs, b, brs, bcs, c, ldc)
		return
	}
	h := roundUp(m/2, 16)
	gemmLower(p, h, k, alpha, a, ars, acs, b, brs, bcs, c, ldc)
	p.Gemm64(m-h, h, k, alpha, a[h*ars:], ars, acs, b, brs, bcs, c[h*ldc:], ldc)
	gemmLower(p, m-h, k, alpha, a[h*ars:], ars, acs, b[h*bcs:], brs, bcs, c[h*ldc+h:], ldc)
}

// mirror copies the lower triangle of a [n n] to the upper.
func mirror(p compute.Dense64, n int, a []float64) {
	const tile = 32 // columns a pass: so many cache lines of the lower triangle stay in reach
	p.Parallel((n+tile-1)/tile, 1, func(lo, hi int) {
		for j0 := lo * tile; j0 < min(hi*tile, n); j0 += tile {
			for i := j0; i < n; i++ {
				for j := j0; j < min(j0+tile, i); j++ {
					a[j*n+i] = a[i*n+j]
				}
			}
		}
	})
}
