package devicetest

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"transformer2/shared/compute"
)

// plain64 is Dense64 by its loops, with an optional bug.
type plain64 struct{ bug string }

func (d plain64) Gemm64(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64, brs,
	bcs int, c []float64, ldc int) {
	switch d.bug {
	case "gemm ignores alpha":
		alpha = 1
	case "gemm ignores ldc":
		ldc = n
	case "gemm takes packed rows":
		if brs != 1 {
			bcs = 1
		}
	case "gemm skips the last k":
		k = max(k-1, min(k, 1))
	}
	for i := range m {
		for j := range n {
			if d.bug == "gemm overwrites" {
				c[i*ldc+j] = 0
			}
			s := 0.0
			for p := range k {
				x := a[i*ars+p*acs] * b[p*brs+j*bcs]
				if d.bug == "gemm in f32" {
					x = float64(float32(x))
				}
				s += x
			}
			c[i*ldc+j] += alpha * s
		}
	}
}

func (d plain64) Symv64(n int, a []float64, lda int, x, y []float64) {
	for i := range n {
		s := 0.0
		if d.bug == "symv adds" {
			s = y[i]
		}
		for j := range n {
			v := a[max(i, j)*lda+min(i, j)]
			if d.bug == "symv reads above" {
				v = a[i*lda+j]
			}
			if d.bug == "symv triangle only" && j > i {
				continue
			}
			s += v * x[j]
		}
		y[i] = s
	}
}

func (d plain64) Parallel(n, grain int, f func(lo, hi int)) {
	var wg sync.WaitGroup
	for at := 0; at < n; at += grain {
		lo, hi := at, min(at+grain, n)
		switch {
		case d.bug == "parallel overlaps" && lo > 0:
			lo--
		case d.bug == "parallel splits finer":
			hi = min(lo+(grain+1)/2, n)
			f(hi, min(lo+grain, n))
		case d.bug == "parallel drops the rest" && hi-lo < grain && lo > 0:
			continue
		}
		wg.Go(func() { f(lo, hi) })
	}
	wg.Wait()
}

func TestPlainDense64(t *testing.T) {
	RunDense64(t, func(t *testing.T) compute.Dense64 { return plain64{} })
}

func TestMutantsDense64(t *testing.T) {
	for bug, names := range map[string]string{
		"gemm ignores alpha":      "Gemm64",
		"gemm ignores ldc":        "Gemm64",
		"gemm takes packed rows":  "Gemm64",
		"gemm skips the last k":   "Gemm64 Gemm64Gram",
		"gemm overwrites":         "Gemm64",
		"gemm in f32":             "Gemm64 Gemm64Gram",
		"symv adds":               "Symv64",
		"symv reads above":        "Symv64",
		"symv triangle only":      "Symv64",
		"parallel overlaps":       "Parallel",
		"parallel splits finer":   "Parallel",
		"parallel drops the rest": "Parallel",
	} {
		for _, name := range strings.Fields(names) {
			r := new(recorder)
			for _, c := range dense64Checks {
				if c.name == name {
					r.collect(func() { c.against(r, plain64{bug}) })
				}
			}
			if len(r.messages) == 0 {
				t.Errorf("%s: the bug %q passes", name, bug)
			}
		}
	}
}

// TestExactDot holds the oracle's dot product to 200 bits, also where nearly all cancels.
func TestExactDot(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 500
	x, y := make([]float64, 2*n), make([]float64, 2*n)
	for i := range n {
		x[i], y[i] = rng.NormFloat64()*1e6, rng.NormFloat64()
		x[i+n], y[i+n] = -x[i], y[i]*(1+1e-12*rng.NormFloat64())
	}
	sum := new(big.Float).SetPrec(200)
	for i := range x {
		a, b := new(big.Float).SetFloat64(x[i]), new(big.Float).SetFloat64(y[i])
		sum.Add(sum, new(big.Float).SetPrec(200).Mul(a, b))
	}
	want, _ := sum.Float64()
	got, mag := exactDot(2*n, func(p int) float64 { return x[p] },
		func(p int) float64 { return y[p] })
	// Twice the precision: one rounding of the result and (n·unit64)² of the magnitudes.
	if tol := unit64*abs(want) + 4*n*n*unit64*unit64*mag; !(abs(got-want) <= tol) {
		t.Errorf("got %v, want %v ± %.2g (magnitude %v)", got, want, tol, mag)
	}
}

func abs(x float64) float64 { return max(x, -x) }
