package cpu

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

func normal64(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

// near64 fails where got is further from want than k roundings of numbers of size about √k.
func near64(t *testing.T, what string, got, want []float64, k int) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= 1e-15*float64(k+8)) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], w)
		}
	}
}

func TestGemm64(t *testing.T) {
	eachForm(t, 2, func(t *testing.T, d *Device) {
		rng := rand.New(rand.NewPCG(2, 1))
		for _, s := range [][3]int{{1, 1, 1}, {3, 17, 5}, {14, 16, 300}, {33, 530, 7},
			{120, 40, 257}} {
			m, n, k := s[0], s[1], s[2]
			// Rows, columns, and every second number of either, of wider matrices.
			for _, as := range [][2]int{{k + 1, 1}, {1, m + 2}, {2 * k, 2}} {
				for _, bs := range [][2]int{{n, 1}, {1, k + 1}, {3 * n, 3}} {
					checkGemm64(t, d, rng, m, n, k, as, bs)
				}
			}
		}
	})
}

func checkGemm64(t *testing.T, d *Device, rng *rand.Rand, m, n, k int, as, bs [2]int) {
	t.Helper()
	// The slices end with the last number that is read: reading further would panic or fault.
	a := normal64(rng, (m-1)*as[0]+(k-1)*as[1]+1)
	b := normal64(rng, (k-1)*bs[0]+(n-1)*bs[1]+1)
	ldc := n + 1
	c := normal64(rng, (m-1)*ldc+n)
	want := append([]float64{}, c...)
	for i := range m {
		for j := range n {
			s := 0.0
			for l := range k {
				s += a[i*as[0]+l*as[1]] * b[l*bs[0]+j*bs[1]]
			}
			want[i*ldc+j] += -0.5 * s
		}
	}
	d.Gemm64(m, n, k, -0.5, a, as[0], as[1], b, bs[0], bs[1], c, ldc)
	near64(t, "Gemm64", c, want, k)
}

func TestSymv64(t *testing.T) {
	eachForm(t, 3, func(t *testing.T, d *Device) {
		rng := rand.New(rand.NewPCG(2, 2))
		for _, n := range []int{1, 7, 8, 9, 40, 255, 300, 517} {
			lda := n + 3
			a, x, y := normal64(rng, n*lda), normal64(rng, n), make([]float64, n)
			want := make([]float64, n)
			for i := range n {
				y[i] = math.NaN()
				for j := range n {
					want[i] += a[max(i, j)*lda+min(i, j)] * x[j]
					if j > i {
						a[i*lda+j] = math.NaN() // the upper triangle is not read
					}
				}
			}
			d.Symv64(n, a, lda, x, y)
			near64(t, "Symv64", y, want, n)
		}
	})
}

func TestParallelCovers(t *testing.T) {
	d := open(t, "", 3)
	for _, n := range []int{0, 1, 5, 64, 1000} {
		for _, grain := range []int{0, 1, 7, 64, 5000} {
			hits := make([]atomic.Int32, n)
			d.Parallel(n, grain, func(lo, hi int) {
				if hi < n && hi-lo < grain {
					t.Errorf("range [%d %d) of %d is below the grain %d", lo, hi, n, grain)
				}
				for i := lo; i < hi; i++ {
					hits[i].Add(1)
				}
			})
			for i := range hits {
				if hits[i].Load() != 1 {
					t.Fatalf("n %d, grain %d: %d was done %d times", n, grain, i, hits[i].Load())
				}
			}
		}
	}
}
