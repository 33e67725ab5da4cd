package svf

import (
	"fmt"

	"transformer2/shared/compute"
)

// Scratch is device memory that the layers of a model share: they compute one after another.
type Scratch struct {
	dev   compute.Device
	slots [scratchSlots]compute.Tensor
	count compute.Ints // 0, 1, 2, ...
}

// What the slots hold between two ops.
const (
	slotCoef   = iota // activations in the singular basis; a scaled basis; L diag() of a gradient
	slotScaled        // the same times z−1
	slotTurn          // what z adds to the activations, then their sum
	slotInput         // a gradient at the weight's input
	scratchSlots
)

// NewScratch makes an empty scratch; the layers that are given it make it as large as they need.
func NewScratch(dev compute.Device) *Scratch { return &Scratch{dev: dev} }

// reserve makes a slot hold n numbers.
func (s *Scratch) reserve(slot, n int) error {
	if s.slots[slot].Len() >= n {
		return nil
	}
	t, err := s.dev.NewTensor(1, n)
	if err != nil {
		return fmt.Errorf("svf: scratch of %d numbers: %w", n, err)
	}
	if err := s.release(s.slots[slot].Buf); err != nil {
		return err
	}
	s.slots[slot] = t
	return nil
}

// reserveCount makes the counting row n long.
func (s *Scratch) reserveCount(n int) error {
	if s.count.N >= n {
		return nil
	}
	count, err := s.dev.NewInts(n)
	if err != nil {
		return fmt.Errorf("svf: scratch of %d ints: %w", n, err)
	}
	if err := s.release(s.count.Buf); err != nil {
		return err
	}
	numbers := make([]int32, n)
	for i := range numbers {
		numbers[i] = int32(i)
	}
	s.dev.WriteInts(count, numbers)
	s.count = count
	return nil
}

// release frees a buffer that has been replaced, once the ops that use it are on their way.
func (s *Scratch) release(b compute.Buffer) error {
	if b == nil {
		return nil
	}
	if err := s.dev.Submit(); err != nil {
		return fmt.Errorf("svf: scratch: %w", err)
	}
	s.dev.Free(b)
	return nil
}

func (s *Scratch) view(slot, rows, cols int) compute.Tensor {
	return s.slots[slot].Reshape(rows, cols)
}

// Free gives the memory back.
func (s *Scratch) Free() {
	for i, t := range s.slots {
		if !t.IsZero() {
			s.dev.Free(t.Buf)
		}
		s.slots[i] = compute.Tensor{}
	}
	if !s.count.IsZero() {
		s.dev.Free(s.count.Buf)
	}
	s.count = compute.Ints{}
}

// Folder computes adapted weights on a device, and the gradient of z from that of the weight. It
// keeps both factors of W = L Rᵀ, one of which is the singular basis:
//
//	left:   L = U [out r]     R = WᵀU [in r]
//	right:  L = W V [out r]   R = V [in r]
type Folder struct {
	dev     compute.Device
	scratch *Scratch
	own     bool           // the scratch is this folder's alone
	w       compute.Tensor // [out in] the base weight, not owned
	l, rt   compute.Tensor // [out r], [in r]
	left    bool
	r       int
}

// NewFolder makes a folder for the weight w [out in], which must keep its numbers as long as the
// folder lives.
func NewFolder(dev compute.Device, m Matrix, w compute.Tensor) (*Folder, error) {
	s := NewScratch(dev)
	f, err := newFolder(s, m, w)
	if err != nil {
		s.Free()
		return nil, err
	}
	f.own = true
	return f, nil
}

// NewFolders makes a folder for each matrix of a model; they share one scratch, which lives until
// the last of them is freed. weight gives the base weight [out in] of a name.
func NewFolders(dev compute.Device, ms []Matrix,
	weight func(name string) (compute.Tensor, error)) ([]*Folder, *Scratch, error) {
	s := NewScratch(dev)
	var folders []*Folder
	for _, m := range ms {
		w, err := weight(m.Name)
		if err == nil {
			var f *Folder
			if f, err = newFolder(s, m, w); err == nil {
				folders = append(folders, f)
				continue
			}
		}
		for _, f := range folders {
			f.Free()
		}
		s.Free()
		return nil, nil, err
	}
	return folders, s, nil
}

func newFolder(s *Scratch, m Matrix, w compute.Tensor) (*Folder, error) {
	vectors, err := m.whole()
	if err != nil {
		return nil, err
	}
	if w.Rows != m.Out || w.Cols != m.In {
		return nil, fmt.Errorf("svf: %s: weight is %v, want [%d %d]", m.Name, w, m.Out, m.In)
	}
	if err := s.reserve(slotCoef, m.R*m.R); err != nil {
		return nil, fmt.Errorf("%w (%s)", err, m.Name)
	}
	l, err := s.dev.NewTensor(m.Out, m.R)
	if err != nil {
		return nil, fmt.Errorf("svf: %s: %w", m.Name, err)
	}
	rt, err := s.dev.NewTensor(m.In, m.R)
	if err != nil {
		s.dev.Free(l.Buf)
		return nil, fmt.Errorf("svf: %s: %w", m.Name, err)
	}
	if m.Left {
		s.dev.Write(l, vectors)
		s.dev.Gemm(compute.TN, rt, w, l, false) // [in r] = Wᵀ U
	} else {
		s.dev.Write(rt, vectors)
		s.dev.Gemm(compute.NN, l, w, rt, false) // [out r] = W V
	}
	return &Folder{dev: s.dev, scratch: s, w: w, l: l, rt: rt, left: m.Left, r: m.R}, nil
}

// Fold writes the adapted weight to dst [out in]: W' = W + L diag(z−1) Rᵀ, z1 = z−1 [1 r].
// dst may not be the base weight.
func (f *Folder) Fold(dst, z1 compute.Tensor) {
	f.shape("Fold", dst, z1)
	scaled := f.scratch.view(slotCoef, f.r, f.r)
	f.dev.Copy(dst, f.w)
	if f.left { // the basis is square: scaling it is the cheaper side
		f.dev.ScaleCols(scaled, f.l, z1, compute.Ints{})
		f.dev.Gemm(compute.NT, dst, scaled, f.rt, true)
	} else {
		f.dev.ScaleCols(scaled, f.rt, z1, compute.Ints{})
		f.dev.Gemm(compute.NT, dst, f.l, scaled, true)
	}
}

// Grad adds ∂L/∂z = diag(Lᵀ dW R) to dz [1 r], from dW = ∂L/∂W' [out in].
func (f *Folder) Grad(dz, dW compute.Tensor) {
	f.shape("Grad", dW, dz)
	p := f.scratch.view(slotCoef, f.r, f.r)
	if f.left {
		f.dev.Gemm(compute.NN, p, dW, f.rt, false) // [out r] = dW R, out = r
		f.dev.ColDot(dz, f.l, p)
	} else {
		f.dev.Gemm(compute.TN, p, dW, f.l, false) // [in r] = dWᵀ L, in = r
		f.dev.ColDot(dz, f.rt, p)
	}
}

func (f *Folder) shape(op string, w, z compute.Tensor) {
	if w.Rows != f.w.Rows || w.Cols != f.w.Cols || z.Rows != 1 || z.Cols != f.r {
		panic(fmt.Sprintf("svf: %s: weight %v and z %v, want %v and [1 %d]", op, w, z, f.w, f.r))
	}
}

// Free gives the factors back, and the scratch where it is the folder's own.
func (f *Folder) Free() {
	f.dev.Free(f.l.Buf)
	f.dev.Free(f.rt.Buf)
	if f.own {
		f.scratch.Free()
	}
}
