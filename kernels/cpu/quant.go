package cpu

import (
	"encoding/binary"
	"math"
	"unsafe"

	"transformer2/shared/compute"
)

// Q8 weights: w[n,k] = scale·q, q in int8, one scale for each row n and block of 32 inputs. A
// panel is a row of blocks, each of 32 outputs by 32 inputs: 32 scales, then the q of all, in the
// order that the machine's multipliers want (q8At).
const (
	q8Block  = compute.BlockQ8
	q8Scales = 4 * nr
	q8Bytes  = q8Scales + nr*q8Block // of one block of a panel
	q8Width  = q8Bytes / q8Block     // bytes for each input
)

// With Options.Int8 a row of x is rounded too, in blocks of 40 bytes:
//
//	[32]int8 q, f32 scale, int32 −q8Zero·Σ q
//
// where x = scale·q, and the last makes up for the weights' q8Zero.
const q8InputBytes = q8Block + 8

// A q8Func multiplies rows of rounded x, ldx bytes apart, with consecutive panels of Q8. For
// q < panels, i < rows and j < 32 (in the last panel where mask has bit j):
//
//	y[i*ldy+32*q+j] = Σ_b (Σ_{p<32} qx(i,b,p)·qw(q,b,p,j)) · (sx(i,b)·sw(q,b,j))
type q8Func func(blocks int, x *byte, ldx int, w *byte, panels int, y *float32, ldy int,
	mask uint32)

// newQ8 is blocks of zeros.
func newQ8(blocks int) []byte {
	q := make([]byte, blocks*q8Bytes)
	for i := range q {
		if i%q8Bytes >= q8Scales {
			q[i] = q8Zero
		}
	}
	return q
}

func packQ8Loop(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[q8Bytes:], src[q8Block*nr:] {
		for j := range nr {
			most := float32(0)
			for l := range q8Block {
				v := src[l*nr+j]
				most = max(most, v, -v)
			}
			scale := most / 127
			binary.LittleEndian.PutUint32(dst[4*j:], math.Float32bits(scale))
			for l := range q8Block {
				q := 0.0
				if scale > 0 {
					q = math.RoundToEven(float64(src[l*nr+j] / scale))
				}
				dst[q8At(l, j)] = byte(int(max(-127, min(127, q))) + q8Zero)
			}
		}
	}
}

func widenQ8Loop(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block*nr:], src[q8Bytes:] {
		for j := range nr {
			widenQ8Column(dst[j:], nr, src, j)
		}
	}
}

// widenQ8Column is the inputs of output j of a block, to every step-th number.
func widenQ8Column(dst []float32, step int, block []byte, j int) {
	scale := math.Float32frombits(binary.LittleEndian.Uint32(block[4*j:]))
	for l := range q8Block {
		dst[l*step] = scale * float32(q8Raw(block[q8At(l, j)])-q8Zero)
	}
}

// quantizeLoop rounds half to even by 127/max; a block of next to nothing becomes 0.
func quantizeLoop(dst []byte, x []float32) {
	const least = 0x1p-119
	for ; len(x) > 0; dst, x = dst[q8InputBytes:], x[q8Block:] {
		most := float32(0)
		for _, v := range x[:q8Block] {
			most = max(most, v, -v)
		}
		scale, factor := most/127, 127/most
		if most < least {
			scale, factor = 0, 0
		}
		sum := int32(0)
		for l, v := range x[:q8Block] {
			q := int32(math.RoundToEven(float64(v * factor)))
			dst[l] = byte(q)
			sum += q
		}
		binary.LittleEndian.PutUint32(dst[q8Block:], math.Float32bits(scale))
		binary.LittleEndian.PutUint32(dst[q8Block+4:], uint32(-q8Zero*sum))
	}
}

// q8Loop is the q8Func of one row.
func q8Loop(blocks int, x *byte, _ int, w *byte, panels int, y *float32, _ int, mask uint32) {
	xs, ws := unsafe.Slice(x, blocks*q8InputBytes), unsafe.Slice(w, panels*blocks*q8Bytes)
	for q := range panels {
		var sum [nr]float32
		for b := range blocks {
			xb, wb := xs[b*q8InputBytes:], ws[(q*blocks+b)*q8Bytes:]
			xScale := math.Float32frombits(binary.LittleEndian.Uint32(xb[q8Block:]))
			for j := range sum {
				s := int32(binary.LittleEndian.Uint32(xb[q8Block+4:]))
				for l := range q8Block {
					s += int32(int8(xb[l])) * q8Raw(wb[q8At(l, j)])
				}
				wScale := math.Float32frombits(binary.LittleEndian.Uint32(wb[4*j:]))
				sum[j] += float32(s) * (xScale * wScale)
			}
		}
		storePanel(y, &sum, q, panels, mask)
	}
}
