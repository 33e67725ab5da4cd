package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

var dtypes = []compute.DType{compute.F32, compute.F16, compute.BF16, compute.Q8, compute.Q4}

// inputsOf rounds k up to whole blocks where t needs them.
func inputsOf(t compute.DType, k int) int {
	if t.Blocked() {
		return inBlocks(k, compute.BlockQ8)
	}
	return k
}

func checkMatMul(e *env) {
	for _, t := range dtypes {
		for _, s := range keep(e, products) {
			m, out, in := s[0], s[1], inputsOf(t, s[2])
			c := e.begin("%v x [%d %d], w [%d %d]", t, m, in, out, in)
			w, w64 := c.weight(t, out, in, normal(e.rng, out*in))
			x, y := c.normal(m, in), c.out(m, out)
			c.run(func() { e.dev.MatMul(y.Tensor, x.Tensor, w) })
			want := gemm(compute.NT, x.wide(), w64, nil)
			if t == compute.Q8 && e.opt.Int8Inputs {
				roundInputs(want, x.wide(), w64)
			}
			e.within("y", y.got(), want)
			c.end()
		}
	}
}

// int8Deviations bounds a sum of independent roundings by its standard deviation: past six of them
// lie 2e-9 of all sums.
const int8Deviations = 6

// roundInputs widens the bounds of y = x wᵀ for inputs in int8: a number of a block with the scale
// s is off by up to s/2, evenly, which is a variance of s²/12.
func roundInputs(y answer, x, w matrix) {
	for t := range x.rows {
		scale := make([]float64, x.cols)
		for b := 0; b < x.cols; b += compute.BlockQ8 {
			top := 0.0
			for _, v := range x.row(t)[b : b+compute.BlockQ8] {
				top = max(top, math.Abs(v))
			}
			for k := range compute.BlockQ8 {
				scale[b+k] = top / 127
			}
		}
		for n := range w.rows {
			variance := 0.0
			for k, v := range w.row(n) {
				variance += v * v * scale[k] * scale[k] / 12
			}
			y.tol[t*w.rows+n] += int8Deviations * math.Sqrt(variance)
		}
	}
}

func checkMatMulT(e *env) {
	for _, t := range dtypes {
		for i, s := range keep(e, products) {
			m, out, in := s[0], s[1], inputsOf(t, s[2])
			acc := i%2 == 1
			c := e.begin("%v dy [%d %d], w [%d %d], acc %v", t, m, out, out, in, acc)
			w, w64 := c.weight(t, out, in, normal(e.rng, out*in))
			dy := c.normal(m, out)
			dx := c.out(m, in)
			var before []float64
			if acc {
				dx = c.acc(m, in)
				before = dx.wide().v
			}
			c.run(func() { e.dev.MatMulT(dx.Tensor, dy.Tensor, w, acc) })
			e.within("dx", dx.got(), gemm(compute.NN, dy.wide(), w64, before))
			c.end()
		}
	}
}

// checkMatMulRows: a row of y is a function of its row of x alone, to the bit, and a packed zero
// times anything is nothing.
func checkMatMulRows(e *env) {
	for _, t := range dtypes {
		for _, m := range []int{2, 3, 5, 8, 17, 64} {
			out, in := 33, 96
			c := e.begin("%v rows of x [%d %d]", t, m, in)
			w, _ := c.weight(t, out, in, normal(e.rng, out*in))
			a, b := normal(e.rng, m*in), normal(e.rng, m*in)
			row := m / 2
			copy(b[row*in:(row+1)*in], a[row*in:(row+1)*in])
			if m > 2 {
				copy(b, repeat(nan32, in))
			}
			xa, xb := c.in(m, in, a), c.in(m, in, b)
			ya, yb := c.out(m, out), c.out(m, out)
			c.run(func() {
				e.dev.MatMul(ya.Tensor, xa.Tensor, w)
				e.dev.MatMul(yb.Tensor, xb.Tensor, w)
			})
			at := row * out
			e.same("row", yb.got()[at:at+out], ya.got()[at:at+out])
			c.end()
		}
	}
}

func checkGemm(e *env) {
	for _, o := range []compute.Orientation{compute.NT, compute.NN, compute.TN} {
		for i, s := range keep(e, products) {
			m, n, k := s[0], s[1], s[2]
			shapes := map[compute.Orientation][4]int{
				compute.NT: {m, k, n, k}, compute.NN: {m, k, k, n}, compute.TN: {k, m, k, n}}[o]
			acc := i%2 == 0
			c := e.begin("%v m %d n %d k %d, acc %v", o, m, n, k, acc)
			a, b := c.normal(shapes[0], shapes[1]), c.normal(shapes[2], shapes[3])
			y := c.out(m, n)
			var before []float64
			if acc {
				y = c.acc(m, n)
				before = y.wide().v
			}
			c.run(func() { e.dev.Gemm(o, y.Tensor, a.Tensor, b.Tensor, acc) })
			e.within("c", y.got(), gemm(o, a.wide(), b.wide(), before))
			c.end()
		}
	}
}

func checkScaleCols(e *env) {
	for i, s := range keep(e, sizes) {
		rows, cols := s[0], s[1]
		for _, experts := range []int{0, 1, 3} {
			c := e.begin("%v with %d experts", s, experts)
			z := c.normal(max(experts, 1), cols)
			var which compute.Ints
			var host []int32
			if experts > 0 {
				host = below(e.rng, rows, experts)
				which = c.inInts(host).Ints
			}
			x, y := c.normal(rows, cols), c.out(rows, cols)
			want := scaleCols(x.wide(), z.wide(), host)
			if (i+experts)%2 == 0 { // y may be x
				x.input = false
				y = x
			}
			c.run(func() { e.dev.ScaleCols(y.Tensor, x.Tensor, z.Tensor, which) })
			e.within("y", y.got(), want)
			c.end()
		}
	}
}

func checkColDot(e *env) {
	for _, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		d, a, b := c.acc(1, s[1]), c.normal(s[0], s[1]), c.normal(s[0], s[1])
		c.run(func() { e.dev.ColDot(d.Tensor, a.Tensor, b.Tensor) })
		e.within("d", d.got(), colDot(d.wide().v, a.wide(), b.wide()))
		c.end()
	}
}
