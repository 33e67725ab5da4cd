package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

func checkAdd(e *env) {
	for _, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		y, x := c.acc(s[0], s[1]), c.normal(s[0], s[1])
		c.run(func() { e.dev.Add(y.Tensor, x.Tensor) })
		e.within("y", y.got(), add(y.wide().v, x.wide().v))
		c.end()
	}
}

// magnitudes of the rows of a norm. The squares of 1e17 still sum to an f32; below, eps rules.
var magnitudes = []float32{1, 1e-30, 1e-12, 1e-3, 1e4, 1e12, 1e17}

// rowsOf makes x [rows cols] whose rows have magnitudes by turns, up to limit.
func rowsOf(e *env, rows, cols int, limit float32) []float32 {
	x := normal(e.rng, rows*cols)
	for t := range rows {
		scaled(x[t*cols:(t+1)*cols], min(magnitudes[t%len(magnitudes)], limit))
	}
	return x
}

func checkRMSNorm(e *env) {
	for i, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		eps := []float32{1e-5, 1e-6, 0.5}[i%3]
		x, g := c.in(s[0], s[1], rowsOf(e, s[0], s[1], 1e17)), c.normal(1, s[1])
		y := c.out(s[0], s[1])
		c.run(func() { e.dev.RMSNorm(y.Tensor, x.Tensor, g.Tensor, eps) })
		e.within("y", y.got(), rmsNorm(x.wide(), g.wide().v, float64(eps)))
		c.end()
	}
	c := e.begin("one row of 1e-30 to 1e17, one of zeros")
	v := append(spread(e.rng, 97, 1e-30, 1e17), make([]float32, 97)...)
	x, g, y := c.in(2, 97, v), c.normal(1, 97), c.out(2, 97)
	c.run(func() { e.dev.RMSNorm(y.Tensor, x.Tensor, g.Tensor, 1e-5) })
	e.within("y", y.got(), rmsNorm(x.wide(), g.wide().v, float64(float32(1e-5))))
	c.end()
}

func checkRMSNormGrad(e *env) {
	for i, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		eps := []float32{1e-5, 1e-6, 0.5}[i%3]
		limit := []float32{1, 1e12}[i%2] // r³ of 1e12 is still an f32
		x, g := c.in(s[0], s[1], rowsOf(e, s[0], s[1], limit)), c.normal(1, s[1])
		dy, dx := c.normal(s[0], s[1]), c.acc(s[0], s[1])
		var dg *tensor
		var dgArg compute.Tensor
		var dg64 []float64
		if i%4 != 3 {
			dg = c.acc(1, s[1])
			dgArg, dg64 = dg.Tensor, dg.wide().v
		}
		c.run(func() {
			e.dev.RMSNormGrad(dx.Tensor, dgArg, dy.Tensor, x.Tensor, g.Tensor, eps)
		})
		ax, ag := rmsNormGrad(dx.wide().v, dg64, dy.wide(), x.wide(), g.wide().v, float64(eps))
		e.within("dx", dx.got(), ax)
		if dg != nil {
			e.within("dg", dg.got(), ag)
		}
		c.end()
	}
}

// turns is a table cosSin [positions dim] with base 10000.
func turns(positions, dim int) []float32 {
	x := make([]float32, positions*dim)
	for p := range positions {
		for i := range dim / 2 {
			angle := float64(p) * math.Pow(10000, -2*float64(i)/float64(dim))
			x[p*dim+i] = float32(math.Cos(angle))
			x[p*dim+dim/2+i] = float32(math.Sin(angle))
		}
	}
	return x
}

// normTol: a rotation of f32 numbers by f32 cosines keeps the squared length of a head to the
// roundings of cos²+sin² (2·unit) and of the products (4·unit).
const normTol = 8 * unit

