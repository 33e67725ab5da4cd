package linalg

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// eps is the distance from 1 to the next float64, in which the tests' bounds are written.
const eps = 0x1p-52

// guard fills what must not be read or written.
var guard = math.NaN()

// sizes cross the leaf, subtree, panel and block sizes of the solver.
var sizes = []int{0, 1, 2, 3, 4, 5, 10, 31, 33, 65, 100, 150, 300}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// threaded is a Dense64 with plain products whose Parallel splits at random into goroutines.
type threaded struct {
	Plain
	rng *rand.Rand
}

func (t threaded) Parallel(n, grain int, f func(lo, hi int)) {
	var wg sync.WaitGroup
	for next := 0; next < n; {
		lo, hi := next, min(n, next+max(grain, 1)+t.rng.IntN(1+n/3))
		wg.Go(func() { f(lo, hi) })
		next = hi
	}
	wg.Wait()
}

// symmetric is a full [n n] matrix by name.
type symmetric struct {
	name string
	make func(n int, rng *rand.Rand) []float64
}

func diagonal(f func(i, n int) float64) func(int, *rand.Rand) []float64 {
	return func(n int, _ *rand.Rand) []float64 {
		a := make([]float64, n*n)
		for i := range n {
			a[i*n+i] = f(i, n)
		}
		return a
	}
}

// withSpectrum is X diag(λ) Xᵀ for a random orthogonal X.
func withSpectrum(f func(i, n int) float64) func(int, *rand.Rand) []float64 {
	return func(n int, rng *rand.Rand) []float64 {
		x := randomOrthogonal(n, rng)
		xf, a := make([]float64, n*n), make([]float64, n*n)
		for i := range xf {
			xf[i] = x[i] * f(i%n, n)
		}
		Plain{}.Gemm64(n, n, n, 1, xf, n, 1, x, 1, n, a, n)
		mirror(Plain{}, n, a)
		return a
	}
}

