package cpu

import (
	"fmt"
	"unsafe"

	"transformer2/shared/compute"
)

// MatMul: see compute.Products. One row streams the panels once; several rows run as tiles over
// them.
func (d *Device) MatMul(y, x compute.Tensor, w compute.Weight) {
	m := d.weight("MatMul", w)
	m.fits("MatMul", y, x)
	xs, ys := d.vals("MatMul", x), d.vals("MatMul", y)
	if len(ys) == 0 {
		return
	}
	if d.int8 && m.t == compute.Q8 {
		d.int8Product(ys, xs, x.Rows, m)
		return
	}
	d.ops.matmul = matmulTask{y: ys, x: xs, rows: x.Rows, w: m}
	d.panelProduct(&d.ops.matmul)
}

// fits panics unless out is [T out] and in is [T in].
func (w *weight) fits(op string, out, in compute.Tensor) {
	if out.Rows != in.Rows || out.Cols != w.out || in.Cols != w.in {
		panic(fmt.Sprintf("cpu: %s: outputs %v and inputs %v do not fit the weight [%d %d]",
			op, out, in, w.out, w.in))
	}
}

// matmulTask is y = x Wᵀ; an item is (row block, group of panels).
type matmulTask struct {
	y, x   []float32
	rows   int
	w      *weight
	block  int // rows of a row block
	groups int // of groupPanels panels
}

// groupPanels panels are one item: the kernels read up to four of them at once.
const groupPanels = 4

func (d *Device) panelProduct(t *matmulTask) {
	t.groups = (t.w.panels() + groupPanels - 1) / groupPanels
	t.block = d.rowBlock(t.rows, d.f.mr(), t.groups)
	blocks := (t.rows + t.block - 1) / t.block
	work := 2 * min(t.rows, t.block) * groupPanels * nr * (t.w.in + 1)
	if t.rows < denseRows {
		work *= 8 // bound by memory, not by the multipliers
	}
	d.pool.do(blocks*t.groups, 1+smallFlops/work, t)
}

func (t *matmulTask) run(w *worker, lo, hi int) {
	for item := lo; item < hi; item++ {
		i0, g := item/t.groups*t.block, item%t.groups*groupPanels
		rows, panels := min(t.block, t.rows-i0), min(groupPanels, t.w.panels()-g)
		p := part{i0: i0, rows: rows, g: g, panels: panels, hi: t.w.in}
		f, at, ldw := w.d.f, g*t.w.in*nr, t.w.in*nr
		switch {
		case t.w.t == compute.F32:
			panelRows(t, p, f.kBlock, f.panelF32, t.w.f[at:], ldw, nr)
		case t.w.t == compute.F16 && (rows == 1 || len(f.panelF16) > 2):
			panelRows(t, p, f.kBlock, f.panelF16, t.w.h[at:], ldw, nr)
		case t.w.t == compute.BF16 && (rows == 1 || len(f.panelBF16) > 2):
			panelRows(t, p, f.kBlock, f.panelBF16, t.w.h[at:], ldw, nr)
		case t.w.t == compute.Q8 && rows < len(f.panelQ8):
			panelRows(t, p, f.kBlock, f.panelQ8, t.w.q[at/nr*q8Width:], t.w.in*q8Width, q8Width)
		case t.w.t == compute.Q4 && rows < len(f.panelQ4):
			panelRows(t, p, f.kBlock, f.panelQ4, t.w.q[at/nr*q4Width:], t.w.in*q4Width, q4Width)
		default:
			t.widened(w, p)
		}
	}
}

// A part of the product: rows [i0, i0+rows) with inputs [lo, hi) of panels [g, g+panels).
type part struct {
	i0, rows  int
	g, panels int
	lo, hi    int
}

// widened multiplies rows with panels that are widened into a buffer, 16 KiB at a time.
func (t *matmulTask) widened(w *worker, p part) {
	const inputs = 4 * q8Block
	buf := w.scratch(slotA, inputs*nr)
	for q := p.g; q < p.g+p.panels; q++ {
		for lo := 0; lo < t.w.in; lo += inputs {
			hi := min(lo+inputs, t.w.in)
			one := part{i0: p.i0, rows: p.rows, g: q, panels: 1, lo: lo, hi: hi}
			panelRows(t, one, inputs, w.d.f.panelF32, t.w.panel(q, lo, hi, buf), 0, nr)
		}
	}
}

// panelRows multiplies a part of the product. w holds its panels from input lo on, ldw is the
// distance of two, and width what one input takes.
func panelRows[T float32 | uint16 | byte](t *matmulTask, p part, kBlock int,
	kernels []panelFunc[T], w []T, ldw, width int) {
	if len(w) == 0 {
		w = make([]T, 1) // no inputs: the kernels write zeros
	}
	mr, mask := len(kernels)-1, columns(t.w.out-(p.g+p.panels-1)*nr)
	if p.rows <= mr {
		kBlock = p.hi - p.lo // no other strip comes back to these panels
	}
	xs, ys := unsafe.SliceData(t.x), unsafe.SliceData(t.y)
	for k := p.lo; k == p.lo || k < p.hi; k += kBlock {
		kc, acc := min(kBlock, p.hi-k), 0
		if k > 0 {
			acc = 1
		}
		for i := p.i0; i < p.i0+p.rows; i += mr {
			n := min(mr, p.i0+p.rows-i)
			kernels[n](kc, at(xs, i*t.w.in+k), t.w.in, &w[(k-p.lo)*width], ldw, p.panels,
				at(ys, i*t.w.out+p.g*nr), t.w.out, acc, mask)
		}
		if kc == p.hi-k {
			return
		}
	}
}

// MatMulT: see compute.Products. W's panels hold 32 outputs side by side and the product wants 32
// inputs side by side, so blocks of 32×32 are transposed first, a bounded part of W at a time.
func (d *Device) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	m := d.weight("MatMulT", w)
	m.fits("MatMulT", dy, dx)
	out, in := d.vals("MatMulT", dx), d.vals("MatMulT", dy)
	if dy.Rows <= fewRows {
		d.fewRowsT(out, in, dy.Rows, m, acc)
		return
	}
	outs := m.panels() * nr
	cols := max(nr, maxPacked/max(outs, 1)/nr*nr)
	for j := 0; j < m.in; j += cols {
		n := min(cols, m.in-j)
		panels := (n + nr - 1) / nr
		b := d.scratch(sharedB, panels*outs*nr)
		d.ops.packW = packWTask{w: m, dst: b, j0: j}
		d.pool.do(panels, 1+smallBytes/(1+4*outs*nr), &d.ops.packW)
		d.product(gemmTask{m: dy.Rows, n: n, k: m.out, a: in, lda: m.out, b: b, ldb: outs,
			c: out[min(j, len(out)):], ldc: m.in, acc: acc})
	}
}

// packWTask writes the inputs from j0 on as panels [in/32][out][32]; an item is a panel.
type packWTask struct {
	w   *weight
	dst []float32
	j0  int
}

func (t *packWTask) run(w *worker, lo, hi int) {
	m, outs := t.w, t.w.panels()*nr
	buf := w.scratch(slotA, nr*nr)
	for q := lo; q < hi; q++ {
		j := t.j0 + q*nr
		cols := min(nr, m.in-j)
		for p := range m.panels() {
			block := m.panel(p, j, j+cols, buf) // [cols][32 outputs]
			w.d.f.packT(t.dst[(q*outs+p*nr)*nr:], 1, block, nr, cols, nr)
		}
	}
}
