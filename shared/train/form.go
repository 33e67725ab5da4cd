package train

import (
	"cmp"
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// Form is how a policy holds its matrices W' = U diag(σ∘z) Vᵀ. θ and its moments are the same
// numbers under each, so a run that was begun under one goes on under another, up to rounding.
type Form string

const (
	// Auto is Folded where a model has up to mostFolded numbers, else Projected.
	Auto Form = "auto"
	// Folded computes W' anew whenever z changes, and z's gradient from the weight's, as in
	// pre-training: decoding runs at full speed. A matrix takes W, W', ∂L/∂W' and both factors of W,
	// all in f32.
	Folded Form = "folded"
	// Projected applies z to the activations: the weights are the base's own, in whatever precision,
	// and nothing of their size is made but the singular bases; Backward computes a layer's
	// activations once more instead of keeping those of all layers.
	Projected Form = "projected"
)

// mostFolded is how many numbers Auto folds. To fold once costs as much as the forward passes of
// 600 tokens at 110 million numbers and of 3,700 at 8 billion, and takes five to seven times the
// memory of the weights in f32; to project makes a token's products 1.4 to 2.2 times as many.
const mostFolded = 100e6

// Sizes are what the memory of training a z-vector depends on besides model and scope.
type Sizes struct {
	Form  Form // Folded or Projected
	Rows  int  // of answers that go through policy and reference at once
	Slots int  // answers that are generated at once
}

// Of a training that was asked for.
const (
	// PolicyRows is a Base's Rows unless it says otherwise; the activations of both models take about
	// 50 KB a row in a model of a million parameters.
	PolicyRows = 2048
	// projectedRows is the same of the projected form. Products of 256 rows and more run as fast as
	// of 2,048 (CPU, bf16); of Llama 3 8B a row takes 1.4 MB, a batch 1.4 GB beside 17 of the model.
	projectedRows = 1024
	// MaxSlots bounds how many answers are generated at once.
	MaxSlots = 256
)

// Sizes says how a training in form f goes about a model that is asked for so many answers at once.
// rows is Base.Rows.
func (f Form) Sizes(c llama.Config, rows, answers int) (Sizes, error) {
	s := Sizes{Form: f, Slots: max(1, min(answers, MaxSlots))}
	if f == "" || f == Auto {
		if s.Form = Folded; c.NumParams() > mostFolded {
			s.Form = Projected
		}
	}
	switch s.Form {
	case Folded:
		s.Rows = cmp.Or(rows, PolicyRows)
	case Projected:
		s.Rows = cmp.Or(rows, projectedRows)
	default:
		return s, fmt.Errorf("train: form %q: want %s, %s or %s", f, Auto, Folded, Projected)
	}
	s.Rows = max(s.Rows, c.Context)
	return s, nil
}

// adapted is a matrix whose weight follows z − 1, a tensor [1 r] that the policy writes.
type adapted interface {
	// apply makes the model's products those of the present z.
	apply()
	// zeroGrad begins a sum of gradients, which the model's Backward adds to.
	zeroGrad()
	// sumGrad leaves the gradient of z in the policy's tensor [1 r].
	sumGrad()
}

// foldedMatrix is a matrix in the folded form.
type foldedMatrix struct {
	lin      *llama.Linear
	dev      compute.Device
	folder   *svf.Folder
	base     compute.Tensor // [out in] the base weight
	scratch  compute.Tensor // [out in] of Fold
	z1, grad compute.Tensor // [1 r]
}

// newFolded gives l, of a clone of base, a weight and a gradient of its own.
func newFolded(dev compute.Device, l *llama.Linear, m *svf.Matrix, z1, grad compute.Tensor) (
	*foldedMatrix, error) {
	f := &foldedMatrix{lin: l, dev: dev, z1: z1, grad: grad}
	var err error
	for _, t := range []*compute.Tensor{&f.base, &f.scratch, &l.Grad} {
		if *t, err = dev.NewTensor(l.Out, l.In); err != nil {
			return nil, err
		}
	}
	dev.Unpack(f.base, l.W)
	if f.folder, err = svf.NewFolder(dev, *m, f.base); err != nil {
		return nil, err
	}
	l.W, err = dev.NewWeight(compute.F32, l.Out, l.In)
	return f, err
}

func (f *foldedMatrix) apply() {
	f.folder.Fold(f.scratch, f.z1)
	f.dev.Pack(f.lin.W, f.scratch)
}

func (f *foldedMatrix) zeroGrad() { f.dev.Fill(f.lin.Grad, 0) }

func (f *foldedMatrix) sumGrad() {
	f.dev.Fill(f.grad, 0)
	f.folder.Grad(f.grad, f.lin.Grad)
}

// projectedMatrix is a matrix in the projected form: its adapter reads z and sums its gradient.
type projectedMatrix struct {
	dev compute.Device
	z   *svf.Trained
}

func (p projectedMatrix) apply()    {}
func (p projectedMatrix) zeroGrad() { p.dev.Fill(p.z.Grad, 0) }
func (p projectedMatrix) sumGrad()  {}

// projection is what the matrices of a projected policy share.
type projection struct {
	rows    int
	scratch *svf.Scratch
	coef    map[svf.Role]compute.Tensor // [rows r]: one layer at a time goes back
}

// newProjected gives l, of a clone of the base, an adapter. The basis is read here, and is then on
// the device alone.
func (s *projection) newProjected(dev compute.Device, l *llama.Linear, m *svf.Matrix,
	z1, grad compute.Tensor) (projectedMatrix, error) {
	p, err := svf.NewProjector(s.scratch, *m, svf.BasisType(l.W.Type()), s.rows)
	if err != nil {
		return projectedMatrix{}, err
	}
	_, role, _ := svf.ParseName(l.Name)
	coef, ok := s.coef[role]
	if !ok {
		if coef, err = dev.NewTensor(s.rows, m.R); err != nil {
			return projectedMatrix{}, err
		}
		s.coef[role] = coef
	}
	z := &svf.Trained{P: p, Z1: z1, Grad: grad, Coef: coef}
	l.Adapter = z
	return projectedMatrix{dev, z}, nil
}
