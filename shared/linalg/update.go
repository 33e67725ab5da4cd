package linalg

import (
	"math"

	"transformer2/shared/compute"
)

// What a column of the two solved halves holds above and below the cut.
const (
	inTop = iota
	inBoth
	inBottom
	kinds
)

// update is one merge: the eigenproblem of diag(d) + rho·z zᵀ in the basis of the halves, scaled
// by 2^−exp so that the largest of |d| and rho is about 1.
type update struct {
	p      compute.Dense64
	n, top int       // columns of the block, and how many of them are the upper half's
	ld     int       // leading dimension of q
	d, z   []float64 // [n]
	rho    float64
	exp    int
	q      []float64 // the block, [n n]
	s, g   []float64 // work, [n n] each

	asc  []int   // the columns in ascending order of d
	kind []uint8 // [n]
	keep []int   // columns that take part, ascending in d
	gone []int   // columns that are eigenvectors already

	// The k columns that take part: ascending for the secular equation,
	dk, zk []float64 // [k]
	origin []int     // [k] eigenvalue j is dk[origin[j]] + mu[j]
	mu     []float64
	// and in the order top, both, bottom for the products.
	count  [kinds]int
	grp    []int     // [k] grp[r] is an index into keep
	dg, zg []float64 // [k] dk in that order, and Gu and Eisenstat's ẑ
}

// newUpdate tears nothing: d already lacks |β|. z = Zᵀb/√2, so rho = 2|β| and |z| = 1.
func newUpdate(v *divider, lo, mid, hi int) *update {
	n, top := hi-lo, mid-lo
	u := &update{p: v.p, n: n, top: top, ld: v.n, d: v.d[lo:hi], q: v.q[lo*v.n+lo:],
		s: v.s, g: v.g, z: make([]float64, n), kind: make([]uint8, n)}
	beta := v.e[mid-1]
	copy(u.z[:top], u.q[(top-1)*u.ld:(top-1)*u.ld+top])
	copy(u.z[top:], u.q[top*u.ld+top:top*u.ld+n])
	for i := range u.z {
		u.z[i] *= math.Sqrt2 / 2
		if i >= top {
			u.kind[i] = inBottom
			u.z[i] = math.Copysign(1, beta) * u.z[i]
		}
	}
	u.rho = 2 * math.Abs(beta)
	u.exp = maxExponent(u.d, []float64{u.rho})
	scale(u.d, -u.exp)
	u.rho = math.Ldexp(u.rho, -u.exp)
	// Merge the halves' orders.
	for i, j := lo, mid; i < mid || j < hi; {
		if j == hi || i < mid && u.d[v.asc[i]] <= u.d[top+v.asc[j]] {
			u.asc = append(u.asc, v.asc[i])
			i++
		} else {
			u.asc = append(u.asc, top+v.asc[j])
			j++
		}
	}
	return u
}

// deflate finds the columns that are eigenvectors already, within 8 roundings: those with a
// negligible z, and of each pair of close d one, after a rotation that makes its z zero.
func (u *update) deflate() {
	tol := 8 * roundoff * max(math.Abs(u.d[u.asc[0]]), math.Abs(u.d[u.asc[u.n-1]]), u.rho)
	last := -1 // the column before, not yet decided on
	for _, c := range u.asc {
		if u.rho*math.Abs(u.z[c]) <= tol {
			u.gone = append(u.gone, c)
			continue
		}
		if last >= 0 && !u.rotate(last, c, tol) {
			u.keep = append(u.keep, last)
		}
		last = c
	}
	if last >= 0 {
		u.keep = append(u.keep, last)
	}
}

// rotate makes z of column a zero and reports true, if the off-diagonal entry that this brings
// between a and b, (d_b − d_a)·c·s, is at most tol.
func (u *update) rotate(a, b int, tol float64) bool {
	r := math.Hypot(u.z[a], u.z[b])
	c, s := u.z[b]/r, -u.z[a]/r
	if math.Abs((u.d[b]-u.d[a])*c*s) > tol {
		return false
	}
	u.z[a], u.z[b] = 0, r
	if u.kind[a] != u.kind[b] {
		u.kind[a], u.kind[b] = inBoth, inBoth
	}
	for i := range u.n {
		row := u.q[i*u.ld : i*u.ld+u.n]
		x, y := row[a], row[b]
		row[a], row[b] = c*x+s*y, c*y-s*x
	}
	da, db := u.d[a], u.d[b]
	u.d[a], u.d[b] = da*c*c+db*s*s, da*s*s+db*c*c
	u.gone = append(u.gone, a)
	return true
}

// solveSecular finds the eigenvalues of diag(dk) + rho·zk zkᵀ.
func (u *update) solveSecular() {
	k := len(u.keep)
	u.dk, u.zk = make([]float64, k), make([]float64, k)
	for i, c := range u.keep {
		u.dk[i], u.zk[i] = u.d[c], u.z[c]
	}
	u.origin, u.mu = make([]int, k), make([]float64, k)
	eq := secular{d: u.dk, z: u.zk, rho: u.rho}
	u.p.Parallel(k, 2000/k+1, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			u.origin[j], u.mu[j], _ = eq.root(j)
		}
	})
}

