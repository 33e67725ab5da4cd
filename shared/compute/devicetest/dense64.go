package devicetest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"testing"

	"transformer2/shared/compute"
)

// unit64 is the unit roundoff of f64.
const unit64 = 1.0 / (1 << 53)

// sum64 bounds a sum of n products in f64, as sum does in f32.
func sum64(n int) float64 { return unit64 * (8 + 4*math.Sqrt(float64(n))) }

// RunDense64 runs the checks of compute.Dense64 as subtests of t.
func RunDense64(t *testing.T, open func(t *testing.T) compute.Dense64) {
	d := open(t)
	for _, c := range dense64Checks {
		t.Run(c.name, func(t *testing.T) { c.against(t, d) })
	}
}

// dense64Check is one subtest.
type dense64Check struct {
	name string
	run  func(e *env64)
}

var dense64Checks = []dense64Check{
	{"Gemm64", checkGemm64},
	{"Gemm64Gram", checkGemm64Gram},
	{"Symv64", checkSymv64},
	{"Parallel", checkParallel},
}

// env64 is env for a Dense64; its arrays are the host's own.
type env64 struct {
	env
	d compute.Dense64
}

func (c dense64Check) against(r reporter, d compute.Dense64) {
	r.Helper()
	h := fnv.New64a()
	h.Write([]byte(c.name))
	e := &env64{env: env{r: r, rng: rand.New(rand.NewPCG(1, h.Sum64()))}, d: d}
	defer func() {
		if p := recover(); p != nil {
			r.Errorf("%s: panic: %v\n%s", e.label, p, debug.Stack())
		}
	}()
	c.run(e)
	if e.worst > 0 {
		r.Logf("largest error / bound: %.3f", e.worst)
	}
}

// strided is an m×n matrix in storage of its own, NaN between its elements, that ends with its
// last element: to read past it is out of bounds.
type strided struct {
	m, n, rs, cs int
	v            []float64
}

func (s strided) at(i, j int) float64 { return s.v[i*s.rs+j*s.cs] }

// strideKinds: rows packed, rows with a gap, columns packed, columns with a gap, both apart.
const strideKinds = 5

func (e *env64) strided(m, n, kind int) strided {
	s := strided{m: m, n: n, rs: n, cs: 1}
	switch kind % strideKinds {
	case 1:
		s.rs = n + 3
	case 2:
		s.rs, s.cs = 1, m
	case 3:
		s.rs, s.cs = 1, m+5
	case 4:
		s.rs, s.cs = 2*n+3, 2
	}
	if m == 0 || n == 0 {
		return s
	}
	s.v = make([]float64, (m-1)*s.rs+(n-1)*s.cs+1)
	for i := range s.v {
		s.v[i] = math.NaN()
	}
	for i := range m {
		for j := range n {
			s.v[i*s.rs+j*s.cs] = e.rng.NormFloat64()
		}
	}
	return s
}

// exactDot is Σ x(p)·y(p) as if in twice the precision, and Σ|x·y|: the products and sums of two
// numbers are split into result and error without loss (Ogita, Rump & Oishi 2005, Dot2).
func exactDot(n int, x, y func(p int) float64) (dot, mag float64) {
	low := 0.0
	for p := range n {
		a, b := x(p), y(p)
		h := a * b
		r := math.FMA(a, b, -h)
		s := dot + h
		z := s - dot
		low += (dot - (s - z)) + (h - z) + r
		dot = s
		mag += math.Abs(h)
	}
	return dot + low, mag
}

// gemm64Sizes are [m n k]: nothing of each kind, one, primes, past tiles and past parallel grain.
var gemm64Sizes = [][3]int{{0, 3, 4}, {3, 0, 4}, {3, 4, 0}, {0, 0, 0}, {1, 1, 1}, {1, 7, 13},
	{7, 1, 13}, {13, 7, 1}, {2, 3, 5}, {4, 4, 4}, {5, 8, 9}, {8, 16, 32}, {17, 31, 33},
	{31, 33, 17}, {64, 64, 64}, {97, 13, 100}, {13, 97, 257}, {130, 65, 33}, {160, 150, 140}}

func checkGemm64(e *env64) {
	alphas := []float64{1, -1, 0.3, 0}
	for i, s := range gemm64Sizes {
		for kind := range strideKinds * strideKinds {
			if s[0]*s[1]*s[2] > 2e4 && kind%6 != i%6 {
				continue // large sizes meet four or five of the pairs each
			}
			m, n, k := s[0], s[1], s[2]
			alpha := alphas[(i+kind)%4]
			gap := kind % 3 * 2
			e.label = fmt.Sprintf("m %d n %d k %d, strides %d and %d, ldc n+%d, alpha %v", m, n, k,
				kind/strideKinds, kind%strideKinds, gap, alpha)
			a, b := e.strided(m, k, kind/strideKinds), e.strided(k, n, kind%strideKinds)
			c := strided{m: m, n: n, rs: n + gap, cs: 1}
			full := e.strided(m, n+gap, 0) // the gaps of c are guards with numbers in them
			c.v = full.v[:max(0, len(full.v)-gap)]
			e.gemm64(alpha, a, b, c)
		}
	}
}

