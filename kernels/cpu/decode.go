package cpu

import (
	"unsafe"
)

// fewRows is the most rows for which MatMulT reads the panels as they lie instead of transposing.
const fewRows = 3

// fewRowsTask is MatMulT of a few rows: dx[t,j] (+)= Σ_p panel_p[j]·dy[t, 32p…], a dot product of
// 32 numbers for each input and panel; an item is a block of inputs.
type fewRowsTask struct {
	w      *weight
	dx, dy []float32
	rows   int
	acc    bool
}

// fewBlock inputs of a panel are 16 KiB.
const fewBlock = 128

func (d *Device) fewRowsT(dx, dy []float32, rows int, w *weight, acc bool) {
	d.ops.fewT = fewRowsTask{w: w, dx: dx, dy: dy, rows: rows, acc: acc}
	d.pool.do((w.in+fewBlock-1)/fewBlock, 1+smallBytes/(1+4*w.out*fewBlock), &d.ops.fewT)
	d.ops.fewT = fewRowsTask{}
}

func (t *fewRowsTask) run(w *worker, lo, hi int) {
	m, f := t.w, w.d.f
	buf, sums := w.scratch(slotA, fewBlock*nr), w.scratch(slotB, fewBlock)
	for b := lo; b < hi; b++ {
		j, end := b*fewBlock, min((b+1)*fewBlock, m.in)
		if !t.acc {
			for r := range t.rows {
				clear(t.dx[r*m.in+j : r*m.in+end])
			}
		}
		for p := range m.panels() {
			panel, outs := m.panel(p, j, end, buf), min(nr, m.out-p*nr)
			for r := range t.rows {
				dy := t.dy[r*m.out+p*nr:]
				f.dots(sums[:end-j], dy[:outs], panel, nr)
				f.add(t.dx[r*m.in+j:r*m.in+end], sums)
			}
		}
	}
}

// int8Product is MatMul with Options.Int8: x is rounded row by row, then multiplied.
func (d *Device) int8Product(y, x []float32, rows int, w *weight) {
	if n := rows * w.in / q8Block * q8InputBytes; cap(d.rounded) < n {
		d.rounded = make([]byte, n)
	}
	d.ops.quant = quantTask{dst: d.rounded, x: x, n: w.in}
	d.pool.do(rows, 1+smallElems/(1+w.in), &d.ops.quant)
	t := int8Task{y: y, x: d.rounded, rows: rows, w: w}
	t.groups = (w.panels() + groupPanels - 1) / groupPanels
	t.block = d.rowBlock(rows, len(d.f.q8)-1, t.groups)
	d.ops.int8 = t
	items := (rows + t.block - 1) / t.block * t.groups
	d.pool.do(items, 1+smallBytes/(1+groupPanels*nr*w.in), &d.ops.int8)
	d.ops.quant, d.ops.int8 = quantTask{}, int8Task{}
}

// quantTask rounds rows of x [T n]; an item is a row.
type quantTask struct {
	dst []byte
	x   []float32
	n   int
}

func (t *quantTask) run(w *worker, lo, hi int) {
	bytes := t.n / q8Block * q8InputBytes
	for i := lo; i < hi; i++ {
		w.d.f.quantize(t.dst[i*bytes:(i+1)*bytes], t.x[i*t.n:(i+1)*t.n])
	}
}

// int8Task is the product with rounded rows; an item is (row block, group of panels).
type int8Task struct {
	y      []float32
	x      []byte
	rows   int
	w      *weight
	block  int
	groups int
}

func (t *int8Task) run(w *worker, lo, hi int) {
	kernels, m := w.d.f.q8, t.w
	mr, blocks := len(kernels)-1, m.in/q8Block
	for item := lo; item < hi; item++ {
		i0, g := item/t.groups*t.block, item%t.groups*groupPanels
		rows, panels := min(t.block, t.rows-i0), min(groupPanels, m.panels()-g)
		mask := columns(m.out - (g+panels-1)*nr)
		for i := i0; i < i0+rows; i += mr {
			kernels[min(mr, i0+rows-i)](blocks, unsafe.SliceData(t.x[i*blocks*q8InputBytes:]),
				blocks*q8InputBytes, unsafe.SliceData(m.q[g*blocks*q8Bytes:]), panels,
				at(unsafe.SliceData(t.y), i*m.out+g*nr), m.out, mask)
		}
	}
}
