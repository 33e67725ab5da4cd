package svf

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Parametrisation says which numbers p are trained and what z they stand for.
type Parametrisation string

const (
	// Linear: z = 1 + p. At p = 0 the model is the base, bit for bit.
	Linear Parametrisation = "linear"

	// SigmoidNuclear is that of the paper's released code: z = sigmoid(p), and the adapted weight
	// is scaled back to the base's nuclear norm. The factor joins z, so that everything behind
	// this file sees one effective scaling:
	//
	//	W' = U diag(σ∘z) Vᵀ · Σσ/Σ(σ∘z) = U diag(σ∘z̃) Vᵀ,  z̃ = z·Σσ/Σ(σ∘z)
	SigmoidNuclear Parametrisation = "sigmoid-nuclear"
)

func (p Parametrisation) check() error {
	if p != Linear && p != SigmoidNuclear {
		return fmt.Errorf("svf: parametrisation %q: want %q or %q",
			string(p), Linear, SigmoidNuclear)
	}
	return nil
}

// Init is the start of training, r numbers: zeros for Linear, and 0.1 + 0.01·N(0,1) as the released
// code draws it for SigmoidNuclear (the paper's table 6 prints that mean as z's, and a variance of
// 1e-3).
func (p Parametrisation) Init(rng *rand.Rand, r int) []float32 {
	params := make([]float32, r)
	if p == SigmoidNuclear {
		for i := range params {
			params[i] = float32(0.1 + 0.01*rng.NormFloat64())
		}
	}
	return params
}

// Scale computes what a Folder or Projector takes, dst = z̃ − 1, from the parameters and the
// matrix's singular values (Linear does not look at them). All are [R]; dst may be params. It fails
// where the parameters are not finite or leave nothing of the nuclear norm.
func (p Parametrisation) Scale(dst, params []float32, sigma []float64) error {
	if err := p.check(); err != nil {
		return err
	}
	if i := firstNonFinite(params); i >= 0 {
		return fmt.Errorf("svf: %s: parameter %d is %v", p, i, params[i])
	}
	if p == Linear {
		copy(dst, params)
		return nil
	}
	z, norm, err := nuclear(params, sigma)
	if err != nil {
		return err
	}
	for i := range z {
		dst[i] = float32(norm.factor*z[i] - 1)
	}
	return nil
}

// Chain is the gradient of the parameters from that of z̃: dp = (∂z̃/∂p)ᵀ dz. All are [R]; dp may
// be dz. For SigmoidNuclear, with c = Σσ/Σ(σ∘z):
//
//	∂L/∂z[k] = c·(dz[k] − σ[k]/Σ(σ∘z) · Σᵢ dz[i]·z[i])      ∂L/∂p[k] = ∂L/∂z[k]·z[k]·(1−z[k])
func (p Parametrisation) Chain(dp, dz, params []float32, sigma []float64) error {
	if err := p.check(); err != nil {
		return err
	}
	if p == Linear {
		copy(dp, dz)
		return nil
	}
	z, norm, err := nuclear(params, sigma)
	if err != nil {
		return err
	}
	var dot float64
	for i := range z {
		dot += float64(dz[i]) * z[i]
	}
	for k := range z {
		g := norm.factor * float64(dz[k])
		if norm.kept > 0 {
			g -= norm.factor * sigma[k] / norm.kept * dot
		}
		dp[k] = float32(g * z[k] * (1 - z[k]))
	}
	return nil
}

// nuclearNorm is what rescaling does to Σσ: kept = Σ(σ∘z), factor = Σσ/kept.
type nuclearNorm struct{ kept, factor float64 }

func nuclear(params []float32, sigma []float64) ([]float64, nuclearNorm, error) {
	z := make([]float64, len(params))
	for i, p := range params {
		z[i] = 1 / (1 + math.Exp(-float64(p)))
	}
	norm, err := keepNuclear(z, sigma)
	return z, norm, err
}

// keepNuclear fails where there is no factor. A weight of zeros has any: it is 1.
func keepNuclear(z, sigma []float64) (nuclearNorm, error) {
	if len(z) != len(sigma) {
		return nuclearNorm{}, fmt.Errorf("svf: %d numbers for %d singular values",
			len(z), len(sigma))
	}
	var sum, kept float64
	for i, s := range sigma {
		sum += s
		kept += s * z[i]
	}
	if sum == 0 {
		return nuclearNorm{factor: 1}, nil
	}
	factor := sum / kept
	if math.IsNaN(factor) || math.IsInf(factor, 0) {
		return nuclearNorm{}, fmt.Errorf("svf: nuclear norm %v becomes %v and cannot be kept",
			sum, kept)
	}
	return nuclearNorm{kept, factor}, nil
}
