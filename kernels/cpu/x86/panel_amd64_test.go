package x86

import (
	"encoding/binary"
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

// panelSize says how numbers are stored: a step of k, and elements of w a row of a panel.
type panelSize struct{ step, row int }

var (
	plain   = panelSize{1, 32}
	blocks  = panelSize{32, Q8PanelBytes / 32}
	blocks4 = panelSize{32, q4PanelBytes / 32}
)

// q4PanelBytes is the size of a block of a panel of Q4: 32 scales and 32×32 nibbles.
const q4PanelBytes = 4*32 + 32*32/2

// testPanel compares with a GEMM kernel over the f32 panel, bit for bit. pack gives the panel that
// stands for w, and may change w to what it stands for.
func testPanel[T float32 | uint16 | byte](t *testing.T, table []PanelFunc[T], size panelSize,
	pack func(w []float32) []T) {
	for mr := 1; mr < len(table); mr++ {
		for _, steps := range []int{0, 1, 2, 3, 5, 31, 64} {
			k := steps * size.step
			if k > 200 {
				continue
			}
			for panels := 1; panels <= 6; panels++ {
				for acc := range 2 {
					panelCase(t, table[mr], mr, k, panels, acc, size, pack)
				}
			}
		}
	}
}

func panelCase[T float32 | uint16 | byte](t *testing.T, f PanelFunc[T], mr, k, panels, acc int,
	size panelSize, pack func(w []float32) []T) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(k), uint64(panels)))
	gap := 2 * size.step // rows between two panels
	ldx, ldy, ldw := k+3, 32*panels+5, 32*(k+gap)
	x := random(rng, mr*ldx)
	w := panelNumbers(rng, panels*ldw)
	h := pack(w)
	mask := gemmMasks[(mr+k+panels)%len(gemmMasks)]
	all, y := guarded(mr * ldy)
	_, want := guarded(mr * ldy)
	for i := range y {
		if j := i % ldy; acc != 0 && (j < 32*(panels-1) || j < 32*panels && mask>>(j%32)&1 != 0) {
			y[i] = float32(rng.NormFloat64())
			want[i] = y[i]
		}
	}
	for i := range mr {
		for q := range panels {
			m := ^uint32(0)
			if q == panels-1 {
				m = mask
			}
			GemmRowY[1](k, &x[i*ldx], ldx, &w[q*ldw], 32, &want[i*ldy+32*q], ldy, acc, m)
		}
	}
	f(k, &x[0], ldx, &h[0], ldw/32*size.row, panels, &y[0], ldy, acc, mask)
	checkGuards(t, all)
	for i := range y {
		if math.Float32bits(y[i]) != math.Float32bits(want[i]) {
			t.Fatalf("mr=%d k=%d panels=%d acc=%d mask=%x: y[%d,%d] = %g, want %g",
				mr, k, panels, acc, mask, i/ldy, i%ldy, y[i], want[i])
		}
	}
}

// toQ8Panel rounds w to Q8 after giving its columns and blocks different sizes.
func toQ8Panel(w []float32) []byte {
	for i := range w {
		w[i] *= 1 + float32(i%32)/7 + float32(i/1024)/3
	}
	n := len(w) / 1024
	h := make([]byte, n*Q8PanelBytes)
	PackQ8Y(&h[0], &w[0], n)
	WidenQ8Y(&w[0], &h[0], n)
	return h
}

// toQ4Panel makes w numbers of Q4, every nibble among them, and packs them.
func toQ4Panel(w []float32) []byte {
	h := make([]byte, len(w)/1024*q4PanelBytes)
	for i, v := range w {
		b, l, j := i/1024, i/32%32, i%32
		block, scale := h[b*q4PanelBytes:], (1+float32(j)/7)*(1+float32(b)/3)
		n := (int(8*v) + l) & 15
		binary.LittleEndian.PutUint32(block[4*j:], math.Float32bits(scale))
		at := 128 + 4*(l/8*32+j) + l%8/2
		block[at] |= byte(n << (l % 2 * 4))
		w[i] = scale * float32(n-8)
	}
	return h
}

