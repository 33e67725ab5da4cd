package svf_test

import (
	"math"
	"slices"
	"testing"

	"transformer2/shared/svf"
)

// sigmas is a spectrum of r falling values.
func sigmas(r int) []float64 {
	s := make([]float64, r)
	for i := range s {
		s[i] = 10 * math.Exp(-0.3*float64(i))
	}
	return s
}

// released is z̃ in f64 as the released code defines its weights: sigmoid, then the nuclear norm.
func released(p, sigma []float64) []float64 {
	z := make([]float64, len(p))
	var sum, kept float64
	for i := range p {
		z[i] = 1 / (1 + math.Exp(-p[i]))
		sum += sigma[i]
		kept += sigma[i] * z[i]
	}
	for i := range z {
		z[i] *= sum / kept
	}
	return z
}

func TestLinearIsTheParameterItself(t *testing.T) {
	p := normal(rng(1), 9, 0, 1)
	got := make([]float32, 9)
	if err := svf.Linear.Scale(got, p, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "z−1", got, p)
	if err := svf.Linear.Chain(got, p, nil, nil); err != nil {
		t.Fatal(err)
	}
	same(t, "dp", got, p)
	same(t, "start", svf.Linear.Init(rng(1), 9), make([]float32, 9))
}

func TestSigmoidNuclearScale(t *testing.T) {
	const r = 40
	sigma := sigmas(r)
	for seed := range uint64(5) {
		p := normal(rng(seed), r, 0.1, math.Pow(10, float64(seed)-3))
		got := make([]float32, r)
		if err := svf.SigmoidNuclear.Scale(got, p, sigma); err != nil {
			t.Fatal(err)
		}
		want := released(widen(p), sigma)
		var norm, base float64
		for i := range want {
			norm += sigma[i] * (1 + float64(got[i]))
			base += sigma[i]
			want[i]--
		}
		near(t, "z̃−1", got, want, 1e-6) // f32 rounding of numbers of 1
		if math.Abs(norm-base) > 1e-6*base {
			t.Errorf("nuclear norm %v, want %v", norm, base)
		}
	}
}

// A constant logit is the base model, whatever the constant (reference: W'(c·z) = W'(z)).
func TestSigmoidNuclearOfAConstantIsTheBase(t *testing.T) {
	for _, c := range []float32{-30, -1, 0, 0.1, 3, 80} {
		p := make([]float32, 20)
		for i := range p {
			p[i] = c
		}
		got := make([]float32, 20)
		if err := svf.SigmoidNuclear.Scale(got, p, sigmas(20)); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if math.Abs(float64(v)) > 1e-12 {
				t.Errorf("logit %v: z−1 is %v at %d", c, v, i)
			}
		}
	}
}

func TestSigmoidNuclearChain(t *testing.T) {
	const r = 25
	sigma := sigmas(r)
	rnd := rng(3)
	p, dz := normal(rnd, r, 0.1, 1), normal(rnd, r, 0, 1)
	got := slices.Clone(dz)
	if err := svf.SigmoidNuclear.Chain(got, got, p, sigma); err != nil { // in place
		t.Fatal(err)
	}
	want := differences(widen(p), 1e-4, func(p []float64) float64 {
		return dot(released(p, sigma), widen(dz))
	})
	near(t, "dp", got, want, 1e-6) // f32 rounding and h²

	// W' does not change along z: Σ z ∂L/∂z = 0 (reference §1).
	var sum, size float64
	for i := range got {
		z := 1 / (1 + math.Exp(-float64(p[i])))
		sum += float64(got[i]) / (1 - z)
		size += math.Abs(float64(got[i]) / (1 - z))
	}
	if math.Abs(sum) > 1e-6*size {
		t.Errorf("Σ z ∂L/∂z = %v of %v", sum, size)
	}
}

func TestSigmoidNuclearStart(t *testing.T) {
	const n = 100_000
	p := svf.SigmoidNuclear.Init(rng(4), n)
	var mean, variance float64
	for _, v := range p {
		mean += float64(v) / n
	}
	for _, v := range p {
		variance += (float64(v) - mean) * (float64(v) - mean) / n
	}
	// Five standard errors: of the mean 0.01/√n, of the deviation 0.01/√(2n).
	deviation := math.Sqrt(variance)
	if math.Abs(mean-0.1) > 5*0.01/math.Sqrt(n) ||
		math.Abs(deviation-0.01) > 5*0.01/math.Sqrt(2*n) {
		t.Errorf("mean %v, deviation %v, want 0.1 and 0.01", mean, deviation)
	}
	same(t, "the same seed", svf.SigmoidNuclear.Init(rng(4), n), p)
}

func TestParametrisationErrors(t *testing.T) {
	dst, ones, released := make([]float32, 2), []float64{1, 1, 1}, svf.SigmoidNuclear
	nan := float32(math.NaN())
	for want, err := range map[string]error{
		`parametrisation "x"`:         svf.Parametrisation("x").Scale(dst, dst, nil),
		`parametrisation "y"`:         svf.Parametrisation("y").Chain(dst, dst, dst, nil),
		"linear: parameter 1 is NaN":  svf.Linear.Scale(dst, []float32{0, nan}, nil),
		"nuclear: parameter 0 is NaN": released.Scale(dst, []float32{nan, 0}, ones[:2]),
		"2 numbers for 1 singular":    released.Scale(dst, dst, ones[:1]),
		"norm 2 becomes 0":            released.Scale(dst, []float32{-1e4, -1e4}, ones[:2]),
		"2 numbers for 3 singular":    released.Chain(dst, dst, dst, ones),
	} {
		refused(t, err, want)
	}
	// A weight of zeros has no norm to keep; its z does not matter but must be a number.
	zero := make([]float64, 2)
	err := svf.SigmoidNuclear.Scale(dst, []float32{0, 1}, zero)
	if err != nil || dst[0] != -0.5 {
		t.Error(dst, err)
	}
	err = svf.SigmoidNuclear.Chain(dst, []float32{1, 1}, []float32{0, 0}, zero)
	if err != nil || dst[0] != 0.25 {
		t.Error(dst, err)
	}
}
