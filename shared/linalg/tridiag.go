package linalg

import (
	"math"

	"transformer2/shared/compute"
)

const (
	// panelWidth is how many rows are reduced between two updates of the rest.
	panelWidth = 32
	// blockBack is how many reflections are applied together: each block passes over all of the
	// vectors, so fewer and larger blocks read them less often.
	blockBack = 256
	// tinySquare: below it a sum of squares has lost digits. The matrix is scaled to entries of
	// at most 1, so the components it stands for (1e-140) are nothing beside the rounding.
	tinySquare = 1e-280
)

// reduction is A = Q T Qᵀ with T tridiagonal and Q = H_{n−1} ··· H_2 H_1.
//
//	H_i = I − tau[i]·v_i v_iᵀ     v_i is zero from component i on, and 1 at i−1
//	T[i][i] = d[i],  T[i+1][i] = e[i]
//
// Row i of v [n n] holds v_i in its first i places. The reduction goes from the last row up, so
// every vector and every remaining block starts at the first column of the row-major triangle.
type reduction struct {
	n         int
	v         []float64 // [n n]
	tau, d, e []float64 // [n], [n], [n−1]
}

// panel holds the reflections of the rows in work, not yet applied to the rows above:
//
//	A_now = A − Σ_r ps[r] swᵀ[r],   ps = v_0, w_0, v_1, w_1, …   sw = w_0, v_0, w_1, v_1, …
type panel struct {
	p      compute.Dense64
	n      int
	ps, sw []float64 // [2·panelWidth n]
	coef   []float64 // [2·panelWidth]
}

// tridiagonalise reduces the symmetric matrix in the lower triangle of a [n n], whose entries are
// at most about 1 in magnitude. It overwrites a, which becomes the reduction's v.
func tridiagonalise(p compute.Dense64, n int, a []float64) reduction {
	r := reduction{n: n, v: a, tau: make([]float64, n), d: make([]float64, n),
		e: make([]float64, max(n-1, 0))}
	if n == 0 {
		return r
	}
	pn := panel{p: p, n: n, ps: make([]float64, 2*panelWidth*n),
		sw: make([]float64, 2*panelWidth*n), coef: make([]float64, 2*panelWidth)}
	for hi := n; hi > 1; {
		lo := max(hi-panelWidth, 1)
		for i := hi - 1; i >= lo; i-- {
			pn.reduceRow(&r, i, 2*(hi-1-i))
		}
		gemmLower(p, lo, 2*(hi-lo), -1, pn.ps, 1, n, pn.sw, n, 1, a, n)
		hi = lo
	}
	r.d[0] = a[0]
	return r
}

// reduceRow finds H_i and the panel's next pair v, w; rows [0, used) of the panel are in use.
//
//	x = A_now[i]     H_i x[:i] = e[i−1] at component i−1
//	w = tau·A_now v − ½·tau²·(vᵀ A_now v)·v       H A_now H = A_now − v wᵀ − w vᵀ
func (pn *panel) reduceRow(r *reduction, i, used int) {
	n := pn.n
	coef := pn.coef[:used]
	x := r.v[i*n : i*n+i+1]
	for q := range coef {
		coef[q] = pn.sw[q*n+i]
	}
	subtractRows(pn.p, x, coef, pn.ps, n)
	r.d[i] = x[i]

	v := x[:i]
	r.e[i-1], r.tau[i] = householder(v)
	tau := r.tau[i]
	copy(pn.ps[used*n:], v)
	copy(pn.sw[(used+1)*n:], v)
	w := pn.ps[(used+1)*n : (used+1)*n+i]
	if tau == 0 {
		clear(w)
		clear(pn.sw[used*n : used*n+i])
		return
	}
	pn.p.Symv64(i, r.v, n, v, w)
	dotRows(pn.p, coef, pn.sw, n, v)
	subtractRows(pn.p, w, coef, pn.ps, n)
	half := -0.5 * tau * tau * dot(w, v)
	for j, vj := range v {
		w[j] = tau*w[j] + half*vj
	}
	copy(pn.sw[used*n:], w)
}

// householder overwrites x with v, v[last] = 1, such that (I − tau v vᵀ) x = beta at the last
// component and 0 elsewhere. tau = 0 (nothing to do) leaves v = (0, …, 0, 1).
func householder(x []float64) (beta, tau float64) {
	last := len(x) - 1
	alpha := x[last]
	x[last] = 1
	s := dot(x[:last], x[:last])
	if s < tinySquare {
		clear(x[:last])
		return alpha, 0
	}
	beta = -math.Copysign(math.Sqrt(alpha*alpha+s), alpha)
	scale := 1 / (alpha - beta)
	for i := range x[:last] {
		x[i] *= scale
	}
	return beta, (beta - alpha) / beta
}

// back overwrites z [n cols] with Q z, blockBack reflections at a time:
//
//	H_{hi−1} ··· H_lo = I − Vᵀ T V     V [hi−lo hi−1] the rows v_i, T lower triangular
func (r *reduction) back(p compute.Dense64, z []float64, cols int) {
	n := r.n
	most := min(blockBack, n)
	gram, t := make([]float64, most*most), make([]float64, most*most)
	tv, y := make([]float64, most*n), make([]float64, most*cols)
	for lo := 1; lo < n; lo += blockBack {
		hi := min(lo+blockBack, n)
		nb, m := hi-lo, hi-1 // the block's reflections, and the components they touch
		v := r.v[lo*n:]
		for i := lo; i < hi; i++ {
			clear(r.v[i*n+i : i*n+hi])
		}
		clear(gram)
		p.Gemm64(nb, nb, m, 1, v, n, 1, v, 1, n, gram, nb)
		blockFactor(nb, r.tau[lo:hi], gram, t)
		clear(tv[:nb*m])
		p.Gemm64(nb, m, nb, 1, t, nb, 1, v, n, 1, tv, m)
		clear(y[:nb*cols])
		p.Gemm64(nb, cols, m, 1, tv, m, 1, z, cols, 1, y, cols)
		p.Gemm64(m, cols, nb, -1, v, 1, n, y, cols, 1, z, cols)
	}
}

// blockFactor writes the lower triangular T [nb nb] of back. gram is V Vᵀ. From
// H_i (I − Vᵀ T V) = I − VᵀTV − tau v vᵀ + tau v (vᵀVᵀ) T V follows its row i:
//
//	T[i][i] = tau_i     T[i][q] = −tau_i Σ_{r<i} gram[i][r]·T[r][q]
func blockFactor(nb int, tau, gram, t []float64) {
	clear(t[:nb*nb])
	for i := range nb {
		row := t[i*nb : i*nb+nb]
		for r := range i {
			g := -tau[i] * gram[i*nb+r]
			for q, x := range t[r*nb : r*nb+r+1] {
				row[q] += g * x
			}
		}
		row[i] = tau[i]
	}
}
