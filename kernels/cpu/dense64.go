package cpu

import (
	"math"
	"unsafe"
)

// nr64 is the width of a tile in f64: as many bytes as half a panel of f32.
const nr64 = 16

// A gemm64Func is a tile of rows×16 in f64. For i < rows and the columns j < 16 whose bit is set
// in mask:
//
//	s := 0
//	for p := range k { s += A(i,p)·b[p*ldb+j] }
//	c[i*ldc+j] += alpha·s
//
// A(i,p) is a[p*lda+i] in a tile64 and a[i*lda+p] in a tileRow64. b is read for all 16 columns.
type gemm64Func func(k int, alpha float64, a *float64, lda int, b *float64, ldb int,
	c *float64, ldc int, mask uint32)

const (
	k64Block    = 256 // k64Block·16 numbers are 32 KiB of the first-level cache
	cols64Block = 512 // packed columns that a row block passes over
)

// gemm64Task is c += alpha·A·B; an item is (row block, column block). B is packed into panels
// [n/16][k][16] first, because a tile reads 16 columns even at the edge.
type gemm64Task struct {
	m, n, k  int
	alpha    float64
	a        []float64
	ars, acs int
	b        []float64 // panels
	c        []float64
	ldc      int
	block    int // rows of a row block
	cols     int // column blocks
}

// Gemm64: see compute.Dense64.
func (d *Device) Gemm64(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64,
	brs, bcs int, c []float64, ldc int) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	panels := (n + nr64 - 1) / nr64
	d.packed64 = grow64(d.packed64, panels*k*nr64)
	d.ops.pack64 = pack64Task{dst: d.packed64, b: b, n: n, k: k, brs: brs, bcs: bcs}
	d.pool.do(panels, 1+smallBytes/(8*k*nr64), &d.ops.pack64)
	t := gemm64Task{m: m, n: n, k: k, alpha: alpha, a: a, ars: ars, acs: acs, b: d.packed64,
		c: c, ldc: ldc}
	t.cols = (n + cols64Block - 1) / cols64Block
	t.block = d.rowBlock(m, len(d.f.tile64)-1, t.cols)
	d.ops.gemm64 = t
	items := (m + t.block - 1) / t.block * t.cols
	d.pool.do(items, 1+smallFlops/(2*t.block*min(n, cols64Block)*k), &d.ops.gemm64)
	d.ops.pack64, d.ops.gemm64 = pack64Task{}, gemm64Task{}
}

func (t *gemm64Task) run(w *worker, lo, hi int) {
	for item := lo; item < hi; item++ {
		i, j := item/t.cols*t.block, item%t.cols*cols64Block
		rows, cols := min(t.block, t.m-i), min(cols64Block, t.n-j)
		for k := 0; k < t.k; k += k64Block {
			t.tiles(w, i, rows, j, cols, k, min(k64Block, t.k-k))
		}
	}
}

// tiles adds inner [k, k+kc) to rows [i0, i0+rows) and columns [j0, j0+cols).
func (t *gemm64Task) tiles(w *worker, i0, rows, j0, cols, k, kc int) {
	f := w.d.f
	kernels, a, lda, step := f.tileRow64, &t.a[i0*t.ars+k*t.acs], t.ars, t.ars
	switch {
	case t.ars == 1:
		kernels, lda, step = f.tile64, t.acs, 1
	case t.acs != 1:
		a, lda, step = t.gather(w, i0, rows, k, kc), kc, kc
	}
	mr := len(kernels) - 1
	for j := 0; j < cols; j += nr64 {
		mask := uint32(1)<<min(nr64, cols-j) - 1
		b := at64(unsafe.SliceData(t.b), (j0+j)*t.k+k*nr64)
		for i := 0; i < rows; i += mr {
			kernels[min(mr, rows-i)](kc, t.alpha, at64(a, i*step), lda, b, nr64,
				at64(unsafe.SliceData(t.c), (i0+i)*t.ldc+j0+j), t.ldc, mask)
		}
	}
}

// gather copies rows of an A whose numbers lie apart both ways.
func (t *gemm64Task) gather(w *worker, i0, rows, k, kc int) *float64 {
	w.f64 = grow64(w.f64, rows*kc)
	for i := range rows {
		for p := range kc {
			w.f64[i*kc+p] = t.a[(i0+i)*t.ars+(k+p)*t.acs]
		}
	}
	return unsafe.SliceData(w.f64)
}

