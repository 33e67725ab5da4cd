package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

const (
	// stepWide is the step of central differences in float64: the error is h²·f‴/6 + 2^-53·f/h,
	// both below 1e-9 for the functions here.
	stepWide = 1e-5
	// differenceTol bounds what central differences of the oracle add to the device's own error,
	// relative to the largest number of the gradient. Measured 3e-9 at worst.
	differenceTol = 1e-7
	// stepDevice is the step through the device's own forward pass in f32.
	stepDevice = 1.0 / 64
	// directionalTol bounds |difference − ⟨gradient, direction⟩| relative to |gradient|·|direction|:
	// truncation h²·f‴/6 and rounding unit·Σ|L|/h. Measured 3e-6 with an accurate exp; the exp of
	// WGSL may add thirty times its own rounding.
	directionalTol = 1e-4
)

// differences is the gradient of f at x by central differences; f reads x.
func differences(x []float64, f func() float64) []float64 {
	g := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + stepWide
		up := f()
		x[i] = v - stepWide
		down := f()
		x[i] = v
		g[i] = (up - down) / (2 * stepWide)
	}
	return g
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// against checks the device's gradient got against central differences of f at x. The bound is the
// op's own, plus that of the differences.
func (e *env) against(what string, got []float32, bound []float64, x []float64,
	f func() float64) {
	e.r.Helper()
	want := answer{differences(x, f), make([]float64, len(x))}
	largest := 0.0
	for _, v := range want.v {
		largest = max(largest, math.Abs(v))
	}
	for i := range want.tol {
		want.tol[i] = bound[i] + differenceTol*max(largest, 1)
	}
	e.within(what+" by central differences", got, want)
}

// checkDifferences holds every gradient op of the device to central differences of the forward
// loop in float64.
func checkDifferences(e *env) {
	differNorm(e)
	differAttention(e)
	differSwiGLU(e)
	differRoPE(e)
	differProducts(e)
	differRows(e)
	differLosses(e)
}

func differNorm(e *env) {
	const rows, cols, eps = 3, 13, 0.01
	c := e.begin("RMSNormGrad")
	x, g, dy := c.normal(rows, cols), c.normal(1, cols), c.normal(rows, cols)
	zeros := make([]float32, rows*cols)
	dx, dg := c.tensor(rows, cols, zeros), c.tensor(1, cols, zeros[:cols])
	c.run(func() {
		e.dev.RMSNormGrad(dx.Tensor, dg.Tensor, dy.Tensor, x.Tensor, g.Tensor, eps)
	})
	x64, g64, dy64 := x.wide(), g.wide().v, dy.wide()
	eps64 := float64(float32(eps))
	ax, ag := rmsNormGrad(dx.wide().v, dg.wide().v, dy64, x64, g64, eps64)
	loss := func() float64 { return dot(dy64.v, rmsNorm(x64, g64, eps64).v) }
	e.against("dx", dx.got(), ax.tol, x64.v, loss)
	e.against("dg", dg.got(), ag.tol, g64, loss)
	c.end()
}

func differAttention(e *env) {
	for _, h := range []compute.Heads{{Q: 1, KV: 1, Dim: 8}, {Q: 4, KV: 2, Dim: 8}} {
		for _, l := range []layout{causal(5, 0, 0, 5), causal(4, 2, 3, 7), packed(2, 3),
			{"empty", 4, []int32{1, 1, 0, 3, 2, 4}}} {
			a := beginAttention(e, l, h, 1, true)
			a.forward()
			a.read()
			for _, x := range []*tensor{a.o, a.lse} {
				x.before, x.input = x.after, true
			}
			do := a.normal(a.rows, h.Q*h.Dim)
			dq := a.out(a.rows, h.Q*h.Dim)
			dk, dv := a.out(l.keys, h.KV*h.Dim), a.out(l.keys, h.KV*h.Dim)
			a.run(func() {
				e.dev.AttentionGrad(dq.Tensor, dk.Tensor, dv.Tensor, do.Tensor, a.o.Tensor,
					a.lse.Tensor, a.q.Tensor, a.k.Tensor, a.v.Tensor, a.spans.Ints, a.h)
			})
			q, do64 := a.q.wide(), do.wide()
			wq, wk, wv := attentionGrad(do64, q, a.k64, a.v64, l.spans, a.h)
			loss := func() float64 {
				o, _ := attention(q, a.k64, a.v64, l.spans, a.h)
				return dot(do64.v, o.v)
			}
			e.against("dq", dq.got(), wq.tol, q.v, loss)
			e.against("dk", dk.got(), wk.tol, a.k64.v, loss)
			e.against("dv", dv.got(), wv.tol, a.v64.v, loss)
			a.end()
		}
	}
}

func differSwiGLU(e *env) {
	c := e.begin("SwiGLUGrad")
	gate, up, dy := c.normal(3, 13), c.normal(3, 13), c.normal(3, 13)
	dgate, dup := c.out(3, 13), c.out(3, 13)
	c.run(func() {
		e.dev.SwiGLUGrad(dgate.Tensor, dup.Tensor, dy.Tensor, gate.Tensor, up.Tensor)
	})
	g, u, d := gate.wide().v, up.wide().v, dy.wide().v
	ag, au := swigluGrad(d, g, u)
	loss := func() float64 { return dot(d, swiglu(g, u).v) }
	e.against("dgate", dgate.got(), ag.tol, g, loss)
	e.against("dup", dup.got(), au.tol, u, loss)
	c.end()
}

