package x86

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func f32At(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

// q8Form is one instruction set's functions.
type q8Form struct {
	name     string
	has      bool
	kernels  []Q8Func
	quantize func(dst *byte, x *float32, blocks int)
	pack     func(dst *byte, src *float32, blocks int)
	widen    func(dst *float32, w *byte, blocks int)
}

var q8Forms = []q8Form{
	{"Y", hasY, Q8Y[:], QuantizeY, PackQ8Y, WidenQ8Y},
	{"Z", hasVNNI, Q8Z[:], QuantizeZ, PackQ8Z, WidenQ8Z},
}

func eachQ8Form(t *testing.T, f func(t *testing.T, q *q8Form)) {
	for i := range q8Forms {
		t.Run(q8Forms[i].name, func(t *testing.T) {
			need(t, q8Forms[i].has, "instructions for q8"+q8Forms[i].name)
			f(t, &q8Forms[i])
		})
	}
}

// q8Values has the awkward blocks: zeros, next to nothing, huge, ties.
func q8Values(rng *rand.Rand, n int) []float32 {
	x := random(rng, n)
	for i := range x {
		switch i / 32 % 6 {
		case 1:
			x[i] = 0
		case 2:
			x[i] *= 1e30
		case 3:
			x[i] *= 1e-20
		case 4:
			x[i] = float32(i%255-127) / 2
		}
	}
	return x
}

func TestQuantize(t *testing.T) {
	eachQ8Form(t, func(t *testing.T, q *q8Form) {
		const blocks = 13
		rng := rand.New(rand.NewPCG(1, 7))
		x := q8Values(rng, 32*blocks)
		x[5*32] = 1e-38 // with the others: an ordinary block
		for i := range 32 {
			x[11*32+i] = 1e-40
		}
		got := bytes.Repeat([]byte{0xa5}, Q8InputBytes*blocks+16)
		q.quantize(&got[8], &x[0], blocks)
		for i := range 8 {
			if got[i] != 0xa5 || got[len(got)-1-i] != 0xa5 {
				t.Fatal("wrote outside of the output")
			}
		}
		for b := range blocks {
			in, out := x[32*b:32*b+32], got[8+Q8InputBytes*b:]
			most := float32(0)
			for _, v := range in {
				most = max(most, v, -v)
			}
			scale, factor := most/127, 127/most
			if most < 0x1p-119 {
				scale, factor = 0, 0
			}
			if s := f32At(out[32:]); s != scale {
				t.Fatalf("block %d: scale %g, want %g", b, s, scale)
			}
			sum := int32(0)
			for p, v := range in {
				want := int8(math.RoundToEven(float64(v * factor)))
				if int8(out[p]) != want {
					t.Fatalf("block %d: q[%d] = %d, want %d (%g)", b, p, int8(out[p]), want, v)
				}
				sum += int32(want)
			}
			if c := int32(binary.LittleEndian.Uint32(out[36:])); c != -128*sum {
				t.Fatalf("block %d: correction %d, want %d", b, c, -128*sum)
			}
		}
		x[3] = float32(math.NaN())
		q.quantize(&got[8], &x[0], 1)
		if s := f32At(got[8+32:]); s == s {
			t.Errorf("scale of a block with NaN is %g", s)
		}
	})
}

// wantQ8 packs a panel [32*blocks][32] by the book.
func wantQ8(w []float32, blocks int) []byte {
	out := make([]byte, Q8PanelBytes*blocks)
	for b := range blocks {
		o := out[Q8PanelBytes*b:]
		for j := range 32 {
			most := float32(0)
			for p := range 32 {
				v := w[(32*b+p)*32+j]
				most = max(most, v, -v)
			}
			s := most / 127
			binary.LittleEndian.PutUint32(o[4*j:], math.Float32bits(s))
			for p := range 32 {
				q := 0.0
				if s > 0 {
					q = math.RoundToEven(float64(w[(32*b+p)*32+j] / s))
				}
				o[128+p/4*128+4*j+p%4] = byte(int(max(-127, min(127, q))) + 128)
			}
		}
	}
	return out
}

func TestPackQ8(t *testing.T) {
	eachQ8Form(t, func(t *testing.T, q *q8Form) {
		const blocks = 7
		rng := rand.New(rand.NewPCG(2, 7))
		w := q8Values(rng, 1024*blocks)
		for p := range 32 {
			w[p*32+3] = 0     // an empty column
			w[p*32+4] = 3e-45 // subnormal scale
		}
		want := wantQ8(w, blocks)
		got := bytes.Repeat([]byte{0xa5}, len(want)+16)
		q.pack(&got[8], &w[0], blocks)
		if !bytes.Equal(got[8:8+len(want)], want) {
			for i := range want {
				if got[8+i] != want[i] {
					t.Fatalf("byte %d of block %d: %d, want %d", i%Q8PanelBytes, i/Q8PanelBytes,
						got[8+i], want[i])
				}
			}
		}
		if got[7] != 0xa5 || got[8+len(want)] != 0xa5 {
			t.Fatal("wrote outside of the output")
		}
		all, back := guarded(len(w))
		q.widen(&back[0], &want[0], blocks)
		checkGuards(t, all)
		for i := range back {
			b, p, j := i/1024, i/32%32, i%32
			o := want[Q8PanelBytes*b:]
			x := f32At(o[4*j:]) * float32(int(o[128+p/4*128+4*j+p%4])-128)
			if back[i] != x {
				t.Fatalf("widened [%d] = %g, want %g", i, back[i], x)
			}
		}
	})
}

func TestQ8Kernels(t *testing.T) {
	eachQ8Form(t, func(t *testing.T, form *q8Form) {
		for mr := 1; mr < len(form.kernels); mr++ {
			for _, blocks := range []int{0, 1, 2, 9} {
				for panels := 1; panels <= 6; panels++ {
					testQ8(t, form, mr, blocks, panels)
				}
			}
		}
	})
}

// testQ8 compares with the formula, whose float part is written as the kernels do it.
func testQ8(t *testing.T, form *q8Form, mr, blocks, panels int) {
	rng := rand.New(rand.NewPCG(uint64(mr), uint64(blocks)))
	ldx, ldy := Q8InputBytes*blocks+24, 32*panels+3
	x, w := make([]byte, mr*ldx+1), make([]byte, Q8PanelBytes*blocks*panels+1)
	for i := range mr {
		QuantizeY(&x[i*ldx], &random(rng, 32*blocks+1)[0], blocks)
	}
	for q := range panels {
		PackQ8Y(&w[q*blocks*Q8PanelBytes], &random(rng, 1024*blocks+1)[0], blocks)
	}
	if blocks > 1 { // the extremes, for saturation
		for p := range 32 {
			x[p] = 127
			for j := range 32 {
				w[128+p/4*128+4*j+p%4] = byte(255 - 254*(j%2))
			}
		}
		binary.LittleEndian.PutUint32(x[36:], uint32(0x100000000-128*127*32))
	}
	mask := gemmMasks[(mr+blocks+panels)%len(gemmMasks)]
	all, y := guarded(mr * ldy)
	form.kernels[mr](blocks, &x[0], ldx, &w[0], panels, &y[0], ldy, mask)
	checkGuards(t, all)
	for i := range mr {
		for n := range ldy {
			got := y[i*ldy+n]
			q, j := n/32, n%32
			if q >= panels || q == panels-1 && mask>>j&1 == 0 {
				if !isGuard(got) {
					t.Fatalf("mr=%d blocks=%d panels=%d: wrote y[%d,%d]", mr, blocks, panels, i, n)
				}
				continue
			}
			want := float32(0)
			for b := range blocks {
				xb, wb := x[i*ldx+Q8InputBytes*b:], w[(q*blocks+b)*Q8PanelBytes:]
				dot := 0
				for p := range 32 {
					dot += int(int8(xb[p])) * (int(wb[128+p/4*128+4*j+p%4]) - 128)
				}
				s := f32At(xb[32:]) * f32At(wb[4*j:])
				// exact in f64: 24 bits times 20 bits, and one rounding that may be double
				want = float32(float64(s)*float64(dot) + float64(want))
			}
			if d := math.Abs(float64(got - want)); !(d <= 1e-6*math.Abs(float64(want))) {
				t.Fatalf("mr=%d blocks=%d panels=%d: y[%d,%d] = %g, want %g", mr, blocks, panels,
					i, n, got, want)
			}
			var alone [32]float32
			Q8Y[1](blocks, &x[i*ldx], ldx, &w[q*blocks*Q8PanelBytes], 1, &alone[0], 32, ^uint32(0))
			if math.Float32bits(alone[j]) != math.Float32bits(got) {
				t.Fatalf("mr=%d: y[%d,%d] = %g, alone %g", mr, i, n, got, alone[j])
			}
		}
	}
}

func BenchmarkQ8(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range q8Forms {
		f := &q8Forms[i]
		for _, s := range [][2]int{{768, 288}, {768, 768}, {32000, 768}} {
			outs, blocks := s[0], s[1]/32
			w := make([]byte, outs/32*blocks*Q8PanelBytes)
			for i := range w {
				w[i] = byte(i) & 0x3f
			}
			x, y := make([]byte, 8*blocks*Q8InputBytes), aligned(rng, 8*outs)
			for mr := 1; mr < len(f.kernels); mr++ {
				if outs > 768 && mr > 1 {
					break
				}
				b.Run(fmt.Sprintf("%s/%dx%d/mr=%d", f.name, outs, 32*blocks, mr), func(b *testing.B) {
					need(b, f.has, "instructions for q8"+f.name)
					per := max(4, outs/32/64)
					pieces := outs / 32 / per
					ns := best(b, pieces, func(p int) {
						f.kernels[mr](blocks, &x[0], blocks*Q8InputBytes,
							&w[p*per*blocks*Q8PanelBytes], per, &y[p*per*32], outs, ^uint32(0))
					})
					b.ReportMetric(float64(pieces*per*blocks*Q8PanelBytes)/ns, "GB/s")
					b.ReportMetric(2*float64(mr*pieces*per*blocks*1024)/ns, "GOP/s")
				})
			}
		}
		x, w := aligned(rng, 32*1024), make([]byte, 32*Q8PanelBytes)
		b.Run("Quantize"+f.name, func(b *testing.B) {
			need(b, f.has, "instructions for q8"+f.name)
			ns := best(b, 1, func(int) { f.quantize(&w[0], &x[0], 24) })
			b.ReportMetric(ns/(24*32), "ns/elem")
		})
		b.Run("PackQ8"+f.name, func(b *testing.B) {
			need(b, f.has, "instructions for q8"+f.name)
			ns := best(b, 1, func(int) { f.pack(&w[0], &x[0], 24) })
			b.ReportMetric(ns/(24*1024), "ns/elem")
		})
		b.Run("WidenQ8"+f.name, func(b *testing.B) {
			need(b, f.has, "instructions for q8"+f.name)
			ns := best(b, 1, func(int) { f.widen(&x[0], &w[0], 24) })
			b.ReportMetric(ns/(24*1024), "ns/elem")
		})
	}
}
