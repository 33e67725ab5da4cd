// Package sample turns logits into a token.
//
// The order is the one that most engines use: temperature, then top-k, top-p (Holtzman et al.
// 2020) and min-p cut the tail, and what is left is renormalised. Temperature 0 is greedy: the
// largest logit, the least id among equals.
package sample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Params says how to sample. The zero value is greedy.
type Params struct {
	Temperature float64 // divides the logits; 0 is greedy
	TopK        int     // keep the k likeliest; 0 keeps all
	TopP        float64 // keep the least set whose mass reaches p; 0 or 1 keeps all
	MinP        float64 // keep what has at least MinP times the likeliest's probability; 0: all
}

// Validate refuses numbers that mean nothing.
func (p Params) Validate() error {
	switch {
	case !(p.Temperature >= 0) || math.IsInf(p.Temperature, 0):
		return fmt.Errorf("sample: temperature is %g, want 0 or more", p.Temperature)
	case p.TopK < 0:
		return fmt.Errorf("sample: top-k is %d, want 0 or more", p.TopK)
	case !(p.TopP >= 0 && p.TopP <= 1):
		return fmt.Errorf("sample: top-p is %g, want 0 to 1", p.TopP)
	case !(p.MinP >= 0 && p.MinP <= 1):
		return fmt.Errorf("sample: min-p is %g, want 0 to 1", p.MinP)
	}
	return nil
}

// Sampler holds the scratch memory of one stream of tokens.
type Sampler struct {
	Params
	rng   *rand.Rand
	cands []candidate
}

type candidate struct {
	id int32
	p  float64
}

// New makes a sampler; rng is not used when p is greedy.
func New(p Params, rng *rand.Rand) *Sampler { return &Sampler{Params: p, rng: rng} }

// Sample picks a token by logits [V]. NaN logits are never picked.
func (s *Sampler) Sample(logits []float32) int32 {
	best := ArgMax(logits)
	if s.Temperature == 0 || best < 0 {
		return max(best, 0)
	}
	s.softmax(nil, logits, float64(logits[best]))
	return s.draw()
}

// SampleFrom is Sample where only some logits are known, ids being theirs in ascending order. It
// picks what Sample would if they are the TopK+1 largest, or more, the first of equals.
func (s *Sampler) SampleFrom(ids []int32, logits []float32) int32 {
	best := ArgMax(logits)
	switch {
	case best < 0:
		return 0
	case s.Temperature == 0:
		return ids[best]
	}
	s.softmax(ids, logits, float64(logits[best]))
	return s.draw()
}

// draw picks one of the candidates.
func (s *Sampler) draw() int32 {
	s.cut()
	total := 0.0
	for _, c := range s.cands {
		total += c.p
	}
	u := s.rng.Float64() * total
	for _, c := range s.cands {
		if u -= c.p; u < 0 {
			return c.id
		}
	}
	return s.cands[len(s.cands)-1].id
}

// negligible is e^−32: what is less likely than that against the best is left out, which spares
// the exponentials of most of a large vocabulary.
const negligible = 32

// softmax fills cands with unnormalised probabilities, the best's being 1. Without ids, they are
// 0, 1, 2 and so on.
func (s *Sampler) softmax(ids []int32, logits []float32, best float64) {
	s.cands = s.cands[:0]
	inv := 1 / s.Temperature
	for i, l := range logits {
		if d := (float64(l) - best) * inv; d > -negligible {
			id := int32(i)
			if ids != nil {
				id = ids[i]
			}
			s.cands = append(s.cands, candidate{id, math.Exp(d)})
		}
	}
}

func (s *Sampler) cut() {
	if s.MinP > 0 {
		s.cands = slices.DeleteFunc(s.cands, func(c candidate) bool { return c.p < s.MinP })
	}
	byK, byP := s.TopK > 0 && s.TopK < len(s.cands), s.TopP > 0 && s.TopP < 1
	if !byK && !byP {
		return
	}
	slices.SortStableFunc(s.cands, func(a, b candidate) int {
		switch {
		case a.p > b.p:
			return -1
		case a.p < b.p:
			return 1
		}
		return 0
	})
	if byK {
		s.cands = s.cands[:s.TopK]
	}
	if byP {
		s.cands = s.cands[:nucleus(s.cands, s.TopP)]
	}
}

// nucleus is how many of the sorted candidates it takes to hold p of their mass, at least one.
func nucleus(cands []candidate, p float64) int {
	total := 0.0
	for _, c := range cands {
		total += c.p
	}
	mass := 0.0
	for i, c := range cands {
		if mass += c.p; mass >= p*total {
			return i + 1
		}
	}
	return len(cands)
}

// ArgMax is the least index of the largest number, −1 when there is none but NaN.
func ArgMax(x []float32) int32 {
	best, top := int32(-1), float32(math.Inf(-1))
	for i, v := range x {
		if v > top || best < 0 && v == v {
			best, top = int32(i), v
		}
	}
	return best
}

// Reset makes the sampler serve another stream and keeps its memory.
func (s *Sampler) Reset(p Params, rng *rand.Rand) { s.Params, s.rng = p, rng }
