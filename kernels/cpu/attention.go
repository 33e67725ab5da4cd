package cpu

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// attnTask holds the arguments of Attention and AttentionGrad.
type attnTask struct {
	h               compute.Heads
	group           int // query heads of a key/value head
	rows            int // query rows
	ldq, ldk        int
	o, lse, q, k, v []float32
	dq, dk, dv, do  []float32
	spans           []int32
}

// attention checks what both directions share.
func (d *Device) attention(op string, o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) attnTask {
	if h.KV <= 0 || h.Q%h.KV != 0 || h.Dim <= 0 {
		panic(fmt.Sprintf("cpu: %s: heads %+v", op, h))
	}
	shape(op, "q", q, q.Rows, h.Q*h.Dim, q)
	shape(op, "o", o, q.Rows, h.Q*h.Dim, q)
	shape(op, "k", k, k.Rows, h.KV*h.Dim, q)
	shape(op, "v", v, k.Rows, h.KV*h.Dim, k)
	count(op, "spans", spans, 2*q.Rows, q)
	t := attnTask{h: h, group: h.Q / h.KV, rows: q.Rows, ldq: q.Cols, ldk: k.Cols,
		o: d.vals(op, o), q: d.vals(op, q), k: d.vals(op, k), v: d.vals(op, v),
		spans: d.ints(op, spans)}
	if !lse.IsZero() {
		shape(op, "lse", lse, q.Rows, h.Q, q)
		t.lse = d.vals(op, lse)
	}
	for i := 0; i < len(t.spans); i += 2 {
		if lo, hi := t.spans[i], t.spans[i+1]; lo < hi && (lo < 0 || int(hi) > k.Rows) {
			panic(fmt.Sprintf("cpu: %s: span %d is [%d %d), keys are %v", op, i/2, lo, hi, k))
		}
	}
	return t
}

// span is the keys that row t sees.
func (t *attnTask) span(row int) (lo, hi int) {
	lo, hi = int(t.spans[2*row]), int(t.spans[2*row+1])
	return lo, max(lo, hi)
}

// Attention: see compute.Products.
func (d *Device) Attention(o, lse, q, k, v compute.Tensor, spans compute.Ints, h compute.Heads) {
	d.ops.attn = d.attention("Attention", o, lse, q, k, v, spans, h)
	d.pool.do(q.Rows*h.KV, 1, &d.ops.attn)
}

// run does items (row, key/value head).
func (t *attnTask) run(w *worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		t.row(w, i/t.h.KV, i%t.h.KV)
	}
}

func (t *attnTask) row(w *worker, row, kv int) {
	f, dim := w.d.f, t.h.Dim
	lo, hi := t.span(row)
	p := w.scratch(slotA, hi-lo)
	for h := kv * t.group; h < (kv+1)*t.group; h++ {
		at := row*t.ldq + h*dim
		q, o := t.q[at:at+dim], t.o[at:at+dim]
		clear(o)
		lse := float32(math.Inf(-1))
		if hi > lo {
			for s := lo; s < hi; s++ {
				p[s-lo] = t.h.Scale * f.dot(q, t.k[s*t.ldk+kv*dim:])
			}
			var inv float32
			inv, lse = softmax(f, p, p)
			for s := lo; s < hi; s++ {
				f.axpy(o, p[s-lo]*inv, t.v[s*t.ldk+kv*dim:])
			}
		}
		if t.lse != nil {
			t.lse[row*t.h.Q+h] = lse
		}
	}
}

// AttentionGrad: see compute.Products.
func (d *Device) AttentionGrad(dq, dk, dv, do, o, lse, q, k, v compute.Tensor,
	spans compute.Ints, h compute.Heads) {
	const op = "AttentionGrad"
	t := d.attention(op, o, lse, q, k, v, spans, h)
	shape(op, "dq", dq, q.Rows, q.Cols, q)
	shape(op, "do", do, q.Rows, q.Cols, q)
	shape(op, "dk", dk, k.Rows, k.Cols, k)
	shape(op, "dv", dv, k.Rows, k.Cols, k)
	if t.lse == nil {
		panic("cpu: AttentionGrad: lse is missing")
	}
	t.dq, t.dk, t.dv, t.do = d.vals(op, dq), d.vals(op, dk), d.vals(op, dv), d.vals(op, do)
	clear(t.dq)
	clear(t.dk)
	clear(t.dv)
	d.ops.grad = attnGradTask{t}
	d.pool.do(h.KV, 1, &d.ops.grad)
}

// attnGradTask is AttentionGrad; an item is a key/value head.
type attnGradTask struct{ attnTask }

func (t *attnGradTask) run(w *worker, lo, hi int) {
	for kv := lo; kv < hi; kv++ {
		for row := range t.rows {
			t.row(w, row, kv)
		}
	}
}

// row adds what one query row gives to the gradients:
//
//	dp = do·v    ds = p·(dp − do·o)·Scale    dq = ds·k    dk += ds·q    dv += p·do
func (t *attnGradTask) row(w *worker, row, kv int) {
	f, dim := w.d.f, t.h.Dim
	lo, hi := t.span(row)
	for h := kv * t.group; h < (kv+1)*t.group; h++ {
		at := row*t.ldq + h*dim
		q, dq, do := t.q[at:at+dim], t.dq[at:at+dim], t.do[at:at+dim]
		mean := f.dot(do, t.o[at:at+dim])
		for s := lo; s < hi; s++ {
			ks := s*t.ldk + kv*dim
			p := exp(t.h.Scale*f.dot(q, t.k[ks:]) - t.lse[row*t.h.Q+h])
			ds := p * (f.dot(do, t.v[ks:]) - mean) * t.h.Scale
			f.axpy(dq, ds, t.k[ks:])
			f.axpy(t.dk[ks:ks+dim], ds, q)
			f.axpy(t.dv[ks:ks+dim], p, do)
		}
	}
}
