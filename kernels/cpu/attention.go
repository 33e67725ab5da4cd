package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"transformer2/shared/compute"
)

// Attention keeps the scores transposed, keys down and queries across: 32 lanes, each a (row,
// query head) that shares a key/value head. Then no operand but the queries is ever packed:
//
//	Sᵀ [u 32] = K [u dim]·Qᵀ [dim 32]        K as it lies, row by row
//	Pᵀ = exp(Sᵀ − max) down the columns       no sums across a vector
//	Oᵀ [dim 32] = Vᵀ [dim u]·Pᵀ [u 32]       V as it lies, k-major; Pᵀ is the packed operand
//
// A whole column of scores is held at once, so the softmax is the exact two-pass one. Rows whose
// keys lie apart (one token of many sequences) go one by one instead: see attnTask.row.
type attnTask struct {
	h              compute.Heads
	group          int // query heads of a key/value head
	ldq, ldk       int
	o, lse, q, k   []float32
	v              []float32
	dq, dk, dv, do []float32
	spans          []int32
	blocks         []queryBlock
	groups         []int // AttentionGrad: group g is blocks [groups[g], groups[g+1])
}

// attention checks what both directions share.
func (d *Device) attention(t *attnTask, op string, o, lse, q, k, v compute.Tensor,
	spans compute.Ints, h compute.Heads) {
	if h.KV <= 0 || h.Q%h.KV != 0 || h.Dim <= 0 {
		panic(fmt.Sprintf("cpu: %s: heads %+v", op, h))
	}
	shape(op, "q", q, q.Rows, h.Q*h.Dim, q)
	shape(op, "o", o, q.Rows, h.Q*h.Dim, q)
	shape(op, "k", k, k.Rows, h.KV*h.Dim, q)
	shape(op, "v", v, k.Rows, h.KV*h.Dim, k)
	count(op, "spans", spans, 2*q.Rows, q)
	*t = attnTask{h: h, group: h.Q / h.KV, ldq: q.Cols, ldk: k.Cols, o: d.vals(op, o),
		q: d.vals(op, q), k: d.vals(op, k), v: d.vals(op, v), spans: d.ints(op, spans),
		blocks: t.blocks[:0], groups: t.groups[:0]}
	if !lse.IsZero() {
		shape(op, "lse", lse, q.Rows, h.Q, q)
		t.lse = d.vals(op, lse)
	}
	for i := 0; i < len(t.spans); i += 2 {
		if lo, hi := t.spans[i], t.spans[i+1]; lo < hi && (lo < 0 || int(hi) > k.Rows) {
			panic(fmt.Sprintf("cpu: %s: span %d is [%d %d), keys are %v", op, i/2, lo, hi, k))
		}
	}
	t.plan()
}

// Attention: see compute.Products.
func (d *Device) Attention(o, lse, q, k, v compute.Tensor, spans compute.Ints, h compute.Heads) {
	t := &d.ops.attn
	d.attention(t, "Attention", o, lse, q, k, v, spans, h)
	d.pool.do(len(t.blocks)*h.KV, 1, t)
}

// run does items (block, key/value head).
func (t *attnTask) run(w *worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		b, kv := t.blocks[i/t.h.KV], i%t.h.KV
		if b.dense {
			t.dense(w, b, kv)
			continue
		}
		for r := b.row; r < b.row+b.rows; r++ {
			t.row(w, r, kv)
		}
	}
}

// row is one query row, head by head.
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

// dense is one block of query rows as matrix products.
func (t *attnTask) dense(w *worker, b queryBlock, kv int) {
	f, dim, lanes := w.d.f, t.h.Dim, b.rows*t.group
	stats := w.scratch(slotD, 3*nr)
	most, total, inv := stats[:nr], stats[nr:2*nr], stats[2*nr:]
	_, qT := t.gather(w, slotA, t.q, b, kv, t.h.Scale)
	s := t.scores(w, slotB, t.k, qT, b, kv)
	t.mask(s, b)
	for j := range most {
		most[j], total[j] = float32(math.Inf(-1)), 0
	}
	f.colMax(most, s)
	for j, m := range most {
		if math.IsInf(float64(m), -1) {
			most[j] = 0 // an empty lane: every exp is 0
		}
	}
	f.expCols(s, most, total)
	oT := w.scratch(slotC, dim*nr)
	t.weighted(w, oT, t.v, s, b, kv)
	for j := range lanes {
		inv[j] = 0
		if total[j] > 0 {
			inv[j] = 1 / total[j]
		}
		if t.lse != nil {
			row, head := t.lane(b, kv, j)
			t.lse[row*t.h.Q+head] = most[j] + float32(math.Log(float64(total[j])))
		}
	}
	t.scatter(w, t.o, oT, b, kv, inv)
}

