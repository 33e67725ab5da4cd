package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func loop(lines ...string) []string {
	doc := []string{""}
	for _, l := range lines {
		doc = append(doc, "\t"+l)
	}
	return doc
}

// emitVector writes the one-dimensional loops.
func emitVector(g *gen) {
	reductions(g)
	index(g)
	elementwise(g)
}

// reduction emits s = fold over chunks of 16 with four accumulators.
func reduction(g *gen, name, signature string, doc []string, inputs []string,
	init func(e *isa, acc []vec), fold func(e *isa) func(...Op),
	body func(e *isa, in []reg.Register, disp int, p *predicate, acc vec)) {
	both(g, name, signature, doc, func(e *isa) {
		acc := e.vecs(4)
		init(e, acc)
		in := make([]reg.Register, len(inputs))
		for i, s := range inputs {
			in[i] = e.arg(s)
		}
		n := e.arg("n")
		e.sweep(n, in, len(acc), func(slot, disp int, p *predicate) {
			body(e, in, disp, p, acc[slot])
		})
		e.result(e.fold(fold(e), acc))
	})
}

func reductions(g *gen) {
	zeros := func(e *isa, acc []vec) {
		for _, a := range acc {
			e.zero(a)
		}
	}
	sum := func(e *isa) func(...Op) { return e.VADDPS }
	reduction(g, "Dot", "func(x, y *float32, n int) (s float32)",
		loop("for i := range n { s += x[i] * y[i] }"), []string{"x", "y"}, zeros, sum,
		func(e *isa, in []reg.Register, disp int, p *predicate, acc vec) {
			x, y := e.vec(), e.vec()
			e.load(at(in[0], disp), p, x)
			if p == nil {
				e.fma(at(in[1], disp), x, acc)
				return
			}
			e.load(at(in[1], disp), p, y)
			e.fma(y, x, acc)
		})
	reduction(g, "Dot3", "func(x, y, w *float32, n int) (s float32)",
		loop("for i := range n { s += x[i] * y[i] * w[i] }"), []string{"x", "y", "w"}, zeros, sum,
		func(e *isa, in []reg.Register, disp int, p *predicate, acc vec) {
			x, y := e.vec(), e.vec()
			e.load(at(in[0], disp), p, x)
			e.load(at(in[1], disp), p, y)
			e.mul(y, x, x)
			e.load(at(in[2], disp), p, y)
			e.fma(y, x, acc)
		})
	reduction(g, "SumSq", "func(x *float32, n int) (s float32)",
		loop("for i := range n { s += x[i] * x[i] }"), []string{"x"}, zeros, sum,
		func(e *isa, in []reg.Register, disp int, p *predicate, acc vec) {
			x := e.vec()
			e.load(at(in[0], disp), p, x)
			e.fma(x, x, acc)
		})
	reduction(g, "Sum", "func(x *float32, n int) (s float32)",
		loop("for i := range n { s += x[i] }"), []string{"x"}, zeros, sum,
		func(e *isa, in []reg.Register, disp int, p *predicate, acc vec) {
			x := e.vec()
			e.load(at(in[0], disp), p, x)
			e.add(x, acc, acc)
		})
	maximum(g)
}

const minusInf = 0xff800000

// maximum: NaN never wins, as in VMAXPS(acc, x), which gives acc where x is NaN.
func maximum(g *gen) {
	init := func(e *isa, acc []vec) {
		t := e.GP32()
		e.MOVL(U32(minusInf), t)
		for _, a := range acc {
			e.VMOVD(t, a[0].AsX())
			e.VBROADCASTSS(a[0].AsX(), a[0])
			for _, r := range a[1:] {
				e.VMOVAPS(a[0], r)
			}
		}
	}
	fold := func(e *isa) func(...Op) { return e.VMAXPS }
	reduction(g, "Max", "func(x *float32, n int) (s float32)",
		append(loop("s = -Inf; for i := range n { if x[i] > s { s = x[i] } }"),
			"", "NaN never wins."),
		[]string{"x"}, init, fold,
		func(e *isa, in []reg.Register, disp int, p *predicate, acc vec) {
			x := e.vec()
			switch {
			case p == nil:
				e.load(at(in[0], disp), nil, x)
				e.maxR(acc, x, acc)
			case e.z:
				e.load(at(in[0], disp), p, x)
				e.VMAXPS(acc[0], x[0], p.k, acc[0])
			default: // lanes that are not there must not count as 0: compare, then blend
				e.load(at(in[0], disp), p, x)
				e.maxR(acc, x, x)
				for i := range x {
					e.VBLENDVPS(p.v[i], x[i], acc[i], acc[i])
				}
			}
		})
}

// index finds a value; with Max before it, it is the arg max.
func index(g *gen) {
	both(g, "Index", "func(x *float32, n int, v float32) (i int)",
		loop("for i < n && x[i] != v { i++ }"), func(e *isa) {
			x, n, v := e.arg("x"), e.arg("n"), e.splatArg("v")
			i, found := e.GP64(), e.GP64()
			e.XORQ(i, i)
			e.Label("next")
			e.CMPQ(i, n)
			e.JGE(to("none"))
			left, most := e.GP64(), e.GP64()
			e.MOVQ(n, left)
			e.SUBQ(i, left)
			e.MOVQ(U32(16), most)
			e.CMPQ(left, most)
			e.CMOVQGT(most, left)
			p := e.firstLanes(left)
			xv := e.vec()
			e.load(at2(x, i, 4, 0), p, xv)
			e.equalLanes(xv, v, p, found)
			e.TESTQ(found, found)
			e.JNE(to("found"))
			e.ADDQ(Imm(16), i)
			e.JMP(to("next"))
			e.Label("none")
			e.MOVQ(n, i)
			e.JMP(to("end"))
			e.Label("found")
			e.BSFQ(found, found)
			e.ADDQ(found, i)
			e.Label("end")
			e.Store(i, e.ReturnIndex(0))
		})
}

