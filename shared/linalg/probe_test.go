package linalg

import (
	"math"
	"testing"
)

// Probe is tiny for a decomposition, and about as large as what is wrong for any other.
func TestProbe(t *testing.T) {
	for _, s := range [][2]int{{20, 30}, {30, 20}, {1, 7}, {600, 40}} {
		w := weights[0].make(s[0], s[1], newRand(2))
		decompose := func(w []float32) Decomposition {
			d, err := Basis(Plain{}, s[0], s[1], w)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := decompose(w)
		if residual, orthogonality := d.Probe(Plain{}, w); residual > 1e-13 || orthogonality > 1e-13 {
			t.Errorf("%v: residual %.1e, orthogonality %.1e", s, residual, orthogonality)
		}
		rng := newRand(3)
		tuned := make([]float32, len(w))
		for i, v := range w {
			tuned[i] = v + float32(1e-4*rng.NormFloat64())*v
		}
		if residual, _ := d.Probe(Plain{}, tuned); residual < 1e-5 || residual > 1e-3 {
			t.Errorf("%v: a weight that differs by 1e-4 has residual %.1e", s, residual)
		}
		strange := weights[0].make(s[0], s[1], newRand(9))
		if residual, _ := d.Probe(Plain{}, strange); residual < 0.1 {
			t.Errorf("%v: another weight has residual %.1e", s, residual)
		}
		if s[0] == 1 {
			continue
		}
		d.Basis[5] += 1e-6
		if _, orthogonality := d.Probe(Plain{}, w); orthogonality < 1e-8 || orthogonality > 1e-5 {
			t.Errorf("%v: 1e-6 in the basis is orthogonality %.1e", s, orthogonality)
		}
		d.Basis[5] = math.NaN()
		if residual, orthogonality := d.Probe(Plain{}, w); residual == residual ||
			orthogonality == orthogonality {
			t.Errorf("%v: NaN is residual %v, orthogonality %v", s, residual, orthogonality)
		}
		zero := make([]float32, len(w))
		d = decompose(zero)
		if residual, _ := d.Probe(Plain{}, zero); residual != 0 {
			t.Errorf("%v: nothing has residual %v", s, residual)
		}
		if residual, _ := d.Probe(Plain{}, w); !math.IsInf(residual, 1) {
			t.Errorf("%v: nothing for a weight has residual %v", s, residual)
		}
	}
}
