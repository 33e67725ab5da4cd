package svf

import (
	"fmt"

	"transformer2/shared/compute"
)

// Refold writes the adapted weight of w to dst, which is of the same shape and may be w, from the
// singular basis of the smaller side alone (left: U, else V), all three as the device packs them:
//
//	left:  W' = W + (U diag(z−1) Uᵀ) W       right: W' = W + W (V diag(z−1) Vᵀ)
//
// Sums are f32 and are rounded once, to the type of dst; z1 = z−1 [1 r]. Unlike a Folder it keeps
// nothing of a matrix, so that a model of any size takes the room of its largest weight, twice in
// f32, and of three bases. The ops are recorded; an error says that the scratch has no room, and
// leaves dst as it was.
func (s *Scratch) Refold(dst, w, basis compute.Weight, left bool, z1 compute.Tensor) error {
	if err := refoldShapes(dst, w, left, z1); err != nil {
		return err
	}
	if o, i := basis.Dims(); o != z1.Cols || i != z1.Cols {
		return fmt.Errorf("svf: Refold: a basis [%d %d], want [%d %d]", o, i, z1.Cols, z1.Cols)
	}
	return s.refold(dst, w, left, z1, func(b compute.Tensor) { s.dev.Unpack(b, basis) })
}

// RefoldMatrix is Refold from the basis of m, which is read when it is wanted (Matrix.Vectors) and
// is in the scratch as f32 for as long as that takes: between two calls no basis is held at all.
func (s *Scratch) RefoldMatrix(dst, w compute.Weight, m *Matrix, z1 compute.Tensor) error {
	if out, in := w.Dims(); out != m.Out || in != m.In {
		return fmt.Errorf("svf: %s: weight is [%d %d], want [%d %d]", m.Name, out, in, m.Out, m.In)
	}
	if err := refoldShapes(dst, w, m.Left, z1); err != nil {
		return err
	}
	vectors, err := m.whole()
	if err == nil {
		err = s.refold(dst, w, m.Left, z1, func(b compute.Tensor) { s.dev.Write(b, vectors) })
	}
	if err != nil {
		return fmt.Errorf("%w (%s)", err, m.Name)
	}
	return nil
}

// refold is Refold with a basis that write puts into a tensor [r r].
func (s *Scratch) refold(dst, w compute.Weight, left bool, z1 compute.Tensor,
	write func(b compute.Tensor)) error {
	out, in := w.Dims()
	r := z1.Cols
	for slot, n := range map[int]int{slotCoef: max(out*in, r*r), slotScaled: r * r,
		slotTurn: r * r, slotInput: out * in} {
		if slot == slotInput && left {
			continue // the weight is read as it is packed
		}
		if err := s.reserve(slot, n); err != nil {
			return err
		}
	}
	b, scaled, turn := s.view(slotCoef, r, r), s.view(slotScaled, r, r), s.view(slotTurn, r, r)
	write(b)
	s.dev.ScaleCols(scaled, b, z1, compute.Ints{})
	s.dev.Gemm(compute.NT, turn, scaled, b, false) // B diag(z−1) Bᵀ
	y := s.view(slotCoef, out, in)                 // b is done with
	s.dev.Unpack(y, w)
	if left {
		s.dev.MatMulT(y, turn, w, true)
	} else {
		x := s.view(slotInput, out, in)
		s.dev.Unpack(x, w)
		s.dev.Gemm(compute.NN, y, x, turn, true)
	}
	s.dev.Pack(dst, y)
	return nil
}

// refoldShapes says which argument does not fit.
func refoldShapes(dst, w compute.Weight, left bool, z1 compute.Tensor) error {
	out, in := w.Dims()
	r := in
	if left {
		r = out
	}
	if o, i := dst.Dims(); o != out || i != in {
		return fmt.Errorf("svf: Refold: the result is [%d %d], want [%d %d] as the weight", o, i, out, in)
	}
	if z1.Rows != 1 || z1.Cols != r {
		return fmt.Errorf("svf: Refold of [%d %d]: z %v, want [1 %d]", out, in, z1, r)
	}
	return nil
}