func checkRoPE(e *env) {
	for i, dim := range []int{2, 8, 16, 32, 48, 64} {
		for _, s := range keep(e, [][2]int{{1, 1}, {7, 3}, {33, 2}, {130, 5}}) {
			rows, heads := s[0], s[1]
			inverse := i%2 == 1
			c := e.begin("%d rows, %d heads of %d, inverse %v", rows, heads, dim, inverse)
			table := c.in(97, dim, turns(97, dim))
			pos := c.inInts(below(e.rng, rows, 97))
			x := c.acc(rows, heads*dim)
			c.run(func() { e.dev.RoPE(x.Tensor, table.Tensor, pos.Ints, dim, inverse) })
			host := pos.before[pos.pre : pos.pre+rows]
			e.within("x", x.got(), rope(x.wide(), table.wide(), host, dim, inverse))
			before, after := x.wide().v, wide(x.got())
			for h := 0; h < len(before); h += dim {
				a, b := squares(before[h:h+dim]), squares(after[h:h+dim])
				if !(math.Abs(a-b) <= a*normTol) {
					e.errorf("head %d: squared length was %v, now %v", h/dim, a, b)
					break
				}
			}
			c.end()
			checkRoPEInverse(e, rows, heads, dim)
		}
	}
}

// checkRoPEInverse: there and back is the identity, position 0 to the bit.
func checkRoPEInverse(e *env, rows, heads, dim int) {
	c := e.begin("there and back: %d rows, %d heads of %d", rows, heads, dim)
	table := c.in(97, dim, turns(97, dim))
	host := below(e.rng, rows, 97)
	host[0] = 0
	pos, x := c.inInts(host), c.acc(rows, heads*dim)
	c.run(func() {
		e.dev.RoPE(x.Tensor, table.Tensor, pos.Ints, dim, false)
		e.dev.RoPE(x.Tensor, table.Tensor, pos.Ints, dim, true)
	})
	want := answer{x.wide().v, make([]float64, x.Len())}
	for t := heads * dim; t < x.Len(); t++ { // each number mixes with its partner in the pair
		i := t % dim
		partner := t - i + (i+dim/2)%dim
		want.tol[t] = normTol * (math.Abs(want.v[t]) + math.Abs(want.v[partner]))
	}
	e.within("x", x.got(), want)
	c.end()
}

func squares(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return s
}

// gates are standard normal numbers with the ends of silu among them.
func gates(e *env, n int) []float32 {
	x := scaled(normal(e.rng, n), 3)
	ends := []float32{0, -88, 88, -104, 104, -1e4, 1e4, -20, 20, -1e-20, 1e-20}
	for i, v := range ends {
		if at := 3*i + 1; at < n {
			x[at] = v
		}
	}
	return x
}

func checkSwiGLU(e *env) {
	for i, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		gate, up := c.in(s[0], s[1], gates(e, s[0]*s[1])), c.normal(s[0], s[1])
		want := swiglu(gate.wide().v, up.wide().v)
		var y *tensor
		switch i % 3 { // y may be gate or up
		case 0:
			y = c.out(s[0], s[1])
		case 1:
			y, gate.input = gate, false
		case 2:
			y, up.input = up, false
		}
		c.run(func() { e.dev.SwiGLU(y.Tensor, gate.Tensor, up.Tensor) })
		e.within("y", y.got(), want)
		c.end()
	}
}

func checkSwiGLUGrad(e *env) {
	for i, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		gate, up := c.in(s[0], s[1], gates(e, s[0]*s[1])), c.normal(s[0], s[1])
		dy := c.normal(s[0], s[1])
		wantGate, wantUp := swigluGrad(dy.wide().v, gate.wide().v, up.wide().v)
		dgate, dup := gate, up // dgate may be gate, and dup may be up
		gate.input, up.input = false, false
		if i%4 < 2 {
			dgate, gate.input = c.out(s[0], s[1]), true
		}
		if i%2 == 0 {
			dup, up.input = c.out(s[0], s[1]), true
		}
		c.run(func() {
			e.dev.SwiGLUGrad(dgate.Tensor, dup.Tensor, dy.Tensor, gate.Tensor, up.Tensor)
		})
		e.within("dgate", dgate.got(), wantGate)
		e.within("dup", dup.got(), wantUp)
		c.end()
	}
}
