package cpu

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"transformer2/shared/compute"
)

// open starts a device of the form and ends it with the test.
func open(t testing.TB, form string, threads int) *Device {
	t.Helper()
	d, err := New(Options{Form: form, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// eachForm runs f as a subtest on every form of this build and machine.
func eachForm(t *testing.T, threads int, f func(t *testing.T, d *Device)) {
	for _, name := range Forms() {
		t.Run(name, func(t *testing.T) { f(t, open(t, name, threads)) })
	}
}

func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// tensor is a [rows cols] of normal numbers.
func tensor(t testing.TB, d *Device, rng *rand.Rand, rows, cols int) compute.Tensor {
	t.Helper()
	x, err := d.NewTensor(rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	d.Write(x, normal(rng, rows*cols))
	return x
}

func ints(t testing.TB, d *Device, v ...int32) compute.Ints {
	t.Helper()
	x, err := d.NewInts(len(v))
	if err != nil {
		t.Fatal(err)
	}
	d.WriteInts(x, v)
	return x
}

func read(d *Device, x compute.Tensor) []float32 {
	s := make([]float32, x.Len())
	d.Read(s, x)
	return s
}

// near fails where got is further than tol from want.
func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tol) {
			t.Fatalf("%s: number %d is %v, want %v ± %g", what, i, got[i], w, tol)
		}
	}
}

// gemmTol bounds a sum of k products of normal numbers: k roundings of 2^-24 of a sum of √k.
func gemmTol(k int) float64 { return 1e-6 * float64(k+8) }

func TestGemmOrientations(t *testing.T) {
	eachForm(t, 2, func(t *testing.T, d *Device) {
		rng := rand.New(rand.NewPCG(1, 1))
		for _, s := range [][3]int{{1, 1, 1}, {3, 33, 5}, {14, 32, 64}, {29, 70, 401},
			{130, 31, 2}} {
			m, n, k := s[0], s[1], s[2]
			for _, o := range []compute.Orientation{compute.NT, compute.NN, compute.TN} {
				for _, acc := range []bool{false, true} {
					checkGemm(t, d, rng, o, m, n, k, acc)
				}
			}
		}
	})
}

func checkGemm(t *testing.T, d *Device, rng *rand.Rand, o compute.Orientation, m, n, k int,
	acc bool) {
	t.Helper()
	ar, ac, br, bc := m, k, n, k
	if o != compute.NT {
		br, bc = k, n
	}
	if o == compute.TN {
		ar, ac = k, m
	}
	a, b, c := tensor(t, d, rng, ar, ac), tensor(t, d, rng, br, bc), tensor(t, d, rng, m, n)
	as, bs, want := read(d, a), read(d, b), make([]float64, m*n)
	c0 := read(d, c)
	for i := range m {
		for j := range n {
			s := 0.0
			if acc {
				s = float64(c0[i*n+j])
			}
			for l := range k {
				ai, bi := i*k+l, j*k+l
				if o != compute.NT {
					bi = l*n + j
				}
				if o == compute.TN {
					ai = l*m + i
				}
				s += float64(as[ai]) * float64(bs[bi])
			}
			want[i*n+j] = s
		}
	}
	d.Gemm(o, c, a, b, acc)
	near(t, o.String(), read(d, c), want, gemmTol(k))
}

func TestOtherDevice(t *testing.T) {
	a, b := open(t, "", 1), open(t, "", 1)
	x, _ := a.NewTensor(2, 2)
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "another device") {
			t.Errorf("panic %q", s)
		}
	}()
	b.Fill(x, 1)
}

func TestShapePanics(t *testing.T) {
	d := open(t, "", 1)
	x, _ := d.NewTensor(2, 3)
	y, _ := d.NewTensor(3, 2)
	defer func() {
		s, _ := recover().(string)
		for _, part := range []string{"Add", "[2 3]", "[3 2]"} {
			if !strings.Contains(s, part) {
				t.Errorf("panic %q does not name %s", s, part)
			}
		}
	}()
	d.Add(x, y)
}

func TestUnknownForm(t *testing.T) {
	_, err := New(Options{Form: "abacus"})
	if err == nil || !strings.Contains(err.Error(), "loops") {
		t.Errorf("error %v does not list the forms", err)
	}
}

func TestLog32(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	for range 100000 {
		x := float32(math.Exp(rng.NormFloat64() * 15))
		want := math.Log(float64(x))
		if err := math.Abs(float64(log32(x)) - want); err > 1e-7*max(1, math.Abs(want)) {
			t.Fatalf("log32(%v) = %v, want %v", x, log32(x), want)
		}
	}
}

func TestHalfRoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		h := uint16(h)
		if f := fromF16(h); f == f && toF16(f) != h {
			t.Fatalf("f16 %#04x is %v, back %#04x", h, f, toF16(f))
		}
		if f := fromBF16(h); f == f && toBF16(f) != h {
			t.Fatalf("bf16 %#04x is %v, back %#04x", h, f, toBF16(f))
		}
	}
	for _, c := range []struct {
		f float32
		h uint16
	}{{1 + 1.0/2048, 0x3c00}, {1 + 3.0/2048, 0x3c02}, {65519, 0x7bff}, {65520, 0x7c00},
		{5.9604645e-8, 1}, {2.9802322e-8, 0}, {-1e-9, 0x8000}} {
		if got := toF16(c.f); got != c.h {
			t.Errorf("f16(%v) = %#04x, want %#04x", c.f, got, c.h)
		}
	}
	if f := fromF16(toF16(float32(math.NaN()))); f == f {
		t.Errorf("f16(NaN) = %v", f)
	}
}
