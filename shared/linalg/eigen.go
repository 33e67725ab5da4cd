package linalg

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// EigenSym decomposes the symmetric A [n n] = X diag(λ) Xᵀ. Of a, row-major with leading dimension
// lda ≥ n, the lower triangle is read and nothing is written.
//
// values [n] are the λ in descending order; column j of vectors [n n], row-major, is the unit
// eigenvector of values[j], its sign arbitrary. |A X − X diag(λ)| and |XᵀX − I| stay within a small
// multiple of n roundings of |A| and 1; eigenvalues far below max|λ|·1e-16 are noise.
//
// A NaN or infinity in the triangle, a shape that does not fit, and an eigenvalue beyond the range
// of float64 are errors.
func EigenSym(p compute.Dense64, n int, a []float64, lda int) (values, vectors []float64,
	err error) {
	if n < 0 || lda < n || n > 0 && len(a) < (n-1)*lda+n {
		return nil, nil, fmt.Errorf("linalg: EigenSym: %d numbers at lda %d, want %d×%d",
			len(a), lda, n, n)
	}
	return eigenSym(p, n, a, lda, make([]float64, n*n))
}

// eigenSym is EigenSym in the room of work [n n], which may be a itself where lda is n.
func eigenSym(p compute.Dense64, n int, a []float64, lda int, work []float64) (values,
	vectors []float64, err error) {
	exp, err := copyScaled(p, n, a, lda, work)
	if err != nil {
		return nil, nil, err
	}
	r := tridiagonalise(p, n, work)
	values, vectors, err = tridiagonalEigen(p, r.d, r.e)
	if err != nil {
		return nil, nil, err
	}
	r.back(p, vectors, n)
	for i, v := range values {
		if values[i] = math.Ldexp(v, exp); math.IsInf(values[i], 0) {
			return nil, nil, fmt.Errorf("linalg: EigenSym: eigenvalue %d exceeds float64", i)
		}
	}
	return values, vectors, nil
}

// copyScaled copies the lower triangle times 2^−exp to dst [n n], so that the entries are below 1.
func copyScaled(p compute.Dense64, n int, a []float64, lda int, dst []float64) (exp int,
	err error) {
	var top float64
	for i := range n {
		for j, v := range a[i*lda : i*lda+i+1] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, fmt.Errorf("linalg: EigenSym: entry (%d, %d) is %v, want a finite number",
					i, j, v)
			}
			top = max(top, math.Abs(v))
		}
	}
	exp = maxExponent([]float64{top})
	p.Parallel(n, 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := dst[i*n : i*n+i+1]
			copy(row, a[i*lda:])
			scale(row, -exp)
		}
	})
	return exp, nil
}

// tridiagonalEigen decomposes T = Z diag(λ) Zᵀ: values descending, column j of vectors [n n] that
// of values[j]. d is overwritten.
func tridiagonalEigen(p compute.Dense64, d, e []float64) (values, vectors []float64, err error) {
	n := len(d)
	q, asc, vectors, err := divideAndConquer(p, d, e)
	if err != nil {
		return nil, nil, err
	}
	values = make([]float64, n)
	for i, c := range asc {
		values[n-1-i] = d[c]
	}
	p.Parallel(n, 32, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := q[i*n:i*n+n], vectors[i*n:i*n+n]
			for j, c := range asc {
				to[n-1-j] = from[c]
			}
		}
	})
	return values, vectors, nil
}
