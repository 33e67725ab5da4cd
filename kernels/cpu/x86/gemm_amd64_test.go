package x86

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/cpu"
)

var (
	hasZ = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL
	hasY = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	// x/sys/cpu does not know F16C; every core with AVX2 and FMA has it.
	hasF16C = hasY
	hasVNNI = hasZ && cpu.X86.HasAVX512VNNI
)

// need skips a test or benchmark that the machine cannot run.
func need(t testing.TB, has bool, what string) {
	t.Helper()
	if !has {
		t.Skipf("this CPU has no %s", what)
	}
}

// guard is what lies around every output; NaN, so that reading it shows too.
var guard = math.Float32frombits(0x7fc0dead)

const pad = 37 // guard numbers on each side; odd, so that outputs are not aligned

// guarded returns a slice of n guard values inside a guarded array.
func guarded(n int) (all, in []float32) {
	all = make([]float32, n+2*pad)
	for i := range all {
		all[i] = guard
	}
	return all, all[pad : pad+n : pad+n]
}

func isGuard(x float32) bool { return math.Float32bits(x) == math.Float32bits(guard) }

// checkGuards fails if a number outside of in was written.
func checkGuards(t *testing.T, all []float32) {
	t.Helper()
	for i := range pad {
		if !isGuard(all[i]) || !isGuard(all[len(all)-1-i]) {
			t.Fatalf("wrote outside of the output")
		}
	}
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n+1)[1:] // off the 64-byte line
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// aligned is random from a 64-byte line on, as the panels of a weight are.
func aligned(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n+16)
	for uintptr(unsafe.Pointer(&x[0]))%64 != 0 {
		x = x[1:]
	}
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x[:n]
}

// at0 is the address of x[0], or nil for nothing.
func at0[T any](x []T) *T {
	if len(x) == 0 {
		return nil
	}
	return &x[0]
}

var gemmKs = []int{0, 1, 2, 3, 4, 5, 31, 128, 300}
var gemmMasks = []uint32{0, 1, 0x7f, 0xff, 0x1ff, 0x7fff, 0xffff, 0x1ffff, 0x7fffff, 0x1ffffff,
	0x7fffffff, 0xffffffff, 0x80000000, 0xa5a55a5a}

// gemmCase runs one kernel on fresh operands and compares it with float64.
// tolerance: k roundings of 2^-24 each on terms of size about 1.
func gemmCase(t *testing.T, f GemmFunc, mr, k, acc int, mask uint32, rows bool) []float32 {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(mr), uint64(k)))
	lda, ldb, ldc := mr+k%3, 32+k%2, 32+mr%5
	if rows {
		lda = k + 3
	}
	a := random(rng, (k+mr+1)*(lda+1))
	b := random(rng, (k+1)*ldb+32)
	all, c := guarded(mr * ldc)
	c0 := random(rng, mr*ldc)
	for i := range mr {
		for j := range 32 {
			if acc != 0 && mask>>j&1 != 0 {
				c[i*ldc+j] = c0[i*ldc+j]
			}
		}
	}
	f(k, at0(a), lda, at0(b), ldb, at0(c), ldc, acc, mask)
	checkGuards(t, all)
	for i := range mr {
		for j := range ldc {
			got := c[i*ldc+j]
			if j >= 32 || mask>>j&1 == 0 {
				if !isGuard(got) {
					t.Fatalf("mr=%d k=%d mask=%x: wrote c[%d,%d]", mr, k, mask, i, j)
				}
				continue
			}
			want := 0.0
			if acc != 0 {
				want = float64(c0[i*ldc+j])
			}
			for p := range k {
				x := a[p*lda+i]
				if rows {
					x = a[i*lda+p]
				}
				want += float64(x) * float64(b[p*ldb+j])
			}
			if d := math.Abs(float64(got) - want); !(d <= 1e-6*float64(k+1)) {
				t.Fatalf("mr=%d k=%d acc=%d mask=%x: c[%d,%d] = %g, want %g",
					mr, k, acc, mask, i, j, got, want)
			}
		}
	}
	return c
}

func testGemm(t *testing.T, table []GemmFunc, rows bool) {
	for mr := 1; mr < len(table); mr++ {
		for _, k := range gemmKs {
			for _, mask := range gemmMasks {
				for acc := range 2 {
					gemmCase(t, table[mr], mr, k, acc, mask, rows)
				}
			}
		}
	}
}

func TestGemmZ(t *testing.T) {
	need(t, hasZ, "AVX-512")
	testGemm(t, GemmZ[:], false)
}

func TestGemmRowZ(t *testing.T) {
	need(t, hasZ, "AVX-512")
	testGemm(t, GemmRowZ[:], true)
}

func TestGemmY(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	testGemm(t, GemmY[:], false)
}

func TestGemmRowY(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	testGemm(t, GemmRowY[:], true)
}

// TestGemmRowsStandAlone: a row's numbers are the same bits for every mr, for both instruction
// sets, and however k is cut.
func TestGemmRowsStandAlone(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	const k, lda = 77, 80
	rng := rand.New(rand.NewPCG(1, 2))
	a, b := random(rng, MaxRowsZ*lda), random(rng, k*32)
	want := make([]float32, MaxRowsZ*32)
	for i := range MaxRowsZ {
		GemmRowY[1](k, &a[i*lda], lda, &b[0], 32, &want[i*32], 32, 0, ^uint32(0))
	}
	check := func(table []GemmFunc) {
		t.Helper()
		for mr := 1; mr < len(table); mr++ {
			c := make([]float32, mr*32)
			table[mr](30, &a[0], lda, &b[0], 32, &c[0], 32, 0, ^uint32(0))
			table[mr](k-30, &a[30], lda, &b[30*32], 32, &c[0], 32, 1, ^uint32(0))
			for i, x := range c {
				if math.Float32bits(x) != math.Float32bits(want[i]) {
					t.Fatalf("mr=%d: c[%d] = %g, alone %g", mr, i, x, want[i])
				}
			}
		}
	}
	check(GemmRowY[:])
	if hasZ {
		check(GemmRowZ[:])
	}
}

func benchGemm(b *testing.B, table []GemmFunc, mrs []int, k int, rows bool) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, mr := range mrs {
		b.Run(fmt.Sprintf("mr=%d/k=%d", mr, k), func(b *testing.B) {
			lda := mr
			if rows {
				lda = k
			}
			x, y, c := aligned(rng, mr*k), aligned(rng, 32*k+32), aligned(rng, mr*32)
			ns := best(b, 1, func(int) {
				table[mr](k, &x[0], lda, &y[0], 32, &c[0], 32, 0, ^uint32(0))
			})
			b.ReportMetric(2*float64(mr*32*k)/ns, "GFLOP/s")
		})
	}
}

func BenchmarkGemmZ(b *testing.B) {
	need(b, hasZ, "AVX-512")
	benchGemm(b, GemmZ[:], []int{1, 2, 4, 8, 14}, 256, false)
}

func BenchmarkGemmRowZ(b *testing.B) {
	need(b, hasZ, "AVX-512")
	benchGemm(b, GemmRowZ[:], []int{1, 2, 4, 8, 14}, 256, true)
}

func BenchmarkGemmY(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	benchGemm(b, GemmY[:], []int{1, 2, 4, 6}, 256, false)
}

func BenchmarkGemmRowY(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	benchGemm(b, GemmRowY[:], []int{1, 2, 4, 6}, 256, true)
}