func same(w []float32) []float32 { return w }

func TestPanelZ(t *testing.T) {
	need(t, hasZ, "AVX-512")
	testPanel(t, PanelF32Z[:], plain, same)
	testPanel(t, PanelF16Z[:], plain, toF16Panel)
	testPanel(t, PanelBF16Z[:], plain, toBF16Panel)
	testPanel(t, PanelQ8Z[:], blocks, toQ8Panel)
	testPanel(t, PanelQ4Z[:], blocks4, toQ4Panel)
}

func TestPanelY(t *testing.T) {
	need(t, hasY && hasF16C, "AVX2, FMA and F16C")
	testPanel(t, PanelF32Y[:], plain, same)
	testPanel(t, PanelF16Y[:], plain, toF16Panel)
	testPanel(t, PanelBF16Y[:], plain, toBF16Panel)
	testPanel(t, PanelQ8Y[:], blocks, toQ8Panel)
	testPanel(t, PanelQ4Y[:], blocks4, toQ4Panel)
}

// benchPanel streams a weight of outs×k, as decoding does.
func benchPanel[T float32 | uint16 | byte](b *testing.B, name string, table []PanelFunc[T],
	outs, k int, mrs []int) {
	size, row := 4.0, 32 // bytes a weight, elements of w a row of a panel
	switch any(T(0)).(type) {
	case uint16:
		size = 2
	case byte:
		size, row = Q8PanelBytes/1024., Q8PanelBytes/32
	}
	rng := rand.New(rand.NewPCG(1, 1))
	w := make([]T, outs/32*k*row)
	for i := range w {
		w[i] = normal[T](i)
	}
	for _, mr := range mrs {
		if mr >= len(table) {
			continue
		}
		x, y := aligned(rng, mr*k), aligned(rng, mr*outs)
		b.Run(fmt.Sprintf("%s/%dx%d/mr=%d", name, outs, k, mr), func(b *testing.B) {
			pieces := max(1, min(outs/32/4, int(size*float64(outs*k))>>18))
			per := outs / 32 / pieces
			ns := best(b, pieces, func(p int) {
				q := p * per
				table[mr](k, &x[0], k, &w[q*k*row], k*row, per, &y[q*32], outs, 0, ^uint32(0))
			})
			weights := float64(pieces * per * 32 * k)
			b.ReportMetric(size*weights/ns, "GB/s")
			b.ReportMetric(2*float64(mr)*weights/ns, "GFLOP/s")
		})
	}
}

func BenchmarkPanelZ(b *testing.B) {
	need(b, hasZ, "AVX-512")
	for _, s := range [][2]int{{768, 288}, {768, 768}, {32000, 768}} {
		mrs := []int{1, 2, 4, 8, 14}
		if s[0] > 768 {
			mrs = mrs[:2]
		}
		benchPanel(b, "f32", PanelF32Z[:], s[0], s[1], mrs)
		benchPanel(b, "f16", PanelF16Z[:], s[0], s[1], mrs)
		benchPanel(b, "bf16", PanelBF16Z[:], s[0], s[1], mrs)
		benchPanel(b, "q8", PanelQ8Z[:], s[0], s[1], mrs)
	}
}

func BenchmarkPanelY(b *testing.B) {
	need(b, hasY && hasF16C, "AVX2, FMA and F16C")
	mrs := []int{1, 2, 3, 6}
	benchPanel(b, "f32", PanelF32Y[:], 768, 288, mrs)
	benchPanel(b, "f16", PanelF16Y[:], 768, 288, mrs)
	benchPanel(b, "bf16", PanelBF16Y[:], 768, 288, mrs)
	benchPanel(b, "q8", PanelQ8Y[:], 768, 288, mrs)
}

// normal is an element of w that stands for a normal number, not a subnormal one.
func normal[T float32 | uint16 | byte](i int) T {
	base := 0x2000
	if _, ok := any(T(0)).(byte); ok {
		base = 0x20
	}
	return T(base + i&0x1f)
}