// differRoPE: the inverse rotation is the gradient of the rotation.
func differRoPE(e *env) {
	const rows, heads, dim = 3, 2, 8
	c := e.begin("RoPE inverse")
	table, pos := c.in(31, dim, turns(31, dim)), c.inInts([]int32{0, 7, 30})
	x, dy := normal(e.rng, rows*heads*dim), c.acc(rows, heads*dim)
	c.run(func() { e.dev.RoPE(dy.Tensor, table.Tensor, pos.Ints, dim, true) })
	x64 := matrix{rows, heads * dim, wide(x)}
	t64, host := table.wide(), []int32{0, 7, 30}
	bound := rope(dy.wide(), t64, host, dim, true).tol
	e.against("dx", dy.got(), bound, x64.v, func() float64 {
		return dot(dy.wide().v, rope(x64, t64, host, dim, false).v)
	})
	c.end()
}

// differProducts: MatMulT and Gemm TN are the gradients of MatMul, ColDot that of ScaleCols.
func differProducts(e *env) {
	const m, out, in = 3, 7, 32
	for _, t := range dtypes {
		c := e.begin("MatMulT %v", t)
		w, w64 := c.weight(t, out, in, normal(e.rng, out*in))
		x, dy := c.normal(m, in), c.normal(m, out)
		dx, dw := c.out(m, in), c.out(out, in)
		c.run(func() {
			e.dev.MatMulT(dx.Tensor, dy.Tensor, w, false)
			e.dev.Gemm(compute.TN, dw.Tensor, dy.Tensor, x.Tensor, false)
		})
		x64, dy64 := x.wide(), dy.wide()
		loss := func() float64 { return dot(dy64.v, gemm(compute.NT, x64, w64, nil).v) }
		e.against("dx", dx.got(), gemm(compute.NN, dy64, w64, nil).tol, x64.v, loss)
		e.against("dw", dw.got(), gemm(compute.TN, dy64, x64, nil).tol, w64.v, loss)
		c.end()
	}
	c := e.begin("ColDot")
	x, dy, d := c.normal(5, 13), c.normal(5, 13), c.tensor(1, 13, make([]float32, 13))
	c.run(func() { e.dev.ColDot(d.Tensor, dy.Tensor, x.Tensor) })
	x64, dy64, z := x.wide(), dy.wide(), matrix{1, 13, wide(normal(e.rng, 13))}
	e.against("dz", d.got(), colDot(d.wide().v, dy64, x64).tol, z.v, func() float64 {
		return dot(dy64.v, scaleCols(x64, z, nil).v)
	})
	c.end()
}

// differRows: ScatterAddRows is the gradient of GatherRows.
func differRows(e *env) {
	host := []int32{4, 0, 4, -1, 2, 5}
	c := e.begin("ScatterAddRows")
	table, dy := matrix{5, 7, wide(normal(e.rng, 35))}, c.normal(len(host), 7)
	d, ids := c.tensor(5, 7, make([]float32, 35)), c.inInts(host)
	c.run(func() { e.dev.ScatterAddRows(d.Tensor, dy.Tensor, ids.Ints) })
	bound := make([]float64, 35)
	for i := range bound {
		bound[i] = 4 * unit
	}
	e.against("dtable", d.got(), bound, table.v, func() float64 {
		return dot(dy.wide().v, gatherRows(table, host))
	})
	c.end()
}

func differLosses(e *env) {
	const rows, cols = 4, 13
	c := e.begin("losses")
	host := []int32{3, 12, -1, 0}
	x, ref, w := c.normal(rows, cols), c.normal(rows, cols), c.normal(rows, 1)
	targets, d := c.inInts(host), c.out(rows, cols)
	zeros := make([]float32, rows*cols)
	dk, df := c.tensor(rows, cols, zeros), c.tensor(rows, cols, zeros)
	c.run(func() {
		e.dev.LogProbsGrad(d.Tensor, x.Tensor, targets.Ints, w.Tensor)
		e.dev.KLGrad(dk.Tensor, x.Tensor, ref.Tensor, w.Tensor)
		e.dev.KLForwardGrad(df.Tensor, x.Tensor, ref.Tensor, w.Tensor)
	})
	x64, r64, w64 := x.wide(), ref.wide(), w.wide().v
	e.against("LogProbsGrad", d.got(), logProbsGrad(x64, host, w64).tol, x64.v, func() float64 {
		return -dot(w64, logProbs(x64, host).v)
	})
	e.against("KLGrad", dk.got(), klGrad(dk.wide().v, x64, r64, w64).tol, x64.v,
		func() float64 { return dot(w64, kl(x64, r64).v) })
	e.against("KLForwardGrad", df.got(), klForwardGrad(df.wide().v, x64, r64, w64).tol, x64.v,
		func() float64 { return dot(w64, kl(r64, x64).v) })
	c.end()
}