// gemm64 calls Gemm64 twice on equal input and checks product, gaps, inputs and bits.
func (e *env64) gemm64(alpha float64, a, b, c strided) {
	e.r.Helper()
	before, again := clone64(c.v), clone64(c.v)
	a0, b0 := clone64(a.v), clone64(b.v)
	for _, v := range [][]float64{c.v, again} {
		e.d.Gemm64(c.m, c.n, a.n, alpha, a.v, a.rs, a.cs, b.v, b.rs, b.cs, v, c.rs)
	}
	e.same64("second call", again, c.v)
	e.same64("a", a.v, a0)
	e.same64("b", b.v, b0)
	for i := range c.v {
		row, col := i/c.rs, i%c.rs
		if col >= c.n {
			e.same64("gap of c", c.v[i:i+1], before[i:i+1])
			continue
		}
		if len(c.v) > 1<<12 && i%7 != c.n%7 {
			continue // of large products every seventh number, which meets all rows and columns
		}
		dot, mag := exactDot(a.n, func(p int) float64 { return a.at(row, p) },
			func(p int) float64 { return b.at(p, col) })
		want := before[i] + alpha*dot
		tol := sum64(a.n) * (math.Abs(alpha)*mag + math.Abs(before[i]))
		if !e.near(c.v[i], want, tol) {
			e.errorf("c[%d %d]: got %v, want %v ± %.2g", row, col, c.v[i], want, tol)
			return
		}
	}
}

// checkGemm64Gram: both factors may be one array, as in AᵀA and A Aᵀ.
func checkGemm64Gram(e *env64) {
	for _, s := range [][2]int{{1, 1}, {7, 3}, {33, 31}, {97, 40}} {
		e.label = fmt.Sprintf("Gram of [%d %d]", s[0], s[1])
		a := e.strided(s[0], s[1], 1)
		t := strided{m: a.n, n: a.m, rs: a.cs, cs: a.rs, v: a.v}
		e.gemm64(1, t, a, strided{m: a.n, n: a.n, rs: a.n, cs: 1, v: make([]float64, a.n*a.n)})
		e.gemm64(1, a, t, strided{m: a.m, n: a.m, rs: a.m, cs: 1, v: make([]float64, a.m*a.m)})
	}
}

func checkSymv64(e *env64) {
	for _, n := range []int{0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 64, 97, 130, 401} {
		for _, gap := range []int{0, 3} {
			e.label = fmt.Sprintf("n %d, lda n+%d", n, gap)
			lda := n + gap
			a := make([]float64, n*lda)
			for i := range a { // the upper triangle and the gap are NaN
				a[i] = math.NaN()
				if lda > 0 && i%lda <= i/lda {
					a[i] = e.rng.NormFloat64()
				}
			}
			x, y, again := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range x {
				x[i], y[i], again[i] = e.rng.NormFloat64(), math.NaN(), 7
			}
			a0, x0 := clone64(a), clone64(x)
			e.d.Symv64(n, a, lda, x, y)
			e.d.Symv64(n, a, lda, x, again)
			e.same64("second call", again, y)
			e.same64("a", a, a0)
			e.same64("x", x, x0)
			for i := range n {
				want, mag := exactDot(n, func(j int) float64 {
					return a[max(i, j)*lda+min(i, j)]
				}, func(j int) float64 { return x[j] })
				if !e.near(y[i], want, mag*sum64(n)) {
					e.errorf("y[%d]: got %v, want %v ± %.2g", i, y[i], want, mag*sum64(n))
					break
				}
			}
		}
	}
}

func checkParallel(e *env64) {
	for _, n := range []int{0, 1, 2, 7, 33, 100, 1000, 4099} {
		for _, grain := range []int{1, 3, 64, 1000, 5000} {
			e.label = fmt.Sprintf("n %d, grain %d", n, grain)
			visits := make([]atomic.Int32, n)
			plain := make([]int, n) // what f writes is there when Parallel returns
			var outside, short atomic.Int32
			e.d.Parallel(n, grain, func(lo, hi int) {
				if lo < 0 || hi > n || lo > hi {
					outside.Add(1)
					return
				}
				if hi-lo < grain && hi != n {
					short.Add(1)
				}
				for i := lo; i < hi; i++ {
					visits[i].Add(1)
					plain[i] = i + 1
				}
			})
			if outside.Load() > 0 || short.Load() > 0 {
				e.errorf("%d ranges outside, %d below the grain", outside.Load(), short.Load())
			}
			for i := range visits {
				if v := visits[i].Load(); v != 1 || plain[i] != i+1 {
					e.errorf("index %d visited %d times", i, v)
					break
				}
			}
		}
	}
}

func clone64(x []float64) []float64 { return append([]float64(nil), x...) }

// near is |got − want| ≤ tol; it keeps the largest ratio.
func (e *env64) near(got, want, tol float64) bool {
	d := math.Abs(got - want)
	if d <= tol && tol > 0 {
		e.worst = max(e.worst, d/tol)
	}
	return d <= tol
}

// same64 checks equal bits.
func (e *env64) same64(what string, got, want []float64) {
	e.r.Helper()
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			e.errorf("%s: [%d]: %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}
