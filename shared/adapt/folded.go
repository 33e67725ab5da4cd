package adapt

import (
	"fmt"
	"slices"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// Folded is a base model into whose matrices any expert can be folded, W' = U diag(σ∘z) Vᵀ, at the
// cost of a product a matrix. The base's weights are shared and never written.
//
// A matrix takes memory when it is adapted for the first time, and keeps it: W' in the type of W,
// and the two factors of W in f32. The base's weights must not change while a Folded lives.
type Folded struct {
	d       *svf.Decomposition
	model   *llama.Model
	mats    []*foldedMatrix
	scratch []*svf.Scratch
	plain   compute.Tensor // [1 n] f32 of the largest weight: W,
	adapted compute.Tensor // [1 n] and W'; matrices take turns
	folds   int
}

// foldedMatrix is one adapted matrix.
type foldedMatrix struct {
	pair
	folder *svf.Folder    // nil until an expert touches the matrix
	weight compute.Weight // [out in] W'
	z1     compute.Tensor // [1 r] z − 1
	z      []float32      // [r] what weight was made of; nil: nothing yet
}

// NewFolded makes a model that starts as base. d tells which matrices can be adapted.
func NewFolded(base *llama.Model, d *svf.Decomposition) (*Folded, error) {
	model, pairs, err := adaptable(base, d)
	if err != nil {
		return nil, err
	}
	f := &Folded{d: d, model: model}
	largest := 0
	for _, p := range pairs {
		f.mats = append(f.mats, &foldedMatrix{pair: p})
		largest = max(largest, p.matrix.Out*p.matrix.In)
	}
	if f.plain, err = base.Dev.NewTensor(1, largest); err == nil {
		f.adapted, err = base.Dev.NewTensor(1, largest)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("adapt: folding weights of %d numbers: %w", largest, err)
	}
	return f, nil
}

// Model is the model with the expert that Use took last. It is the same model all along, so it must
// not run while Use does.
func (f *Folded) Model() *llama.Model { return f.model }

// Folds counts the products W' that were computed so far.
func (f *Folded) Folds() int { return f.folds }

// Use makes the model the expert's; nil makes it the base's, with the very weights of the base. A
// weight that e leaves alone is the base's too. Only matrices whose z is not the one that they were
// folded with last are folded again, so going back and forth between an expert and the base is
// free. An error leaves the model as it was.
func (f *Folded) Use(e *svf.Expert) error {
	zs, err := vectors(e, f.d)
	if err != nil {
		return err
	}
	if err := f.prepare(zs); err != nil {
		return err
	}
	for _, m := range f.mats {
		z := zs[m.matrix.Name]
		if z == nil {
			m.linear.W = m.base
			continue
		}
		if !slices.Equal(m.z, z) {
			f.fold(m, z)
		}
		m.linear.W = m.weight
	}
	return f.model.Dev.Submit()
}

// fold computes the matrix's W' for z [r].
func (f *Folded) fold(m *foldedMatrix, z []float32) {
	dev := f.model.Dev
	m.z = append(m.z[:0], z...)
	dev.Write(m.z1, delta(z))
	w, adapted := f.views(m.pair)
	dev.Unpack(w, m.base)
	m.folder.Fold(adapted, m.z1)
	dev.Pack(m.weight, adapted)
	f.folds++
}

// delta is z − 1.
func delta(z []float32) []float32 {
	d := make([]float32, len(z))
	for i, v := range z {
		d[i] = v - 1
	}
	return d
}

// views are the shared tensors in the shape of a matrix, [out in].
func (f *Folded) views(p pair) (plain, adapted compute.Tensor) {
	m := p.matrix
	return f.plain.Reshape(m.Out, m.In), f.adapted.Reshape(m.Out, m.In)
}

// prepare takes the memory of the matrices that are adapted for the first time.
func (f *Folded) prepare(zs map[string][]float32) error {
	fresh := map[string]*foldedMatrix{}
	var matrices []svf.Matrix
	for _, m := range f.mats {
		if zs[m.matrix.Name] != nil && m.folder == nil {
			fresh[m.matrix.Name] = m
			matrices = append(matrices, *m.matrix)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	for _, m := range fresh {
		if err := f.allocate(m); err != nil {
			return err
		}
	}
	// A folder reads its weight when it is made and when it folds: W is in the shared tensor then.
	folders, scratch, err := svf.NewFolders(f.model.Dev, matrices,
		func(name string) (compute.Tensor, error) {
			w, _ := f.views(fresh[name].pair)
			f.model.Dev.Unpack(w, fresh[name].base)
			return w, nil
		})
	if err != nil {
		return err
	}
	f.scratch = append(f.scratch, scratch)
	for i, m := range matrices {
		fresh[m.Name].folder = folders[i]
	}
	return nil
}

// allocate takes what W' needs; what an earlier attempt got already stays.
func (f *Folded) allocate(m *foldedMatrix) (err error) {
	dev := f.model.Dev
	if m.weight == nil {
		m.weight, err = dev.NewWeight(m.base.Type(), m.matrix.Out, m.matrix.In)
	}
	if err == nil && m.z1.IsZero() {
		m.z1, err = dev.NewTensor(1, m.matrix.R)
	}
	if err != nil {
		return fmt.Errorf("adapt: folding %s: %w", m.matrix.Name, err)
	}
	return nil
}

// Close gives back all that the adapted weights took; the model must not run any more.
func (f *Folded) Close() {
	dev := f.model.Dev
	for _, m := range f.mats {
		if m.folder != nil {
			m.folder.Free()
		}
		if m.weight != nil {
			dev.Free(m.weight)
		}
		freeTensor(dev, &m.z1)
		m.folder, m.weight, m.z, m.linear.W = nil, nil, nil, m.base
	}
	for _, s := range f.scratch {
		s.Free()
	}
	f.scratch = nil
	freeTensor(dev, &f.plain)
	freeTensor(dev, &f.adapted)
}
