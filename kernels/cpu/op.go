package cpu

// opTask is an op whose items are rows, or blocks of elemBlock numbers: f is a plain function that
// does items [lo, hi) from the arguments that it finds here.
type opTask struct {
	f             func(w *worker, t *opTask, lo, hi int)
	y, x, a, b, c []float32
	ids           []int32
	w             *weight
	n, m          int // row lengths
	s             float32
	acc           bool
	adam          adamScalars
}

func (t *opTask) run(w *worker, lo, hi int) { t.f(w, t, lo, hi) }

// elemBlock is the numbers in one item of an element-wise op; a vector kernel's call on it is
// worth its overhead, and it is small enough to share a short tensor among workers.
const elemBlock = 2048

// smallElems is about 5 µs of element-wise work.
const smallElems = 1 << 14

// rows runs t over n rows of width numbers each.
func (d *Device) rows(n, width int, t opTask) {
	d.ops.op = t
	d.pool.do(n, 1+smallElems/max(width, 1), &d.ops.op)
	d.ops.op = opTask{}
}

// elems runs t over the n numbers of t.y in blocks.
func (d *Device) elems(n int, t opTask) {
	d.ops.op = t
	d.pool.do((n+elemBlock-1)/elemBlock, smallElems/elemBlock, &d.ops.op)
	d.ops.op = opTask{}
}

// span turns items of an element-wise op into a range of numbers.
func span(lo, hi, n int) (int, int) { return lo * elemBlock, min(hi*elemBlock, n) }
