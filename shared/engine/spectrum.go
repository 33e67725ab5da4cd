package engine

import (
	"math"

	"transformer2/shared/linalg"
)

// Spectrum is what is known of a decomposed matrix, and how good the decomposition is.
type Spectrum struct {
	Name           string
	Out, In, R     int
	Left           bool      // the basis kept is U, else V
	Sigma          []float64 // [R] descending
	Arithmetic     string    // of the solver: "f64" is linalg's
	EffectiveRank  float64   // exp of the entropy of σ/Σσ (Roy & Vetterli 2007)
	linalg.Quality           // of what is kept, as linalg.Probe finds it
	Cached         bool      // it was in the store
	Seconds        float64   // of finding or computing it
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
