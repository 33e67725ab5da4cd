//go:build goexperiment.simd

package cpu

import (
	"simd"
	"unsafe"
)

// The f64 loops of the portable form: what decomposes a model's matrices in the browser.

// widest64 is the most f64 lanes that a vector can have.
const widest64 = widest / 2

func load64(p *float64, i int) simd.Float64s {
	return simd.LoadFloat64s((*[widest64]float64)(unsafe.Pointer(at64(p, i)))[:])
}

func store64(p *float64, i int, v simd.Float64s) {
	v.Store((*[widest64]float64)(unsafe.Pointer(at64(p, i)))[:])
}

// simdTiles64 are the f64 tiles of 1 … 4 rows.
func simdTiles64(rowMajor bool) []gemm64Func {
	fs := make([]gemm64Func, 5)
	for rows := 1; rows < len(fs); rows++ {
		fs[rows] = func(k int, alpha float64, a *float64, lda int, b *float64, ldb int,
			c *float64, ldc int, mask uint32) {
			ai, ap := 1, lda // A(i,p) = a[i*ai+p*ap]
			if rowMajor {
				ai, ap = lda, 1
			}
			if mask == 1<<nr64-1 {
				runTile64(rows, k, alpha, a, ai, ap, b, ldb, c, ldc)
				return
			}
			var buf [4 * nr64]float64 // only the columns of mask may be touched
			runTile64(rows, k, alpha, a, ai, ap, b, ldb, &buf[0], nr64)
			for i := range rows {
				for j := range nr64 {
					if mask>>j&1 != 0 {
						*at64(c, i*ldc+j) += buf[i*nr64+j]
					}
				}
			}
		}
	}
	return fs
}

// runTile64 is a tile of all columns.
func runTile64(rows, k int, alpha float64, a *float64, ai, ap int, b *float64, ldb int, c *float64,
	ldc int) {
	if rows == 4 {
		tile64by4(k, alpha, a, ai, ap, b, ldb, c, ldc)
		return
	}
	for i := range rows {
		tile64by1(k, alpha, at64(a, i*ai), ap, b, ldb, at64(c, i*ldc))
	}
}

func tile64by4(k int, alpha float64, a *float64, ai, ap int, b *float64, ldb int, c *float64,
	ldc int) {
	w, av := simd.Float64s{}.Len(), simd.BroadcastFloat64s(alpha)
	c1, c2, c3 := at64(c, ldc), at64(c, 2*ldc), at64(c, 3*ldc)
	for j := 0; j < nr64; j += tileVectors * w {
		var s00, s01, s10, s11, s20, s21, s30, s31 simd.Float64s
		xp, bp := a, at64(b, j)
		for p := 0; p < k; p++ {
			if p > 0 { // the pointers must not pass the end
				xp, bp = at64(xp, ap), at64(bp, ldb)
			}
			b0, b1 := load64(bp, 0), load64(bp, w)
			x := simd.BroadcastFloat64s(*xp)
			s00, s01 = x.MulAdd(b0, s00), x.MulAdd(b1, s01)
			x = simd.BroadcastFloat64s(*at64(xp, ai))
			s10, s11 = x.MulAdd(b0, s10), x.MulAdd(b1, s11)
			x = simd.BroadcastFloat64s(*at64(xp, 2*ai))
			s20, s21 = x.MulAdd(b0, s20), x.MulAdd(b1, s21)
			x = simd.BroadcastFloat64s(*at64(xp, 3*ai))
			s30, s31 = x.MulAdd(b0, s30), x.MulAdd(b1, s31)
		}
		store64(c, j, s00.MulAdd(av, load64(c, j)))
		store64(c, j+w, s01.MulAdd(av, load64(c, j+w)))
		store64(c1, j, s10.MulAdd(av, load64(c1, j)))
		store64(c1, j+w, s11.MulAdd(av, load64(c1, j+w)))
		store64(c2, j, s20.MulAdd(av, load64(c2, j)))
		store64(c2, j+w, s21.MulAdd(av, load64(c2, j+w)))
		store64(c3, j, s30.MulAdd(av, load64(c3, j)))
		store64(c3, j+w, s31.MulAdd(av, load64(c3, j+w)))
	}
}

func tile64by1(k int, alpha float64, a *float64, ap int, b *float64, ldb int, c *float64) {
	w, av := simd.Float64s{}.Len(), simd.BroadcastFloat64s(alpha)
	for j := 0; j < nr64; j += tileVectors * w {
		var s0, s1 simd.Float64s
		xp, bp := a, at64(b, j)
		for p := 0; p < k; p++ {
			if p > 0 {
				xp, bp = at64(xp, ap), at64(bp, ldb)
			}
			x := simd.BroadcastFloat64s(*xp)
			s0, s1 = x.MulAdd(load64(bp, 0), s0), x.MulAdd(load64(bp, w), s1)
		}
		store64(c, j, s0.MulAdd(av, load64(c, j)))
		store64(c, j+w, s1.MulAdd(av, load64(c, j+w)))
	}
}

func dot64Simd(a, b []float64) float64 {
	n, w := len(a), simd.Float64s{}.Len()
	ap, bp := unsafe.SliceData(a), unsafe.SliceData(b)
	var s0, s1 simd.Float64s
	i := 0
	for ; i <= n-2*w; i += 2 * w {
		s0 = load64(ap, i).MulAdd(load64(bp, i), s0)
		s1 = load64(ap, i+w).MulAdd(load64(bp, i+w), s1)
	}
	var lanes [widest64]float64
	s0.Add(s1).Store(lanes[:])
	s := dot64Loop(a[i:], b[i:])
	for _, x := range lanes[:w] {
		s += x
	}
	return s
}

func axpy64Simd(y []float64, a float64, x []float64) {
	n, w := len(y), simd.Float64s{}.Len()
	yp, xp, av := unsafe.SliceData(y), unsafe.SliceData(x), simd.BroadcastFloat64s(a)
	i := 0
	for ; i <= n-w; i += w {
		store64(yp, i, load64(xp, i).MulAdd(av, load64(yp, i)))
	}
	axpy64Loop(y[i:], a, x[i:])
}

func symv8Simd(n int, a []float64, lda int, x, xr, y, z []float64) {
	for i := range symvRows {
		row := a[i*lda : i*lda+n]
		y[i] += dot64Simd(row, x)
		axpy64Simd(z[:n], xr[i], row)
	}
}
