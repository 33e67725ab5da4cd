package cpu

import (
	"math"
	"unsafe"

	"transformer2/shared/compute"
)

// AttentionGrad: see compute.Products. The probabilities are computed again from lse, transposed
// as in the forward pass:
//
//	Pᵀ [u 32] = exp(K·Qᵀ − lse)      dPᵀ = V·dOᵀ      dSᵀ = Pᵀ∘(dPᵀ − rowsum(dO∘O))
//	dQᵀ = Kᵀ·dSᵀ      dV += Pᵀ·dO      dK += dSᵀ·Q
//
// Q is scaled when it is gathered, which scales S and dK; dQ is scaled when it is written.
func (d *Device) AttentionGrad(dq, dk, dv, do, o, lse, q, k, v compute.Tensor,
	spans compute.Ints, h compute.Heads) {
	const op = "AttentionGrad"
	t := &d.ops.grad
	d.attention(&t.attnTask, op, o, lse, q, k, v, spans, h)
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
	t.least = t.cut(t.least[:0])
	d.pool.do((len(t.groups)-1)*h.KV, 1, t)
}

// attnGradTask is AttentionGrad; an item is (group of blocks, key/value head), so that each
// number of dk and dv is summed by one worker in the order of the rows.
type attnGradTask struct {
	attnTask
	least []int
}

func (t *attnGradTask) run(w *worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		g, kv := i/t.h.KV, i%t.h.KV
		for _, b := range t.blocks[t.groups[g]:t.groups[g+1]] {
			if b.dense {
				t.dense(w, b, kv)
				continue
			}
			for r := b.row; r < b.row+b.rows; r++ {
				t.row(w, r, kv)
			}
		}
	}
}

// row adds what one query row gives to the gradients.
func (t *attnGradTask) row(w *worker, row, kv int) {
	f, dim := w.d.f, t.h.Dim
	lo, hi := t.span(row)
	p := w.scratch(slotA, hi-lo)
	for h := kv * t.group; h < (kv+1)*t.group; h++ {
		at := row*t.ldq + h*dim
		q, dq, do := t.q[at:at+dim], t.dq[at:at+dim], t.do[at:at+dim]
		clear(dq)
		if hi == lo {
			continue
		}
		mean := f.dot(do, t.o[at:at+dim])
		for s := lo; s < hi; s++ {
			p[s-lo] = t.h.Scale * f.dot(q, t.k[s*t.ldk+kv*dim:])
		}
		f.expSum(p, p, t.lse[row*t.h.Q+h])
		for s := lo; s < hi; s++ {
			ks := s*t.ldk + kv*dim
			ds := p[s-lo] * (f.dot(do, t.v[ks:]) - mean) * t.h.Scale
			f.axpy(dq, ds, t.k[ks:])
			f.axpy(t.dk[ks:ks+dim], ds, q)
			f.axpy(t.dv[ks:ks+dim], p[s-lo], do)
		}
	}
}

// dense is one block of query rows as matrix products.
func (t *attnGradTask) dense(w *worker, b queryBlock, kv int) {
	f, dim, lanes := w.d.f, t.h.Dim, b.rows*t.group
	stats := w.scratch(slotD, 4*nr)
	lse, mean, unused, scale := stats[:nr], stats[nr:2*nr], stats[2*nr:3*nr], stats[3*nr:]
	q, qT := t.gather(w, slotE, t.q, b, kv, t.h.Scale)
	do, doT := t.gather(w, slotF, t.do, b, kv, 1)
	for j := range nr {
		lse[j], mean[j], scale[j] = 0, 0, t.h.Scale
		if j < lanes {
			row, head := t.lane(b, kv, j)
			mean[j] = f.dot(do[j*dim:(j+1)*dim], t.o[row*t.ldq+head*dim:])
			lse[j] = t.lse[row*t.h.Q+head]
		}
		if math.IsInf(float64(lse[j]), -1) {
			lse[j] = 0
		}
	}
	p := t.scores(w, slotB, t.k, qT, b, kv)
	t.mask(p, b)
	f.expCols(p, lse, unused)
	ds := t.scores(w, slotC, t.v, doT, b, kv)
	f.gradCols(ds, p, mean)
	dqT := w.scratch(slotG, dim*nr)
	t.weighted(w, dqT, t.k, ds, b, kv)
	t.scatter(w, t.dq, dqT, b, kv, scale)
	t.spread(w, t.dv, p, do, b, kv, lanes)
	t.spread(w, t.dk, ds, q, b, kv, lanes)
}

// spread adds Pᵀ [u lanes]·rows [lanes dim] to the block's keys of x [S, KV·dim].
func (t *attnGradTask) spread(w *worker, x, p, rows []float32, b queryBlock, kv, lanes int) {
	f, dim, n := w.d.f, t.h.Dim, b.hi-b.lo
	xp, pp, rp := unsafe.SliceData(x), unsafe.SliceData(p), unsafe.SliceData(rows)
	for u := 0; u < n; u += f.mr() {
		kernel := f.tileRow[min(f.mr(), n-u)]
		for j := 0; j < dim; j += nr {
			kernel(lanes, at(pp, u*nr), nr, at(rp, j), dim,
				at(xp, (b.lo+u)*t.ldk+kv*dim+j), t.ldk, 1, columns(dim-j))
		}
	}
}
