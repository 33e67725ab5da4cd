package cpu

import "unsafe"

// outerTask is C [m n] (+)= Aᵀ·B with A [k m] and B [k n]: the gradient of a weight, where k is
// the tokens of a batch. A product of few outputs is cut along k into chunks whose partial results
// are added in order; the cut depends on the shapes only.
//
// An item is (chunk, row block, column block). A is read where it lies. 32 columns of B at a time are
// copied together, a block of k of them, and stay in the first-level cache for all strips of A.
type outerTask struct {
	m, n, k    int
	a, b, c    []float32
	acc        bool
	chunk      int       // tokens of a chunk
	part       []float32 // partial results [chunks][m n], if there is more than one chunk
	rows, cols int       // blocks of C
}

const (
	outerCols = 512
	outerRows = 224
	// outerChunk is the fewest tokens that repay a partial result.
	outerChunk = 1024
	// outerItems is the number of items that chunks are made for; maxParts bounds their numbers.
	outerItems = 16
	maxParts   = 4 << 20
)

func (d *Device) outer(t outerTask) {
	t.rows = (t.m + outerRows - 1) / outerRows
	t.cols = (t.n + outerCols - 1) / outerCols
	chunks := min(t.k/outerChunk, outerItems/(t.rows*t.cols), maxParts/(t.m*t.n))
	chunks = max(chunks, 1)
	t.chunk = (t.k + chunks - 1) / chunks
	if chunks > 1 {
		t.part = d.scratch(sharedC, chunks*t.m*t.n)
	}
	d.ops.outer = t
	work := 2 * t.m * t.n * t.k / (chunks * t.rows * t.cols)
	d.pool.do(chunks*t.rows*t.cols, 1+smallFlops/(1+work), &d.ops.outer)
	if chunks > 1 {
		d.elems(t.m*t.n, opTask{f: addParts, y: t.c[:t.m*t.n], x: t.part, n: chunks, acc: t.acc})
	}
	d.ops.outer = outerTask{}
}

// addParts is y (+)= Σ of the parts, in order.
func addParts(w *worker, t *opTask, lo, hi int) {
	lo, hi = span(lo, hi, len(t.y))
	y := t.y[lo:hi]
	for i := range t.n {
		part := t.x[i*len(t.y)+lo : i*len(t.y)+hi]
		if i == 0 && !t.acc {
			copy(y, part)
			continue
		}
		w.d.f.add(y, part)
	}
}

func (t *outerTask) run(w *worker, lo, hi int) {
	kBlock := w.d.f.kBlock
	for item := lo; item < hi; item++ {
		chunk, block := item/(t.rows*t.cols), item%(t.rows*t.cols)
		c, acc := t.c, t.acc
		if t.part != nil {
			c, acc = t.part[chunk*t.m*t.n:], false
		}
		i, j := block/t.cols*outerRows, block%t.cols*outerCols
		k0, k1 := chunk*t.chunk, min((chunk+1)*t.chunk, t.k)
		for k := k0; k == k0 || k < k1; k += kBlock {
			t.tiles(w, c, k, min(kBlock, k1-k), i, j, acc || k > k0)
		}
	}
}

// tiles adds tokens [k, k+kc) to the block of C at (i0, j0).
func (t *outerTask) tiles(w *worker, c []float32, k, kc, i0, j0 int, accumulate bool) {
	f, mr := w.d.f, w.d.f.mr()
	rows, cols := min(outerRows, t.m-i0), min(outerCols, t.n-j0)
	acc := 0
	if accumulate {
		acc = 1
	}
	a, b := at(unsafe.SliceData(t.a), k*t.m+i0), w.scratch(slotB, kc*nr)
	for j := 0; j < cols; j += nr {
		f.copyPanel(b, t.b[k*t.n+j0+j:], t.n, kc, min(nr, cols-j))
		for i := 0; i < rows; i += mr {
			f.tile[min(mr, rows-i)](kc, at(a, i), t.m, unsafe.SliceData(b), nr,
				at(unsafe.SliceData(c), (i0+i)*t.n+j0+j), t.n, acc, columns(cols-j))
		}
	}
}
