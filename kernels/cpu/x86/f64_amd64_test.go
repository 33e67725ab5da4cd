package x86

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func random64(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n+8)
	for uintptr(unsafe.Pointer(&x[0]))%64 != 0 {
		x = x[1:]
	}
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x[:n]
}

// guarded64 returns n copies of a NaN inside an array of them.
func guarded64(n int) (all, in []float64) {
	all = make([]float64, n+2*pad)
	for i := range all {
		all[i] = math.NaN()
	}
	return all, all[pad : pad+n : pad+n]
}

func checkGuards64(t *testing.T, all []float64) {
	t.Helper()
	for i := range pad {
		if all[i] == all[i] || all[len(all)-1-i] == all[len(all)-1-i] {
			t.Fatal("wrote outside of the output")
		}
	}
}

var gemm64Tables = []struct {
	name  string
	has   bool
	rows  bool
	table []Gemm64Func
}{
	{"Y", hasY, false, Gemm64Y[:]}, {"RowY", hasY, true, GemmRow64Y[:]},
	{"Z", hasZ, false, Gemm64Z[:]}, {"RowZ", hasZ, true, GemmRow64Z[:]},
}

func TestGemm64(t *testing.T) {
	for _, f := range gemm64Tables {
		t.Run(f.name, func(t *testing.T) {
			need(t, f.has, "instructions for "+f.name)
			for mr := 1; mr < len(f.table); mr++ {
				for _, k := range gemmKs {
					for _, mask := range gemmMasks {
						gemm64Case(t, f.table, mr, k, mask&0xffff, f.rows)
					}
				}
			}
		})
	}
}

func gemm64Case(t *testing.T, table []Gemm64Func, mr, k int, mask uint32, rows bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(mr), uint64(k)))
	const alpha = -0.7
	rs, ks := 1, mr+k%3 // a(i, p) = a[i*rs+p*ks]
	lda, ldb, ldc := ks, 16+k%2, 16+mr%5
	if rows {
		lda = k + 3
		rs, ks = lda, 1
	}
	a, b := random64(rng, (k+mr+1)*(lda+1)), random64(rng, (k+1)*ldb+16)
	all, c := guarded64(mr * ldc)
	old := make([]float64, len(c))
	for i := range c {
		if j := i % ldc; j < 16 && mask>>j&1 != 0 {
			c[i] = rng.NormFloat64()
			old[i] = c[i]
		}
	}
	table[mr](k, alpha, &a[0], lda, &b[0], ldb, &c[0], ldc, mask)
	checkGuards64(t, all)
	for i := range c {
		row, j := i/ldc, i%ldc
		if j >= 16 || mask>>j&1 == 0 {
			if c[i] == c[i] {
				t.Fatalf("mr=%d k=%d mask=%x: wrote c[%d,%d]", mr, k, mask, row, j)
			}
			continue
		}
		s := 0.0
		for p := range k {
			s = math.FMA(a[row*rs+p*ks], b[p*ldb+j], s)
		}
		if want := math.FMA(alpha, s, old[i]); c[i] != want {
			t.Fatalf("mr=%d k=%d mask=%x: c[%d,%d] = %g, want %g", mr, k, mask, row, j, c[i], want)
		}
	}
}

var lens64 = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 100, 300}

// near allows the rounding of a sum of n terms of size 1.
func near(got, want float64, n int) bool { return math.Abs(got-want) <= 1e-15*float64(n+4) }

func TestVectors64(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	dots := []func(x, y *float64, n int) float64{Dot64Y, Dot64Z}
	axpys := []func(a float64, x, y *float64, n int){Axpy64Y, Axpy64Z}
	for form := range dots {
		if form == 1 && !hasZ {
			continue
		}
		for _, n := range lens64 {
			rng := rand.New(rand.NewPCG(9, uint64(n)))
			x, y := random64(rng, n+3)[3:], random64(rng, n+1)
			want := 0.0
			for i := range n {
				want += x[i] * y[i]
			}
			got := dots[form](at0(x), &y[0], n)
			if !near(got, want, n) || got != Dot64Y(at0(x), &y[0], n) {
				t.Fatalf("form %d n=%d: dot %g, want %g", form, n, got, want)
			}
			all, z := guarded64(n)
			copy(z, y)
			axpys[form](1.5, at0(x), &all[pad], n)
			checkGuards64(t, all)
			for i := range z {
				if w := math.FMA(1.5, x[i], y[i]); z[i] != w {
					t.Fatalf("form %d n=%d: axpy [%d] = %g, want %g", form, n, i, z[i], w)
				}
			}
		}
	}
}

