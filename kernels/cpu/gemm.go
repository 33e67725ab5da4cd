package cpu

import (
	"fmt"
	"unsafe"

	"transformer2/shared/compute"
)

// allColumns is the mask of a full tile.
const allColumns = 1<<nr - 1

// columns is the mask of the first n columns of a tile.
func columns(n int) uint32 { return uint32(1<<min(n, nr) - 1) }

// at is &p[i].
func at(p *float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*i))
}

const (
	// rowsPerItem rows share a pass over a panel: their inputs stay in the second-level cache.
	rowsPerItem = 112
	// maxPacked bounds the numbers packed at once; larger operands are done in column blocks.
	maxPacked = 4 << 20
	// smallFlops and smallBytes are about 5 µs of a fast form: less is not worth waking a worker.
	smallFlops = 400_000
	smallBytes = 64 << 10
)

// Gemm: see compute.Products.
func (d *Device) Gemm(o compute.Orientation, c, a, b compute.Tensor, acc bool) {
	m, k, n, kb := a.Rows, a.Cols, b.Rows, b.Cols
	switch o {
	case compute.NT:
	case compute.NN:
		n, kb = b.Cols, b.Rows
	case compute.TN:
		m, k, n, kb = a.Cols, a.Rows, b.Cols, b.Rows
	default:
		panic(fmt.Sprintf("cpu: Gemm: orientation %d", o))
	}
	if k != kb || c.Rows != m || c.Cols != n {
		panic(fmt.Sprintf("cpu: Gemm %v: c %v, a %v, b %v do not fit", o, c, a, b))
	}
	as, bs, cs := d.vals("Gemm", a), d.vals("Gemm", b), d.vals("Gemm", c)
	if m == 0 || n == 0 {
		return
	}
	if o == compute.TN {
		d.outer(outerTask{m: m, n: n, k: k, a: as, b: bs, c: cs, acc: acc})
		return
	}
	// Column blocks of C whose panels fit in the scratch.
	cols := max(nr, maxPacked/max(k, 1)/nr*nr)
	for j := 0; j < n; j += cols {
		w := min(cols, n-j)
		panels := (w + nr - 1) / nr
		t := gemmTask{m: m, n: w, k: k, a: as, lda: k, b: d.scratch(sharedB, panels*k*nr),
			c: cs[j:], ldc: n, acc: acc}
		d.ops.packB = packBTask{dst: t.b, b: bs, j: j, n: w, k: k, ld: b.Cols,
			rows: o == compute.NT}
		d.pool.do(panels, 1+smallBytes/(1+4*k*nr), &d.ops.packB)
		d.product(t)
	}
	d.ops.packB = packBTask{}
}

// packBTask copies columns [j, j+n) of B into panels [n/32][k][32], zeros past the last; an item
// is a panel. rows says that the columns of the product are the rows of b, [n k].
type packBTask struct {
	dst, b      []float32
	j, n, k, ld int
	rows        bool
}

func (t *packBTask) run(w *worker, lo, hi int) {
	for q := lo; q < hi; q++ {
		dst, j, width := t.dst[q*t.k*nr:(q+1)*t.k*nr], t.j+q*nr, min(nr, t.n-q*nr)
		if t.rows {
			w.d.f.packT(dst, 1, t.b[j*t.ld:], t.ld, width, t.k)
			continue
		}
		w.d.f.copyPanel(dst, t.b[j:], t.ld, t.k, width)
	}
}

// gemmTask is C [m n] (+)= A·B, A [m k] as it lies, B in panels [n/32][k][32]; an item is
// (row block, panel).
type gemmTask struct {
	m, n, k int
	a       []float32
	lda     int
	b       []float32
	ldb     int // rows of a panel, if not k
	c       []float32
	ldc     int
	acc     bool
	block   int // rows of a row block
}

// rowBlock is the rows of a row block: enough to reuse a panel, few enough that all workers have
// some of the blocks times columns items.
func (d *Device) rowBlock(rows, mr, columns int) int {
	block := rowsPerItem / mr * mr
	for block > mr && (rows+block-1)/block*columns < chunksPerWorker*len(d.pool.workers) {
		block = max(mr, block/2/mr*mr)
	}
	return min(block, max(rows, 1))
}

// product runs t over all row blocks and panels.
func (d *Device) product(t gemmTask) {
	if t.m == 0 || t.n == 0 {
		return
	}
	panels := (t.n + nr - 1) / nr
	t.block = d.rowBlock(t.m, d.f.mr(), panels)
	if t.ldb == 0 {
		t.ldb = t.k
	}
	d.ops.gemm = t
	d.pool.do((t.m+t.block-1)/t.block*panels, 1+smallFlops/(2*t.block*nr*(t.k+1)), &d.ops.gemm)
	d.ops.gemm = gemmTask{}
}

func (t *gemmTask) run(w *worker, lo, hi int) {
	panels := (t.n + nr - 1) / nr
	for lo < hi {
		// Consecutive panels of one row block.
		i, q := lo/panels, lo%panels
		n := min(hi-lo, panels-q)
		t.tiles(w, i*t.block, q, q+n)
		lo += n
	}
}

// tiles computes rows [i0, i0+block) of panels [q0, q1).
func (t *gemmTask) tiles(w *worker, i0, q0, q1 int) {
	f, rows := w.d.f, min(t.block, t.m-i0)
	a0 := at(unsafe.SliceData(t.a), i0*t.lda)
	for k := 0; k == 0 || k < t.k; k += f.kBlock {
		kc, acc := min(f.kBlock, t.k-k), 0
		if t.acc || k > 0 {
			acc = 1
		}
		a, lda := at(a0, k), t.lda
		if lda%aliasing == 0 && q1-q0 > 1 {
			a, lda = compact(w, t.a[i0*t.lda+k:], lda, rows, kc)
		}
		for q := q0; q < q1; q++ {
			b := at(unsafe.SliceData(t.b), (q*t.ldb+k)*nr)
			for i := 0; i < rows; i += f.mr() {
				f.tileRow[min(f.mr(), rows-i)](kc, at(a, i*lda), lda, b, nr,
					at(unsafe.SliceData(t.c), (i0+i)*t.ldc+q*nr), t.ldc, acc, columns(t.n-q*nr))
			}
		}
	}
}

// aliasing is a distance of rows, in numbers, at which they fall on the same few places of the
// first-level cache (2 KiB: two places of 12 lines each), so that a strip drives itself out.
const aliasing = 512

// compact copies rows [rows n] to a distance that does not alias.
func compact(w *worker, a []float32, lda, rows, n int) (*float32, int) {
	ld := n + cacheLine/4
	buf := w.scratch(slotA, rows*ld+nr)
	for i := range rows {
		copy(buf[i*ld:i*ld+n], a[i*lda:])
	}
	return unsafe.SliceData(buf), ld
}
