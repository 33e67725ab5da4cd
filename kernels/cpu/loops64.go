package cpu

import "unsafe"

// tile64Loops are the f64 tiles of 1 … 4 rows.
func tile64Loops(rowMajor bool) []gemm64Func {
	fs := make([]gemm64Func, 5)
	for rows := 1; rows < len(fs); rows++ {
		fs[rows] = func(k int, alpha float64, a *float64, lda int, b *float64, ldb int,
			c *float64, ldc int, mask uint32) {
			ai, ap := 1, lda // A(i,p) = a[i*ai+p*ap]
			if rowMajor {
				ai, ap = lda, 1
			}
			bs := unsafe.Slice(b, max(k-1, 0)*ldb+nr64)
			for i := range rows {
				var sum [nr64]float64
				for p := range k {
					x := *at64(a, i*ai+p*ap)
					for j, v := range (*[nr64]float64)(bs[p*ldb:]) {
						sum[j] += x * v
					}
				}
				for j, v := range sum {
					if mask>>j&1 != 0 {
						*at64(c, i*ldc+j) += alpha * v
					}
				}
			}
		}
	}
	return fs
}

func dot64Loop(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func axpy64Loop(y []float64, a float64, x []float64) {
	for i := range y {
		y[i] += a * x[i]
	}
}

func symv8Loop(n int, a []float64, lda int, x, xr, y, z []float64) {
	for i := range symvRows {
		row := a[i*lda : i*lda+n]
		y[i] += dot64Loop(row, x)
		axpy64Loop(z[:n], xr[i], row)
	}
}
