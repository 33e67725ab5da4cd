package x86

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The panels of the tests hold numbers that every type holds exactly: small multiples of 1/8.
func panelNumbers(rng *rand.Rand, n int) []float32 {
	w := aligned(rng, n)
	for i := range w {
		w[i] = float32(rng.IntN(129)-64) / 8
	}
	return w
}

func toBF16Panel(w []float32) []uint16 {
	h := make([]uint16, len(w))
	for o := 0; o < len(w); o += 32 {
		for j := range 16 {
			h[o+2*j] = uint16(math.Float32bits(w[o+j]) >> 16)
			h[o+2*j+1] = uint16(math.Float32bits(w[o+j+16]) >> 16)
		}
	}
	return h
}

// toF16Panel converts numbers that need no rounding and are 0 or at least 2^-14.
func toF16Panel(w []float32) []uint16 {
	h := make([]uint16, len(w))
	for i, x := range w {
		u := math.Float32bits(x)
		h[i] = uint16(u >> 16 & 0x8000)
		if x != 0 {
			h[i] |= uint16(u>>13&0x3ffff - (127-15)<<10)
		}
	}
	return h
}

// testPanel compares with a GEMM kernel over the f32 panel, bit for bit.
func testPanel[T float32 | uint16](t *testing.T, table []PanelFunc[T], pack func([]float32) []T) {
	for mr := 1; mr < len(table); mr++ {
		for _, k := range []int{0, 1, 2, 3, 5, 31, 64} {
			for panels := 1; panels <= 6; panels++ {
				rng := rand.New(rand.NewPCG(uint64(k), uint64(panels)))
				ldx, ldy, ldw := k+3, 32*panels+5, 32*k+64
				x := random(rng, mr*ldx)
				w := panelNumbers(rng, panels*ldw)
				h := pack(w)
				mask := gemmMasks[(mr+k+panels)%len(gemmMasks)]
				for acc := range 2 {
					all, y := guarded(mr * ldy)
					_, want := guarded(mr * ldy)
					if acc != 0 {
						for i := range mr {
							for j := range 32 * panels {
								if j < 32*(panels-1) || mask>>(j%32)&1 != 0 {
									y[i*ldy+j] = float32(rng.NormFloat64())
									want[i*ldy+j] = y[i*ldy+j]
								}
							}
						}
					}
					for i := range mr {
						for q := range panels {
							m := ^uint32(0)
							if q == panels-1 {
								m = mask
							}
							GemmRowY[1](k, &x[i*ldx], ldx, &w[q*ldw], 32,
								&want[i*ldy+32*q], ldy, acc, m)
						}
					}
					table[mr](k, &x[0], ldx, &h[0], ldw, panels, &y[0], ldy, acc, mask)
					checkGuards(t, all)
					for i := range y {
						if math.Float32bits(y[i]) != math.Float32bits(want[i]) {
							t.Fatalf("mr=%d k=%d panels=%d acc=%d mask=%x: y[%d,%d] = %g, want %g",
								mr, k, panels, acc, mask, i/ldy, i%ldy, y[i], want[i])
						}
					}
				}
			}
		}
	}
}

func same(w []float32) []float32 { return w }

func TestPanelZ(t *testing.T) {
	need(t, hasZ, "AVX-512")
	testPanel(t, PanelF32Z[:], same)
	testPanel(t, PanelF16Z[:], toF16Panel)
	testPanel(t, PanelBF16Z[:], toBF16Panel)
}

func TestPanelY(t *testing.T) {
	need(t, hasY && hasF16C, "AVX2, FMA and F16C")
	testPanel(t, PanelF32Y[:], same)
	testPanel(t, PanelF16Y[:], toF16Panel)
	testPanel(t, PanelBF16Y[:], toBF16Panel)
}

// benchPanel streams a weight of outs×k, as decoding does.
func benchPanel[T float32 | uint16](b *testing.B, name string, table []PanelFunc[T], outs, k int,
	mrs []int) {
	size := 4.0
	if any(T(0)) == any(uint16(0)) {
		size = 2
	}
	rng := rand.New(rand.NewPCG(1, 1))
	w := make([]T, outs*k)
	for i := range w {
		w[i] = T(0x2000 + i&0xff) // normal numbers in every type
	}
	for _, mr := range mrs {
		x, y := aligned(rng, mr*k), aligned(rng, mr*outs)
		b.Run(fmt.Sprintf("%s/%dx%d/mr=%d", name, outs, k, mr), func(b *testing.B) {
			pieces := max(1, min(outs/32/4, int(size)*outs*k>>18))
			per := outs / 32 / pieces
			ns := best(b, pieces, func(p int) {
				q := p * per
				table[mr](k, &x[0], k, &w[q*32*k], 32*k, per, &y[q*32], outs, 0, ^uint32(0))
			})
			share := float64(pieces*per*32) / float64(outs)
			b.ReportMetric(share*size*float64(outs*k)/ns, "GB/s")
			b.ReportMetric(share*2*float64(mr*outs*k)/ns, "GFLOP/s")
		})
	}
}

func BenchmarkPanelZ(b *testing.B) {
	need(b, hasZ, "AVX-512")
	for _, s := range [][2]int{{768, 288}, {768, 768}, {32000, 288}, {16384, 4096}} {
		mrs := []int{1, 2, 4, 8, 14}
		if s[1] > 768 {
			mrs = mrs[:2]
		}
		benchPanel(b, "f32", PanelF32Z[:], s[0], s[1], mrs)
		benchPanel(b, "f16", PanelF16Z[:], s[0], s[1], mrs)
		benchPanel(b, "bf16", PanelBF16Z[:], s[0], s[1], mrs)
	}
}

func BenchmarkPanelY(b *testing.B) {
	need(b, hasY && hasF16C, "AVX2, FMA and F16C")
	mrs := []int{1, 2, 4, 6}
	benchPanel(b, "f32", PanelF32Y[:], 768, 288, mrs)
	benchPanel(b, "f16", PanelF16Y[:], 768, 288, mrs)
	benchPanel(b, "bf16", PanelBF16Y[:], 768, 288, mrs)
}
