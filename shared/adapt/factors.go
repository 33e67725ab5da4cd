package adapt

import (
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/svf"
)

// factors are both factors of each adapted matrix of a small model (svf.Folder), with which another
// z costs one product.
type factors struct {
	dev     compute.Device
	folders map[*foldedMatrix]*svf.Folder
	scratch []*svf.Scratch
	plain   compute.Tensor // [1 n] f32 of the largest weight: W,
	adapted compute.Tensor // [1 n] and W'; matrices take turns
}

func newFactors(dev compute.Device, largest int) (*factors, error) {
	f := &factors{dev: dev, folders: map[*foldedMatrix]*svf.Folder{}}
	var err error
	if f.plain, err = dev.NewTensor(1, largest); err == nil {
		f.adapted, err = dev.NewTensor(1, largest)
	}
	if err != nil {
		f.free()
		return nil, fmt.Errorf("adapt: folding weights of %d numbers: %w", largest, err)
	}
	return f, nil
}

// fold computes W' of m from its z1.
func (f *factors) fold(m *foldedMatrix) {
	w, adapted := f.views(m)
	f.dev.Unpack(w, m.base)
	f.folders[m].Fold(adapted, m.z1)
	f.dev.Pack(m.weight, adapted)
}

// views are the shared tensors in the shape of a matrix, [out in].
func (f *factors) views(m *foldedMatrix) (plain, adapted compute.Tensor) {
	return f.plain.Reshape(m.matrix.Out, m.matrix.In), f.adapted.Reshape(m.matrix.Out, m.matrix.In)
}

// prepare factors those of the matrices that were not yet.
func (f *factors) prepare(mats []*foldedMatrix) error {
	fresh := map[string]*foldedMatrix{}
	var matrices []svf.Matrix
	for _, m := range mats {
		if f.folders[m] == nil {
			fresh[m.matrix.Name] = m
			matrices = append(matrices, *m.matrix)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	// A folder reads its weight when it is made and when it folds: W is in the shared tensor then.
	folders, scratch, err := svf.NewFolders(f.dev, matrices,
		func(name string) (compute.Tensor, error) {
			w, _ := f.views(fresh[name])
			f.dev.Unpack(w, fresh[name].base)
			return w, nil
		})
	if err != nil {
		return err
	}
	f.scratch = append(f.scratch, scratch)
	for i, m := range matrices {
		f.folders[fresh[m.Name]] = folders[i]
	}
	return nil
}

func (f *factors) free() {
	for _, folder := range f.folders {
		folder.Free()
	}
	for _, s := range f.scratch {
		s.Free()
	}
	f.folders, f.scratch = nil, nil
	freeTensor(f.dev, &f.plain)
	freeTensor(f.dev, &f.adapted)
}
