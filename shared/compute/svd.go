package compute

import "context"

// Decomposer finds singular values and vectors in the arithmetic that it computes with, usually
// f32. A device may also be a Decomposer; linalg's solver in f64, on any Dense64, is what it is
// compared with, and what bases that are exchanged are made by.
type Decomposer interface {
	// SVD: w = U diag(σ) Vᵀ for w [out in], r = min(out, in):
	//
	//	sigma[0,j] = σ_j, descending      sigma [1 r]
	//	basis[i,j] = U[i,j] where out ≤ in, else V[i,j]      basis [r r], overwritten
	//
	// the basis of the smaller side, as in linalg.Basis: in each column the first of the components
	// that are largest in magnitude is positive. w stays as it is.
	//
	// SVD waits for the device, often, and ends early where ctx does. NaN or an infinity in w, no
	// room for the work, and rows that do not become orthogonal are errors, which leave sigma and
	// basis undefined. A shape that does not fit is a panic, as for every op.
	SVD(ctx context.Context, sigma, basis, w Tensor) (SVDReport, error)
}

// SVDReport says how a decomposition went.
type SVDReport struct {
	Sweeps int     // over all pairs of vectors
	Cosine float64 // the largest of two vectors σu or σv in the last sweep, which changed nothing
}
