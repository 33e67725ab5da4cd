package linalg

import (
	"cmp"
	"errors"
	"slices"

	"transformer2/shared/compute"
)

const (
	leafSize    = 32 // tridiagonals of at most this side are solved by QL
	subtreeSize = 64 // of at most this side: one thread each, with Plain products
)

// divider solves the tridiagonal with diagonal d and off-diagonal e by divide and conquer:
//
//	T = [T₁ 0; 0 T₂] + |β|·b bᵀ      T₁, T₂ with |β| taken off their corner entries
//	  = [Z₁ 0; 0 Z₂] (diag(d₁, d₂) + ρ z zᵀ) [Z₁ 0; 0 Z₂]ᵀ
//
// where b is 1 and sign(β) at the cut. A solved block [lo, hi) has its eigenvalues in d[lo:hi], the
// eigenvectors in the same columns of the diagonal block of q, and in asc[lo:hi] the positions,
// relative to lo, of its eigenvalues in ascending order.
type divider struct {
	p    compute.Dense64
	n    int // leading dimension of q
	d, e []float64
	q    []float64 // [n n], zero outside the diagonal blocks
	asc  []int
	s, g []float64 // room for the square of the largest block
}

// divideAndConquer returns the eigenvectors [n n] (one a column) of the tridiagonal, the positions
// of the eigenvalues in ascending order, and a spare [n n]; d becomes the eigenvalues.
func divideAndConquer(p compute.Dense64, d, e []float64) (q []float64, asc []int,
	spare []float64, err error) {
	n := len(d)
	v := divider{p: p, n: n, d: d, e: e, q: make([]float64, n*n), asc: make([]int, n),
		s: make([]float64, n*n), g: make([]float64, n*n)}
	blocks := v.tear(nil, 0, n)
	errs := make([]error, len(blocks))
	p.Parallel(len(blocks), 1, func(lo, hi int) {
		own := v
		own.p = Plain{}
		own.s = make([]float64, subtreeSize*subtreeSize)
		own.g = make([]float64, subtreeSize*subtreeSize)
		for i := lo; i < hi; i++ {
			errs[i] = own.solve(blocks[i][0], blocks[i][1])
		}
	})
	if err := errors.Join(errs...); err != nil {
		return nil, nil, nil, err
	}
	v.join(0, n)
	return v.q, v.asc, v.g, nil
}

// middle is where a block is cut.
func middle(lo, hi int) int { return lo + (hi-lo)/2 }

// tear cuts the matrix into leaves and appends to blocks the subtrees that one thread solves.
func (v *divider) tear(blocks [][2]int, lo, hi int) [][2]int {
	size := hi - lo
	if size > leafSize {
		mid := middle(lo, hi)
		beta := max(v.e[mid-1], -v.e[mid-1])
		v.d[mid-1] -= beta
		v.d[mid] -= beta
		if size > subtreeSize {
			return v.tear(v.tear(blocks, lo, mid), mid, hi)
		}
		v.tear(nil, lo, mid)
		v.tear(nil, mid, hi)
	}
	return append(blocks, [2]int{lo, hi})
}

// solve solves the torn block [lo, hi) from its leaves up.
func (v *divider) solve(lo, hi int) error {
	if hi-lo > leafSize {
		mid := middle(lo, hi)
		if err := errors.Join(v.solve(lo, mid), v.solve(mid, hi)); err != nil {
			return err
		}
		v.merge(lo, mid, hi)
		return nil
	}
	if hi == lo {
		return nil
	}
	if err := solveQL(hi-lo, v.d[lo:hi], v.e[lo:hi-1], v.q[lo*v.n+lo:], v.n); err != nil {
		return err
	}
	v.sort(lo, hi)
	return nil
}

// join merges everything above the solved subtrees.
func (v *divider) join(lo, hi int) {
	if hi-lo > subtreeSize {
		mid := middle(lo, hi)
		v.join(lo, mid)
		v.join(mid, hi)
		v.merge(lo, mid, hi)
	}
}

// sort fills asc[lo:hi]; equal eigenvalues keep the order of their columns.
func (v *divider) sort(lo, hi int) {
	asc, d := v.asc[lo:hi], v.d[lo:hi]
	for i := range asc {
		asc[i] = i
	}
	slices.SortFunc(asc, func(a, b int) int {
		if c := cmp.Compare(d[a], d[b]); c != 0 {
			return c
		}
		return a - b
	})
}

// merge solves the block [lo, hi) from its solved halves.
func (v *divider) merge(lo, mid, hi int) {
	u := newUpdate(v, lo, mid, hi)
	u.deflate()
	if len(u.keep) > 0 {
		u.solveSecular()
		u.refineZ()
		u.vectors()
	}
	scale(u.d, u.exp)
	v.sort(lo, hi)
}
