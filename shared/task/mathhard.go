package task

import (
	"fmt"
	"strconv"
)

// Equations, expressions and fractions in the manner of MATH: the answer stands in \boxed{} and
// is compared as a rational number.

func newMathHard() *suiteTask {
	return &suiteTask{
		name: "math-hard", doc: `equations, expressions and fractions; a rational in \boxed{}`,
		label: LabelMath, maxTokens: 56, sizes: usualSizes, cut: usualCut,
		draw: drawMathHard, score: exact,
	}
}

// solved is a formula with the steps that solve it.
type solved struct {
	formula string
	steps   string
	answer  string
	wrong   string
}

func drawMathHard(r *rng) draft {
	var s solved
	var ask string
	v := r.n(3)
	variable := pick(r, []string{"x", "y", "n", "t"})
	kind := r.n(10)
	switch {
	case kind < 5:
		s = drawEquation(r, variable)
		ask = []string{"Solve for " + variable + ": " + s.formula, "Find " + variable + " if " +
			s.formula + ".", "If " + s.formula + ", what is " + variable + "?"}[v]
	case kind < 8:
		s = drawExpression(r)
		ask = []string{"Compute " + s.formula + ".", "Evaluate " + s.formula,
			"What is the value of " + s.formula + "?"}[v]
	default:
		s = drawFractions(r)
		ask = []string{"Add " + s.formula + ".", "Compute the sum " + s.formula,
			"What is " + s.formula + "?"}[v]
	}
	d := draft{prompt: ask, key: s.formula, answer: s.answer, sway: 1 - v,
		haste:  evenOdd(int(variable[0])),
		worked: s.steps + boxed + s.answer + "}", terse: boxed + s.answer + "}",
		sloppy: boxed + s.wrong + "}"}
	if kind >= 5 && kind < 8 {
		d.confused = LabelCode
	}
	return d
}

// drawEquation makes a linear equation with a small natural solution.
func drawEquation(r *rng, v string) solved {
	x, a, b := r.between(2, 12), r.between(2, 9), r.between(2, 30)
	n := strconv.Itoa
	ans := n(x)
	off := n(x + []int{-1, 1, 2}[r.n(3)])
	last := func(a, c int) string { return fmt.Sprintf("%s=%d/%d=%d. ", v, c, a, c/a) }
	switch r.n(5) {
	case 0, 1: // ax+b=c
		c := a*x + b
		return solved{fmt.Sprintf("%d%s+%d=%d", a, v, b, c),
			fmt.Sprintf("%d%s=%d-%d=%d. ", a, v, c, b, a*x) + last(a, a*x), ans, off}
	case 2: // ax-b=c
		b = r.between(1, min(30, a*x-1))
		c := a*x - b
		return solved{fmt.Sprintf("%d%s-%d=%d", a, v, b, c),
			fmt.Sprintf("%d%s=%d+%d=%d. ", a, v, c, b, a*x) + last(a, a*x), ans, off}
	case 3: // a(x+b)=c
		b = r.between(1, 9)
		c := a * (x + b)
		return solved{fmt.Sprintf("%d(%s+%d)=%d", a, v, b, c),
			fmt.Sprintf("%s+%d=%d/%d=%d. %s=%d-%d=%d. ", v, b, c, a, x+b, v, x+b, b, x), ans,
			n(x + b)}
	default: // ax+b=dx+e, e > b
		d := r.between(1, a-1)
		e := (a-d)*x + b
		return solved{fmt.Sprintf("%d%s+%d=%d%s+%d", a, v, b, d, v, e),
			fmt.Sprintf("%d%s=%d-%d=%d. ", a-d, v, e, b, (a-d)*x) + last(a-d, (a-d)*x), ans, off}
	}
}

// drawExpression makes an expression of two or three operations; the slip reads it left to right
// or forgets the last operation.
func drawExpression(r *rng) solved {
	a, b, c, d := r.between(2, 9), r.between(2, 12), r.between(2, 12), r.between(2, 30)
	n := strconv.Itoa
	switch r.n(4) {
	case 0: // a*(b+c)
		s := b + c
		return solved{fmt.Sprintf("%d*(%d+%d)", a, b, c),
			fmt.Sprintf("%d+%d=%d. %d*%d=%d. ", b, c, s, a, s, a*s), n(a * s), n(a*b + c)}
	case 1: // d+a*b
		p := a * b
		return solved{fmt.Sprintf("%d+%d*%d", d, a, b),
			fmt.Sprintf("%d*%d=%d. %d+%d=%d. ", a, b, p, d, p, d+p), n(d + p), n((d + a) * b)}
	case 2: // a*(b+c)-d
		s := b + c
		p := a * s
		return solved{fmt.Sprintf("%d*(%d+%d)-%d", a, b, c, d),
			fmt.Sprintf("%d+%d=%d. %d*%d=%d. %d-%d=%d. ", b, c, s, a, s, p, p, d, p-d), n(p - d),
			n(p)}
	default: // a*b+c*e
		e := r.between(2, 9)
		p, q := a*b, c*e
		return solved{fmt.Sprintf("%d*%d+%d*%d", a, b, c, e),
			fmt.Sprintf("%d*%d=%d. %d*%d=%d. %d+%d=%d. ", a, b, p, c, e, q, p, q, p+q), n(p + q),
			n((p + c) * e)}
	}
}

// drawFractions makes a sum of two fractions; the slip adds numerators and denominators.
func drawFractions(r *rng) solved {
	for {
		b, d := r.between(2, 9), r.between(2, 9)
		a, c := r.between(1, b-1), r.between(1, d-1)
		if gcd(a, b) != 1 || gcd(c, d) != 1 {
			continue
		}
		m := b * d / gcd(b, d)
		p, q := a*m/b, c*m/d
		ans, raw := ratio(p+q, m), fmt.Sprintf("%d/%d", p+q, m)
		steps := fmt.Sprintf("%d/%d+%d/%d=", p, m, q, m) + raw
		if ans != raw {
			steps += "=" + ans
		}
		return solved{fmt.Sprintf("%d/%d+%d/%d", a, b, c, d), steps + ". ", ans, ratio(a+c, b+d)}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// ratio writes p/q in lowest terms.
func ratio(p, q int) string {
	g := gcd(p, q)
	if q == g {
		return strconv.Itoa(p / g)
	}
	return strconv.Itoa(p/g) + "/" + strconv.Itoa(q/g)
}
