package cpu

import (
	"encoding/binary"
	"math"
)

// Q4 weights: w[n,k] = scale·q, −8 ≤ q ≤ 7. A block of a panel is 640 bytes: 32 scales, f32, one an
// output, and
//
//	[input/8 4][output 32] of words, in whose nibble i%8 lies q+8 of input i
//
// so that columns are lanes. Few rows read it as it is, for many it is widened 16 KiB at a time.
const (
	q4Bytes = q8Scales + nr*q8Block/2
	q4Width = q4Bytes / q8Block // bytes for each input
	q4Zero  = 8
)

// newQ4 is blocks of zeros.
func newQ4(blocks int) []byte {
	q := make([]byte, blocks*q4Bytes)
	for i := range q {
		if i%q4Bytes >= q8Scales {
			q[i] = q4Zero<<4 | q4Zero
		}
	}
	return q
}

// q4Word is where the word with input l of output j lies in a block.
func q4Word(l, j int) int { return q8Scales + 4*(l/8*nr+j) }

func packQ4Loop(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[q4Bytes:], src[q8Block*nr:] {
		for j := range nr {
			most := float32(0) // the first of the greatest
			for l := range q8Block {
				if v := src[l*nr+j]; max(v, -v) > max(most, -most) {
					most = v
				}
			}
			scale := most / -8
			binary.LittleEndian.PutUint32(dst[4*j:], math.Float32bits(scale))
			for l := 0; l < q8Block; l += 8 {
				word := uint32(0)
				for i := range 8 {
					q := 0.0
					if scale != 0 {
						q = math.RoundToEven(float64(src[(l+i)*nr+j] / scale))
					}
					word |= uint32(max(-8, min(7, q))+q4Zero) << (4 * i)
				}
				binary.LittleEndian.PutUint32(dst[q4Word(l, j):], word)
			}
		}
	}
}

func widenQ4Loop(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[q8Block*nr:], src[q4Bytes:] {
		for j := range nr {
			widenQ4Column(dst[j:], nr, src, j)
		}
	}
}

// widenQ4Column is the inputs of output j of a block, to every step-th number.
func widenQ4Column(dst []float32, step int, block []byte, j int) {
	scale := math.Float32frombits(binary.LittleEndian.Uint32(block[4*j:]))
	for l := range q8Block {
		word := binary.LittleEndian.Uint32(block[q4Word(l, j):])
		dst[l*step] = scale * float32(int32(word>>(4*(l%8))&15)-q4Zero)
	}
}
