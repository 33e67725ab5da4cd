package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// vocabularies are [rows cols] of logits.
var vocabularies = [][2]int{{1, 1}, {1, 2}, {7, 2}, {13, 7}, {5, 31}, {97, 32}, {3, 33}, {31, 97},
	{64, 100}, {17, 257}, {4, 1000}, {2, 5003}}

// logitRows are rows of logits: normal, flat, sharp, shifted far from zero, and from 1e-30 to 1e30.
func logitRows(e *env, rows, cols int) []float32 {
	x := normal(e.rng, rows*cols)
	for t := range rows {
		row := x[t*cols : (t+1)*cols]
		switch t % 6 {
		case 1:
			scaled(row, 1e-30)
		case 2:
			scaled(row, 30)
		case 3:
			for j := range row {
				row[j] += 100
			}
		case 4:
			for j := range row {
				row[j] -= 1000
			}
		case 5:
			copy(row, spread(e.rng, cols, 1e-30, 1e30))
		}
	}
	return x
}

// someTargets are columns, some negative.
func someTargets(e *env, rows, cols int) []int32 {
	targets := below(e.rng, rows, cols)
	for t := 3; t < rows; t += 5 {
		targets[t] = -1 - int32(t)
	}
	return targets
}

func checkLogProbs(e *env) {
	for _, s := range keep(e, vocabularies) {
		c := e.begin("%v", s)
		host := someTargets(e, s[0], s[1])
		x, targets := c.in(s[0], s[1], logitRows(e, s[0], s[1])), c.inInts(host)
		lp := c.out(s[0], 1)
		c.run(func() { e.dev.LogProbs(lp.Tensor, x.Tensor, targets.Ints) })
		e.within("lp", lp.got(), logProbs(x.wide(), host))
		c.end()
	}
	checkLogProbsTotal(e)
}

// checkLogProbsTotal: over all targets the probabilities sum to one, and a shift of all logits
// changes none of them.
func checkLogProbsTotal(e *env) {
	const v = 97
	row := scaled(normal(e.rng, v), 4)
	for j := range row {
		row[j] = float32(math.Round(float64(row[j])*64) / 64) // a shift by 128 is then exact
	}
	var totals [2][]float32
	for i, shift := range []float32{0, 128} {
		c := e.begin("all %d targets, shift %g", v, shift)
		logits, targets := make([]float32, 0, v*v), make([]int32, v)
		for t := range targets {
			targets[t] = int32(t)
			for _, x := range row {
				logits = append(logits, x+shift)
			}
		}
		x, ids, lp := c.in(v, v, logits), c.inInts(targets), c.out(v, 1)
		c.run(func() { e.dev.LogProbs(lp.Tensor, x.Tensor, ids.Ints) })
		total, tol := 0.0, 0.0
		want := logSoftmax(x.wide().row(0))
		for t, l := range lp.got() {
			total += math.Exp(float64(l))
			tol += want.p[t] * want.lpTol[t]
		}
		if !(math.Abs(total-1) <= tol) {
			e.errorf("probabilities sum to %v, want 1 ± %.2g", total, tol)
		}
		totals[i] = lp.got()
		if i == 1 {
			e.within("shifted", totals[1], answer{wide(totals[0]), want.lpTol})
		}
		c.end()
	}
}

func checkLogProbsGrad(e *env) {
	for i, s := range keep(e, vocabularies) {
		c := e.begin("%v", s)
		host := someTargets(e, s[0], s[1])
		x, targets := c.in(s[0], s[1], logitRows(e, s[0], s[1])), c.inInts(host)
		w, d := c.normal(s[0], 1), c.out(s[0], s[1])
		want := logProbsGrad(x.wide(), host, w.wide().v)
		if i%2 == 0 { // d may be logits
			d, x.input = x, false
		}
		c.run(func() { e.dev.LogProbsGrad(d.Tensor, x.Tensor, targets.Ints, w.Tensor) })
		e.within("d", d.got(), want)
		c.end()
	}
}

// policies makes a pair of logits, equal in every fourth row, near in most.
func policies(e *env, c *trial, rows, cols int) (logits, ref *tensor) {
	a := logitRows(e, rows, cols)
	b := logitRows(e, rows, cols)
	for t := range rows {
		lo, hi := t*cols, (t+1)*cols
		switch t % 4 {
		case 0:
			copy(b[lo:hi], a[lo:hi])
		case 1, 2:
			for j := lo; j < hi; j++ {
				b[j] = a[j] + 0.1*float32(e.rng.NormFloat64())
			}
		}
	}
	return c.in(rows, cols, a), c.in(rows, cols, b)
}

func checkKL(e *env) {
	for _, s := range keep(e, vocabularies) {
		c := e.begin("%v", s)
		x, ref := policies(e, c, s[0], s[1])
		y := c.out(s[0], 1)
		c.run(func() { e.dev.KL(y.Tensor, x.Tensor, ref.Tensor) })
		want := kl(x.wide(), ref.wide())
		e.within("kl", y.got(), want)
		for t, v := range y.got() {
			if !(float64(v) >= -want.tol[t]) {
				e.errorf("row %d: %v is below 0 by more than %.2g", t, v, want.tol[t])
			}
			if t%4 == 0 && v != 0 {
				e.errorf("row %d: equal logits give %v, want 0", t, v)
			}
		}
		c.end()
	}
}

// klGradOp is KLGrad and KLForwardGrad, which take the same tensors.
type klGradOp func(d, logits, ref, w compute.Tensor)

func checkKLGradOf(e *env, op klGradOp,
	oracle func(d []float64, logits, ref matrix, w []float64) answer) {
	for _, s := range keep(e, vocabularies) {
		c := e.begin("%v", s)
		x, ref := policies(e, c, s[0], s[1])
		d, w := c.acc(s[0], s[1]), c.normal(s[0], 1)
		c.run(func() { op(d.Tensor, x.Tensor, ref.Tensor, w.Tensor) })
		e.within("d", d.got(), oracle(d.wide().v, x.wide(), ref.wide(), w.wide().v))
		c.end()
	}
}

func checkKLGrad(e *env)        { checkKLGradOf(e, e.dev.KLGrad, klGrad) }
func checkKLForwardGrad(e *env) { checkKLGradOf(e, e.dev.KLForwardGrad, klForwardGrad) }

func checkSumSquares(e *env) {
	for i, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		v := scaled(normal(e.rng, s[0]*s[1]), []float32{1, 1e-15, 1e15}[i%3])
		x, sum := c.in(s[0], s[1], v), c.acc(1, 1)
		c.run(func() { e.dev.SumSquares(sum.Tensor, x.Tensor) })
		e.within("sum", sum.got(), sumSquares(sum.wide().v[0], x.wide().v))
		c.end()
	}
}
