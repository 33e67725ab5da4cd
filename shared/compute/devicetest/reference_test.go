package devicetest

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// reference is a Device made of the documented loops with float64 sums, rounded once at the end.
// It is the device that the suite must pass, and the body that mutants change in one place.
type reference struct{ closed bool }

type floats []float32

func (b floats) Len() int { return len(b) }

type int32s []int32

func (b int32s) Len() int { return len(b) }

type refWeight struct {
	t       compute.DType
	out, in int
	v       []float32
	freed   bool
}

// held is w unless it was freed.
func held(op string, w compute.Weight) *refWeight {
	r := w.(*refWeight)
	if r.freed {
		panic("reference: " + op + ": the weight was freed")
	}
	return r
}

func (w *refWeight) Len() int { return w.out * w.in }

func (w *refWeight) Dims() (out, in int) { return w.out, w.in }
func (w *refWeight) Type() compute.DType { return w.t }
func (w *refWeight) Bytes() int64        { return int64(4 * len(w.v)) }

// data is the storage of a view; weigh the same for ints.
func data(t compute.Tensor) []float32   { return t.Buf.(floats)[t.Off : t.Off+t.Len()] }
func numbers(x compute.Ints) []int32    { return x.Buf.(int32s)[x.Off : x.Off+x.N] }
func wideOf(t compute.Tensor) matrix    { return matrix{t.Rows, t.Cols, wide(data(t))} }
func put(t compute.Tensor, v []float64) { copy(data(t), narrow(v)) }

// fit panics unless ok, and names the shapes.
func fit(op string, ok bool, shapes ...any) {
	if !ok {
		panic(fmt.Sprintf("reference: %s: shapes %v do not fit", op, shapes))
	}
}

func like(op string, a compute.Tensor, others ...compute.Tensor) {
	for _, b := range others {
		fit(op, a.Rows == b.Rows && a.Cols == b.Cols, a, b)
	}
}

func shape(op string, t compute.Tensor, rows, cols int) {
	fit(op, t.Rows == rows && t.Cols == cols, t, compute.Tensor{Rows: rows, Cols: cols})
}

func (d *reference) Name() string { return "reference" }

func (d *reference) Close() error {
	if d.closed {
		return fmt.Errorf("reference: closed twice")
	}
	d.closed = true
	return nil
}

func (d *reference) NewTensor(rows, cols int) (compute.Tensor, error) {
	return compute.Tensor{Buf: make(floats, rows*cols), Rows: rows, Cols: cols}, nil
}

func (d *reference) NewInts(n int) (compute.Ints, error) {
	return compute.Ints{Buf: make(int32s, n), N: n}, nil
}

func (d *reference) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	return &refWeight{t: t, out: out, in: in, v: make([]float32, out*in)}, nil
}

func (d *reference) Free(b compute.Buffer) {
	if w, ok := b.(*refWeight); ok {
		*w = refWeight{freed: true}
	}
}

func (d *reference) Write(dst compute.Tensor, src []float32) {
	fit("Write", dst.Len() == len(src), dst, len(src))
	copy(data(dst), src)
}

func (d *reference) WriteInts(dst compute.Ints, src []int32) {
	fit("WriteInts", dst.N == len(src), dst.N, len(src))
	copy(numbers(dst), src)
}

func (d *reference) Read(dst []float32, src compute.Tensor) error {
	fit("Read", src.Len() == len(dst), src, len(dst))
	copy(dst, data(src))
	return nil
}

func (d *reference) ReadInts(dst []int32, src compute.Ints) error {
	fit("ReadInts", src.N == len(dst), src.N, len(dst))
	copy(dst, numbers(src))
	return nil
}

func (d *reference) Submit() error { return nil }

func (d *reference) Pack(w compute.Weight, src compute.Tensor) {
	r := held("Pack", w)
	shape("Pack", src, r.out, r.in)
	for i, v := range data(src) {
		switch r.t {
		case compute.F32:
			r.v[i] = v
		case compute.F16:
			r.v[i] = roundF16(v)
		case compute.BF16:
			r.v[i] = roundBF16(v)
		}
	}
	if !r.t.Blocked() {
		return
	}
	pack := packBlock
	if r.t == compute.Q4 {
		pack = packBlock4
	}
	for b := 0; b < len(r.v); b += compute.BlockQ8 {
		pack(r.v[b:b+compute.BlockQ8], data(src)[b:b+compute.BlockQ8], math.RoundToEven)
	}
}

func packBlock4(dst, src []float32, round func(float64) float64) {
	m := src[0]
	for _, v := range src {
		if max(v, -v) > max(m, -m) {
			m = v
		}
	}
	scale := m / -8
	for i, v := range src {
		dst[i] = 0
		if scale != 0 {
			dst[i] = scale * float32(max(-8, min(7, round(float64(v/scale)))))
		}
	}
}

