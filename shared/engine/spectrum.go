package engine

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

// Spectrum is what is known of a decomposed matrix, and how good the decomposition is.
type Spectrum struct {
	Name          string
	Out, In, R    int
	Left          bool      // the basis kept is U, else V
	Sigma         []float64 // [R] descending
	Arithmetic    string    // of the solver: "f64" is linalg's
	EffectiveRank float64   // exp of the entropy of σ/Σσ (Roy & Vetterli 2007)
	Residual      float64   // see linalg.Decomposition.Residual
	Orthogonality float64   // |BᵀB − I|max
	Cached        bool      // it was in the store
	Seconds       float64   // of finding or computing it; measuring is not counted
}

// DecomposeOptions say what Decompose does.
type DecomposeOptions struct {
	Scope svf.Scope
	// Exact computes every matrix anew and measures its f64 factors; otherwise what the store has,
	// or gets now, is measured as it is kept: rounded to f32.
	Exact bool
	// Solver finds what the store has not; nil: linalg's, in f64, which is also what Exact takes.
	Solver svf.Solver
}

// Decompose decomposes the model's matrices within a scope one by one, keeps them in the store and
// hands each with its measures to report. total is how many there are.
func (s *Session) Decompose(ctx context.Context, o DecomposeOptions,
	report func(m Spectrum, total int)) error {
	var names []svf.Matrix
	for _, m := range s.Model.Matrices() {
		if o.Scope.Has(m.Name) {
			names = append(names, m)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("model %s has no matrix in the scope %v", s.Model.Name, o.Scope)
	}
	return s.Model.format.Weights(func(weights checkpoint.Source) error {
		for _, m := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			w := make([]float32, m.Out*m.In)
			if err := weights.ReadInto(m.Name, w, checkpoint.Finite); err != nil {
				return err
			}
			spectrum, err := s.spectrum(ctx, m, w, o)
			if err != nil {
				return err
			}
			report(spectrum, len(names))
		}
		return nil
	})
}

// spectrum decomposes and measures one weight w [Out In].
func (s *Session) spectrum(ctx context.Context, m svf.Matrix, w []float32, o DecomposeOptions) (
	Spectrum, error) {
	begin := time.Now()
	cache := svf.Cache{Store: s.Store, Solver: o.Solver}
	var d linalg.Decomposition
	var err error
	cached := false
	arithmetic := svf.ArithmeticF64
	if o.Exact {
		d, err = linalg.Basis(s.Dev, m.Out, m.In, w)
	} else if m, cached, err = cache.Matrix(ctx, s.Dev, m.Name, m.Out, m.In, w); err == nil {
		arithmetic = cmp.Or(m.Arithmetic, arithmetic)
		d = linalg.Decomposition{Out: m.Out, In: m.In, R: m.R, Left: m.Left, Sigma: m.Sigma,
			Basis: make([]float64, len(m.Basis))}
		for i, v := range m.Basis {
			d.Basis[i] = float64(v)
		}
	}
	if err != nil {
		return Spectrum{}, fmt.Errorf("%s: %w", m.Name, err)
	}
	seconds := time.Since(begin).Seconds()
	return Spectrum{Name: m.Name, Out: d.Out, In: d.In, R: d.R, Left: d.Left, Sigma: d.Sigma,
		Arithmetic: arithmetic, EffectiveRank: EffectiveRank(d.Sigma), Residual: d.Residual(s.Dev, w),
		Orthogonality: d.Orthogonality(s.Dev), Cached: cached, Seconds: seconds}, nil
}

// EffectiveRank is exp(−Σ p log p), p = σ/Σσ: r for r equal singular values, 1 for a single one.
func EffectiveRank(sigma []float64) float64 {
	var sum, entropy float64
	for _, v := range sigma {
		sum += v
	}
	for _, v := range sigma {
		if p := v / sum; p > 0 {
			entropy -= p * math.Log(p)
		}
	}
	return math.Exp(entropy)
}
