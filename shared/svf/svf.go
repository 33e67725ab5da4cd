// Package svf rescales the singular values of frozen weights (singular value fine-tuning).
//
// A weight W = U diag(σ) Vᵀ is adapted by a vector z of one number a singular value (Transformer²,
// arXiv 2501.06252, section 3.1):
//
//	W' = U diag(σ∘z) Vᵀ
//	   = W + U diag(z−1) UᵀW  =  W + W V diag(z−1) Vᵀ
//
// The last two forms need one basis only, that of the smaller side, and no σ. At z = 1 they leave W
// as it is bit for bit, in whatever precision it came. Folder (fold.go) computes W' once for a z;
// Projector (project.go) leaves W alone and applies z to the activations, so that each sequence of
// a batch may carry its own z. Both know the gradient of z.
//
// An Expert is a set of z-vectors, one a matrix; Mix combines experts; a Decomposition is what must
// be computed once for a base model, and Cache keeps it.
package svf

import (
	"fmt"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
)

// Matrix is the half of a singular value decomposition that SVF needs, R = min(Out, In).
type Matrix struct {
	Name    string                 // of the weight [Out, In] in the checkpoint
	Weight  checkpoint.Fingerprint // of the weight's numbers
	Out, In int
	R       int
	Left    bool      // Basis holds U (R = Out), else V (R = In)
	Sigma   []float64 // [R] singular values, descending
	Basis   []float32 // [R R] row-major, column j is singular vector j; nil: see Vectors

	Arithmetic string // of the solver that found them; "" is f64, linalg's

	kept checkpoint.Store // has a file of the matrix, where Basis is nil
}

// Vectors is the basis, [R R]: what the matrix holds, or else what the store it came from keeps,
// read and checked anew, so that the bases of a large model are in memory one at a time.
func (m *Matrix) Vectors() ([]float32, error) {
	basis := m.Basis
	if basis == nil && m.kept != nil {
		have, err := load(m.kept, m.Name, m.Out, m.In, m.Weight, m.Arithmetic, true)
		if err != nil {
			return nil, err
		}
		basis = have.Basis
	}
	if len(basis) != m.R*m.R {
		return nil, fmt.Errorf("svf: %s: basis of %d numbers, want %d×%d",
			m.Name, len(basis), m.R, m.R)
	}
	if i := firstNonFinite(basis); i >= 0 {
		return nil, fmt.Errorf("svf: %s: number %d of the basis is %v", m.Name, i, basis[i])
	}
	return basis, nil
}

// Decomposition is the singular bases of a base model's weights.
//
// To check an expert the names and the R of the matrices are enough; Sigma and Basis may be nil.
type Decomposition struct {
	Base     checkpoint.Fingerprint // of the model, checkpoint.HashModel
	Matrices []Matrix               // in the order of CompareNames
}

// Matrix finds a matrix by its weight's name.
func (d *Decomposition) Matrix(name string) (*Matrix, bool) {
	for i := range d.Matrices {
		if d.Matrices[i].Name == name {
			return &d.Matrices[i], true
		}
	}
	return nil, false
}

// check says whether the matrix is whole, but for its basis, which Vectors checks.
func (m *Matrix) check() error {
	side, r := "right", m.In
	if m.Left {
		side, r = "left", m.Out
	}
	switch {
	case m.Out <= 0 || m.In <= 0:
		return fmt.Errorf("svf: %s: weight is [%d %d]", m.Name, m.Out, m.In)
	case m.R != min(m.Out, m.In) || m.R != r:
		return fmt.Errorf("svf: %s: rank %d on the %s side of a weight [%d %d]",
			m.Name, m.R, side, m.Out, m.In)
	case len(m.Sigma) != m.R:
		return fmt.Errorf("svf: %s: %d singular values, want %d", m.Name, len(m.Sigma), m.R)
	}
	if i := firstNonFinite(m.Sigma); i >= 0 {
		return fmt.Errorf("svf: %s: singular value %d is %v", m.Name, i, m.Sigma[i])
	}
	for i, s := range m.Sigma {
		if s < 0 || i > 0 && s > m.Sigma[i-1] {
			return fmt.Errorf("svf: %s: singular value %d is %v, want them descending and ≥ 0",
				m.Name, i, s)
		}
	}
	return nil
}

// whole is check and Vectors.
func (m *Matrix) whole() ([]float32, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return m.Vectors()
}

// firstNonFinite is the index of the first NaN or Inf, or -1.
func firstNonFinite[T float32 | float64](x []T) int {
	return slices.IndexFunc(x, func(v T) bool { return v-v != 0 })
}

// stem is the weight's name without ".weight": what the tensors of our files are named after.
func stem(weight string) string { return strings.TrimSuffix(weight, ".weight") }