func TestDots4x64(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for form, f := range []func(y, x *float64, n int, a *float64, lda int){Dots4x64Y, Dots4x64Z} {
		if form == 1 && !hasZ {
			continue
		}
		for _, n := range lens64 {
			rng := rand.New(rand.NewPCG(9, uint64(n)))
			lda := n + n%3
			x, a := random64(rng, n+1), random64(rng, 4*lda+1)
			all, y := guarded64(4)
			f(&y[0], &x[0], n, &a[0], lda)
			checkGuards64(t, all)
			var yy [4]float64
			Dots4x64Y(&yy[0], &x[0], n, &a[0], lda)
			for i := range 4 {
				want := 0.0
				for j := range n {
					want += a[i*lda+j] * x[j]
				}
				if !near(y[i], want, n) || y[i] != yy[i] {
					t.Fatalf("form %d n=%d: y[%d] = %g, want %g", form, n, i, y[i], want)
				}
			}
		}
	}
}

func TestSymv8x64(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for _, n := range lens64 {
		rng := rand.New(rand.NewPCG(9, uint64(n)))
		lda := n + 5
		x, xr, a := random64(rng, n+1), random64(rng, 8), random64(rng, 8*lda)
		y0, z0 := random64(rng, 8), random64(rng, n+1)
		var firstY []float64
		for form, f := range []func(n int, a *float64, lda int, x, xr, y, z *float64){
			Symv8x64Y, Symv8x64Z} {
			if form == 1 && !hasZ {
				continue
			}
			allY, y := guarded64(8)
			allZ, z := guarded64(n)
			copy(y, y0)
			copy(z, z0)
			f(n, &a[0], lda, &x[0], &xr[0], &y[0], &allZ[pad])
			checkGuards64(t, allY)
			checkGuards64(t, allZ)
			for i := range y {
				want := y0[i]
				for j := range n {
					want += a[i*lda+j] * x[j]
				}
				if !near(y[i], want, n) || form == 1 && y[i] != firstY[i] {
					t.Fatalf("form %d n=%d: y[%d] = %g, want %g", form, n, i, y[i], want)
				}
			}
			for j := range z {
				want := z0[j]
				for i := range 8 {
					want = math.FMA(a[i*lda+j], xr[i], want)
				}
				if z[j] != want {
					t.Fatalf("form %d n=%d: z[%d] = %g, want %g", form, n, j, z[j], want)
				}
			}
			firstY = y
		}
	}
}

func BenchmarkGemm64(b *testing.B) {
	for _, f := range gemm64Tables {
		for _, mr := range []int{4, 6, 14} {
			if mr >= len(f.table) {
				continue
			}
			const k = 256
			b.Run(fmt.Sprintf("%s/mr=%d", f.name, mr), func(b *testing.B) {
				need(b, f.has, "instructions for "+f.name)
				rng := rand.New(rand.NewPCG(1, 1))
				x, y, c := random64(rng, mr*k), random64(rng, 16*k+16), random64(rng, mr*16)
				lda := mr
				if f.rows {
					lda = k
				}
				ns := best(b, 1, func(int) {
					f.table[mr](k, 1, &x[0], lda, &y[0], 16, &c[0], 16, 0xffff)
				})
				b.ReportMetric(2*float64(mr*16*k)/ns, "GFLOP/s")
			})
		}
	}
}

func BenchmarkSymv8x64(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{512, 4096} {
		rows := 8
		if n > 512 {
			rows = 2048 // 64 MiB
		}
		a, x, y, z := random64(rng, rows*n), random64(rng, n), random64(rng, 8), random64(rng, n)
		for form, f := range []func(n int, a *float64, lda int, x, xr, y, z *float64){
			Symv8x64Y, Symv8x64Z} {
			b.Run(fmt.Sprintf("%s/%dx%d", []string{"Y", "Z"}[form], rows, n), func(b *testing.B) {
				need(b, form == 0 && hasY || hasZ, "instructions")
				ns := best(b, rows/8, func(p int) {
					f(n, &a[p*8*n], n, &x[0], &x[0], &y[0], &z[0])
				})
				b.ReportMetric(float64(8*rows*n)/ns, "GB/s")
				b.ReportMetric(4*float64(rows*n)/ns, "GFLOP/s")
			})
		}
	}
}
