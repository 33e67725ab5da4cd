package sample

import "math"

// LogZ is log Σ exp(logits), and the entropy, nats, of the distribution that they give: one
// exponential a logit. NaN logits count as −Inf.
func LogZ(logits []float32) (logZ, entropy float64) {
	best := ArgMax(logits)
	if best < 0 {
		return math.Inf(-1), 0
	}
	top, sum, weighted := float64(logits[best]), 0.0, 0.0
	if math.IsInf(top, 0) {
		return top, 0
	}
	for _, l := range logits {
		if d := float64(l) - top; d > -negligible64 {
			e := Exp(d)
			sum += e
			weighted += d * e
		}
	}
	logSum := math.Log(sum)
	return top + logSum, logSum - weighted/sum
}

// negligible64 is e^−50: of a million such terms nothing reaches the last bit of a sum over 1.
const negligible64 = 50

// expSteps divides an octave of Exp's table.
const (
	expShift = 8
	expSteps = 1 << expShift
)

// powers[i] is 2^(i/expSteps).
var powers = func() (table [expSteps]float64) {
	for i := range table {
		table[i] = math.Exp2(float64(i) / expSteps)
	}
	return table
}()

// Exp is e^x for −700 < x ≤ 0, to a few units in the thirteenth digit, at a fraction of math.Exp's
// cost where that is no instruction: 2^(n/256) from a table, and a polynomial for the rest,
// which is no more than ln 2/512.
func Exp(x float64) float64 {
	n := int64(x*(expSteps/math.Ln2) - 0.5)
	r := x - float64(n)*(math.Ln2/expSteps)
	p := 1 + r*(1+r*(1.0/2+r*(1.0/6)))
	return powers[n&(expSteps-1)] * p * math.Float64frombits(uint64(1023+n>>expShift)<<52)
}