// lane is the query row and head of lane j of a block.
func (t *attnTask) lane(b queryBlock, kv, j int) (row, head int) {
	return b.row + j/t.group, kv*t.group + j%t.group
}

// gather copies the block's lanes of x [T, Q·dim], times scale, to rows [32 dim] and to columns
// [dim 32] (lanes past the last are 0 in the columns).
func (t *attnTask) gather(w *worker, slot int, x []float32, b queryBlock, kv int,
	scale float32) (rows, cols []float32) {
	f, dim, lanes := w.d.f, t.h.Dim, b.rows*t.group
	buf := w.scratch(slot, 2*nr*dim+nr)
	rows, cols = buf[:nr*dim+nr], buf[nr*dim+nr:]
	for j := range lanes {
		row, head := t.lane(b, kv, j)
		f.scale(rows[j*dim:(j+1)*dim], x[row*t.ldq+head*dim:], scale)
	}
	f.packT(cols, nr, rows, dim, lanes, dim)
	return rows, cols
}

// scatter writes columns [dim 32], each times its factor, to the block's lanes of x [T, Q·dim].
func (t *attnTask) scatter(w *worker, x, cols []float32, b queryBlock, kv int, by []float32) {
	f, dim := w.d.f, t.h.Dim
	rows := w.scratch(slotA, nr*dim)
	f.packT(rows, dim, cols, nr, dim, nr)
	for j := range b.rows * t.group {
		row, head := t.lane(b, kv, j)
		at := row*t.ldq + head*dim
		f.scale(x[at:at+dim], rows[j*dim:], by[j])
	}
}

// scores is Sᵀ [u 32] = A [u dim]·cols [dim 32] with A the block's keys or values.
func (t *attnTask) scores(w *worker, slot int, a, cols []float32, b queryBlock,
	kv int) []float32 {
	f, dim, n := w.d.f, t.h.Dim, b.hi-b.lo
	s := w.scratch(slot, n*nr)
	ap, cp, sp := unsafe.SliceData(a), unsafe.SliceData(cols), unsafe.SliceData(s)
	for u := 0; u < n; u += f.mr() {
		f.tileRow[min(f.mr(), n-u)](dim, at(ap, (b.lo+u)*t.ldk+kv*dim), t.ldk, cp, nr,
			at(sp, u*nr), nr, 0, allColumns)
	}
	return s
}

// weighted is cols [dim 32] = Aᵀ [dim u]·Pᵀ [u 32].
func (t *attnTask) weighted(w *worker, cols, a, p []float32, b queryBlock, kv int) {
	f, dim, n := w.d.f, t.h.Dim, b.hi-b.lo
	ap, pp, cp := unsafe.SliceData(a), unsafe.SliceData(p), unsafe.SliceData(cols)
	tiles := (dim + f.mr() - 1) / f.mr()
	for i := range tiles { // equal heights: a low tile cannot fill the multipliers
		lo, hi := dim*i/tiles, dim*(i+1)/tiles
		f.tile[hi-lo](n, at(ap, b.lo*t.ldk+kv*dim+lo), t.ldk, pp, nr, at(cp, lo*nr), nr, 0,
			allColumns)
	}
}

// mask sets the scores outside of each row's span to −Inf.
func (t *attnTask) mask(s []float32, b queryBlock) {
	inf := float32(math.Inf(-1))
	for r := range b.rows {
		lo, hi := t.span(b.row + r)
		if hi == lo {
			lo, hi = b.hi, b.hi
		}
		for j := r * t.group; j < (r+1)*t.group; j++ {
			for u := b.lo; u < lo; u++ {
				s[(u-b.lo)*nr+j] = inf
			}
			for u := hi; u < b.hi; u++ {
				s[(u-b.lo)*nr+j] = inf
			}
		}
	}
}