func packBlock(dst, src []float32, round func(float64) float64) {
	var top float32
	for _, v := range src {
		top = max(top, max(v, -v))
	}
	scale := top / 127
	for i, v := range src {
		dst[i] = 0
		if scale > 0 {
			dst[i] = scale * float32(round(float64(v/scale)))
		}
	}
}

func (d *reference) Unpack(dst compute.Tensor, w compute.Weight) {
	r := held("Unpack", w)
	shape("Unpack", dst, r.out, r.in)
	copy(data(dst), r.v)
}

func (d *reference) Copy(dst, src compute.Tensor) {
	like("Copy", dst, src)
	copy(data(dst), data(src))
}

func (d *reference) Fill(dst compute.Tensor, v float32) {
	for i := range data(dst) {
		data(dst)[i] = v
	}
}

func (d *reference) MatMul(y, x compute.Tensor, w compute.Weight) {
	r := held("MatMul", w)
	wt := compute.Tensor{Buf: floats(r.v), Rows: r.out, Cols: r.in}
	d.Gemm(compute.NT, y, x, wt, false)
}

func (d *reference) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	r := held("MatMulT", w)
	wt := compute.Tensor{Buf: floats(r.v), Rows: r.out, Cols: r.in}
	d.Gemm(compute.NN, dx, dy, wt, acc)
}

func (d *reference) Gemm(o compute.Orientation, c, a, b compute.Tensor, acc bool) {
	switch o {
	case compute.NT:
		fit("Gemm NT", a.Cols == b.Cols && c.Rows == a.Rows && c.Cols == b.Rows, c, a, b)
	case compute.NN:
		fit("Gemm NN", a.Cols == b.Rows && c.Rows == a.Rows && c.Cols == b.Cols, c, a, b)
	case compute.TN:
		fit("Gemm TN", a.Rows == b.Rows && c.Rows == a.Cols && c.Cols == b.Cols, c, a, b)
	}
	var before []float64
	if acc {
		before = wideOf(c).v
	}
	put(c, gemm(o, wideOf(a), wideOf(b), before).v)
}

func (d *reference) ScaleCols(y, x, z compute.Tensor, rows compute.Ints) {
	like("ScaleCols", y, x)
	fit("ScaleCols", z.Cols == x.Cols, x, z)
	var r []int32
	if !rows.IsZero() {
		fit("ScaleCols", rows.N == x.Rows, x, rows.N)
		r = numbers(rows)
	}
	put(y, scaleCols(wideOf(x), wideOf(z), r).v)
}

func (d *reference) ColDot(s, a, b compute.Tensor) {
	like("ColDot", a, b)
	fit("ColDot", s.Rows == 1 && s.Cols == a.Cols, s, a)
	put(s, colDot(wideOf(s).v, wideOf(a), wideOf(b)).v)
}

func fitAttention(o, lse, q, k, v compute.Tensor, spans compute.Ints, h compute.Heads) {
	like("Attention", o, q)
	like("Attention", k, v)
	shape("Attention q", q, q.Rows, h.Q*h.Dim)
	shape("Attention k", k, k.Rows, h.KV*h.Dim)
	if !lse.IsZero() {
		shape("Attention lse", lse, q.Rows, h.Q)
	}
	fit("Attention spans", spans.N == 2*q.Rows, q, spans.N)
}

func (d *reference) Attention(o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) {
	fitAttention(o, lse, q, k, v, spans, h)
	ao, al := attention(wideOf(q), wideOf(k), wideOf(v), numbers(spans), h)
	put(o, ao.v)
	if !lse.IsZero() {
		put(lse, al.v)
	}
}

func (d *reference) AttentionGrad(dq, dk, dv, do, o, lse, q, k, v compute.Tensor,
	spans compute.Ints, h compute.Heads) {
	fitAttention(o, lse, q, k, v, spans, h)
	like("AttentionGrad", q, dq, do)
	like("AttentionGrad", k, dk, dv)
	wq, wk, wv := attentionGrad(wideOf(do), wideOf(q), wideOf(k), wideOf(v), numbers(spans), h)
	put(dq, wq.v)
	put(dk, wk.v)
	put(dv, wv.v)
}

func (d *reference) Add(y, x compute.Tensor) {
	like("Add", y, x)
	put(y, add(wideOf(y).v, wideOf(x).v).v)
}

func (d *reference) RMSNorm(y, x, g compute.Tensor, eps float32) {
	like("RMSNorm", y, x)
	fit("RMSNorm", g.Rows == 1 && g.Cols == x.Cols, x, g)
	put(y, rmsNorm(wideOf(x), wideOf(g).v, float64(eps)).v)
}

