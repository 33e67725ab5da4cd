package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"transformer2/shared/compute"
)

// attnTask is Attention; an item is (part, key/value head). A part packs its keys once, as
// Scale·Kᵀ in panels of 32, for all its query rows and all heads that share them; everything else
// is read and written where it lies:
//
//	S [rows u] = Q [rows dim]·(Scale·Kᵀ)      P = exp(S − max)      O [rows dim] = P·V / Σ P
//
// A row's scores are all held at once, so the softmax is the exact two-pass one. Rows whose keys
// lie apart (one token of many sequences) go one by one instead: see row.
type attnTask struct {
	h            compute.Heads
	group        int // query heads of a key/value head
	ldq, ldk     int
	o, lse, q, k []float32
	v            []float32
	spans        []int32
	whole        bool // parts must not share keys
	blocks       []queryBlock
	parts        []int // part i is blocks [parts[i], parts[i+1])
	least        []int
}

// set checks the arguments that both directions share, and plans.
func (t *attnTask) set(d *Device, op string, o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) {
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
		whole: t.whole, blocks: t.blocks[:0], parts: t.parts[:0], least: t.least[:0]}
	if !lse.IsZero() {
		shape(op, "lse", lse, q.Rows, h.Q, q)
		t.lse = d.vals(op, lse)
	}
	for i := 0; i < len(t.spans); i += 2 {
		if lo, hi := t.spans[i], t.spans[i+1]; lo < hi && (lo < 0 || int(hi) > k.Rows) {
			panic(fmt.Sprintf("cpu: %s: span %d is [%d %d), keys are %v", op, i/2, lo, hi, k))
		}
	}
	t.plan(d.f.mr())
}

// Attention: see compute.Products.
func (d *Device) Attention(o, lse, q, k, v compute.Tensor, spans compute.Ints, h compute.Heads) {
	t := &d.ops.attn
	t.set(d, "Attention", o, lse, q, k, v, spans, h)
	d.pool.do((len(t.parts)-1)*h.KV, 1, t)
}

func (t *attnTask) run(w *worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		kv := i % t.h.KV
		blocks, first, end := t.part(i / t.h.KV)
		kT := t.pack(w, slotA, t.k, kv, first, end, t.h.Scale)
		for _, b := range blocks {
			for h := kv * t.group; h < (kv+1)*t.group; h++ {
				if b.dense {
					t.dense(w, b, h, kv, kT, first)
					continue
				}
				for r := b.row; r < b.row+b.rows; r++ {
					t.row(w, r, h, kv)
				}
			}
		}
	}
}

// keysPerCall bounds a call to a kernel, which cannot be preempted, to some 100 µs.
const keysPerCall = 1024

// row is one query row of one head.
func (t *attnTask) row(w *worker, row, h, kv int) {
	f, dim := w.d.f, t.h.Dim
	lo, hi := t.span(row)
	at := row*t.ldq + h*dim
	o := t.o[at : at+dim]
	lse := float32(math.Inf(-1))
	if hi == lo {
		clear(o)
	} else {
		p, q := w.scratch(slotB, hi-lo), w.scratch(slotC, 2*dim)
		q, sum := q[:dim], q[dim:]
		f.scale(q, t.q[at:at+dim], t.h.Scale)
		for s := lo; s < hi; s += keysPerCall {
			f.dots(p[s-lo:min(s+keysPerCall, hi)-lo], q, t.k[s*t.ldk+kv*dim:], t.ldk)
		}
		var inv float32
		inv, lse = softmax(f, p, p)
		clear(o)
		for s := lo; s < hi; s += keysPerCall {
			f.weighted(sum, p[s-lo:min(s+keysPerCall, hi)-lo], t.v[s*t.ldk+kv*dim:], t.ldk)
			f.add(o, sum)
		}
		f.scale(o, o, inv)
	}
	if t.lse != nil {
		t.lse[row*t.h.Q+h] = lse
	}
}

