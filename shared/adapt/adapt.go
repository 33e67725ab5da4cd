// Package adapt answers one question: which z-vector does this prompt get?
//
// It is the two-pass inference of Transformer² (arXiv 2501.06252, section 3.2). The first pass
// looks at the prompt and settles on an expert or on a mixture of experts,
//
//	z = 1 + Σₖ αₖ (zₖ − 1)
//
// the second answers with W' = U diag(σ∘z) Vᵀ. The paper's three strategies are here: by prompt
// (the base model says what kind of question it is), by classifier (an expert trained to say it),
// and few-shot (the cross-entropy method finds α on a few examples, cem.go).
//
// A z acts in one of two forms. Folded (folded.go) computes W' once: answers cost what the base's
// cost. Projected (projected.go) leaves W alone and turns the activations: each sequence of a batch
// carries its own z, and to change it is to write a few numbers. Voices (voices.go) settles which,
// and is where everything that answers gets its model from.
package adapt

import (
	"fmt"
	"slices"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// vectors gives the z of each weight that e adapts, as they act: logits become z, and a z of ones
// is left out. nil, the base, has none. The expert must be of d's base and fit its weights.
func vectors(e *svf.Expert, d *svf.Decomposition) (map[string][]float32, error) {
	if err := check(e, d); err != nil || e == nil {
		return nil, err
	}
	if e.Meta.Parametrisation != svf.Linear {
		var err error
		if e, err = e.Effective(d); err == nil {
			err = check(e, d) // logits that are finite may have no z
		}
		if err != nil {
			return nil, err
		}
	}
	zs := make(map[string][]float32, len(e.Z))
	for name, z := range e.Z {
		if !isOne(z) {
			zs[name] = z
		}
	}
	return zs, nil
}

// check says whether an expert is of d's base and fits its weights. It wants no σ.
func check(e *svf.Expert, d *svf.Decomposition) error {
	if e == nil {
		return nil
	}
	if e.Meta.Base != d.Base {
		return fmt.Errorf("adapt: expert %q was trained on base %s (%s), this model is base %s",
			e.Meta.Task, e.Meta.Base.Short(), e.Meta.Model, d.Base.Short())
	}
	known := 0
	for i := range d.Matrices {
		m := &d.Matrices[i]
		z, ok := e.Z[m.Name]
		if !ok {
			continue
		}
		known++
		if len(z) != m.R {
			return fmt.Errorf("adapt: expert %q: %s has %d numbers, want %d",
				e.Meta.Task, m.Name, len(z), m.R)
		}
		if j := slices.IndexFunc(z, func(v float32) bool { return v-v != 0 }); j >= 0 {
			return fmt.Errorf("adapt: expert %q: %s: number %d is %v",
				e.Meta.Task, m.Name, j, z[j])
		}
	}
	if known != len(e.Z) {
		for _, name := range e.Names() {
			if _, ok := d.Matrix(name); !ok {
				return fmt.Errorf("adapt: expert %q: the model has no decomposed weight %s",
					e.Meta.Task, name)
			}
		}
	}
	return nil
}

// touched are the weights that any of the experts may change.
func touched(es ...*svf.Expert) map[string]bool {
	names := map[string]bool{}
	for _, e := range es {
		if e == nil {
			continue
		}
		for name, z := range e.Z {
			if e.Meta.Parametrisation != svf.Linear || !isOne(z) {
				names[name] = true
			}
		}
	}
	return names
}

// isOne reports whether z leaves its weight as it is.
func isOne(z []float32) bool {
	return !slices.ContainsFunc(z, func(v float32) bool { return v != 1 })
}

// adaptable pairs the linears of a clone of base with their matrices in d, in d's order. The clone
// is given none of base's masters and gradients there: they speak of W, not of W'.
func adaptable(base *llama.Model, d *svf.Decomposition) (*llama.Model, []pair, error) {
	clone := base.Clone()
	linears := make(map[string]*llama.Linear)
	for _, l := range clone.Linears() {
		linears[l.Name] = l
	}
	pairs := make([]pair, len(d.Matrices))
	for i := range d.Matrices {
		m := &d.Matrices[i]
		l := linears[m.Name]
		switch {
		case l == nil:
			return nil, nil, fmt.Errorf("adapt: the model has no linear weight %q", m.Name)
		case l.Out != m.Out || l.In != m.In:
			return nil, nil, fmt.Errorf("adapt: %s is [%d %d], its decomposition is of [%d %d]",
				m.Name, l.Out, l.In, m.Out, m.In)
		case l.Adapter != nil:
			return nil, nil, fmt.Errorf("adapt: %s has an adapter, want a plain weight", m.Name)
		}
		l.Master, l.Grad = compute.Tensor{}, compute.Tensor{}
		pairs[i] = pair{matrix: m, linear: l, base: l.W}
	}
	return clone, pairs, nil
}

// pair is a matrix of the decomposition and what it adapts.
type pair struct {
	matrix *svf.Matrix
	linear *llama.Linear  // of the clone
	base   compute.Weight // [out in] the weight that it shares with the base
}

// freeTensor gives t's memory back where there is any, and forgets it.
func freeTensor(dev compute.Device, t *compute.Tensor) {
	if !t.IsZero() {
		dev.Free(t.Buf)
	}
	*t = compute.Tensor{}
}
