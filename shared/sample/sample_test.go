package sample_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"transformer2/shared/sample"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// frequencies samples n times.
func frequencies(p sample.Params, logits []float32, n int) []float64 {
	s := sample.New(p, rng(1))
	f := make([]float64, len(logits))
	for range n {
		f[s.Sample(logits)] += 1 / float64(n)
	}
	return f
}

func TestGreedyTakesTheFirstBest(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 3, 2}, 1}, {[]float32{nan, 1, nan, 0}, 1}, {[]float32{-inf, -inf}, 0},
		{[]float32{nan, nan}, 0}, {[]float32{5}, 0}, {[]float32{0, inf}, 1},
	} {
		if got := sample.New(sample.Params{}, nil).Sample(c.logits); got != c.want {
			t.Errorf("greedy on %v is %d, want %d", c.logits, got, c.want)
		}
	}
}

// freqTol is four standard deviations of a frequency near 0.5 over draws samples.
const (
	draws   = 40000
	freqTol = 4 * 0.5 / 200
)

func TestFrequenciesAreTheSoftmax(t *testing.T) {
	logits := []float32{1, 0, -1, 2, -40}
	for _, temperature := range []float64{0.5, 1, 2} {
		total := 0.0
		for _, l := range logits {
			total += math.Exp(float64(l) / temperature)
		}
		for id, f := range frequencies(sample.Params{Temperature: temperature}, logits, draws) {
			want := math.Exp(float64(logits[id])/temperature) / total
			if math.Abs(f-want) > freqTol {
				t.Errorf("temperature %g: token %d comes with frequency %.3f, want %.3f",
					temperature, id, f, want)
			}
		}
	}
}

func TestCutsKeepWhatTheySay(t *testing.T) {
	// Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
	logits := []float32{0, -1, -2, -3, -3}
	for i := range logits {
		logits[i] *= float32(math.Ln2)
	}
	for name, c := range map[string]struct {
		p    sample.Params
		kept int
	}{
		"top-k 2":                {sample.Params{Temperature: 1, TopK: 2}, 2},
		"top-k past the end":     {sample.Params{Temperature: 1, TopK: 9}, 5},
		"top-p 0.5":              {sample.Params{Temperature: 1, TopP: 0.5}, 1},
		"top-p 0.7":              {sample.Params{Temperature: 1, TopP: 0.7}, 2},
		"top-p 1":                {sample.Params{Temperature: 1, TopP: 1}, 5},
		"min-p 0.2":              {sample.Params{Temperature: 1, MinP: 0.2}, 3},
		"top-k then top-p":       {sample.Params{Temperature: 1, TopK: 2, TopP: 0.6}, 1},
		"min-p keeps the best":   {sample.Params{Temperature: 1, MinP: 1}, 1},
		"low temperature, min-p": {sample.Params{Temperature: 0.5, MinP: 0.2}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			for id, f := range frequencies(c.p, logits, 4000) {
				if (f > 0) != (id < c.kept) {
					t.Errorf("token %d has frequency %g, want the first %d tokens only", id, f, c.kept)
				}
			}
		})
	}
}

func TestSameSeedSameTokens(t *testing.T) {
	p := sample.Params{Temperature: 1, TopP: 0.9}
	a, b := sample.New(p, rng(7)), sample.New(p, rng(7))
	logits := make([]float32, 100)
	r := rng(2)
	for range 200 {
		for i := range logits {
			logits[i] = float32(r.NormFloat64())
		}
		if x, y := a.Sample(logits), b.Sample(logits); x != y {
			t.Fatalf("the same seed gives %d and %d", x, y)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, p := range map[string]sample.Params{
		"temperature": {Temperature: math.NaN()}, "top-k": {TopK: -1}, "top-p": {TopP: 1.5},
		"min-p": {MinP: -0.1},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error about %s", p, err, want)
		}
	}
	if err := (sample.Params{}).Validate(); err != nil {
		t.Errorf("greedy is refused: %v", err)
	}
}

func BenchmarkSample(b *testing.B) {
	logits := make([]float32, 128256)
	r := rng(3)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 3)
	}
	for name, p := range map[string]sample.Params{"temperature": {Temperature: 1},
		"top-p": {Temperature: 1, TopP: 0.9}} {
		b.Run(name, func(b *testing.B) {
			s := sample.New(p, rng(4))
			for b.Loop() {
				s.Sample(logits)
			}
		})
	}
}
