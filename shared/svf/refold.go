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
// f32, and of three bases. The ops are recorded; an error says that the scratch has no room.
func (s *Scratch) Refold(dst, w, basis compute.Weight, left bool, z1 compute.Tensor) error {
	out, in := w.Dims()
	r := in
	if left {
		r = out
	}
	if err := refoldShapes(dst, w, basis, r, z1); err != nil {
		return err
	}
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
	s.dev.Unpack(b, basis)
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
func refoldShapes(dst, w, basis compute.Weight, r int, z1 compute.Tensor) error {
	out, in := w.Dims()
	if o, i := dst.Dims(); o != out || i != in {
		return fmt.Errorf("svf: Refold: the result is [%d %d], want [%d %d] as the weight", o, i, out, in)
	}
	if o, i := basis.Dims(); o != r || i != r || z1.Rows != 1 || z1.Cols != r {
		return fmt.Errorf("svf: Refold of [%d %d]: a basis [%d %d] and z %v, want [%d %d] and [1 %d]",
			out, in, o, i, z1, r, r, r)
	}
	return nil
}
