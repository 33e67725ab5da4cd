package linalg

import (
	"fmt"
	"math"
)

// roundoff is the relative error of one rounding in float64.
const roundoff = 0x1p-53

// qlSweeps bounds the sweeps per eigenvalue; two are usual.
const qlSweeps = 60

// solveQL finds T = Z diag(d) Zᵀ of the tridiagonal T with diagonal d [n] and off-diagonal e [n−1]
// by the implicit QL iteration with Wilkinson's shift. d becomes the eigenvalues, unsorted; z [n n]
// (leading dimension ld) is overwritten by the eigenvectors, one a column; e is left alone.
func solveQL(n int, d, e, z []float64, ld int) error {
	for i := range n {
		clear(z[i*ld : i*ld+n])
		z[i*ld+i] = 1
	}
	// A power of two brings the entries near 1: the squares below neither overflow nor vanish.
	exp := maxExponent(d[:n], e[:n-1])
	scale(d[:n], -exp)
	f := make([]float64, n) // off-diagonal, f[n−1] = 0
	copy(f, e[:n-1])
	scale(f, -exp)
	for l := range n {
		for sweep := 0; ; sweep++ {
			m := l
			for m < n-1 && math.Abs(f[m]) > roundoff*(math.Abs(d[m])+math.Abs(d[m+1])) &&
				math.Abs(f[m]) > roundoff*roundoff {
				m++
			}
			if m < n-1 {
				f[m] = 0
			}
			if m == l {
				break
			}
			if sweep == qlSweeps {
				return fmt.Errorf("linalg: QL: eigenvalue %d of %d: no convergence in %d sweeps",
					l, n, qlSweeps)
			}
			qlSweep(l, m, n, d, f, z, ld)
		}
	}
	scale(d[:n], exp)
	return nil
}

// qlSweep chases the bulge of one shifted QL step up the block [l, m] of the tridiagonal.
func qlSweep(l, m, n int, d, f, z []float64, ld int) {
	g := (d[l+1] - d[l]) / (2 * f[l])
	r := math.Sqrt(g*g + 1) // g is at most 2/(2·roundoff²), whose square is finite
	g = d[m] - d[l] + f[l]/(g+math.Copysign(r, g))
	s, c, p := 1.0, 1.0, 0.0
	for i := m - 1; i >= l; i-- {
		t, b := s*f[i], c*f[i]
		r = math.Hypot(t, g)
		f[i+1] = r
		if r == 0 { // the block splits here: what is chased has vanished
			d[i+1] -= p
			f[m] = 0
			return
		}
		s, c = t/r, g/r
		g = d[i+1] - p
		r = (d[i]-g)*s + 2*c*b
		p = s * r
		d[i+1] = g + p
		g = c*r - b
		for k := range n {
			row := z[k*ld+i : k*ld+i+2]
			x, y := row[0], row[1]
			row[0], row[1] = c*x-s*y, s*x+c*y
		}
	}
	d[l] -= p
	f[l] = g
	f[m] = 0
}

// maxExponent is the least e with |x| < 2^e for every x given, or 0 if all are 0.
func maxExponent(xs ...[]float64) int {
	var top float64
	for _, x := range xs {
		for _, v := range x {
			top = max(top, math.Abs(v))
		}
	}
	if top == 0 {
		return 0
	}
	_, e := math.Frexp(top)
	return e
}

// scale multiplies x by 2^exp.
func scale(x []float64, exp int) {
	if exp == 0 {
		return
	}
	if exp > -1000 && exp < 1000 {
		f := math.Ldexp(1, exp)
		for i := range x {
			x[i] *= f
		}
		return
	}
	for i, v := range x {
		x[i] = math.Ldexp(v, exp)
	}
}
