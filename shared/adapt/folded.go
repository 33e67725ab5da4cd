package adapt

import (
	"context"
	"fmt"
	"slices"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// SmallModel is the number of parameters up to which a model's matrices are worth keeping more than
// once, so that another z costs the least: a switch of tako's 42 matrices takes 3 ms with factors.
const SmallModel = 100_000_000

// FoldedOptions say what a Folded keeps; the zero value is usual.
type FoldedOptions struct {
	// Small is the parameters up to which a model is small; 0: SmallModel. A matrix of a small one
	// keeps W, W' and the two factors of W in f32. One of a larger model keeps W', which is computed
	// from W and its basis, and where there is a Reload W' takes the place of W, if it is of the same
	// type (FoldedType).
	Small int
	// Reload, if set, loads matrices of the base again, from where they came; done hears of each.
	Reload func(ctx context.Context, names []string, done func(name string)) error
	// Progress, if set, hears of every matrix of a larger model that is loaded again or folded.
	Progress func(Progress)
}

// Progress reports a matrix: the Done-th of Total.
type Progress struct {
	Name        string
	Done, Total int
}

// Folded is a base model into whose matrices any expert can be folded, W' = U diag(σ∘z) Vᵀ, at the
// cost of a product or two a matrix. See FoldedOptions for what that takes.
type Folded struct {
	d       *svf.Decomposition
	model   *llama.Model
	o       FoldedOptions
	mats    []*foldedMatrix
	factors *factors     // of a small model
	scratch *svf.Scratch // of a larger one
	folds   int
}

// foldedMatrix is one adapted matrix.
type foldedMatrix struct {
	pair
	weight compute.Weight // [out in] W'; the base's, where it takes its place
	z1     compute.Tensor // [1 r] z − 1
	z      []float32      // [r] what weight was made of; nil: nothing yet, or W in place
	lost   bool           // in place: weight is neither W nor W', as loading it again failed
}

// NewFolded makes a model that starts as base. d tells which matrices can be adapted.
//
// With a Reload the base's own weights change, so the base, and whatever shares its weights, is the
// base only after Use(ctx, nil); without one they are never written. The base's weights must not be
// changed by others while a Folded lives.
func NewFolded(base *llama.Model, d *svf.Decomposition, o FoldedOptions) (*Folded, error) {
	model, pairs, err := adaptable(base, d)
	if err != nil {
		return nil, err
	}
	f := &Folded{d: d, model: model, o: o}
	largest := 0
	for _, p := range pairs {
		f.mats = append(f.mats, &foldedMatrix{pair: p})
		largest = max(largest, p.matrix.Out*p.matrix.In)
	}
	if !IsSmall(base.Config, o.Small) {
		f.scratch = svf.NewScratch(base.Dev)
		return f, nil
	}
	f.o.Reload = nil
	if f.factors, err = newFactors(base.Dev, largest); err != nil {
		return nil, err
	}
	return f, nil
}

// IsSmall reports whether a model has at most so many parameters; 0: SmallModel.
func IsSmall(c llama.Config, most int) bool {
	if most == 0 {
		most = SmallModel
	}
	return c.NumParams() <= most
}

// FoldedType is the type of W' where that of W is held: the same, but for Q4, in which a change of a
// few percent of W's size would hardly exist. Of one of 1 to 3 % it keeps 3 to 4 %, Q8 keeps 99.
func FoldedType(held compute.DType) compute.DType {
	if held == compute.Q4 {
		return compute.Q8
	}
	return held
}

// inPlace reports whether W' takes the place of W.
func (f *Folded) inPlace(m *foldedMatrix) bool {
	return f.o.Reload != nil && FoldedType(m.base.Type()) == m.base.Type()
}

// Model is the model with the expert that Use took last. It is the same model all along, so it must
// not run while Use does, nor after a Use that failed.
func (f *Folded) Model() *llama.Model { return f.model }

// Folds counts the products W' that were computed so far.
func (f *Folded) Folds() int { return f.folds }

// Use makes the model the expert's; nil makes it the base's, with the very numbers of the base. A
// weight that e leaves alone is the base's too. Only matrices whose z is not the one that they were
// folded with last are folded again, and only where W' took W's place is W loaded again.
//
// An expert that does not fit is refused, and leaves the model as it was. Where ctx ends, W cannot
// be loaded or a basis not be read, some matrices have their new weights and others not: the model
// is no one's until a Use succeeds, which goes on with what is left.
func (f *Folded) Use(ctx context.Context, e *svf.Expert) error {
	zs, err := vectors(e, f.d)
	if err == nil {
		err = f.prepare(zs)
	}
	if err != nil {
		return err
	}
	var stale, next []*foldedMatrix // to be loaded again, to be folded
	for _, m := range f.mats {
		z := zs[m.matrix.Name]
		same := z != nil && slices.Equal(m.z, z)
		if f.inPlace(m) && (m.lost || m.z != nil) && !same {
			stale = append(stale, m)
		}
		if z != nil && !same {
			next = append(next, m)
		}
	}
	count := f.counter(len(stale) + len(next))
	if err := f.reload(ctx, stale, count); err != nil {
		return err
	}
	for _, m := range next {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.fold(m, zs[m.matrix.Name]); err != nil {
			return err
		}
		count(m.matrix.Name)
	}
	for _, m := range f.mats {
		m.linear.W = m.base
		if zs[m.matrix.Name] != nil {
			m.linear.W = m.weight
		}
	}
	return f.model.Dev.Submit()
}

// counter reports matrices as they are done.
func (f *Folded) counter(total int) func(name string) {
	done := 0
	return func(name string) {
		if done++; f.o.Progress != nil && f.factors == nil {
			f.o.Progress(Progress{Name: name, Done: done, Total: total})
		}
	}
}

// reload puts W back where W' took its place.
func (f *Folded) reload(ctx context.Context, stale []*foldedMatrix, count func(string)) error {
	if len(stale) == 0 {
		return nil
	}
	byName := map[string]*foldedMatrix{}
	var names []string
	for _, m := range stale {
		byName[m.matrix.Name] = m
		names = append(names, m.matrix.Name)
		m.z, m.lost = nil, true
	}
	err := f.o.Reload(ctx, names, func(name string) {
		byName[name].lost = false
		count(name)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("adapt: an expert was folded into the model, whose own weights cannot be "+
			"loaded again: %w", err)
	}
	return err
}

// fold computes the matrix's W' for z [r].
func (f *Folded) fold(m *foldedMatrix, z []float32) error {
	dev := f.model.Dev
	dev.Write(m.z1, delta(z))
	if f.factors != nil {
		f.factors.fold(m)
	} else {
		if err := f.scratch.RefoldMatrix(m.weight, m.base, m.matrix, m.z1); err != nil {
			return fmt.Errorf("adapt: folding: %w", err)
		}
		if err := dev.Submit(); err != nil { // so that bases do not wait for each other
			m.z, m.lost = nil, f.inPlace(m)
			return err
		}
	}
	m.z = append(m.z[:0], z...)
	f.folds++
	return nil
}

// delta is z − 1.
func delta(z []float32) []float32 {
	d := make([]float32, len(z))
	for i, v := range z {
		d[i] = v - 1
	}
	return d
}

// prepare takes the memory of the matrices that are adapted for the first time.
func (f *Folded) prepare(zs map[string][]float32) error {
	var fresh []*foldedMatrix
	for _, m := range f.mats {
		if zs[m.matrix.Name] == nil {
			continue
		}
		if err := f.allocate(m); err != nil {
			return err
		}
		fresh = append(fresh, m)
	}
	if f.factors == nil {
		return nil
	}
	return f.factors.prepare(fresh)
}

// allocate takes what W' needs; what an earlier attempt got already stays.
func (f *Folded) allocate(m *foldedMatrix) (err error) {
	dev := f.model.Dev
	switch {
	case m.weight != nil:
	case f.inPlace(m):
		m.weight = m.base
	default:
		m.weight, err = dev.NewWeight(FoldedType(m.base.Type()), m.matrix.Out,
			m.matrix.In)
	}
	if err == nil && m.z1.IsZero() {
		m.z1, err = dev.NewTensor(1, m.matrix.R)
	}
	if err != nil {
		return fmt.Errorf("adapt: folding %s: %w", m.matrix.Name, err)
	}
	return nil
}

// Close gives back all that the adapted weights took; the model must not run any more. A base whose
// place an expert took stays as it is: it wants a Use of nil before.
func (f *Folded) Close() {
	dev := f.model.Dev
	for _, m := range f.mats {
		if m.weight != nil && !f.inPlace(m) {
			dev.Free(m.weight)
		}
		freeTensor(dev, &m.z1)
		m.weight, m.z, m.linear.W = nil, nil, m.base
	}
	if f.factors != nil {
		f.factors.free()
	} else {
		f.scratch.Free()
	}
}