// randomOrthogonal is [n n] by Gram and Schmidt, twice.
func randomOrthogonal(n int, rng *rand.Rand) []float64 {
	x := make([]float64, n*n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range n {
		v := x[i*n : i*n+n]
		for range 2 {
			for q := range i {
				u := x[q*n : q*n+n]
				s := dot(u, v)
				for k := range v {
					v[k] -= s * u[k]
				}
			}
			f := 1 / math.Sqrt(dot(v, v))
			for k := range v {
				v[k] *= f
			}
		}
	}
	return x
}

func tridiagonal(d, e func(i, n int) float64) func(int, *rand.Rand) []float64 {
	return func(n int, _ *rand.Rand) []float64 {
		a := make([]float64, n*n)
		for i := range n {
			a[i*n+i] = d(i, n)
			if i > 0 {
				a[i*n+i-1], a[(i-1)*n+i] = e(i, n), e(i, n)
			}
		}
		return a
	}
}

func randomSymmetric(f func(i, j int, rng *rand.Rand) float64) func(int, *rand.Rand) []float64 {
	return func(n int, rng *rand.Rand) []float64 {
		a := make([]float64, n*n)
		for i := range n {
			for j := range i + 1 {
				v := f(i, j, rng)
				a[i*n+j], a[j*n+i] = v, v
			}
		}
		return a
	}
}

const conditioned = 1e-14 // the small end of the constructed spectra

// matrices are the types of LAPACK's ddrvst, and what is hard for divide and conquer.
var matrices = []symmetric{
	{"zero", diagonal(func(i, n int) float64 { return 0 })},
	{"identity", diagonal(func(i, n int) float64 { return 1 })},
	{"diagonal", diagonal(func(i, n int) float64 { return float64((7*i)%n) - 3 })},
	{"diagonal 1e±300", diagonal(func(i, n int) float64 {
		return math.Pow(10, 300-600*float64(i)/float64(max(n-1, 1)))
	})},
	{"normal", randomSymmetric(func(_, _ int, r *rand.Rand) float64 { return r.NormFloat64() })},
	{"uniform", randomSymmetric(func(_, _ int, r *rand.Rand) float64 { return r.Float64() })},
	{"huge", randomSymmetric(func(_, _ int, r *rand.Rand) float64 { return 1e305 * r.Float64() })},
	{"tiny", randomSymmetric(func(_, _ int, r *rand.Rand) float64 { return 1e-290 * r.Float64() })},
	{"entries 1e±300", randomSymmetric(func(_, _ int, r *rand.Rand) float64 {
		return math.Pow(10, 600*r.Float64()-300)
	})},
	{"graded", randomSymmetric(func(i, j int, r *rand.Rand) float64 {
		return r.NormFloat64() * math.Pow(10, -float64(i+j)/3)
	})},
	{"graded upwards", randomSymmetric(func(i, j int, r *rand.Rand) float64 {
		return r.NormFloat64() * math.Pow(10, float64(i+j)/10)
	})},
	{"rank one", randomSymmetric(func(i, j int, _ *rand.Rand) float64 {
		return math.Sin(float64(i+1)) * math.Sin(float64(j+1))
	})},
	{"ones", randomSymmetric(func(_, _ int, _ *rand.Rand) float64 { return 1 })},
	{"spectrum geometric", withSpectrum(func(i, n int) float64 {
		return math.Pow(conditioned, float64(i)/float64(max(n-1, 1)))
	})},
	{"spectrum arithmetic", withSpectrum(func(i, n int) float64 {
		return 1 - float64(i)/float64(n)*(1-conditioned)
	})},
	{"spectrum one large", withSpectrum(func(i, n int) float64 {
		if i == 0 {
			return 1
		}
		return conditioned
	})},
	{"spectrum one small", withSpectrum(func(i, n int) float64 {
		if i == 0 {
			return -conditioned
		}
		return 1
	})},
	{"spectrum ±1", withSpectrum(func(i, n int) float64 { return 1 - 2*float64(i&1) })},
	{"spectrum clusters", withSpectrum(func(i, n int) float64 {
		return float64(i%4) + 1e-13*float64(i)
	})},
	{"laplacian", tridiagonal(func(i, n int) float64 { return 2 },
		func(i, n int) float64 { return -1 })},
	{"wilkinson", tridiagonal(
		func(i, n int) float64 { return math.Abs(float64(i) - float64(n-1)/2) },
		func(i, n int) float64 { return 1 })},
	{"glued wilkinson", tridiagonal(
		func(i, n int) float64 { return math.Abs(float64(i%21) - 10) },
		func(i, n int) float64 {
			if i%21 == 0 {
				return 1e-7
			}
			return 1
		})},
	{"tridiagonal graded", tridiagonal(
		func(i, n int) float64 { return math.Pow(10, -float64(i)) },
		func(i, n int) float64 { return math.Pow(10, -float64(i)) })},
	{"tridiagonal without diagonal", tridiagonal(func(i, n int) float64 { return 0 },
		func(i, n int) float64 { return float64(i) })},
	{"arrow-like", randomSymmetric(func(i, j int, _ *rand.Rand) float64 {
		if i == j {
			return float64(i)
		} else if j == 0 {
			return 1e-3
		}
		return 0
	})},
}

// padded copies the lower triangle of a [n n] to leading dimension lda, with guards all around.
func padded(n int, a []float64, lda int) []float64 {
	out := make([]float64, max(n-1, 0)*lda+n)
	for i := range out {
		out[i] = guard
	}
	for i := range n {
		copy(out[i*lda:i*lda+i+1], a[i*n:])
	}
	return out
}

// maxAbs is the largest magnitude in a.
func maxAbs(a []float64) float64 {
	var m float64
	for _, v := range a {
		m = max(m, math.Abs(v))
	}
	return m
}

// eigenErrors are |A X − X diag(λ)|max / |A|₂ and |XᵀX − I|max.
func eigenErrors(n int, a, values, x []float64) (residual, orth float64) {
	norm := maxAbs(values)
	if norm == 0 {
		norm = 1
	}
	ax, xx := make([]float64, n*n), make([]float64, n*n)
	scaled := make([]float64, n*n) // a/|a|, in two steps: 1/norm may overflow
	for i, v := range a {
		scaled[i] = v / norm
	}
	Plain{}.Gemm64(n, n, n, 1, scaled, n, 1, x, n, 1, ax, n)
	Plain{}.Gemm64(n, n, n, 1, x, 1, n, x, n, 1, xx, n)
	for i := range n {
		xx[i*n+i]--
		for j := range n {
			ax[i*n+j] -= x[i*n+j] * (values[j] / norm)
		}
	}
	return nanMax(ax), nanMax(xx)
}

// nanMax is maxAbs, but NaN if there is one.
func nanMax(a []float64) float64 {
	var m float64
	for _, v := range a {
		if math.IsNaN(v) {
			return v
		}
		m = max(m, math.Abs(v))
	}
	return m
}

// eachMatrix runs f on every kind and size.
func eachMatrix(t *testing.T, f func(t *testing.T, n int, a []float64)) {
	for _, m := range matrices {
		t.Run(m.name, func(t *testing.T) {
			for _, n := range sizes {
				t.Run(fmt.Sprint(n), func(t *testing.T) { f(t, n, m.make(n, newRand(uint64(n)))) })
			}
		})
	}
}
