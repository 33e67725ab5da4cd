// Package linalg answers one question: what are the singular values of a weight, and in which
// basis do they act?
//
// A weight W [out in] is W = U diag(σ) Vᵀ, and Transformer² adapts it by scaling σ:
//
//	W' = U diag(σ∘z) Vᵀ = (I + U diag(z−1) Uᵀ) W = W (I + V diag(z−1) Vᵀ)
//
// so one basis, that of the smaller side, carries the whole adaptation. [Basis] finds it from the
// Gram matrix of that side, G = W Wᵀ = U diag(σ²) Uᵀ or G = Wᵀ W = V diag(σ²) Vᵀ, with a symmetric
// eigen-solver in float64 ([EigenSym]):
//
//	G = Q T Qᵀ        blocked Householder reduction to a tridiagonal T   (tridiag.go)
//	T = Z diag(λ) Zᵀ  divide and conquer of Gu and Eisenstat             (divide.go, update.go)
//	U = Q Z           the reflections, applied in blocks                 (tridiag.go)
//
// All that costs n³ goes through [compute.Dense64]; [Plain] is one without a device. The results
// have the same bits for every thread count of a Dense64 whose products have that property.
package linalg
