package svf

import "transformer2/shared/compute"

// Trained is a matrix whose z is being trained in projected form: the weight stays as it is, in
// whatever precision, and takes no gradient of its own. It is an llama.Differentiable; one z serves
// all sequences. It owns nothing.
type Trained struct {
	P    *Projector
	Z1   compute.Tensor // [1 r] z − 1
	Grad compute.Tensor // [1 r] its gradient, summed by Backward
	// Coef is what Backward needs of the last Forward, [rows r]; P is for as many rows. Matrices may
	// share one if each has its own Forward right before its Backward, as where a workspace
	// recomputes.
	Coef compute.Tensor
}

// Forward: y [T out] = x [T in] W'ᵀ. A batch of more rows than Coef has goes in parts, and must
// have no Backward.
func (t *Trained) Forward(y, x compute.Tensor, w compute.Weight, _ compute.Ints) {
	for lo := 0; lo < x.Rows; lo += t.Coef.Rows {
		hi := min(lo+t.Coef.Rows, x.Rows)
		t.P.Forward(y.Slice(lo, hi), x.Slice(lo, hi), w, t.Z1, compute.Ints{},
			t.Coef.Slice(0, hi-lo))
	}
}

// Backward: dx [T in] from dy [T out] of the last Forward, plus dx where acc.
func (t *Trained) Backward(dx, dy compute.Tensor, w compute.Weight, _ compute.Ints, acc bool) {
	t.P.Backward(dx, t.Grad, dy, w, t.Z1, compute.Ints{}, t.Coef.Slice(0, dy.Rows), acc)
}
