package cpu

import (
	"unsafe"

	"transformer2/shared/compute"
)

// AttentionGrad: see compute.Products. The probabilities are computed again from lse:
//
//	P = exp(Scale·Q·Kᵀ − lse)      dP = dO·Vᵀ      dS = Scale·P∘(dP − rowsum(dO∘O))
//	dQ = dS·K      dK += dSᵀ·Q      dV += Pᵀ·dO
//
// Only Kᵀ and Vᵀ are packed, once a part; see attnTask.
func (d *Device) AttentionGrad(dq, dk, dv, do, o, lse, q, k, v compute.Tensor,
	spans compute.Ints, h compute.Heads) {
	const op = "AttentionGrad"
	t := &d.ops.grad
	t.whole = true
	t.set(d, op, o, lse, q, k, v, spans, h)
	shape(op, "dq", dq, q.Rows, q.Cols, q)
	shape(op, "do", do, q.Rows, q.Cols, q)
	shape(op, "dk", dk, k.Rows, k.Cols, k)
	shape(op, "dv", dv, k.Rows, k.Cols, k)
	if t.lse == nil {
		panic("cpu: AttentionGrad: lse is missing")
	}
	t.dq, t.dk, t.dv, t.do = d.vals(op, dq), d.vals(op, dk), d.vals(op, dv), d.vals(op, do)
	clear(t.dk)
	clear(t.dv)
	d.pool.do((len(t.parts)-1)*h.KV, 1, t)
}

// attnGradTask is AttentionGrad; an item is (part, key/value head). Parts share no keys, so each
// number of dk and dv is summed by one worker in the order of the rows.
type attnGradTask struct {
	attnTask
	dq, dk, dv, do []float32
}

func (t *attnGradTask) run(w *worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		kv := i % t.h.KV
		blocks, first, end := t.part(i / t.h.KV)
		kT := t.pack(w, slotA, t.k, kv, first, end, t.h.Scale)
		vT := t.pack(w, slotD, t.v, kv, first, end, 1)
		for _, b := range blocks {
			for h := kv * t.group; h < (kv+1)*t.group; h++ {
				if b.dense {
					t.dense(w, b, h, kv, kT, vT, first)
					continue
				}
				for r := b.row; r < b.row+b.rows; r++ {
					t.row(w, r, h, kv)
				}
			}
		}
	}
}

// row adds what one query row of one head gives to the gradients.
func (t *attnGradTask) row(w *worker, row, h, kv int) {
	f, dim := w.d.f, t.h.Dim
	lo, hi := t.span(row)
	at, ks := row*t.ldq+h*dim, lo*t.ldk+kv*dim
	q, dq, do := t.q[at:at+dim], t.dq[at:at+dim], t.do[at:at+dim]
	if hi == lo {
		clear(dq)
		return
	}
	p, ds, qs := w.scratch(slotB, hi-lo), w.scratch(slotE, hi-lo), w.scratch(slotC, dim)
	f.scale(qs, q, t.h.Scale)
	f.dots(p, qs, t.k[ks:], t.ldk)
	f.expSum(p, p, t.lse[row*t.h.Q+h])
	f.dots(ds, do, t.v[ks:], t.ldk)
	f.softmaxGrad(ds, p, f.dot(do, t.o[at:at+dim]), t.h.Scale)
	f.weighted(dq, ds, t.k[ks:], t.ldk)
	for s := range p {
		f.axpy(t.dk[ks+s*t.ldk:ks+s*t.ldk+dim], ds[s], q)
		f.axpy(t.dv[ks+s*t.ldk:ks+s*t.ldk+dim], p[s], do)
	}
}

// dense is a block of rows of one head: P and dS of all its rows, then what they add to dk, dv.
func (t *attnGradTask) dense(w *worker, b queryBlock, h, kv int, kT, vT []float32, first int) {
	f, dim, end := w.d.f, t.h.Dim, b.row+b.rows
	win := b.window(first)
	p, ds := w.scratch(slotB, b.rows*win.width), w.scratch(slotE, b.rows*win.width)
	for r0 := b.row; r0 < end; r0 += f.mr() {
		rows := min(f.mr(), end-r0)
		ps, dss := p[(r0-b.row)*win.width:], ds[(r0-b.row)*win.width:]
		t.scores(f, ps, t.q, kT, r0, rows, h, win)
		t.scores(f, dss, t.do, vT, r0, rows, h, win)
		for i := range rows {
			at := (r0+i)*t.ldq + h*dim
			prow, live := t.live(ps, r0, i, win)
			dsrow, _ := t.live(dss, r0, i, win)
			for _, row := range [...][]float32{prow, dsrow} {
				clear(row[:live.lo])
				clear(row[live.hi:])
			}
			prow, dsrow = prow[live.lo:live.hi], dsrow[live.lo:live.hi]
			f.expSum(prow, prow, t.lse[(r0+i)*t.h.Q+h])
			f.softmaxGrad(dsrow, prow, f.dot(t.do[at:at+dim], t.o[at:]), t.h.Scale)
		}
		t.combine(f, t.dq, dss, t.k, r0, rows, h, kv, win, b.hi)
	}
	t.keys(f, t.dv, p, t.do, b, h, kv, win)
	t.keys(f, t.dk, ds, t.q, b, h, kv, win)
}

// keys adds Pᵀ [keys rows]·Y [rows dim] to one head of x [S, KV·dim], for the block's rows.
func (t *attnGradTask) keys(f *form, x, p, y []float32, b queryBlock, h, kv int, win window) {
	dim, mr := t.h.Dim, f.mr()
	xp, pp, yp := unsafe.SliceData(x), unsafe.SliceData(p), unsafe.SliceData(y)
	for u := b.lo; u < b.hi; u += mr {
		kernel := f.tile[min(mr, b.hi-u)]
		for j := 0; j < dim; j += nr {
			kernel(b.rows, at(pp, u-win.lo), win.width, at(yp, b.row*t.ldq+h*dim+j), t.ldq,
				at(xp, u*t.ldk+kv*dim+j), t.ldk, 1, columns(dim-j))
		}
	}
}
