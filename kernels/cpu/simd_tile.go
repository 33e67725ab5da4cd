//go:build goexperiment.simd

package cpu

import (
	"simd"
)

// tileVectors is the columns of a register tile in vectors: four rows of two are eight sums, which
// fit the registers of every kind of machine beside their operands. Wider tiles spill.
const tileVectors = 2

// A range over a count, "for range k", crashes the compiler of go1.27.2 in functions of vectors;
// the loops count by hand.

// simdTiles are the tiles of 1 … 4 rows.
func simdTiles(rowMajor bool) []gemmFunc {
	fs := make([]gemmFunc, 5)
	for rows := 1; rows < len(fs); rows++ {
		fs[rows] = func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int,
			acc int, mask uint32) {
			ai, ap := 1, lda // A(i,p) = a[i*ai+p*ap]
			if rowMajor {
				ai, ap = lda, 1
			}
			if mask != allColumns {
				edgeTile(rows, k, a, ai, ap, b, ldb, c, ldc, acc, mask)
				return
			}
			runTile(rows, k, a, ai, ap, b, ldb, c, ldc, acc)
		}
	}
	return fs
}

// runTile is a tile of all 32 columns.
func runTile(rows, k int, a *float32, ai, ap int, b *float32, ldb int, c *float32, ldc, acc int) {
	if rows == 4 {
		tile4(k, a, ai, ap, b, ldb, c, ldc, acc)
		return
	}
	for i := range rows {
		tile1(k, at(a, i*ai), ap, b, ldb, at(c, i*ldc), acc)
	}
}

// edgeTile goes through a buffer, because only the columns of mask may be touched.
func edgeTile(rows, k int, a *float32, ai, ap int, b *float32, ldb int, c *float32, ldc, acc int,
	mask uint32) {
	var buf [4 * nr]float32
	for i := range rows {
		if acc != 0 {
			loadRow((*[nr]float32)(buf[i*nr:]), at(c, i*ldc), mask)
		}
	}
	runTile(rows, k, a, ai, ap, b, ldb, &buf[0], nr, acc)
	for i := range rows {
		storeRow(at(c, i*ldc), (*[nr]float32)(buf[i*nr:]), mask)
	}
}

