package devicetest

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// layout is who sees whom: spans over keys rows of a cache.
type layout struct {
	name  string
	keys  int
	spans []int32
}

// causal: row t sees [0, t]; with a window, its last w keys; after a prefix of `past` keys.
func causal(rows, past, window, keys int) layout {
	l := layout{name: fmt.Sprintf("causal %d after %d window %d in %d", rows, past, window, keys),
		keys: keys}
	for t := range rows {
		lo := 0
		if window > 0 {
			lo = max(0, past+t+1-window)
		}
		l.spans = append(l.spans, int32(lo), int32(past+t+1))
	}
	return l
}

// packed: documents one after the other, each causal in itself.
func packed(lengths ...int) layout {
	l := layout{name: fmt.Sprintf("packed %v", lengths)}
	for _, n := range lengths {
		for t := range n {
			l.spans = append(l.spans, int32(l.keys), int32(l.keys+t+1))
		}
		l.keys += n
	}
	return l
}

// layouts: prefill, packing, windows, decoding of far-apart sequences, empty spans and caches with
// room left.
var layouts = []layout{
	causal(1, 0, 0, 1),
	causal(2, 0, 0, 2),
	causal(7, 0, 0, 7),
	causal(17, 0, 0, 31),
	causal(33, 0, 0, 33),
	causal(64, 0, 0, 64),
	causal(97, 0, 0, 100),
	causal(130, 0, 0, 130),
	causal(5, 15, 0, 32),
	causal(1, 129, 0, 256),
	causal(33, 0, 7, 40),
	causal(40, 33, 32, 80),
	packed(1, 1, 5, 13, 1, 31),
	packed(33, 2, 64),
	{"decode", 200, []int32{0, 1, 150, 200, 37, 38, 99, 163}},
	{"full", 31, []int32{0, 31, 0, 31, 0, 31}},
	{"empty", 13, []int32{0, 0, 3, 9, 13, 13, 5, 5, 0, 13, 12, 13}},
	{"all empty", 4, []int32{0, 0, 4, 4, 2, 2}},
	{"shuffled", 64, []int32{60, 64, 0, 33, 31, 32, 17, 64, 0, 64, 8, 16, 1, 2}},
}

// headShapes: dims 8 to 64, one to four query heads to a key head.
var headShapes = []compute.Heads{
	{Q: 1, KV: 1, Dim: 8}, {Q: 2, KV: 1, Dim: 16}, {Q: 4, KV: 1, Dim: 32}, {Q: 4, KV: 2, Dim: 48},
	{Q: 3, KV: 3, Dim: 64}, {Q: 8, KV: 2, Dim: 16}, {Q: 6, KV: 3, Dim: 8},
}

// attentionTrial is the tensors of one call.
type attentionTrial struct {
	*trial
	h        compute.Heads
	q, k, v  *tensor
	o, lse   *tensor
	spans    *ints
	l        layout
	seen     []bool // key rows that some query sees
	rows     int
	k64, v64 matrix
	heldLSE  compute.Tensor
}

// keepLayouts applies Options.
func keepLayouts(e *env) []layout {
	var kept []layout
	for i, l := range layouts {
		if e.opt.Every > 1 && i%e.opt.Every != 0 || e.opt.MaxDim > 0 && l.keys > e.opt.MaxDim {
			continue
		}
		kept = append(kept, l)
	}
	return kept
}

// beginAttention makes the tensors of Attention. Key and value rows that no query sees are NaN.
func beginAttention(e *env, l layout, h compute.Heads, size float32, lse bool) *attentionTrial {
	h.Scale = float32(1 / math.Sqrt(float64(h.Dim)))
	a := &attentionTrial{h: h, l: l, rows: len(l.spans) / 2, seen: make([]bool, l.keys)}
	a.trial = e.begin("%s, %d/%d heads of %d, size %g", l.name, h.Q, h.KV, h.Dim, size)
	for t := range a.rows {
		for s := l.spans[2*t]; s < l.spans[2*t+1]; s++ {
			a.seen[s] = true
		}
	}
	kc := h.KV * h.Dim
	a.q = a.in(a.rows, h.Q*h.Dim, scaled(normal(e.rng, a.rows*h.Q*h.Dim), size))
	keys, values := normal(e.rng, l.keys*kc), normal(e.rng, l.keys*kc)
	a.k64 = matrix{l.keys, kc, wide(keys)}
	a.v64 = matrix{l.keys, kc, wide(values)}
	for s, seen := range a.seen {
		if !seen {
			copy(keys[s*kc:], repeat(nan32, kc))
			copy(values[s*kc:], repeat(nan32, kc))
		}
	}
	a.k, a.v = a.in(l.keys, kc, keys), a.in(l.keys, kc, values)
	a.o = a.out(a.rows, h.Q*h.Dim)
	if lse {
		a.lse = a.out(a.rows, h.Q)
		a.heldLSE = a.lse.Tensor
	}
	a.spans = a.inInts(l.spans)
	return a
}

