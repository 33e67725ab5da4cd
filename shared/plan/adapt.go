package plan

import (
	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// projectedRows is the rows of a batch that the projected form turns at once.
const projectedRows = 256

// adaptBytes is what an expert of all matrices takes beside the model and a conversation, in the
// form that the model's voices would have it in (adapt.Voices); projected only where Model says so.
func adaptBytes(m Model) int64 {
	switch {
	case m.Form == adapt.FormProjected:
		return projectedBytes(m)
	case adapt.IsSmall(m.Config, m.small):
		return factorBytes(m)
	}
	return refoldBytes(m)
}

// factorBytes: matrices keep W' and both factors of W, and take turns in two f32 of the largest;
// bases are read one at a time and scaled.
func factorBytes(m Model) int64 {
	n := 8*int64(largestLinear(m.Config)) + 8*square(largestRank(m.Config))
	for _, s := range m.Config.Linears() {
		n += foldBytes(adapt.FoldedType(m.Held.Matrices), s)
	}
	return n
}

// refoldBytes: W' takes the place of W, or lies beside it where it is of another type. The scratch is
// W twice in f32, where the basis is V, and two squares; the basis is read beside it.
func refoldBytes(m Model) (n int64) {
	var one, two int
	folded := adapt.FoldedType(m.Held.Matrices)
	for _, s := range m.Config.Linears() {
		if folded != m.Held.Matrices {
			n += weightBytes(folded, s.Rows, s.Cols)
		}
		one = max(one, s.Rows*s.Cols)
		if s.Rows > s.Cols {
			two = max(two, s.Rows*s.Cols)
		}
	}
	return n + 4*int64(one+two) + 3*4*square(largestRank(m.Config))
}

// projectedBytes: bases lie on the device twice, one transposed; activations are in four rows. A
// basis is read, transposed and packed beside them.
func projectedBytes(m Model) int64 {
	r := largestRank(m.Config)
	n := 4*projectedRows*4*int64(r) + 3*4*square(r)
	for _, s := range m.Config.Linears() {
		k := min(s.Rows, s.Cols)
		n += 2 * weightBytes(svf.BasisType(m.Held.Matrices), k, k)
	}
	return n
}

// adaptSeconds is what taking an expert of all matrices on takes.
func adaptSeconds(m Model, r Rates) float64 {
	var ops, moved float64 // moved: bytes of f32 that are read, unpacked and packed
	small := adapt.IsSmall(m.Config, m.small)
	for _, s := range m.Config.Linears() {
		moved += float64(basisBytes(s))
		switch {
		case m.Form == adapt.FormProjected:
			moved += 2 * float64(basisBytes(s))
		case small: // the other factor, and W'
			ops += 2 * factorOps(s)
			moved += 4 * float64(s.Rows) * float64(s.Cols)
		default:
			ops += adapt.RefoldOps(s.Rows, s.Cols)
			moved += 4 * float64(s.Rows) * float64(s.Cols)
		}
	}
	return ops/r.Product + moved/(2*r.Load) + float64(adaptBytes(m))/r.Touch
}

// factorOps are those of a product of a matrix and its basis.
func factorOps(s llama.TensorSpec) float64 {
	return 2 * float64(s.Rows) * float64(s.Cols) * float64(min(s.Rows, s.Cols))
}

// foldBytes is what an expert's matrix takes that keeps both factors of W in f32: they and W', held
// as said.
func foldBytes(held compute.DType, s llama.TensorSpec) int64 {
	return weightBytes(held, s.Rows, s.Cols) + 4*int64(s.Rows+s.Cols)*int64(min(s.Rows, s.Cols))
}

// keptBytes are the bases that lie in memory, as there is no place to keep them.
func keptBytes(m Model) (n int64) {
	for _, s := range m.Config.Linears() {
		if m.BasesInMemory {
			n += basisBytes(s)
		}
	}
	return n
}
