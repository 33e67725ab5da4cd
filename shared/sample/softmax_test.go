package sample

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestExp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200_000 {
		x := -rng.Float64() * 60
		if i%100 == 0 {
			x = -float64(i/100) * math.Ln2 / 512 // where the pieces meet
		}
		if got, want := Exp(x), math.Exp(x); math.Abs(got/want-1) > 3e-13 {
			t.Fatalf("Exp(%g) = %g, want %g", x, got, want)
		}
	}
	if Exp(0) != 1 {
		t.Errorf("Exp(0) = %g", Exp(0))
	}
}

func TestLogZ(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		logits, scale := make([]float32, 1+rng.IntN(500)), 20*rng.Float64()
		for i := range logits {
			logits[i] = float32(rng.NormFloat64() * scale)
		}
		sum, entropy := 0.0, 0.0
		for _, l := range logits {
			sum += math.Exp(float64(l))
		}
		for _, l := range logits {
			p := math.Exp(float64(l)) / sum
			if p > 0 {
				entropy -= p * math.Log(p)
			}
		}
		z, h := LogZ(logits)
		if math.Abs(z-math.Log(sum)) > 1e-12 || math.Abs(h-entropy) > 1e-10 {
			t.Fatalf("LogZ = %g, %g, want %g, %g", z, h, math.Log(sum), entropy)
		}
	}
}

func TestLogZOddities(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, c := range []struct {
		logits []float32
		z, h   float64
	}{
		{nil, math.Inf(-1), 0},
		{[]float32{nan, nan}, math.Inf(-1), 0},
		{[]float32{inf, inf}, math.Inf(-1), 0},
		{[]float32{inf, 3, nan}, 3, 0},
		{[]float32{-200, 300}, 300, 0},
		{[]float32{5, 5}, 5 + math.Ln2, math.Ln2},
	} {
		if z, h := LogZ(c.logits); z != c.z && math.Abs(z-c.z) > 1e-12 || math.Abs(h-c.h) > 1e-12 {
			t.Errorf("LogZ(%v) = %g, %g, want %g, %g", c.logits, z, h, c.z, c.h)
		}
	}
}