// pack is scale·Xᵀ for keys [lo, hi) of x [S, KV·dim] and one head, in panels [u/32][dim][32].
func (t *attnTask) pack(w *worker, slot int, x []float32, kv, lo, hi int,
	scale float32) []float32 {
	f, dim := w.d.f, t.h.Dim
	panels := (hi - lo + nr - 1) / nr
	dst := w.scratch(slot, panels*nr*dim)
	for p := range panels {
		u := lo + p*nr
		panel := dst[p*nr*dim : (p+1)*nr*dim]
		f.packT(panel, scale, x[u*t.ldk+kv*dim:], t.ldk, min(nr, hi-u), dim)
	}
	return dst
}

// window is the panels of a part's packed keys that a block needs: w.width numbers a row from key
// w.lo on. first is the part's first key.
type window struct{ lo, width, panel int }

func (b queryBlock) window(first int) window {
	p0, p1 := (b.lo-first)/nr, (b.hi-first+nr-1)/nr
	return window{lo: first + p0*nr, width: (p1 - p0) * nr, panel: p0}
}

// scores is S [rows width] = X [rows dim]·packed for rows [r0, r0+rows) of one head of x.
func (t *attnTask) scores(f *form, s, x, packed []float32, r0, rows, h int, win window) {
	dim := t.h.Dim
	xp, pp := unsafe.SliceData(x), unsafe.SliceData(packed)
	sp := unsafe.SliceData(s)
	for j := 0; j < win.width; j += nr {
		f.tileRow[rows](dim, at(xp, r0*t.ldq+h*dim), t.ldq, at(pp, (win.panel*nr+j)*dim), nr,
			at(sp, j), win.width, 0, allColumns)
	}
}

// combine is Y [rows dim] = P [rows width]·X [keys dim] for one head of y and of x.
func (t *attnTask) combine(f *form, y, p, x []float32, r0, rows, h, kv int, win window, hi int) {
	dim := t.h.Dim
	yp, pp, xp := unsafe.SliceData(y), unsafe.SliceData(p), unsafe.SliceData(x)
	for j := 0; j < dim; j += nr {
		f.tileRow[rows](hi-win.lo, pp, win.width, at(xp, win.lo*t.ldk+kv*dim+j), t.ldk,
			at(yp, r0*t.ldq+h*dim+j), t.ldq, 0, columns(dim-j))
	}
}

// dense is the rows of a block for one head, a strip at a time.
func (t *attnTask) dense(w *worker, b queryBlock, h, kv int, kT []float32, first int) {
	f, dim, end := w.d.f, t.h.Dim, b.row+b.rows
	var inv [maxRows]float32
	for r0 := b.row; r0 < end; r0 += f.mr() {
		strip := t.strip(r0, min(f.mr(), end-r0))
		win := strip.window(first)
		s := w.scratch(slotB, strip.rows*win.width)
		t.scores(f, s, t.q, kT, r0, strip.rows, h, win)
		for i := range strip.rows {
			row, live := t.live(s, r0, i, win)
			clear(row[:live.lo])
			clear(row[live.hi:])
			var lse float32
			inv[i], lse = softmax(f, row[live.lo:live.hi], row[live.lo:live.hi])
			if t.lse != nil {
				t.lse[(r0+i)*t.h.Q+h] = lse
			}
		}
		t.combine(f, t.o, s, t.v, r0, strip.rows, h, kv, win, strip.hi)
		for i := range strip.rows {
			o := t.o[(r0+i)*t.ldq+h*dim : (r0+i)*t.ldq+(h+1)*dim]
			f.scale(o, o, inv[i])
		}
	}
}

// strip is the rows [r0, r0+rows) of a dense block with the union of their keys.
func (t *attnTask) strip(r0, rows int) queryBlock {
	s := queryBlock{row: r0, rows: rows, lo: math.MaxInt}
	for r := r0; r < r0+rows; r++ {
		lo, hi := t.span(r)
		s.lo, s.hi = min(s.lo, lo), max(s.hi, hi)
	}
	return s
}

type interval struct{ lo, hi int }

// live is row i of s and the part of it that row r0+i sees.
func (t *attnTask) live(s []float32, r0, i int, win window) ([]float32, interval) {
	lo, hi := t.span(r0 + i)
	return s[i*win.width : (i+1)*win.width], interval{lo - win.lo, hi - win.lo}
}
