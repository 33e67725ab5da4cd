package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// adamState is the float64 twin of AdamW's tensors, each with its bound.
type adamState struct{ p, m, v answer }

// step is AdamW's loop; the bounds carry over from step to step. The powers of β are the caller's
// to take in float64: in f32, 1 − 0.999^1 would be off by 6e-5.
func (s *adamState) step(g []float64, a compute.AdamWParams) {
	b1, b2, lr := float64(a.Beta1), float64(a.Beta2), float64(a.LR)
	c1 := 1 - math.Pow(b1, float64(a.Step))
	c2 := 1 - math.Pow(b2, float64(a.Step))
	for i := range g {
		grad := float64(a.GradScale) * g[i]
		m0, v0 := b1*s.m.v[i], b2*s.v.v[i]
		s.m.v[i] = m0 + (1-b1)*grad
		s.m.tol[i] = b1*s.m.tol[i] + 4*unit*(math.Abs(m0)+(1-b1)*math.Abs(grad))
		s.v.v[i] = v0 + (1-b2)*grad*grad
		s.v.tol[i] = b2*s.v.tol[i] + 6*unit*s.v.v[i] + flush

		mean, root := s.m.v[i]/c1, math.Sqrt(s.v.v[i]/c2)
		rootTol := 4*unit*root + divide*root
		if root > 0 {
			rootTol += s.v.tol[i] / c2 / root
		}
		den := root + float64(a.Eps)
		update := mean / den
		updateTol := (s.m.tol[i]/c1+6*unit*math.Abs(mean))/den +
			math.Abs(update)*(rootTol/den+2*divide)
		decay := float64(a.WeightDecay) * s.p.v[i]
		s.p.tol[i] += lr*(updateTol+float64(a.WeightDecay)*s.p.tol[i]) +
			4*unit*lr*(math.Abs(update)+math.Abs(decay))
		s.p.v[i] -= lr * (update + decay)
		s.p.tol[i] += unit * math.Abs(s.p.v[i])
	}
}

// checkAdamW takes five steps against float64, with gradients from 1e-12 to 1e6 and of zero.
func checkAdamW(e *env) {
	params := []compute.AdamWParams{
		{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0, GradScale: 1},
		{LR: 3e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.1, GradScale: 0.25},
		{LR: 0.1, Beta1: 0, Beta2: 0.5, Eps: 1e-3, WeightDecay: 0.5, GradScale: -2},
	}
	for i, s := range keep(e, sizes) {
		n := s[0] * s[1]
		c := e.begin("%v", s)
		// Small parameters show errors of the update that a unit of a large one would hide.
		p := c.tensor(s[0], s[1], spread(e.rng, n, 1e-6, 1))
		g, m, v := c.tensor(s[0], s[1], make([]float32, n)), c.tensor(s[0], s[1],
			make([]float32, n)), c.tensor(s[0], s[1], make([]float32, n))
		twin := &adamState{p: newAnswer(n), m: newAnswer(n), v: newAnswer(n)}
		copy(twin.p.v, p.wide().v)
		for step := 1; step <= 5; step++ {
			a := params[i%len(params)]
			a.Step = step
			grad := normal(e.rng, n)
			if step%2 == 0 {
				grad = spread(e.rng, n, 1e-12, 1e6)
			}
			grad[n/2] = 0
			copy(g.before[g.pre:], grad)
			e.dev.Write(g.Tensor, grad)
			g.input = true
			e.dev.AdamW(p.Tensor, g.Tensor, m.Tensor, v.Tensor, a)
			c.read()
			twin.step(wide(grad), a)
			e.within("m", m.got(), twin.m)
			e.within("v", v.got(), twin.v)
			e.within("p", p.got(), twin.p)
		}
		c.end()
	}
	c := e.begin("far along")
	a := params[0]
	a.Step = 100000
	p, g, m, v := c.acc(1, 33), c.normal(1, 33), c.acc(1, 33), c.tensor(1, 33, repeat(2, 33))
	twin := &adamState{p: newAnswer(33), m: newAnswer(33), v: newAnswer(33)}
	copy(twin.p.v, p.wide().v)
	copy(twin.m.v, m.wide().v)
	copy(twin.v.v, v.wide().v)
	c.run(func() { e.dev.AdamW(p.Tensor, g.Tensor, m.Tensor, v.Tensor, a) })
	twin.step(g.wide().v, a)
	e.within("p", p.got(), twin.p)
	c.end()
}
