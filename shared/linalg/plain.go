package linalg

import "transformer2/shared/compute"

// Plain is the Dense64 that needs no device: loops of one thread, blocked for the caches. The
// order of each sum depends on the shape alone.
type Plain struct{}

var _ compute.Dense64 = Plain{}

// The blocks of Gemm64. A register tile of 4×2 sums leaves room for its six operands in the 15
// registers that Go uses on amd64 (4×4 spills and is slower).
const (
	tileM, tileN           = 4, 2
	blockM, blockN, blockK = 64, 256, 256
	smallGemm              = 2000 // below so many products packing costs more than it saves
)

// Parallel calls f(0, n): one thread does it all.
func (Plain) Parallel(n, _ int, f func(lo, hi int)) {
	if n > 0 {
		f(0, n)
	}
}

// Gemm64: c[i*ldc+j] += alpha·Σ_k a[i*ars+k*acs]·b[k*brs+j*bcs]      m×n, inner k
func (Plain) Gemm64(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64,
	brs, bcs int, c []float64, ldc int) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	if m*n*k <= smallGemm {
		gemmSmall(m, n, k, alpha, a, ars, acs, b, brs, bcs, c, ldc)
		return
	}
	kMax := min(k, blockK)
	packA := make([]float64, roundUp(min(m, blockM), tileM)*kMax)
	packB := make([]float64, roundUp(min(n, blockN), tileN)*kMax)
	for k0 := 0; k0 < k; k0 += blockK {
		kc := min(blockK, k-k0)
		for j0 := 0; j0 < n; j0 += blockN {
			nc := min(blockN, n-j0)
			packTiles(packB, tileN, nc, kc, b[k0*brs+j0*bcs:], bcs, brs)
			for i0 := 0; i0 < m; i0 += blockM {
				mc := min(blockM, m-i0)
				packTiles(packA, tileM, mc, kc, a[i0*ars+k0*acs:], ars, acs)
				gemmBlock(mc, nc, kc, alpha, packA, packB, c[i0*ldc+j0:], ldc)
			}
		}
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func gemmSmall(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64, brs, bcs int,
	c []float64, ldc int) {
	for i := range m {
		for j := range n {
			var s float64
			for l := range k {
				s += a[i*ars+l*acs] * b[l*brs+j*bcs]
			}
			c[i*ldc+j] += alpha * s
		}
	}
}

// packTiles copies the block of count vectors (stride vs) of kc elements (stride es) into tiles of
// tile interleaved vectors, the last filled up with zeros.
func packTiles(dst []float64, tile, count, kc int, src []float64, vs, es int) {
	for t := 0; t < count; t += tile {
		d := dst[t*kc : (t+tile)*kc]
		for r := range tile {
			if t+r >= count {
				for k := range kc {
					d[k*tile+r] = 0
				}
				continue
			}
			s := src[(t+r)*vs:]
			for k := range kc {
				d[k*tile+r] = s[k*es]
			}
		}
	}
}

// gemmBlock: c [mc nc] += alpha · (packed A) · (packed B).
func gemmBlock(mc, nc, kc int, alpha float64, pa, pb, c []float64, ldc int) {
	for j := 0; j < nc; j += tileN {
		b := pb[j*kc : (j+tileN)*kc]
		for i := 0; i < mc; i += tileM {
			t := gemmTile(pa[i*kc:(i+tileM)*kc], b)
			rows, cols := min(tileM, mc-i), min(tileN, nc-j)
			for r := range rows {
				row := c[(i+r)*ldc+j : (i+r)*ldc+j+cols]
				for x := range row {
					row[x] += alpha * t[r*tileN+x]
				}
			}
		}
	}
}

// gemmTile is the product of one packed tile of A and one of B, row-major.
func gemmTile(a, b []float64) [tileM * tileN]float64 {
	var c00, c01, c10, c11, c20, c21, c30, c31 float64
	for len(a) >= tileM && len(b) >= tileN {
		b0, b1 := b[0], b[1]
		a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
		c00 += a0 * b0
		c01 += a0 * b1
		c10 += a1 * b0
		c11 += a1 * b1
		c20 += a2 * b0
		c21 += a2 * b1
		c30 += a3 * b0
		c31 += a3 * b1
		a, b = a[tileM:], b[tileN:]
	}
	return [...]float64{c00, c01, c10, c11, c20, c21, c30, c31}
}

// Symv64: y = A x, of A [n n] the lower triangle is read. Two rows at a time: each element of the
// triangle is read once and serves both its row and its column.
func (Plain) Symv64(n int, a []float64, lda int, x, y []float64) {
	clear(y[:n])
	i := 0
	for ; i+2 <= n; i += 2 {
		r0, r1 := a[i*lda:i*lda+i+1], a[(i+1)*lda:(i+1)*lda+i+2]
		x0, x1 := x[i], x[i+1]
		var s0, s1 float64
		xs, ys := x[:i], y[:i]
		p0, p1 := r0[:i], r1[:i]
		for j, xj := range xs {
			u, v := p0[j], p1[j]
			s0 += u * xj
			s1 += v * xj
			ys[j] += u*x0 + v*x1
		}
		y[i] = s0 + r0[i]*x0 + r1[i]*x1
		y[i+1] = s1 + r1[i]*x0 + r1[i+1]*x1
	}
	if i < n {
		row := a[i*lda : i*lda+i+1]
		var s float64
		for j, v := range row[:i] {
			s += v * x[j]
			y[j] += v * x[i]
		}
		y[i] = s + row[i]*x[i]
	}
}
