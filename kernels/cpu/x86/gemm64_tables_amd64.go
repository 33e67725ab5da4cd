package x86

// Gemm64Func is the micro-kernel of f64, 16 columns wide. For i < mr and the columns j < 16 whose
// bit is set in mask:
//
//	s := 0
//	for p := range k { s = fma(a(i, p), b[p*ldb+j], s) }
//	c[i*ldc+j] = fma(alpha, s, c[i*ldc+j])
//
// All forms and all mr give the same bits. b is read for all 16 columns whatever the mask.
type Gemm64Func func(k int, alpha float64, a *float64, lda int, b *float64, ldb int,
	c *float64, ldc int, mask uint32)

// The kernels for mr rows are at index mr: a(i, p) is a[p*lda+i], in the Row tables a[i*lda+p].
var (
	Gemm64Z = [MaxRowsZ + 1]Gemm64Func{nil,
		gemm64Z1, gemm64Z2, gemm64Z3, gemm64Z4, gemm64Z5, gemm64Z6, gemm64Z7, gemm64Z8, gemm64Z9,
		gemm64Z10, gemm64Z11, gemm64Z12, gemm64Z13, gemm64Z14}
	Gemm64Y = [MaxRowsY + 1]Gemm64Func{nil,
		gemm64Y1, gemm64Y2, gemm64Y3, gemm64Y4, gemm64Y5, gemm64Y6}
	GemmRow64Z = [MaxRowsZ + 1]Gemm64Func{nil,
		gemmRow64Z1, gemmRow64Z2, gemmRow64Z3, gemmRow64Z4, gemmRow64Z5, gemmRow64Z6, gemmRow64Z7,
		gemmRow64Z8, gemmRow64Z9, gemmRow64Z10, gemmRow64Z11, gemmRow64Z12, gemmRow64Z13,
		gemmRow64Z14}
	GemmRow64Y = [MaxRowsY + 1]Gemm64Func{nil,
		gemmRow64Y1, gemmRow64Y2, gemmRow64Y3, gemmRow64Y4, gemmRow64Y5, gemmRow64Y6}
)
