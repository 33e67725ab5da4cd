package x86

// PanelFunc multiplies mr rows of x with panels of a weight:
//
//	for q < panels, i < mr and j < 32 (in the last panel where mask has bit j):
//		s := 0, or y[i*ldy+32*q+j] if acc != 0
//		for p := range k { s = fma(x[i*ldx+p], w(q*ldw+32*p, j), s) }
//		y[i*ldy+32*q+j] = s
//
// ldw is the distance of two panels in numbers (32·k if they lie one behind the other). Widening
// is in registers and exact, and the order of the sum is that of GemmFunc: a row's result is the
// same bits for any mr, and the same as that of a GEMM over the widened panel.
//
// w(o, j) is w[o+j] in F32 and F16. In BF16 columns j and j+16 are neighbours, so that one 32-bit
// word holds both: w(o, j) is w[o+2*j] for j < 16 and w[o+2*(j-16)+1] above. Q8 is laid out as
// Q8Func says; its ldw counts bytes, k is a multiple of 32, and w is what WidenQ8 makes of it. So is
// Q4, whose blocks are 640 bytes:
//
//	[32]float32      scales s(q,b,j)
//	[4][32]uint32    n(q,b,8*g+r,j) + 8 in bits 4*r … 4*r+3 of [g][j]; w is s·n
type PanelFunc[T float32 | uint16 | byte] func(k int, x *float32, ldx int, w *T, ldw, panels int,
	y *float32, ldy int, acc int, mask uint32)

// The kernels for mr rows are at index mr. F16 in the Y form needs F16C.
var (
	PanelF32Z = [MaxRowsZ + 1]PanelFunc[float32]{nil,
		panelF32Z1, panelF32Z2, panelF32Z3, panelF32Z4, panelF32Z5, panelF32Z6, panelF32Z7,
		panelF32Z8, panelF32Z9, panelF32Z10, panelF32Z11, panelF32Z12, panelF32Z13, panelF32Z14}
	PanelF32Y = [MaxRowsY + 1]PanelFunc[float32]{nil,
		panelF32Y1, panelF32Y2, panelF32Y3, panelF32Y4, panelF32Y5, panelF32Y6}
	PanelF16Z = [MaxRowsZ + 1]PanelFunc[uint16]{nil,
		panelF16Z1, panelF16Z2, panelF16Z3, panelF16Z4, panelF16Z5, panelF16Z6, panelF16Z7,
		panelF16Z8, panelF16Z9, panelF16Z10, panelF16Z11, panelF16Z12, panelF16Z13, panelF16Z14}
	PanelF16Y = [MaxRowsY + 1]PanelFunc[uint16]{nil,
		panelF16Y1, panelF16Y2, panelF16Y3, panelF16Y4, panelF16Y5, panelF16Y6}
	PanelBF16Z = [MaxRowsZ + 1]PanelFunc[uint16]{nil,
		panelBF16Z1, panelBF16Z2, panelBF16Z3, panelBF16Z4, panelBF16Z5, panelBF16Z6, panelBF16Z7,
		panelBF16Z8, panelBF16Z9, panelBF16Z10, panelBF16Z11, panelBF16Z12, panelBF16Z13,
		panelBF16Z14}
	PanelBF16Y = [MaxRowsY + 1]PanelFunc[uint16]{nil,
		panelBF16Y1, panelBF16Y2, panelBF16Y3, panelBF16Y4, panelBF16Y5, panelBF16Y6}
	PanelQ8Z = [...]PanelFunc[byte]{nil,
		panelQ8Z1, panelQ8Z2, panelQ8Z3, panelQ8Z4, panelQ8Z5, panelQ8Z6, panelQ8Z7, panelQ8Z8}
	PanelQ8Y = [...]PanelFunc[byte]{nil, panelQ8Y1, panelQ8Y2, panelQ8Y3}
	PanelQ4Z = [...]PanelFunc[byte]{nil, panelQ4Z1, panelQ4Z2, panelQ4Z3, panelQ4Z4}
	PanelQ4Y = [...]PanelFunc[byte]{nil, panelQ4Y1, panelQ4Y2}
)
