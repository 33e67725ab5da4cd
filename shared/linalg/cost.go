package linalg

// BasisBytes is what Basis of a matrix [out in] takes at once, the weight in f32 among it: in f64
// the Gram matrix, which becomes the reflections, its vectors, two squares that dividing and
// conquering merges in, the panel of the reduction, and of a chunk of W and of what merging drops
// as much as waits for Go's collector at a GC percent of 10.
func BasisBytes(out, in int) int64 {
	r, other := int64(min(out, in)), int64(max(out, in))
	return 4*int64(out)*int64(in) + 8*(42*r*r/10+4*panelWidth*r+r*min(other, GramChunk)/2)
}

// BasisOps counts what Basis of a matrix [out in] costs: the Gram matrix goes through all of W, the
// rest is of the smaller side alone and weighs as much as it was measured to, on sides of 1024 to
// 4096 (8.0 to 9.1 products of half a square).
func BasisOps(out, in int) float64 {
	r, other := float64(min(out, in)), float64(max(out, in))
	return r * r * (other + 8.5*r)
}