// equalLanes sets bit j of bits where lane j, under the predicate, has a = b.
func (e *isa) equalLanes(a, b vec, p *predicate, bits reg.GPVirtual) {
	const equal = 0
	if e.z {
		k := e.K()
		e.VCMPPS(Imm(equal), a[0], b[0], p.k, k)
		e.KMOVW(k, bits.As32())
		return
	}
	hi := e.GP64()
	for i, to := range []reg.GPVirtual{bits, hi} {
		e.VCMPPS(Imm(equal), a[i], b[i], a[i])
		e.VANDPS(p.v[i], a[i], a[i])
		e.VMOVMSKPS(a[i], to.As32())
	}
	e.SHLL(Imm(8), hi.As32())
	e.ORL(hi.As32(), bits.As32())
}

// elementwise emits loops without a sum. Every input of a vector is read before it is written,
// so outputs may be inputs.
func elementwise(g *gen) {
	both(g, "Axpy", "func(a float32, x, y *float32, n int)",
		loop("for i := range n { y[i] += a * x[i] }"), func(e *isa) {
			a, x, y, n := e.splatArg("a"), e.arg("x"), e.arg("y"), e.arg("n")
			e.sweep(n, []reg.Register{x, y}, 4, func(slot, disp int, p *predicate) {
				xv, yv := e.vec(), e.vec()
				e.load(at(x, disp), p, xv)
				e.load(at(y, disp), p, yv)
				e.fma(a, xv, yv)
				e.store(yv, at(y, disp), p)
			})
		})
	both(g, "Scale", "func(y *float32, a float32, x *float32, n int)",
		append(loop("for i := range n { y[i] = a * x[i] }"), "", "y may be x."), func(e *isa) {
			a, x, y, n := e.splatArg("a"), e.arg("x"), e.arg("y"), e.arg("n")
			e.sweep(n, []reg.Register{x, y}, 4, func(slot, disp int, p *predicate) {
				v := e.vec()
				e.load(at(x, disp), p, v)
				e.mul(a, v, v)
				e.store(v, at(y, disp), p)
			})
		})
	both(g, "Add", "func(y, x *float32, n int)",
		loop("for i := range n { y[i] += x[i] }"), func(e *isa) {
			x, y, n := e.arg("x"), e.arg("y"), e.arg("n")
			e.sweep(n, []reg.Register{x, y}, 4, func(slot, disp int, p *predicate) {
				xv, yv := e.vec(), e.vec()
				e.load(at(x, disp), p, xv)
				e.load(at(y, disp), p, yv)
				e.add(xv, yv, yv)
				e.store(yv, at(y, disp), p)
			})
		})
	both(g, "MulAdd", "func(d *float32, s float32, x, y *float32, n int)",
		loop("for i := range n { d[i] += s * x[i] * y[i] }"), func(e *isa) {
			s, d, x, y, n := e.splatArg("s"), e.arg("d"), e.arg("x"), e.arg("y"), e.arg("n")
			e.sweep(n, []reg.Register{d, x, y}, 2, func(slot, disp int, p *predicate) {
				xv, yv, dv := e.vec(), e.vec(), e.vec()
				e.load(at(x, disp), p, xv)
				e.load(at(y, disp), p, yv)
				e.load(at(d, disp), p, dv)
				e.mul(s, xv, xv)
				e.fma(yv, xv, dv)
				e.store(dv, at(d, disp), p)
			})
		})
	both(g, "ScaleMul", "func(y *float32, s float32, x, gain *float32, n int)",
		append(loop("for i := range n { y[i] = x[i] * s * gain[i] }"), "",
			"RMSNorm with s = 1/√(mean x² + eps); σ∘z with s = 1. y may be x or gain."),
		func(e *isa) {
			s, y, x, gain, n := e.splatArg("s"), e.arg("y"), e.arg("x"), e.arg("gain"), e.arg("n")
			e.sweep(n, []reg.Register{y, x, gain}, 2, func(slot, disp int, p *predicate) {
				xv, gv := e.vec(), e.vec()
				e.load(at(x, disp), p, xv)
				e.load(at(gain, disp), p, gv)
				e.mul(s, xv, xv)
				e.mul(gv, xv, xv)
				e.store(xv, at(y, disp), p)
			})
		})
	both(g, "NormGrad", "func(d *float32, a float32, dy, gain *float32, b float32, x *float32, n int)",
		append(loop("for i := range n { d[i] += a*dy[i]*gain[i] + b*x[i] }"), "",
			"The input gradient of RMSNorm: a = r, b = −r³·mean(dy∘gain∘x)."),
		func(e *isa) {
			a, b := e.splatArg("a"), e.splatArg("b")
			d, dy, gain, x, n := e.arg("d"), e.arg("dy"), e.arg("gain"), e.arg("x"), e.arg("n")
			e.sweep(n, []reg.Register{d, dy, gain, x}, 2, func(slot, disp int, p *predicate) {
				dv, yv, t := e.vec(), e.vec(), e.vec()
				e.load(at(d, disp), p, dv)
				e.load(at(dy, disp), p, yv)
				e.mul(a, yv, yv)
				e.load(at(gain, disp), p, t)
				e.fma(t, yv, dv)
				e.load(at(x, disp), p, t)
				e.fma(b, t, dv)
				e.store(dv, at(d, disp), p)
			})
		})
	rope(g)
	adamW(g)
}
