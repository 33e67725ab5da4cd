package linalg

import "transformer2/shared/compute"

// grainLevel2 is the number of multiplications below which a second thread is not worth waking.
const grainLevel2 = 16384

// dot is Σ a[i]·b[i], in four interleaved sums.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// dotRows: out[r] = Σ_i rows[r*ld+i]·v[i]. Threads share the rows, so no sum depends on them.
func dotRows(p compute.Dense64, out, rows []float64, ld int, v []float64) {
	n := len(v)
	quads := (len(out) + 3) / 4
	if quads == 0 {
		return
	}
	p.Parallel(quads, grainLevel2/(4*n)+1, func(lo, hi int) {
		for r := 4 * lo; r < min(4*hi, len(out)); r += 4 {
			if r+4 > len(out) {
				for ; r < len(out); r++ {
					out[r] = dot(rows[r*ld:r*ld+n], v)
				}
				return
			}
			a, b := rows[r*ld:r*ld+n], rows[(r+1)*ld:(r+1)*ld+n]
			c, d := rows[(r+2)*ld:(r+2)*ld+n], rows[(r+3)*ld:(r+3)*ld+n]
			var s0, s1, s2, s3 float64
			for i, x := range v {
				s0 += a[i] * x
				s1 += b[i] * x
				s2 += c[i] * x
				s3 += d[i] * x
			}
			out[r], out[r+1], out[r+2], out[r+3] = s0, s1, s2, s3
		}
	})
}

// subtractRows: y[i] −= Σ_r coef[r]·rows[r*ld+i], the rows in their order.
func subtractRows(p compute.Dense64, y, coef, rows []float64, ld int) {
	if len(coef) == 0 {
		return
	}
	p.Parallel(len(y), grainLevel2/len(coef)+1, func(lo, hi int) {
		y := y[lo:hi]
		r := 0
		for ; r+4 <= len(coef); r += 4 {
			o := r*ld + lo
			a, b := rows[o:o+len(y)], rows[o+ld:o+ld+len(y)]
			c, d := rows[o+2*ld:o+2*ld+len(y)], rows[o+3*ld:o+3*ld+len(y)]
			p, q, s, t := coef[r], coef[r+1], coef[r+2], coef[r+3]
			for i := range y {
				y[i] -= (a[i]*p + b[i]*q) + (c[i]*s + d[i]*t)
			}
		}
		for ; r < len(coef); r++ {
			a, p := rows[r*ld+lo:r*ld+hi], coef[r]
			for i := range y {
				y[i] -= a[i] * p
			}
		}
	})
}
