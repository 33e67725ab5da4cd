package cpu

import (
	"encoding/binary"
	"math"

	"transformer2/shared/compute"
)

// Q8 weights: w[n,k] = scale·q, q in int8, one scale for each row n and block of 32 inputs. A
// panel is a row of blocks, each of 32 outputs by 32 inputs, 1152 bytes:
//
//	32 scales, f32, one an output
//	[input/4 8][output 32][input%4 4] of q+128
//
// so that one 64-byte load holds four consecutive inputs of 16 outputs: the operand of VPDPBUSD,
// which multiplies unsigned by signed bytes and leaves sixteen sums.
const (
	q8Block  = compute.BlockQ8
	q8Scales = 4 * nr
	q8Bytes  = q8Scales + nr*q8Block // of one block of a panel
	q8Zero   = 128
)

// q8At is where input l of output j lies in a block.
func q8At(l, j int) int { return q8Scales + (l/4*nr+j)*4 + l%4 }

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
			scale := math.Float32frombits(binary.LittleEndian.Uint32(src[4*j:]))
			for l := range q8Block {
				dst[l*nr+j] = scale * float32(int(src[q8At(l, j)])-q8Zero)
			}
		}
	}
}
