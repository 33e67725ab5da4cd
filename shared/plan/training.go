package plan

import (
	"cmp"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/train"
)

// Training is how an expert is trained; the zero value is what t2 train does unless told otherwise.
type Training struct {
	Scope   string     // of the matrices
	Form    train.Form // of the policy
	Answers int        // a step, prompts × samples
}

// TrainTokens is the size of a step whose time is told.
const TrainTokens = 2048

// The part of a gradient's time that is matrix products; the rest is attention, losses over the
// vocabulary and what lies between.
const (
	foldedShare    = 0.6 // measured 0.5 to 0.6 on a million parameters
	projectedShare = 0.8 // measured 0.77 and 0.79 on 110 million
)

// trains is what REINFORCE takes beside the model: bytes, and operations of TrainTokens tokens.
func trains(m Model) (bytes int64, ops float64, err error) {
	preset, err := train.Preset("default")
	if err != nil {
		return 0, 0, err
	}
	scope, err := svf.ParseScope(cmp.Or(m.Training.Scope, preset.Scope))
	if err != nil {
		return 0, 0, err
	}
	answers := cmp.Or(m.Training.Answers, preset.Prompts*preset.Samples)
	s, err := m.Training.Form.Sizes(m.Config, 0, answers)
	if err != nil {
		return 0, 0, err
	}
	if bytes, err = sharedBytes(m, s); err != nil {
		return 0, 0, err
	}
	takes, share := foldedCost, foldedShare
	if s.Form == train.Projected {
		takes, share = projectedCost, projectedShare
		bytes += 4 * int64(s.Rows) * int64(turned(m.Config, scope))
	}
	token, step := 6*float64(m.Config.Vocab)*float64(m.Config.Dim), 0.0 // the head is frozen
	for _, l := range m.Config.Linears() {
		c := takes(m.Held.Matrices, l, scope.Has(l.Name))
		bytes, token, step = bytes+c.bytes, token+c.token, step+c.step
	}
	return bytes, TrainTokens*token/share + step, nil
}

// sharedBytes are the activations of policy and reference, their losses over the vocabulary, and
// what the rollouts take.
func sharedBytes(m Model, s train.Sizes) (int64, error) {
	n, err := within(m, func(lm *llama.Model) error {
		var err error
		if s.Form == train.Projected {
			_, err = lm.NewRecomputing(s.Rows)
		} else {
			_, err = lm.NewWorkspace(s.Rows, true)
		}
		if err == nil {
			_, err = lm.NewWorkspace(s.Rows, false)
		}
		if err == nil {
			_, err = lm.NewGenerator(s.Slots, m.Config.Context)
		}
		return err
	})
	return n + int64(8*llama.HeadChunk+4*s.Slots)*int64(m.Config.Vocab), err
}

// cost is what a matrix takes in a training: bytes, and operations of a token and of a step.
type cost struct {
	bytes       int64
	token, step float64
}

// foldedCost: in scope the base weight, W', its gradient and W' packed, all in f32, the factors of W
// and a square. Products are those of policy, reference, input and weight; a step multiplies with a
// basis to fold, and for the gradient.
func foldedCost(_ compute.DType, l llama.TensorSpec, inScope bool) cost {
	out, in, r := int64(l.Rows), int64(l.Cols), int64(min(l.Rows, l.Cols))
	pass := 2 * float64(out) * float64(in)
	if !inScope {
		return cost{token: 3 * pass}
	}
	return cost{12*out*in + weightBytes(compute.F32, l.Rows, l.Cols) + 4*(out+in)*r + 4*r*r,
		4 * pass, 2 * pass * float64(r)}
}

// projectedCost: in scope the basis twice, and z with its gradient and moments. Products are those
// of policy, twice, reference and input, and in scope six with a basis.
func projectedCost(held compute.DType, l llama.TensorSpec, inScope bool) cost {
	r := min(l.Rows, l.Cols)
	c := cost{token: 8 * float64(l.Rows) * float64(l.Cols)}
	if inScope {
		c.bytes = 2*weightBytes(svf.BasisType(held), r, r) + 16*int64(r)
		c.token += 12 * float64(r) * float64(r)
	}
	return c
}

// turned are the numbers of a row that all layers share: what the largest matrix in scope makes of
// it in its basis, four times, and the coefficients of each role.
func turned(c llama.Config, scope svf.Scope) int {
	roles := map[svf.Role]int{}
	for _, l := range c.Linears() {
		if _, role, _ := svf.ParseName(l.Name); scope.Has(l.Name) {
			roles[role] = min(l.Rows, l.Cols)
		}
	}
	largest, sum := 0, 0
	for _, r := range roles {
		largest, sum = max(largest, r), sum+r
	}
	return 4*largest + sum
}
