package x86

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestDots(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for _, dim := range []int{1, 5, 15, 16, 17, 32, 48, 64, 96, 100, 128, 200} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 23, 64} {
			rng := rand.New(rand.NewPCG(uint64(dim), uint64(n)))
			stride := dim + n%3*5
			q, k := random(rng, dim), random(rng, n*stride+1)
			var first []float32
			for form, f := range []func(y, q *float32, dim int, k *float32, stride, n int){
				DotsY, DotsZ} {
				if form == 1 && !hasZ {
					continue
				}
				all, y := guarded(n)
				f(&all[pad], &q[0], dim, &k[0], stride, n)
				checkGuards(t, all)
				for j := range y {
					want := 0.0
					for d := range dim {
						want += float64(q[d]) * float64(k[j*stride+d])
					}
					if d := math.Abs(float64(y[j]) - want); !(d <= 1e-6*float64(dim)+1e-6) {
						t.Fatalf("dim=%d n=%d: y[%d] = %g, want %g", dim, n, j, y[j], want)
					}
					var alone float32
					f(&alone, &q[0], dim, &k[j*stride], stride, 1)
					if alone != y[j] || form == 1 && y[j] != first[j] {
						t.Fatalf("dim=%d n=%d: y[%d] depends on its group or form", dim, n, j)
					}
				}
				first = y
			}
		}
	}
}

func TestWeightedSum(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for _, dim := range []int{1, 5, 15, 16, 17, 32, 48, 64, 80, 96, 100, 128, 200} {
		for _, n := range []int{0, 1, 2, 3, 8, 33} {
			rng := rand.New(rand.NewPCG(uint64(dim), uint64(n)))
			stride := dim + n%3*5
			p, v := random(rng, n+1), random(rng, n*stride+1)
			var first []float32
			for form, f := range []func(o, p, v *float32, stride, n, dim int){
				WeightedSumY, WeightedSumZ} {
				if form == 1 && !hasZ {
					continue
				}
				all, o := guarded(dim)
				f(&o[0], &p[0], &v[0], stride, n, dim)
				checkGuards(t, all)
				for d := range o {
					want := 0.0
					for j := range n {
						want += float64(p[j]) * float64(v[j*stride+d])
					}
					if e := math.Abs(float64(o[d]) - want); !(e <= 1e-6*float64(n+1)) {
						t.Fatalf("dim=%d n=%d: o[%d] = %g, want %g", dim, n, d, o[d], want)
					}
					if form == 1 && o[d] != first[d] {
						t.Fatalf("dim=%d n=%d: Z and Y differ at %d", dim, n, d)
					}
				}
				first = o
			}
		}
	}
}

func BenchmarkRows(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	rng := rand.New(rand.NewPCG(1, 1))
	for _, dim := range []int{32, 48, 64, 128} {
		const n = 256
		q, k, y := aligned(rng, n), aligned(rng, n*dim), aligned(rng, n)
		for name, f := range map[string]func(){
			"DotsZ":        func() { DotsZ(&y[0], &q[0], dim, &k[0], dim, n) },
			"DotsY":        func() { DotsY(&y[0], &q[0], dim, &k[0], dim, n) },
			"WeightedSumZ": func() { WeightedSumZ(&y[0], &q[0], &k[0], dim, n, dim) },
			"WeightedSumY": func() { WeightedSumY(&y[0], &q[0], &k[0], dim, n, dim) },
		} {
			b.Run(fmt.Sprintf("%s/dim=%d", name, dim), func(b *testing.B) {
				if name[len(name)-1] == 'Z' {
					need(b, hasZ, "AVX-512")
				}
				b.ReportMetric(float64(4*n*dim)/best(b, 1, func(int) { f() }), "GB/s")
			})
		}
	}
}
