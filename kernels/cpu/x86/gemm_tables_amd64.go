package x86

// GemmFunc is a GEMM micro-kernel. Its loop, for i < mr and the columns j < 32 whose bit is set
// in mask:
//
//	s := 0, or c[i*ldc+j] if acc != 0
//	for p := range k { s = fma(a(i, p), b[p*ldb+j], s) }
//	c[i*ldc+j] = s
//
// Every output is one chain of fused multiply-adds in the order of p. So the numbers of a row do
// not depend on mr, on the instruction set, or on how k is cut into calls with acc != 0.
// b is read for all 32 columns whatever the mask; of c only the masked columns are touched.
type GemmFunc func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int,
	acc int, mask uint32)

// MaxRowsZ and MaxRowsY are the largest mr of the tables.
const (
	MaxRowsZ = 14
	MaxRowsY = 6
)

// GemmZ and GemmY hold the kernel for mr rows at index mr, with a(i, p) = a[p*lda+i]: packed for
// lda = mr, or the matrix Aᵀ as it lies.
var (
	GemmZ = [MaxRowsZ + 1]GemmFunc{nil,
		gemmZ1, gemmZ2, gemmZ3, gemmZ4, gemmZ5, gemmZ6, gemmZ7,
		gemmZ8, gemmZ9, gemmZ10, gemmZ11, gemmZ12, gemmZ13, gemmZ14}
	GemmY = [MaxRowsY + 1]GemmFunc{nil, gemmY1, gemmY2, gemmY3, gemmY4, gemmY5, gemmY6}
)

// GemmRowZ and GemmRowY are the same with a(i, p) = a[i*lda+p]: a row-major matrix, not packed.
var (
	GemmRowZ = [MaxRowsZ + 1]GemmFunc{nil,
		gemmRowZ1, gemmRowZ2, gemmRowZ3, gemmRowZ4, gemmRowZ5, gemmRowZ6, gemmRowZ7,
		gemmRowZ8, gemmRowZ9, gemmRowZ10, gemmRowZ11, gemmRowZ12, gemmRowZ13, gemmRowZ14}
	GemmRowY = [MaxRowsY + 1]GemmFunc{nil,
		gemmRowY1, gemmRowY2, gemmRowY3, gemmRowY4, gemmRowY5, gemmRowY6}
)