func (d *reference) RMSNormGrad(dx, dg, dy, x, g compute.Tensor, eps float32) {
	like("RMSNormGrad", x, dx, dy)
	fit("RMSNormGrad", g.Rows == 1 && g.Cols == x.Cols, x, g)
	var dg64 []float64
	if !dg.IsZero() {
		like("RMSNormGrad", dg, g)
		dg64 = wideOf(dg).v
	}
	ax, ag := rmsNormGrad(wideOf(dx).v, dg64, wideOf(dy), wideOf(x), wideOf(g).v, float64(eps))
	put(dx, ax.v)
	if !dg.IsZero() {
		put(dg, ag.v)
	}
}

func (d *reference) RoPE(x, cosSin compute.Tensor, pos compute.Ints, dim int, inverse bool) {
	fit("RoPE", x.Cols%dim == 0 && cosSin.Cols == dim && pos.N == x.Rows, x, cosSin, pos.N)
	put(x, rope(wideOf(x), wideOf(cosSin), numbers(pos), dim, inverse).v)
}

func (d *reference) SwiGLU(y, gate, up compute.Tensor) {
	like("SwiGLU", y, gate, up)
	put(y, swiglu(wideOf(gate).v, wideOf(up).v).v)
}

func (d *reference) SwiGLUGrad(dgate, dup, dy, gate, up compute.Tensor) {
	like("SwiGLUGrad", gate, up, dgate, dup, dy)
	ag, au := swigluGrad(wideOf(dy).v, wideOf(gate).v, wideOf(up).v)
	put(dgate, ag.v)
	put(dup, au.v)
}

func (d *reference) GatherRows(y, table compute.Tensor, ids compute.Ints) {
	fit("GatherRows", y.Cols == table.Cols && y.Rows == ids.N, y, table, ids.N)
	put(y, gatherRows(wideOf(table), numbers(ids)))
}

func (d *reference) ScatterAddRows(dtable, dy compute.Tensor, ids compute.Ints) {
	fit("ScatterAddRows", dy.Cols == dtable.Cols && dy.Rows == ids.N, dtable, dy, ids.N)
	copy(data(dtable), scatterAddRows(data(dtable), dtable.Cols, data(dy), numbers(ids)))
}

func (d *reference) ScatterRows(dst, src compute.Tensor, ids compute.Ints) {
	fit("ScatterRows", src.Cols == dst.Cols && src.Rows == ids.N, dst, src, ids.N)
	for t, id := range numbers(ids) {
		copy(data(dst.Slice(int(id), int(id)+1)), data(src.Slice(t, t+1)))
	}
}

func (d *reference) ArgMax(ids compute.Ints, x compute.Tensor) {
	fit("ArgMax", ids.N == x.Rows, x, ids.N)
	for t := range numbers(ids) {
		numbers(ids)[t] = int32(max(0, argMax(data(x.Slice(t, t+1)))))
	}
}

func (d *reference) LogProbs(lp, logits compute.Tensor, targets compute.Ints) {
	fit("LogProbs", lp.Rows == logits.Rows && lp.Cols == 1, lp, logits)
	fit("LogProbs", targets.N == logits.Rows, logits, targets.N)
	put(lp, logProbs(wideOf(logits), numbers(targets)).v)
}

func (d *reference) LogProbsGrad(g, logits compute.Tensor, targets compute.Ints,
	w compute.Tensor) {
	like("LogProbsGrad", g, logits)
	fit("LogProbsGrad", w.Rows == logits.Rows && targets.N == w.Rows, w, logits, targets.N)
	put(g, logProbsGrad(wideOf(logits), numbers(targets), wideOf(w).v).v)
}

func (d *reference) KL(y, logits, ref compute.Tensor) {
	like("KL", logits, ref)
	fit("KL", y.Rows == logits.Rows && y.Cols == 1, y, logits)
	put(y, kl(wideOf(logits), wideOf(ref)).v)
}

func (d *reference) KLGrad(g, logits, ref, w compute.Tensor) {
	like("KLGrad", logits, ref, g)
	put(g, klGrad(wideOf(g).v, wideOf(logits), wideOf(ref), wideOf(w).v).v)
}

func (d *reference) KLForwardGrad(g, logits, ref, w compute.Tensor) {
	like("KLForwardGrad", logits, ref, g)
	put(g, klForwardGrad(wideOf(g).v, wideOf(logits), wideOf(ref), wideOf(w).v).v)
}

func (d *reference) SumSquares(sum, x compute.Tensor) {
	fit("SumSquares", sum.Len() == 1, sum, x)
	put(sum, sumSquares(wideOf(sum).v[0], wideOf(x).v).v)
}

func (d *reference) AdamW(p, g, m, v compute.Tensor, a compute.AdamWParams) {
	like("AdamW", p, g, m, v)
	n := p.Len()
	s := adamState{newAnswer(n), newAnswer(n), newAnswer(n)}
	s.p.v, s.m.v, s.v.v = wideOf(p).v, wideOf(m).v, wideOf(v).v
	s.step(wideOf(g).v, a)
	put(p, s.p.v)
	put(m, s.m.v)
	put(v, s.v.v)
}
