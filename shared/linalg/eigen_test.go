package linalg

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// bound is the project's limit for residual and orthogonality, 8·n·eps, relative to |A|₂.
// One to three rows get the bound of four.
func bound(n int) float64 { return 8 * float64(max(n, 4)) * eps }

func TestEigenSymProperties(t *testing.T) {
	eachMatrix(t, func(t *testing.T, n int, a []float64) {
		lda := n + 1 + n%3
		in := padded(n, a, lda)
		before := slices.Clone(in)
		values, x, err := EigenSym(Plain{}, n, in, lda)
		if err != nil {
			t.Fatal(err)
		}
		if len(values) != n || len(x) != n*n {
			t.Fatalf("%d values, %d numbers in vectors, n is %d", len(values), len(x), n)
		}
		for i := range in {
			if math.Float64bits(in[i]) != math.Float64bits(before[i]) {
				t.Fatalf("input %d changed from %v to %v", i, before[i], in[i])
			}
		}
		for i := 1; i < n; i++ {
			if values[i-1] < values[i] {
				t.Errorf("values %d and %d ascend: %v, %v", i-1, i, values[i-1], values[i])
			}
		}
		residual, orth := eigenErrors(n, a, values, x)
		if !(residual <= bound(n)) || !(orth <= bound(n)) {
			t.Errorf("residual %.1e, orthogonality %.1e, want %.1e", residual, orth, bound(n))
		}
	})
}

func TestEigenSymAgainstGonum(t *testing.T) {
	for _, m := range matrices {
		if m.name == "huge" || m.name == "tiny" || m.name == "entries 1e±300" {
			continue // gonum loses digits here
		}
		for _, n := range []int{1, 2, 3, 10, 65, 130} {
			a := m.make(n, newRand(uint64(n)))
			values, _, err := EigenSym(Plain{}, n, a, n)
			if err != nil {
				t.Fatal(err)
			}
			var ref mat.EigenSym
			if !ref.Factorize(mat.NewSymDense(n, slices.Clone(a)), false) {
				t.Fatalf("%s %d: gonum failed", m.name, n)
			}
			want := ref.Values(nil)
			slices.Reverse(want)
			top := maxAbs(want)
			for i, v := range values {
				if !(math.Abs(v-want[i]) <= bound(n)*top) {
					t.Errorf("%s %d: value %d is %v, gonum %v", m.name, n, i, v, want[i])
				}
			}
		}
	}
}

// The eigenvalues of the Laplacian are known: 2 − 2cos(πk/(n+1)).
func TestEigenSymLaplacian(t *testing.T) {
	const n = 257
	a := tridiagonal(func(i, n int) float64 { return 2 },
		func(i, n int) float64 { return -1 })(n, nil)
	values, _, err := EigenSym(Plain{}, n, a, n)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		want := 2 - 2*math.Cos(math.Pi*float64(n-i)/(n+1))
		if math.Abs(v-want) > bound(n) {
			t.Errorf("value %d is %v, want %v", i, v, want)
		}
	}
}

func TestEigenSymRejects(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, at := range []int{0, 3, 8} { // on and below the diagonal of 3×3
			a := []float64{1, 0, 0, 0, 1, 0, 0, 0, 1}
			a[at] = bad
			if _, _, err := EigenSym(Plain{}, 3, a, 3); err == nil {
				t.Errorf("%v at %d: no error", bad, at)
			}
		}
	}
	all := make([]float64, 9)
	for i := range all {
		all[i] = math.MaxFloat64
	}
	if v, _, err := EigenSym(Plain{}, 3, all, 3); err == nil {
		t.Errorf("values %v, want an error for 3·MaxFloat64", v)
	}
	for _, c := range []struct{ n, lda, len int }{{-1, 1, 1}, {3, 2, 9}, {3, 3, 8}, {3, 5, 12}} {
		if _, _, err := EigenSym(Plain{}, c.n, make([]float64, c.len), c.lda); err == nil {
			t.Errorf("n %d, lda %d, %d numbers: no error", c.n, c.lda, c.len)
		}
	}
}

// The same bits, however Parallel splits.
func TestEigenSymIgnoresThreads(t *testing.T) {
	for _, name := range []string{"normal", "spectrum clusters", "glued wilkinson"} {
		i := slices.IndexFunc(matrices, func(m symmetric) bool { return m.name == name })
		const n = 330
		a := matrices[i].make(n, newRand(5))
		v1, x1, err := EigenSym(Plain{}, n, a, n)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(3) {
			v2, x2, err := EigenSym(threaded{rng: newRand(seed)}, n, a, n)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(v1, v2) || !slices.Equal(x1, x2) {
				t.Errorf("%s: other bits with the split of seed %d", name, seed)
			}
		}
	}
}

// Integer entries and leafSize crossings, many small matrices: nothing may be special.
func TestEigenSymSmallIntegers(t *testing.T) {
	rng := newRand(11)
	for trial := range 400 {
		n := 1 + rng.IntN(40)
		a := randomSymmetric(func(_, _ int, r *rand.Rand) float64 {
			return float64(r.IntN(3) - 1)
		})(n, rng)
		values, x, err := EigenSym(Plain{}, n, a, n)
		if err != nil {
			t.Fatal(err)
		}
		if res, orth := eigenErrors(n, a, values, x); !(res <= bound(n)) || !(orth <= bound(n)) {
			t.Fatalf("trial %d, n %d: residual %.1e, orthogonality %.1e", trial, n, res, orth)
		}
	}
}

// Any bits: an error, or a decomposition. The matrix is as large as the bytes allow, at most 48.
func FuzzEigenSym(f *testing.F) {
	word := func(x ...float64) (b []byte) {
		for _, v := range x {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		return b
	}
	f.Add([]byte{})
	f.Add(word(1))
	f.Add(word(0, 1, 0))
	f.Add(word(1, math.NaN(), 1))
	f.Add(word(math.MaxFloat64, math.MaxFloat64, math.MaxFloat64))
	f.Add(word(5e-324, -5e-324, 5e-324, 1, 1e-200, 1e200))
	f.Add(word(1, 1e-160, 1, 1e-150, 1e-170, 1, 0, 1e-155, 1e-145, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for n < 48 && (n+1)*(n+2)/2*8 <= len(b) {
			n++
		}
		a := make([]float64, n*n)
		finite := true
		for i := range n {
			for j := range i + 1 {
				v := math.Float64frombits(binary.LittleEndian.Uint64(b))
				b = b[8:]
				a[i*n+j], a[j*n+i] = v, v
				finite = finite && v-v == 0
			}
		}
		values, x, err := EigenSym(Plain{}, n, a, n)
		if top := maxAbs(a); err != nil {
			if finite && top < math.MaxFloat64/float64(n+1) {
				t.Fatal(err)
			}
			return
		} else if !finite {
			t.Fatalf("no error for %v", a)
		} else if top < 1e-290 { // the quotients of the check lose digits
			return
		}
		if res, orth := eigenErrors(n, a, values, x); !(res <= bound(n)) || !(orth <= bound(n)) {
			t.Errorf("n %d: residual %.1e, orthogonality %.1e: %v", n, res, orth, a)
		}
	})
}

func BenchmarkEigenSym(b *testing.B) {
	for _, n := range []int{64, 256, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkEigenSym(b, Plain{}, n) })
	}
}

func BenchmarkBasis(b *testing.B) {
	for _, n := range []int{64, 288, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkBasis(b, Plain{}, n) })
	}
}