// refineZ computes ẑ, for which the computed eigenvalues λ are exact (Löwner; Gu and Eisenstat):
//
//	ẑ_i² = Π_j (λ_j − d_i) / Π_{j≠i} (d_j − d_i)
//
// Eigenvectors from ẑ are orthogonal to working precision whatever the errors of λ, as long as
// the λ and d interlace. Up to the constant rho, which the normalisation removes.
func (u *update) refineZ() {
	k := len(u.keep)
	u.grp = make([]int, 0, k)
	place := make([]int, k) // the inverse of grp
	for kind := range u.count {
		for i, c := range u.keep {
			if int(u.kind[c]) == kind {
				u.count[kind]++
				place[i] = len(u.grp)
				u.grp = append(u.grp, i)
			}
		}
	}
	u.dg, u.zg = make([]float64, k), make([]float64, k)
	for r, i := range u.grp {
		u.dg[r] = u.dk[i]
	}
	u.p.Parallel(k, 8000/k+1, func(lo, hi int) {
		d, z := u.dg[lo:hi], u.zg[lo:hi]
		for r := range z {
			z[r] = 1
		}
		for j, dj := range u.dk {
			do, mu := u.dk[u.origin[j]], u.mu[j]
			self := min(max(place[j], lo), hi) - lo
			for r, di := range d[:self] {
				z[r] *= ((di - do) - mu) / (di - dj)
			}
			if place[j] >= lo && place[j] < hi {
				z[self] *= (d[self] - do) - mu
				self++
			}
			rest := z[self:]
			for r, di := range d[self:] {
				rest[r] *= ((di - do) - mu) / (di - dj)
			}
		}
		for r := range z {
			z[r] = math.Copysign(math.Sqrt(math.Abs(z[r])), u.zk[u.grp[lo+r]])
		}
	})
}

// vectors forms the eigenvectors and multiplies the block's columns with them. The new columns come
// first, those that took no part after them; each half of q is multiplied only with the columns
// that are not zero there.
func (u *update) vectors() {
	k := len(u.keep)
	s := u.s[:k*k] // row j: eigenvector j
	u.p.Parallel(k, 8000/k+1, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			u.eigenvector(j, s[j*k:j*k+k])
		}
	})
	d := make([]float64, 0, u.n)
	for j := range k {
		d = append(d, u.dk[u.origin[j]]+u.mu[j])
	}
	for _, c := range u.gone {
		d = append(d, u.d[c])
	}
	copy(u.d, d)

	upper := u.count[inTop] + u.count[inBoth]    // columns that the upper half needs, the first
	lower := u.count[inBoth] + u.count[inBottom] // and the lower, the last
	g0 := u.g[:u.top*upper]
	g1 := u.g[len(g0) : len(g0)+(u.n-u.top)*lower]
	u.regroup(g0, g1, upper, lower)
	u.p.Gemm64(u.top, k, upper, 1, g0, upper, 1, s, 1, k, u.q, u.ld)
	u.p.Gemm64(u.n-u.top, k, lower, 1, g1, lower, 1, s[k-lower:], 1, k, u.q[u.top*u.ld:], u.ld)
}

// regroup moves the columns that take part to g0 [top upper] and g1 [n−top lower], in the order of
// grp, and the others to the end of q, and clears the rest of q for the products.
func (u *update) regroup(g0, g1 []float64, upper, lower int) {
	k := len(u.keep)
	cols := make([]int, k)
	for r, i := range u.grp {
		cols[r] = u.keep[i]
	}
	u.p.Parallel(u.n, 16384/u.n+1, func(lo, hi int) {
		old := make([]float64, u.n)
		for i := lo; i < hi; i++ {
			row := u.q[i*u.ld : i*u.ld+u.n]
			copy(old, row)
			need, to := cols[:upper], g0[min(i, u.top)*upper:]
			if i >= u.top {
				need, to = cols[k-lower:], g1[(i-u.top)*lower:]
			}
			for x, c := range need {
				to[x] = old[c]
			}
			clear(row[:k])
			for x, c := range u.gone {
				row[k+x] = old[c]
			}
		}
	})
}

// eigenvector writes ẑ_i/(d_i − λ_j), normalised, in the order of grp.
func (u *update) eigenvector(j int, out []float64) {
	do, mu := u.dk[u.origin[j]], u.mu[j]
	z := u.zg[:len(out)]
	for r, di := range u.dg[:len(out)] {
		out[r] = z[r] / ((di - do) - mu)
	}
	f := 1 / math.Sqrt(dot(out, out))
	for r := range out {
		out[r] *= f
	}
}
