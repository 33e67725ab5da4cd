package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// checkDirectional holds the gradients of the device to its own forward pass: along a direction u,
//
//	(L(x + h·u) − L(x − h·u)) / 2h = ⟨dL/dx, u⟩,  L = Σ w∘f(x)
//
// so that the pair that training uses belongs together, whatever the oracle says.
func checkDirectional(e *env) {
	alongNorm(e)
	alongAttention(e)
	alongSwiGLU(e)
	alongLosses(e)
}

// along takes the difference: x is the tensor moved, forward leaves f(x) in y.
func (c *trial) along(what string, x, y *tensor, w []float64, grad []float32, forward func()) {
	c.r.Helper()
	u := normal(c.rng, x.Len())
	var loss [2]float64
	for i, h := range []float32{stepDevice, -stepDevice} {
		moved := append([]float32(nil), x.before[x.pre:x.pre+x.Len()]...)
		for j := range moved {
			moved[j] += h * u[j]
		}
		c.dev.Write(x.Tensor, moved)
		forward()
		got := make([]float32, y.Len())
		c.must(c.dev.Read(got, y.Tensor))
		loss[i] = dot(w, wide(got))
	}
	c.dev.Write(x.full, x.before)
	difference := (loss[0] - loss[1]) / (2 * stepDevice)
	g, u64 := wide(grad), wide(u)
	want := dot(g, u64)
	tol := directionalTol * math.Sqrt(squares(g)*squares(u64))
	if d := math.Abs(difference - want); !(d <= tol) {
		c.errorf("%s: along a direction the loss rises by %v, the gradient says %v ± %.2g", what,
			difference, want, tol)
	} else {
		c.worst = max(c.worst, d/tol)
	}
}

func alongNorm(e *env) {
	const rows, cols, eps = 7, 64, 1e-5
	c := e.begin("RMSNorm")
	x, g, dy, y := c.normal(rows, cols), c.normal(1, cols), c.normal(rows, cols), c.out(rows, cols)
	dx := c.tensor(rows, cols, make([]float32, rows*cols))
	dg := c.tensor(1, cols, make([]float32, cols))
	forward := func() { e.dev.RMSNorm(y.Tensor, x.Tensor, g.Tensor, eps) }
	e.dev.RMSNormGrad(dx.Tensor, dg.Tensor, dy.Tensor, x.Tensor, g.Tensor, eps)
	c.read()
	c.along("x", x, y, dy.wide().v, dx.got(), forward)
	c.along("g", g, y, dy.wide().v, dg.got(), forward)
	c.end()
}

func alongAttention(e *env) {
	l := packed(7, 17, 9)
	a := beginAttention(e, l, compute.Heads{Q: 4, KV: 2, Dim: 16}, 1, true)
	h := a.h
	a.forward()
	do := a.normal(a.rows, h.Q*h.Dim)
	dq := a.out(a.rows, h.Q*h.Dim)
	dk, dv := a.out(l.keys, h.KV*h.Dim), a.out(l.keys, h.KV*h.Dim)
	e.dev.AttentionGrad(dq.Tensor, dk.Tensor, dv.Tensor, do.Tensor, a.o.Tensor, a.lse.Tensor,
		a.q.Tensor, a.k.Tensor, a.v.Tensor, a.spans.Ints, h)
	a.read()
	w := do.wide().v
	a.along("q", a.q, a.o, w, dq.got(), a.forward)
	a.along("k", a.k, a.o, w, dk.got(), a.forward)
	a.along("v", a.v, a.o, w, dv.got(), a.forward)
	a.end()
}

func alongSwiGLU(e *env) {
	c := e.begin("SwiGLU")
	gate, up, dy := c.normal(7, 33), c.normal(7, 33), c.normal(7, 33)
	y, dgate, dup := c.out(7, 33), c.out(7, 33), c.out(7, 33)
	forward := func() { e.dev.SwiGLU(y.Tensor, gate.Tensor, up.Tensor) }
	e.dev.SwiGLUGrad(dgate.Tensor, dup.Tensor, dy.Tensor, gate.Tensor, up.Tensor)
	c.read()
	c.along("gate", gate, y, dy.wide().v, dgate.got(), forward)
	c.along("up", up, y, dy.wide().v, dup.got(), forward)
	c.end()
}

func alongLosses(e *env) {
	const rows, cols = 5, 97
	c := e.begin("losses")
	x, ref, w := c.normal(rows, cols), c.normal(rows, cols), c.normal(rows, 1)
	targets, d, y := c.inInts(someTargets(e, rows, cols)), c.out(rows, cols), c.out(rows, 1)
	dk := c.tensor(rows, cols, make([]float32, rows*cols))
	df := c.tensor(rows, cols, make([]float32, rows*cols))
	e.dev.LogProbsGrad(d.Tensor, x.Tensor, targets.Ints, w.Tensor)
	e.dev.KLGrad(dk.Tensor, x.Tensor, ref.Tensor, w.Tensor)
	e.dev.KLForwardGrad(df.Tensor, x.Tensor, ref.Tensor, w.Tensor)
	c.read()
	plus := w.wide().v
	minus := w.wide().v
	for i := range minus {
		minus[i] = -minus[i]
	}
	c.along("LogProbs", x, y, minus, d.got(), func() {
		e.dev.LogProbs(y.Tensor, x.Tensor, targets.Ints)
	})
	c.along("KL", x, y, plus, dk.got(), func() { e.dev.KL(y.Tensor, x.Tensor, ref.Tensor) })
	c.along("KL forward", x, y, plus, df.got(), func() {
		e.dev.KL(y.Tensor, ref.Tensor, x.Tensor)
	})
	c.end()
}
