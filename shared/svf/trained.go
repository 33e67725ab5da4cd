package svf

import "transformer2/shared/compute"

// Trained is a matrix whose z is being trained in projected form: the weight stays as it is, in
// whatever precision, and takes no gradient of its own. It is an llama.Differentiable; one z serves
// all sequences.
type Trained struct {
	p    *Projector
	Z1   compute.Tensor // [1 r] z − 1
	Grad compute.Tensor // [1 r] its gradient, summed by Backward
	coef compute.Tensor // [rows r] of the last Forward
}

// NewTrained begins at z = 1 on p, which stays the caller's.
func NewTrained(p *Projector) (*Trained, error) {
	t := &Trained{p: p}
	for _, x := range []struct {
		to   *compute.Tensor
		rows int
	}{{&t.Z1, 1}, {&t.Grad, 1}, {&t.coef, p.rows}} {
		var err error
		if *x.to, err = p.s.dev.NewTensor(x.rows, p.r); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Forward: y [T out] = x [T in] W'ᵀ.
func (t *Trained) Forward(y, x compute.Tensor, w compute.Weight, _ compute.Ints) {
	t.p.Forward(y, x, w, t.Z1, compute.Ints{}, t.coef.Slice(0, x.Rows))
}

// Backward: dx [T in] from dy [T out] of the last Forward, plus dx where acc.
func (t *Trained) Backward(dx, dy compute.Tensor, w compute.Weight, _ compute.Ints, acc bool) {
	t.p.Backward(dx, t.Grad, dy, w, t.Z1, compute.Ints{}, t.coef.Slice(0, dy.Rows), acc)
}
