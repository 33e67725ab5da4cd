package x86

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestPackT(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for form, f := range []func(dst *float32, scale float32, src *float32, ld, rows, k int){
		PackTY, PackTZ} {
		if form == 1 && !hasZ {
			continue
		}
		for _, k := range []int{0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 40, 100} {
			for rows := range 33 {
				rng := rand.New(rand.NewPCG(uint64(k), uint64(rows)))
				ld := k + rows%3
				// Numbers that are not part of the rows are NaN, and the last row ends the slice.
				src := make([]float32, max(1, (rows-1)*ld+k))
				for i := range src {
					src[i] = guard
					if ld > 0 && i%ld < k {
						src[i] = float32(rng.NormFloat64())
					}
				}
				all, dst := guarded(32 * k)
				f(&all[pad], 0.5, &src[0], ld, rows, k)
				checkGuards(t, all)
				for i, got := range dst {
					want := float32(0)
					if j := i % 32; j < rows {
						want = 0.5 * src[j*ld+i/32]
					}
					if got != want {
						t.Fatalf("form %d k=%d rows=%d: dst[%d] = %g, want %g", form, k, rows, i, got,
							want)
					}
				}
			}
		}
	}
}

func TestCopyPanel(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for form, f := range []func(dst, src *float32, ld, k, cols int){CopyPanelY, CopyPanelZ} {
		if form == 1 && !hasZ {
			continue
		}
		for cols := range 33 {
			for _, k := range []int{0, 1, 5} {
				rng := rand.New(rand.NewPCG(uint64(k), uint64(cols)))
				ld := cols + cols%3
				src := random(rng, k*ld+1)
				all, dst := guarded(32 * k)
				f(&all[pad], &src[0], ld, k, cols)
				checkGuards(t, all)
				for i, got := range dst {
					want := float32(0)
					if i%32 < cols {
						want = src[i/32*ld+i%32]
					}
					if got != want {
						t.Fatalf("form %d k=%d cols=%d: dst[%d] = %g, want %g", form, k, cols, i, got,
							want)
					}
				}
			}
		}
	}
}

// halfForm converts panels between f32 and one 16-bit type.
type halfForm struct {
	name   string
	has    bool
	widen  func(dst *float32, src *uint16, rows int)
	narrow func(dst *uint16, src *float32, rows int)
}

// fromF16 is the value of an IEEE half, by the definition.
func fromF16(h uint16) float64 {
	sign, exp, frac := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)/1024
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -14)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1+frac, exp-15)
}

func fromBF16(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }

// place is where column j of a row of a panel lies.
func place(bf16 bool, i int) int {
	j := i % 32
	switch {
	case !bf16:
		return i
	case j < 16:
		return i - j + 2*j
	}
	return i - j + 2*(j-16) + 1
}

// TestHalves widens every 16-bit number, narrows it back, and narrows numbers between two
// neighbours: nearer to one of them, or half way.
func TestHalves(t *testing.T) {
	forms := []halfForm{
		{"F16Y", hasY && hasF16C, WidenF16Y, NarrowF16Y}, {"BF16Y", hasY, WidenBF16Y, NarrowBF16Y},
		{"F16Z", hasZ, WidenF16Z, NarrowF16Z}, {"BF16Z", hasZ, WidenBF16Z, NarrowBF16Z},
	}
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			need(t, f.has, "instructions for "+f.name)
			bf, value := f.name[0] == 'B', fromF16
			if bf {
				value = fromBF16
			}
			const n = 1 << 16
			h := make([]uint16, n)
			for i := range h {
				h[place(bf, i)] = uint16(i)
			}
			all, wide := guarded(n)
			f.widen(&wide[0], &h[0], n/32)
			checkGuards(t, all)
			for i, got := range wide {
				if want := value(uint16(i)); float64(got) != want && (want == want || got == got) {
					t.Fatalf("widened %04x: %g, want %g", i, got, want)
				}
			}
			back := make([]uint16, n+2)
			f.narrow(&back[1], &wide[0], n/32)
			if back[0] != 0 || back[n+1] != 0 {
				t.Fatal("wrote outside of the output")
			}
			for i := range n {
				got := back[1+place(bf, i)]
				if v := value(uint16(i)); v != v {
					if w := value(got); w == w {
						t.Fatalf("NaN %04x became %04x", i, got)
					}
				} else if int(got) != i {
					t.Fatalf("%04x became %04x", i, got)
				}
			}
			for _, part := range []float64{0.25, 0.5, 0.75} {
				in := make([]float32, n)
				for i := range in {
					in[i] = float32(value(uint16(i))*(1-part) + value(uint16(i+1))*part)
				}
				f.narrow(&back[1], &in[0], n/32)
				for i := range n {
					lo, hi := value(uint16(i)), value(uint16(i+1))
					if !(math.Abs(lo) < math.MaxFloat32) || !(math.Abs(hi) < math.MaxFloat32) ||
						i&0x7fff == 0x7fff {
						continue
					}
					want := i + i&1 // half way: to even
					if part != 0.5 {
						want = i + int(math.Round(part))
					}
					if got := back[1+place(bf, i)]; int(got) != want {
						t.Fatalf("%g between %g and %g became %04x, want %04x", in[i], lo, hi, got,
							want)
					}
				}
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	const k = 288
	rng := rand.New(rand.NewPCG(1, 1))
	src, dst, h := aligned(rng, 32*k), aligned(rng, 32*k), make([]uint16, 32*k)
	for i, form := range []string{"Y", "Z"} {
		two := func(name string, y, z func()) {
			b.Run(fmt.Sprintf("%s%s", name, form), func(b *testing.B) {
				need(b, i == 0 || hasZ, "AVX-512")
				f := y
				if i == 1 {
					f = z
				}
				b.ReportMetric(best(b, 1, func(int) { f() })/(32*k), "ns/elem")
			})
		}
		two("PackT", func() { PackTY(&dst[0], 1, &src[0], k, 32, k) },
			func() { PackTZ(&dst[0], 1, &src[0], k, 32, k) })
		two("CopyPanel", func() { CopyPanelY(&dst[0], &src[0], 32, k, 32) },
			func() { CopyPanelZ(&dst[0], &src[0], 32, k, 32) })
		two("WidenF16", func() { WidenF16Y(&dst[0], &h[0], k) },
			func() { WidenF16Z(&dst[0], &h[0], k) })
		two("NarrowF16", func() { NarrowF16Y(&h[0], &src[0], k) },
			func() { NarrowF16Z(&h[0], &src[0], k) })
		two("WidenBF16", func() { WidenBF16Y(&dst[0], &h[0], k) },
			func() { WidenBF16Z(&dst[0], &h[0], k) })
		two("NarrowBF16", func() { NarrowBF16Y(&h[0], &src[0], k) },
			func() { NarrowBF16Z(&h[0], &src[0], k) })
	}
}
