package linalg

import "transformer2/shared/compute"

// grainLevel2 is the number of multiplications below which a second thread is not worth waking.
const grainLevel2 = 16384

// dot is Σ a[i]·b[i], in four interleaved sums.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += x * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// subtract: v −= f·u.
func subtract(v, u []float64, f float64) {
	u = u[:len(v)]
	for i := range v {
		v[i] -= f * u[i]
	}
}

// dotRows: out[r] = Σ_i rows[r*ld+i]·v[i]. Threads share the rows, so no sum depends on them.
func dotRows(p compute.Dense64, out, rows []float64, ld int, v []float64) {
	quads := (len(out) + 3) / 4
	p.Parallel(quads, grainLevel2/(4*len(v))+1, func(lo, hi int) {
		for r := 4 * lo; r < min(4*hi, len(out)); r += 4 {
			if r+4 <= len(out) {
				dot4(out[r:r+4], rows[r*ld:], ld, v)
				continue
			}
			for q := r; q < len(out); q++ {
				out[q] = dot(v, rows[q*ld:q*ld+len(v)])
			}
		}
	})
}

// dot4 is the four products of dotRows that share their reads of v.
func dot4(out, rows []float64, ld int, v []float64) {
	a, b, c, d := rows, rows[ld:], rows[2*ld:], rows[3*ld:]
	a, b, c, d = a[:len(v)], b[:len(v)], c[:len(v)], d[:len(v)]
	var s0, s1, s2, s3 float64
	for i, x := range v {
		s0 += a[i] * x
		s1 += b[i] * x
		s2 += c[i] * x
		s3 += d[i] * x
	}
	out[0], out[1], out[2], out[3] = s0, s1, s2, s3
}

// subtractRows: y[i] −= Σ_r coef[r]·rows[r*ld+i], the rows in their order.
func subtractRows(p compute.Dense64, y, coef, rows []float64, ld int) {
	if len(coef) == 0 {
		return
	}
	p.Parallel(len(y), grainLevel2/len(coef)+1, func(lo, hi int) {
		r := 0
		for ; r+4 <= len(coef); r += 4 {
			subtract4(y[lo:hi], coef[r:r+4], rows[r*ld+lo:], ld)
		}
		for ; r < len(coef); r++ {
			subtract(y[lo:hi], rows[r*ld+lo:], coef[r])
		}
	})
}

// subtract4 is four rows of subtractRows that share their reads of y.
func subtract4(y, coef, rows []float64, ld int) {
	a, b, c, d := rows, rows[ld:], rows[2*ld:], rows[3*ld:]
	a, b, c, d = a[:len(y)], b[:len(y)], c[:len(y)], d[:len(y)]
	p, q, s, t := coef[0], coef[1], coef[2], coef[3]
	for i := range y {
		y[i] -= (a[i]*p + b[i]*q) + (c[i]*s + d[i]*t)
	}
}