func (a *attentionTrial) forward() {
	a.dev.Attention(a.o.Tensor, a.heldLSE, a.q.Tensor, a.k.Tensor, a.v.Tensor, a.spans.Ints, a.h)
}

func checkAttention(e *env) {
	for i, l := range keepLayouts(e) {
		for j, h := range headShapes {
			if (i+j)%3 != 0 && l.keys > 32 {
				continue // every layout meets every third shape, small ones all
			}
			size := []float32{1, 0.1, 20}[(i+2*j)%3] // flat to one-hot weights
			attendOnce(e, l, h, size, (i+j)%2 == 0)
		}
	}
	// Scores of 1e30: larger than any number that stands in for −Inf, and one-hot.
	for i, l := range []layout{causal(17, 0, 0, 31), causal(40, 33, 32, 80), packed(1, 5, 31)} {
		attendOnce(e, l, headShapes[2*i], 1e30, true)
	}
}

func attendOnce(e *env, l layout, h compute.Heads, size float32, lse bool) {
	e.r.Helper()
	a := beginAttention(e, l, h, size, lse)
	a.run(a.forward)
	o, want := attention(a.q.wide(), a.k64, a.v64, l.spans, a.h)
	e.within("o", a.o.got(), o)
	if lse {
		e.within("lse", a.lse.got(), want)
	}
	a.end()
}

// checkAttentionCausal: keys and values outside a row's span do not move a bit of its output.
func checkAttentionCausal(e *env) {
	for _, h := range headShapes {
		l := causal(33, 0, 0, 33)
		a := beginAttention(e, l, h, 1, true)
		a.run(a.forward)
		o, lse := a.o.after, a.lse.after
		cut := 17
		kc := h.KV * h.Dim
		for _, x := range []*tensor{a.k, a.v} {
			v := normal(e.rng, (l.keys-cut)*kc)
			copy(x.before[x.pre+cut*kc:], scaled(v, 1e3))
			e.dev.Write(x.full, x.before)
		}
		a.run(a.forward)
		n := a.o.pre + cut*h.Q*h.Dim
		e.same("o before the changed keys", a.o.after[a.o.pre:n], o[a.o.pre:n])
		n = a.lse.pre + cut*h.Q
		e.same("lse before the changed keys", a.lse.after[a.lse.pre:n], lse[a.lse.pre:n])
		if differ(a.o.after[a.o.pre+cut*h.Q*h.Dim:], o[a.o.pre+cut*h.Q*h.Dim:]) < 0 {
			e.errorf("rows that see the changed keys stayed as they were")
		}
		a.end()
	}
}

func checkAttentionGrad(e *env) {
	for i, l := range keepLayouts(e) {
		for j, h := range headShapes {
			if (i+j)%3 != 0 && l.keys > 16 {
				continue
			}
			size := []float32{1, 0.1, 8}[(i+2*j)%3]
			a := beginAttention(e, l, h, size, true)
			a.forward()
			a.read()
			for _, x := range []*tensor{a.o, a.lse} { // now inputs
				x.before, x.input = x.after, true
			}
			do := a.normal(a.rows, h.Q*h.Dim)
			dq := a.out(a.rows, h.Q*h.Dim)
			dk, dv := a.out(l.keys, h.KV*h.Dim), a.out(l.keys, h.KV*h.Dim)
			a.run(func() {
				e.dev.AttentionGrad(dq.Tensor, dk.Tensor, dv.Tensor, do.Tensor, a.o.Tensor,
					a.lse.Tensor, a.q.Tensor, a.k.Tensor, a.v.Tensor, a.spans.Ints, a.h)
			})
			wq, wk, wv := attentionGrad(do.wide(), a.q.wide(), a.k64, a.v64, l.spans, a.h)
			e.within("dq", dq.got(), wq)
			e.within("dk", dk.got(), wk)
			e.within("dv", dv.got(), wv)
			a.end()
		}
	}
}