func tile4(k int, a *float32, ai, ap int, b *float32, ldb int, c *float32, ldc, acc int) {
	w := simd.Float32s{}.Len()
	c1, c2, c3 := at(c, ldc), at(c, 2*ldc), at(c, 3*ldc)
	for j := 0; j < nr; j += tileVectors * w {
		var s00, s01, s10, s11, s20, s21, s30, s31 simd.Float32s
		if acc != 0 {
			s00, s01, s10, s11 = load(c, j), load(c, j+w), load(c1, j), load(c1, j+w)
			s20, s21, s30, s31 = load(c2, j), load(c2, j+w), load(c3, j), load(c3, j+w)
		}
		xp, bp := a, at(b, j)
		if k%2 != 0 {
			b0, b1 := load(bp, 0), load(bp, w)
			s00, s01 = simd.BroadcastFloat32s(*xp).MulAdd(b0, s00), simd.BroadcastFloat32s(*xp).MulAdd(b1, s01)
			s10, s11 = simd.BroadcastFloat32s(*at(xp, ai)).MulAdd(b0, s10), simd.BroadcastFloat32s(*at(xp, ai)).MulAdd(b1, s11)
			s20, s21 = simd.BroadcastFloat32s(*at(xp, 2*ai)).MulAdd(b0, s20), simd.BroadcastFloat32s(*at(xp, 2*ai)).MulAdd(b1, s21)
			s30, s31 = b0.MulAdd(simd.BroadcastFloat32s(*at(xp, 3*ai)), s30), b1.MulAdd(simd.BroadcastFloat32s(*at(xp, 3*ai)), s31)
		}
		// Two steps a turn. The pointers move before a step, because they must not pass the end. A
		// number is broadcast twice in a line and once by the compiler: every line of calls that are
		// inlined costs no-ops for the debugger, and a line that also does something of its own
		// costs fewer. With the broadcasts on lines of their own a product took 17 % longer.
		for p := k % 2; p < k; p += 2 {
			if p > 0 {
				xp, bp = at(xp, ap), at(bp, ldb)
			}
			b0, b1 := load(bp, 0), load(bp, w)
			s00, s01 = simd.BroadcastFloat32s(*xp).MulAdd(b0, s00), simd.BroadcastFloat32s(*xp).MulAdd(b1, s01)
			s10, s11 = simd.BroadcastFloat32s(*at(xp, ai)).MulAdd(b0, s10), simd.BroadcastFloat32s(*at(xp, ai)).MulAdd(b1, s11)
			s20, s21 = simd.BroadcastFloat32s(*at(xp, 2*ai)).MulAdd(b0, s20), simd.BroadcastFloat32s(*at(xp, 2*ai)).MulAdd(b1, s21)
			s30, s31 = b0.MulAdd(simd.BroadcastFloat32s(*at(xp, 3*ai)), s30), b1.MulAdd(simd.BroadcastFloat32s(*at(xp, 3*ai)), s31)
			xp, bp = at(xp, ap), at(bp, ldb)
			b0, b1 = load(bp, 0), load(bp, w)
			s00, s01 = simd.BroadcastFloat32s(*xp).MulAdd(b0, s00), simd.BroadcastFloat32s(*xp).MulAdd(b1, s01)
			s10, s11 = simd.BroadcastFloat32s(*at(xp, ai)).MulAdd(b0, s10), simd.BroadcastFloat32s(*at(xp, ai)).MulAdd(b1, s11)
			s20, s21 = simd.BroadcastFloat32s(*at(xp, 2*ai)).MulAdd(b0, s20), simd.BroadcastFloat32s(*at(xp, 2*ai)).MulAdd(b1, s21)
			s30, s31 = b0.MulAdd(simd.BroadcastFloat32s(*at(xp, 3*ai)), s30), b1.MulAdd(simd.BroadcastFloat32s(*at(xp, 3*ai)), s31)
		}
		store(c, j, s00)
		store(c, j+w, s01)
		store(c1, j, s10)
		store(c1, j+w, s11)
		store(c2, j, s20)
		store(c2, j+w, s21)
		store(c3, j, s30)
		store(c3, j+w, s31)
	}
}

// tile1 is one row: eight vectors of 128 bits, or all 32 columns of wider ones.
func tile1(k int, a *float32, ap int, b *float32, ldb int, c *float32, acc int) {
	w := simd.Float32s{}.Len()
	step := min(4*w, nr)
	for j := 0; j < nr; j += step {
		if step == 2*w {
			tile1by2(k, a, ap, at(b, j), ldb, at(c, j), acc)
			continue
		}
		var s0, s1, s2, s3 simd.Float32s
		if acc != 0 {
			s0, s1, s2, s3 = load(c, j), load(c, j+w), load(c, j+2*w), load(c, j+3*w)
		}
		xp, bp := a, at(b, j)
		for p := 0; p < k; p++ {
			if p > 0 {
				xp, bp = at(xp, ap), at(bp, ldb)
			}
			x := simd.BroadcastFloat32s(*xp)
			s0, s1 = load(bp, 0).MulAdd(x, s0), load(bp, w).MulAdd(x, s1)
			s2, s3 = load(bp, 2*w).MulAdd(x, s2), load(bp, 3*w).MulAdd(x, s3)
		}
		store(c, j, s0)
		store(c, j+w, s1)
		store(c, j+2*w, s2)
		store(c, j+3*w, s3)
	}
}

func tile1by2(k int, a *float32, ap int, b *float32, ldb int, c *float32, acc int) {
	w := simd.Float32s{}.Len()
	var s0, s1 simd.Float32s
	if acc != 0 {
		s0, s1 = load(c, 0), load(c, w)
	}
	for p := 0; p < k; p++ {
		if p > 0 {
			a, b = at(a, ap), at(b, ldb)
		}
		x := simd.BroadcastFloat32s(*a)
		s0, s1 = load(b, 0).MulAdd(x, s0), load(b, w).MulAdd(x, s1)
	}
	store(c, 0, s0)
	store(c, w, s1)
}
