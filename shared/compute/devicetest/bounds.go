package devicetest

import "math"

// The bounds follow from the arithmetic, not from one device: a correct device in f32, with sums in
// any order, fused or not, and with the accuracy that WGSL asks of a GPU (WGSL §15.7.4) stays
// within them. Each check logs its largest error/bound.
const (
	// unit is the unit roundoff of f32: one rounding moves x by at most unit·|x|.
	unit = 1.0 / (1 << 24)
	// divide bounds x/y and 1/√x: 2.5 and 2 ulp in WGSL, where an ulp is up to 2·unit.
	divide = 5 * unit
	// logAbs bounds log near one, where WGSL asks for an absolute 2^-21; elsewhere 3 ulp.
	logAbs = 1.0 / (1 << 21)
	logRel = 6 * unit
	// flush is what may be lost where f32 runs out of exponent: GPUs flush numbers below 2^-126,
	// and σ(a) for a < −87, where e^−a nears the largest f32, is below 1.7e-38.
	flush = 1.0 / (1 << 60) / (1 << 60)
)

// sum bounds a sum of n products, relative to the sum of their magnitudes. The certain bound for
// any order is n·unit; roundings are as good as independent, so that λ·√n·unit holds but for a
// chance of 2·exp(−λ²/2) (Higham & Mary 2019): λ = 4, and 8 for what precedes and follows.
// The products of kernels/cpu reach 0.17 of it, all forms.
func sum(n int) float64 { return unit * (8 + 4*math.Sqrt(float64(n))) }

// exponential bounds e^x, relative: 3+2|x| ulp in WGSL.
func exponential(x float64) float64 { return 2 * unit * (3 + 2*math.Abs(x)) }

// logarithm bounds log(x) for a result of that size, absolute.
func logarithm(y float64) float64 { return logAbs + logRel*math.Abs(y) }

// answer is what an op should give and how far each number may be off.
type answer struct{ v, tol []float64 }

func newAnswer(n int) answer { return answer{make([]float64, n), make([]float64, n)} }
