package cpu

import (
	"fmt"

	"transformer2/shared/compute"
)

// MatMul: see compute.Products. One row streams the panels once; several rows run as tiles over
// them.
func (d *Device) MatMul(y, x compute.Tensor, w compute.Weight) {
	m := d.weight("MatMul", w)
	m.fits("MatMul", y, x)
	xs, ys := d.vals("MatMul", x), d.vals("MatMul", y)
	if x.Rows == 1 {
		d.matvec(ys, xs, m)
		return
	}
	d.product(gemmTask{m: x.Rows, n: m.out, k: m.in, a: xs, lda: m.in, rowA: true,
		w: m, c: ys, ldc: m.out})
}

// fits panics unless out is [T out] and in is [T in].
func (w *weight) fits(op string, out, in compute.Tensor) {
	if out.Rows != in.Rows || out.Cols != w.out || in.Cols != w.in {
		panic(fmt.Sprintf("cpu: %s: outputs %v and inputs %v do not fit the weight [%d %d]",
			op, out, in, w.out, w.in))
	}
}

// matvecTask is y = W x; an item is a panel.
type matvecTask struct {
	y, x []float32
	w    *weight
}

func (d *Device) matvec(y, x []float32, w *weight) {
	t := &d.ops.matvec
	t.y, t.x, t.w = y, x, w
	d.pool.do(w.panels(), 1+smallBytes/(1+4*w.in*nr), t)
}

func (t *matvecTask) run(w *worker, lo, hi int) {
	f, m := w.d.f, t.w
	for p := lo; p < hi; p++ {
		y := t.y[p*nr : min((p+1)*nr, m.out)]
		out := y
		if len(y) < nr {
			out = w.scratch(slotA, nr)
		}
		at, n := p*m.in*nr, m.in*nr
		switch m.t {
		case compute.F32:
			f.panelF32(out, m.f[at:at+n], t.x)
		case compute.F16:
			f.panelF16(out, m.h[at:at+n], t.x)
		case compute.BF16:
			f.panelBF16(out, m.h[at:at+n], t.x)
		default:
			f.panelQ8(out, &m.q[p], t.x)
		}
		if len(y) < nr {
			copy(y, out)
		}
	}
}

// MatMulT: see compute.Products. W's panels hold 32 outputs side by side and the product wants 32
// inputs side by side, so blocks of 32×32 are transposed first, a bounded part of W at a time.
func (d *Device) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	m := d.weight("MatMulT", w)
	m.fits("MatMulT", dy, dx)
	out, in := d.vals("MatMulT", dx), d.vals("MatMulT", dy)
	outs := m.panels() * nr
	cols := max(nr, maxPacked/max(outs, 1)/nr*nr)
	for j := 0; j < m.in; j += cols {
		n := min(cols, m.in-j)
		panels := (n + nr - 1) / nr
		b := d.scratch(sharedB, panels*outs*nr)
		d.ops.packW = packWTask{w: m, dst: b, j0: j}
		d.pool.do(panels, 1+smallBytes/(1+4*outs*nr), &d.ops.packW)
		d.product(gemmTask{m: dy.Rows, n: n, k: m.out, a: in, lda: m.out, rowA: true,
			b: b, step: outs * nr, ldb: nr, c: out[min(j, len(out)):], ldc: m.in, acc: acc})
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
			w.d.f.packT(t.dst[(q*outs+p*nr)*nr:], nr, block, nr, cols, nr)
		}
	}
}
