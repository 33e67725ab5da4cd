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
		if q := d.Probe(Plain{}, w); q.Worst() > 1e-13 {
			t.Errorf("%v: %+v", s, q)
		}
		rng := newRand(3)
		tuned := make([]float32, len(w))
		for i, v := range w {
			tuned[i] = v + float32(1e-4*rng.NormFloat64())*v
		}
		if residual := d.Probe(Plain{}, tuned).Residual; residual < 1e-5 || residual > 1e-3 {
			t.Errorf("%v: a weight that differs by 1e-4 has residual %.1e", s, residual)
		}
		strange := weights[0].make(s[0], s[1], newRand(9))
		if residual := d.Probe(Plain{}, strange).Residual; residual < 0.1 {
			t.Errorf("%v: another weight has residual %.1e", s, residual)
		}
		if s[0] == 1 {
			continue
		}
		d.Basis[5] += 1e-6
		if o := d.Probe(Plain{}, w).Orthogonality; o < 1e-8 || o > 1e-5 {
			t.Errorf("%v: 1e-6 in the basis is orthogonality %.1e", s, o)
		}
		d.Basis[5] = math.NaN()
		if q := d.Probe(Plain{}, w); q.Residual == q.Residual || q.Orthogonality == q.Orthogonality ||
			q.Worst() == q.Worst() {
			t.Errorf("%v: NaN is %+v", s, q)
		}
		zero := make([]float32, len(w))
		d = decompose(zero)
		if residual := d.Probe(Plain{}, zero).Residual; residual != 0 {
			t.Errorf("%v: nothing has residual %v", s, residual)
		}
		if residual := d.Probe(Plain{}, w).Residual; !math.IsInf(residual, 1) {
			t.Errorf("%v: nothing for a weight has residual %v", s, residual)
		}
	}
}
