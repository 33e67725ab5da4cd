package x86

// Q8Func multiplies mr rows of quantised x with panels of a Q8 weight:
//
//	for q < panels, i < mr and j < 32 (in the last panel where mask has bit j):
//		y[i*ldy+32*q+j] = Σ_b (Σ_{p<32} qx(i,b,p)·qw(q,b,p,j)) · (sx(i,b)·sw(q,b,j))
//
// The inner sum is exact in integers; the outer is a chain of FMAs in the order of b. So all
// forms give the same bits, for any mr. The rounding of x to 8 bits is the only loss against
// f32: about 0.4 % of a block's greatest number, at random, for each input.
//
// x is rows, ldx bytes apart, of blocks of 40 bytes as Quantize writes them: 32 int8, a float32
// scale sx, and an int32 correction −128·Σ qx.
//
// w is panels, one behind the other, of blocks of 1152 bytes (1.125 bytes a weight, one stream):
//
//	[32]float32          scales sw(q,b,j)
//	[8][32][4]uint8      qw(q,b,4*g+r,j) + 128 at [g][j][r]
//
// A block that holds nothing must have scales of 0. The Z form needs VNNI.
type Q8Func func(blocks int, x *byte, ldx int, w *byte, panels int, y *float32, ldy int,
	mask uint32)

// Sizes of a block of 32 inputs in bytes.
const (
	Q8InputBytes = 40
	Q8PanelBytes = 1152
)

// The kernels for mr rows are at index mr.
var (
	Q8Z = [...]Q8Func{nil, q8Z1, q8Z2, q8Z3, q8Z4, q8Z5, q8Z6}
	Q8Y = [...]Q8Func{nil, q8Y1, q8Y2}
)
