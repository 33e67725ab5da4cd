//go:build !wasm

package cpu

// A block of a panel of Q8, 1152 bytes:
//
//	32 scales, f32, one an output
//	[input/4 8][output 32][input%4 4] of q+128
//
// so that one 64-byte load holds four consecutive inputs of 16 outputs: the operand of VPDPBUSD,
// which multiplies unsigned by signed bytes and leaves sixteen sums.
const q8Zero = 128

// q8At is where input l of output j lies in a block.
func q8At(l, j int) int { return q8Scales + (l/4*nr+j)*4 + l%4 }

// q8Raw is a stored byte as a number, q + q8Zero.
func q8Raw(b byte) int32 { return int32(b) }