func at64(p *float64, i int) *float64 {
	return (*float64)(unsafe.Add(unsafe.Pointer(p), 8*i))
}

func grow64(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	return s[:n]
}

// pack64Task copies B into panels, zeros past the last column; an item is a panel.
type pack64Task struct {
	dst, b         []float64
	n, k, brs, bcs int
}

func (t *pack64Task) run(_ *worker, lo, hi int) {
	for q := lo; q < hi; q++ {
		dst, j0 := t.dst[q*t.k*nr64:(q+1)*t.k*nr64], q*nr64
		cols := min(nr64, t.n-j0)
		if cols < nr64 {
			clear(dst)
		}
		if t.bcs == 1 {
			for p := range t.k {
				copy(dst[p*nr64:p*nr64+cols], t.b[p*t.brs+j0:])
			}
			continue
		}
		for j := range cols {
			at := (j0 + j) * t.bcs
			for p := range t.k {
				dst[p*nr64+j] = t.b[at+p*t.brs]
			}
		}
	}
}

// symvTask is y = A x from the lower triangle. Rows are cut into chunks of about equal area whose
// contributions to y are added in order; the cut depends on n only. An item is a chunk.
type symvTask struct {
	n, lda  int
	a, x, y []float64
	parts   []float64 // [symvChunks][n]
}

const (
	symvRows   = 8 // rows of a block, as the kernel takes them
	symvChunks = 16
	symvSmall  = 256 // below this one chunk is enough
)

// Symv64: see compute.Dense64.
func (d *Device) Symv64(n int, a []float64, lda int, x, y []float64) {
	if n <= 0 {
		return
	}
	chunks := symvChunks
	if n < symvSmall {
		chunks = 1
	}
	d.packed64 = grow64(d.packed64, chunks*n)
	d.ops.symv = symvTask{n: n, lda: lda, a: a, x: x, y: y, parts: d.packed64}
	d.pool.do(chunks, 1, &d.ops.symv)
	copy(y[:n], d.packed64[:n])
	for c := 1; c < chunks; c++ {
		end := symvStart(n, c+1, chunks)
		d.f.axpy64(y[:end], 1, d.packed64[c*n:])
	}
	d.ops.symv = symvTask{}
}

// symvStart is the first row of chunk c: the triangle above it is c/chunks of the whole.
func symvStart(n, c, chunks int) int {
	if c >= chunks {
		return n
	}
	return int(float64(n)*math.Sqrt(float64(c)/float64(chunks))) / symvRows * symvRows
}

func (t *symvTask) run(w *worker, lo, hi int) {
	chunks := len(t.parts) / t.n
	for c := lo; c < hi; c++ {
		y, first, end := t.parts[c*t.n:(c+1)*t.n], symvStart(t.n, c, chunks),
			symvStart(t.n, c+1, chunks)
		clear(y)
		for i := first; i < end; i += symvRows {
			t.rows(w.d.f, y, i, min(symvRows, end-i))
		}
	}
}

// rows adds rows [i0, i0+rows) of the triangle, and their mirror images, to y.
func (t *symvTask) rows(f *form, y []float64, i0, rows int) {
	square := i0 // columns left of the diagonal block
	if rows == symvRows && square > 0 {
		f.symv8(square, t.a[i0*t.lda:], t.lda, t.x, t.x[i0:], y[i0:], y)
	} else {
		for i := i0; i < i0+rows; i++ {
			row := t.a[i*t.lda : i*t.lda+square]
			y[i] += f.dot64(row, t.x)
			f.axpy64(y[:square], t.x[i], row)
		}
	}
	for i := i0; i < i0+rows; i++ {
		row := t.a[i*t.lda : i*t.lda+i+1]
		for j := i0; j < i; j++ {
			y[i] += row[j] * t.x[j]
			y[j] += row[j] * t.x[i]
		}
		y[i] += row[i] * t.x[i]
	}
}

// rangeTask is Parallel.
type rangeTask struct{ f func(lo, hi int) }

func (t *rangeTask) run(_ *worker, lo, hi int) { t.f(lo, hi) }

// Parallel: see compute.Dense64. f must not call the device.
func (d *Device) Parallel(n, grain int, f func(lo, hi int)) {
	d.ops.users = rangeTask{f}
	d.pool.do(n, max(grain, 1), &d.ops.users)
	d.ops.users = rangeTask{}
}
