package linalg

import "transformer2/shared/compute"

// GramChunk is how much of the summed side is widened to float64 at once.
const GramChunk = 512

// Gram is W Wᵀ [rows rows] if left, else Wᵀ W [cols cols], in float64, for W [rows cols] row-major.
// Both triangles are filled.
func Gram(p compute.Dense64, rows, cols int, w []float32, left bool) []float64 {
	n, sum := cols, rows
	if left {
		n, sum = rows, cols
	}
	g := make([]float64, n*n)
	buf := make([]float64, n*min(sum, GramChunk))
	for c := 0; c < sum; c += GramChunk {
		part := widen(p, rows, cols, w, left, c, min(GramChunk, sum-c), buf)
		gemmLower(p, n, part.len, 1, part.x, part.ns, part.ss, part.x, part.ss, part.ns, g, n)
	}
	mirror(p, n, g)
	return g
}

// chunk is len rows or columns of W in float64, seen from the side of the Gram matrix: element
// (i, s) of the [n len] matrix is x[i*ns + s*ss].
type chunk struct {
	x      []float64
	ns, ss int
	len    int
}

// widen copies columns [at, at+count) (left) or rows of W [rows cols] to buf.
func widen(p compute.Dense64, rows, cols int, w []float32, left bool, at, count int,
	buf []float64) chunk {
	if left {
		p.Parallel(rows, 16384/count+1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				to := buf[i*count : (i+1)*count]
				for s, v := range w[i*cols+at : i*cols+at+count] {
					to[s] = float64(v)
				}
			}
		})
		return chunk{x: buf, ns: count, ss: 1, len: count}
	}
	p.Parallel(count*cols, 16384, func(lo, hi int) {
		to := buf[lo:hi]
		for s, v := range w[at*cols+lo : at*cols+hi] {
			to[s] = float64(v)
		}
	})
	return chunk{x: buf, ns: 1, ss: cols, len: count}
}
