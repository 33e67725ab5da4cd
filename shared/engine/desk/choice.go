package desk

import (
	"slices"

	"transformer2/shared/engine/protocol"
	"transformer2/shared/sample"
	"transformer2/shared/tokenizer"
)

// leastLog stands for the logarithm of zero, which JSON has no word for.
const leastLog = -1e30

// choice describes the distribution that logits [V] give, and the probability of a token in it.
func choice(tok *tokenizer.Tokenizer, logits []float32, id int32, top int) protocol.Choice {
	logZ, entropy := sample.LogZ(logits)
	c := protocol.Choice{LogProb: logProb(logits, id, logZ), Entropy: entropy,
		Top: []protocol.Alternative{}}
	for _, i := range likeliest(logits, top) {
		c.Top = append(c.Top, protocol.Alternative{ID: i, Text: tok.DecodeSpecial([]int32{i}),
			LogProb: logProb(logits, i, logZ)})
	}
	return c
}

func logProb(logits []float32, id int32, logZ float64) float64 {
	if int(id) >= len(logits) {
		return leastLog
	}
	return max(float64(logits[id])-logZ, leastLog)
}

// likeliest are the ids of the n greatest logits, the greatest first, the least id among equals.
func likeliest(logits []float32, n int) []int32 {
	if n == 0 {
		return nil
	}
	best := make([]int32, 0, n+1)
	for i, l := range logits {
		if l != l || len(best) == n && l <= logits[best[n-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, l, func(id int32, l float32) int {
			if logits[id] >= l {
				return -1
			}
			return 1
		})
		best = slices.Insert(best, at, int32(i))
		best = best[:min(len(best), n)]
	}
	return best
}

// divergence is D(p ‖ q) = Σ p·(log p − log q) of the distributions that two rows of logits
// give, nats.
func divergence(p, q []float32) float64 {
	zp, _ := sample.LogZ(p)
	zq, _ := sample.LogZ(q)
	sum := 0.0
	for i := range p {
		if lp := float64(p[i]) - zp; lp > -700 { // e^−700 is next to the least that there is
			sum += sample.Exp(min(lp, 0)) * (lp - max(float64(q[i])-zq, leastLog))
		}
	}
	return max(sum, 0) // rounding may leave −1e−17
}
