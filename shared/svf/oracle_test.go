package svf_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
	"transformer2/shared/svf"
)

// svd is a full thin decomposition in float64, W = U diag(s) Vᵀ, by one-sided Jacobi (Hestenes
// 1958). It shares nothing with the code under test, which keeps one basis and no σ.
type svd struct {
	out, in, r int
	u, v       []float64 // [out r], [in r]
	s          []float64 // [r], descending
}

func decompose(out, in int, w []float32) svd {
	if out < in { // work on the tall side
		t := make([]float32, len(w))
		for i := range out {
			for j := range in {
				t[j*out+i] = w[i*in+j]
			}
		}
		d := decompose(in, out, t)
		return svd{out: out, in: in, r: d.r, u: d.v, v: d.u, s: d.s}
	}
	a := make([][]float64, in) // columns of W·V, made orthogonal
	v := make([][]float64, in)
	for j := range in {
		a[j], v[j] = make([]float64, out), make([]float64, in)
		v[j][j] = 1
		for i := range out {
			a[j][i] = float64(w[i*in+j])
		}
	}
	for sweep, off := 0, 1.0; off > 1e-15 && sweep < 60; sweep++ {
		off = 0
		for p := range in {
			for q := p + 1; q < in; q++ {
				off = max(off, orthogonalise(a[p], a[q], v[p], v[q]))
			}
		}
	}
	return sorted(out, in, a, v)
}

// orthogonalise turns columns p and q until their product is 0 and returns |cos| of before.
func orthogonalise(ap, aq, vp, vq []float64) float64 {
	pp, qq, pq := dot(ap, ap), dot(aq, aq), dot(ap, aq)
	if pq == 0 {
		return 0
	}
	tau := (qq - pp) / (2 * pq)
	t := math.Copysign(1/(math.Abs(tau)+math.Sqrt(1+tau*tau)), tau)
	c := 1 / math.Sqrt(1+t*t)
	for _, pair := range [][2][]float64{{ap, aq}, {vp, vq}} {
		for i := range pair[0] {
			x, y := pair[0][i], pair[1][i]
			pair[0][i], pair[1][i] = c*x-c*t*y, c*t*x+c*y
		}
	}
	return math.Abs(pq) / math.Sqrt(pp*qq)
}

func sorted(out, in int, a, v [][]float64) svd {
	d := svd{out: out, in: in, r: in,
		u: make([]float64, out*in), v: make([]float64, in*in), s: make([]float64, in)}
	order := make([]int, in)
	norm := make([]float64, in)
	for j := range in {
		order[j], norm[j] = j, math.Sqrt(dot(a[j], a[j]))
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(norm[y], norm[x]) })
	for j, from := range order {
		d.s[j] = norm[from]
		for i := range out {
			d.u[i*in+j] = a[from][i] / norm[from]
		}
		for i := range in {
			d.v[i*in+j] = v[from][i]
		}
	}
	return d
}

func dot(a, b []float64) float64 {
	var s float64
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// matrix is what svf keeps of a decomposition.
func (d svd) matrix(name string) svf.Matrix {
	m := svf.Matrix{Name: name, Out: d.out, In: d.in, R: d.r, Left: d.out <= d.in, Sigma: d.s}
	basis := d.v
	if m.Left {
		basis = d.u
	}
	for _, x := range basis {
		m.Basis = append(m.Basis, float32(x))
	}
	return m
}

// adapted is W' = U diag(s∘z) Vᵀ [out in], the definition.
func (d svd) adapted(z []float64) []float64 {
	w := make([]float64, d.out*d.in)
	for i := range d.out {
		for j := range d.in {
			for k := range d.r {
				w[i*d.in+j] += d.u[i*d.r+k] * d.s[k] * z[k] * d.v[j*d.r+k]
			}
		}
	}
	return w
}

// cases are the shapes that differ for SVF: both sides, square, single rows and columns.
var cases = []struct{ out, in int }{
	{8, 8}, {5, 17}, {17, 5}, {1, 9}, {9, 1}, {1, 1}, {32, 48}, {64, 32},
}

// eachDevice runs a test on the plain loops and on the fastest form that this machine has.
func eachDevice(t *testing.T, run func(t *testing.T, dev compute.Device)) {
	for _, form := range []string{"loops", ""} {
		dev, err := cpu.New(cpu.Options{Threads: 1, Form: form})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(dev.Name(), func(t *testing.T) { run(t, dev) })
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
}

// eachCase runs a test on every device and shape.
func eachCase(t *testing.T, run func(t *testing.T, dev compute.Device, out, in int)) {
	eachDevice(t, func(t *testing.T, dev compute.Device) {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%dx%d", c.out, c.in), func(t *testing.T) {
				run(t, dev, c.out, c.in)
			})
		}
	})
}

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// normal is n numbers of N(mean, scale²).
func normal(r *rand.Rand, n int, mean, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(mean + scale*r.NormFloat64())
	}
	return x
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// upload puts x on a device as [rows cols].
func upload(t *testing.T, dev compute.Device, rows, cols int, x []float32) compute.Tensor {
	t.Helper()
	y, err := dev.NewTensor(rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	if x != nil {
		dev.Write(y, x)
	}
	return y
}

func download(t *testing.T, dev compute.Device, x compute.Tensor) []float32 {
	t.Helper()
	y := make([]float32, x.Len())
	if err := dev.Read(y, x); err != nil {
		t.Fatal(err)
	}
	return y
}

// near fails unless got is within tol·(largest |want|) of want everywhere.
func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	var scale, worst float64
	at := 0
	for i := range want {
		scale = max(scale, math.Abs(want[i]))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tol*scale) {
		t.Errorf("%s: number %d is %v, want %v: off by %.2e of %.3g, allowed %.0e",
			what, at, got[at], want[at], worst/scale, scale, tol)
	}
}

// same fails unless the bits are equal.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: number %d is %v, want %v, to the bit", what, i, got[i], want[i])
		}
	}
}

// refused fails unless err is one that says want.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

func TestOracleReconstructs(t *testing.T) {
	for _, c := range cases {
		w := normal(rng(1), c.out*c.in, 0, 1)
		d := decompose(c.out, c.in, w)
		one := make([]float64, d.r)
		for i := range one {
			one[i] = 1
		}
		near(t, fmt.Sprint(c), w, d.adapted(one), 1e-7) // f32 rounding of w is 6e-8
	}
}
