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
	// kBlock keeps a block of a panel (kBlock·32 numbers, 48 KiB) in the first-level cache while
	// the strips of a row block pass over it.
	kBlock = 384
	// stripsPerItem strips of rows share a pass over a panel: their inputs stay in L2.
	stripsPerItem = 8
	// maxPacked bounds the numbers packed at once; larger operands are done in column blocks.
	maxPacked = 4 << 20
)

// gemmTask is C [m n] (+)= A·B with B in panels; an item is (row block, panel).
type gemmTask struct {
	m, n, k int
	a       []float32
	lda     int
	rowA    bool      // A(i,p) = a[i*lda+p], otherwise a[p*lda+i]
	b       []float32 // panel q starts at b[q*step] and has rows of ldb
	step    int
	ldb     int
	w       *weight // in place of b: panels to be widened
	c       []float32
	ldc     int
	acc     bool
	block   int // rows of a row block
}

// product runs t over all row blocks and panels.
func (d *Device) product(t gemmTask) {
	if t.m == 0 || t.n == 0 {
		return
	}
	mr := d.f.mr()
	t.block = mr * stripsPerItem
	panels := (t.n + nr - 1) / nr
	// Few rows and few panels: smaller row blocks, so that every worker has some.
	for t.block > mr && (t.m+t.block-1)/t.block*panels < chunksPerWorker*len(d.pool.workers) {
		t.block = max(mr, t.block/2/mr*mr)
	}
	d.ops.gemm = t
	flops := t.block * nr * max(t.k, 1)
	d.pool.do((t.m+t.block-1)/t.block*panels, 1+smallFlops/flops, &d.ops.gemm)
	d.ops.gemm = gemmTask{}
}

// smallFlops is about 5 µs of a fast form: less is not worth waking a worker for.
const smallFlops = 200_000

func (t *gemmTask) run(w *worker, lo, hi int) {
	panels := (t.n + nr - 1) / nr
	for item := lo; item < hi; item++ {
		t.tiles(w, item/panels*t.block, item%panels)
	}
}

// tiles computes rows [i0, i0+block) of panel q.
func (t *gemmTask) tiles(w *worker, i0, q int) {
	f := w.d.f
	mr, kernels := f.mr(), f.tile
	if t.rowA {
		kernels = f.tileRow
	}
	mask := columns(t.n - q*nr)
	last := min(i0+t.block, t.m)
	for k0 := 0; k0 == 0 || k0 < t.k; k0 += kBlock {
		kc := min(kBlock, t.k-k0)
		var b *float32
		ldb := t.ldb
		if t.w != nil {
			b, ldb = unsafe.SliceData(t.w.panel(q, k0, k0+kc, w.scratch(slotA, kBlock*nr))), nr
		} else {
			b = at(unsafe.SliceData(t.b), q*t.step+k0*t.ldb)
		}
		acc := 0
		if t.acc || k0 > 0 {
			acc = 1
		}
		for i := i0; i < last; i += mr {
			ai := i + k0*t.lda
			if t.rowA {
				ai = i*t.lda + k0
			}
			kernels[min(mr, last-i)](kc, at(unsafe.SliceData(t.a), ai), t.lda, b, ldb,
				at(unsafe.SliceData(t.c), i*t.ldc+q*nr), t.ldc, acc, mask)
		}
	}
}

// packBTask transposes B [n k] into panels [n/32][k][32]; an item is a panel.
type packBTask struct {
	dst, b []float32
	n, k   int
}

func (t *packBTask) run(w *worker, lo, hi int) {
	for q := lo; q < hi; q++ {
		rows := min(nr, t.n-q*nr)
		w.d.f.packT(t.dst[q*t.k*nr:], nr, t.b[q*nr*t.k:], t.k, rows, t.k)
	}
}

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
	t := gemmTask{m: m, n: n, k: k, a: d.vals("Gemm", a), lda: a.Cols, rowA: o != compute.TN,
		b: d.vals("Gemm", b), step: nr, ldb: b.Cols, c: d.vals("Gemm", c), ldc: n, acc: acc}
	if o != compute.NT {
		d.product(t)
		return
	}
	// Column blocks of C whose panels fit in the scratch.
	bs, cs := t.b, t.c
	cols := max(nr, maxPacked/max(k, 1)/nr*nr)
	for j := 0; j < n; j += cols {
		t.n = min(cols, n-j)
		panels := (t.n + nr - 1) / nr
		t.b, t.step, t.ldb = d.scratch(sharedB, panels*k*nr), k*nr, nr
		d.ops.packB = packBTask{dst: t.b, b: bs[j*k:], n: t.n, k: k}
		d.pool.do(panels, 1+smallBytes/(1+4*k*nr), &d.ops.packB)
		t.c = cs[j:]
		d.product(t)
	}
}

// smallBytes is about 5 µs of streaming.
const smallBytes = 64 << 10
