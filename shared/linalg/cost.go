package linalg

// BasisBytes is what Basis of a matrix [out in] takes at once, the weight in f32 among it: in f64
// the Gram matrix, which becomes the reflections, its vectors, two squares that dividing and
// conquering merges in, blocks of reflections, and a chunk of W; of a square W, which has small σ,
// three more to refine these.
func BasisBytes(out, in int) int64 {
	r, other := int64(min(out, in)), int64(max(out, in))
	b, chunks := min(r, blockBack), int64(1)
	if r == other {
		chunks = 4
	}
	return 4*int64(out)*int64(in) + 8*(4*r*r+2*b*(b+r)+4*panelWidth*r+chunks*r*min(other, GramChunk))
}

// BasisOps counts what Basis of a matrix [out in] costs: the Gram matrix goes through all of W, the
// rest is of the smaller side alone and weighs as much as it was measured to, on sides of 1024 to
// 4096 (8.0 to 9.1 products of half a square).
func BasisOps(out, in int) float64 {
	r, other := float64(min(out, in)), float64(max(out, in))
	return r * r * (other + 8.5*r)
}
