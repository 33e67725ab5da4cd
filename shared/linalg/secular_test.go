package linalg

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// hardSecular draws equations from very easy to what deflation lets through and beyond: gaps down
// to 1e-15, weights down to 1e-18, rho down to 1e-15, in several arrangements.
func hardSecular(rng *rand.Rand) secular {
	k := 1 + rng.IntN(40)
	d, z := make([]float64, k), make([]float64, k)
	spread, weight := 15*rng.Float64(), 18*rng.Float64()
	kind := rng.IntN(4)
	for i := range k {
		switch kind {
		case 0: // gaps of all sizes
			d[i] = math.Pow(10, -spread*rng.Float64())
		case 1: // clusters
			d[i] = float64(rng.IntN(4)) + math.Pow(10, -spread)*float64(1+rng.IntN(100))
		case 2: // even
			d[i] = float64(i)
		default: // graded
			d[i] = math.Pow(10, -spread*float64(i)/float64(k))
		}
		z[i] = rng.NormFloat64()
		if rng.IntN(2) == 0 {
			z[i] *= math.Pow(10, -weight*rng.Float64())
		}
	}
	slices.Sort(d)
	d = slices.Compact(d)
	z = z[:len(d)]
	norm := math.Sqrt(dot(z, z))
	for i := range z {
		z[i] /= norm
	}
	return secular{d: d, z: z, rho: math.Pow(10, -15*rng.Float64())}
}

// exactF is f(d[o] + mu) with 300 bits.
func exactF(q secular, o int, mu float64) float64 {
	num := func(x float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(x) }
	sum := new(big.Float).Quo(num(1), num(q.rho))
	for i, d := range q.d {
		den := num(d)
		den.Sub(den, num(q.d[o])).Sub(den, num(mu))
		t := num(q.z[i])
		t.Mul(t, t).Quo(t, den)
		sum.Add(sum, t)
	}
	f, _ := sum.Float64()
	return f
}

func TestSecularRoots(t *testing.T) {
	rng := newRand(1)
	var total, count, worst int
	for trial := range 1000 {
		q := hardSecular(rng)
		k := len(q.d)
		for j := range k {
			o, mu, evals := q.root(j)
			total, count, worst = total+evals, count+1, max(worst, evals)
			// The differences of which the eigenvectors are made must have the signs of the exact.
			for i := range k {
				if diff := (q.d[i] - q.d[o]) - mu; (diff > 0) != (i > j) || diff == 0 {
					t.Fatalf("trial %d: root %d of %d: d[%d] − λ = %v", trial, j, k, i, diff)
				}
			}
			if k == 1 {
				continue
			}
			at := q.eval(o, min(j, k-2), mu)
			if f := exactF(q, o, mu); !(math.Abs(f) <= 4*roundoff*at.bound) {
				t.Errorf("trial %d: root %d of %d: f = %.1e after %d evaluations, want %.1e",
					trial, j, k, f, evals, 4*roundoff*at.bound)
			}
		}
	}
	// Measured 3.3 on the mean (with one for the start) and 29 at worst.
	if mean := float64(total) / float64(count); mean > 4 || worst > 40 {
		t.Errorf("evaluations: mean %.2f, worst %d", mean, worst)
	}
	t.Logf("%d roots, evaluations: %d, at most %d", count, total, worst)
}
