package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exp(x) = 2^n · e^r with n = round(x·log2 e), r = x − n·ln 2 in two parts (Cody and Waite), and
// Moshier's polynomial for e^r on |r| ≤ ln 2/2 (Cephes, expf.c).
const (
	log2e  = float32(1.44269504088896341)
	ln2Hi  = float32(0.693359375)
	ln2Lo  = float32(-2.12194440e-4)
	expMax = float32(89)   // e^89 is beyond f32 already
	expMin = float32(-125) // least n whose results are all normal numbers; below it, 0
)

var expPoly = []float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
	4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

const bias = bits(127) // of an exponent

func (e *isa) expConstants() {
	e.constants(log2e, ln2Hi, ln2Lo, expMax, expMin, 1)
	e.constants(expPoly...)
}

// inRegister is a constant for the place of a register operand.
func (e *isa) inRegister(x float32) vec {
	if e.z {
		return vec{e.consts[bitsOf(x)]}
	}
	return e.splat(e.constant(bitsOf(x)))
}

// exp replaces x by e^x. NaN stays NaN; results below 2^-125 are 0.
func (e *isa) exp(x vec) {
	n, p := e.vec(), e.vec()
	e.minR(x, e.inRegister(expMax), x)
	e.mul(log2e, x, n)
	for i := range n {
		if e.z {
			e.VRNDSCALEPS(Imm(8), n[i], n[i])
		} else {
			e.VROUNDPS(Imm(8), n[i], n[i])
		}
	}
	e.fnma(ln2Hi, n, x)
	e.fnma(ln2Lo, n, x)
	for i := range p {
		if e.z {
			e.VMOVAPS(e.consts[bitsOf(expPoly[0])], p[i])
		} else {
			e.VMOVUPS(e.constant(bitsOf(expPoly[0])), p[i])
		}
	}
	for _, c := range expPoly[1:] {
		e.fma213(c, x, p)
	}
	r2 := e.vec()
	e.mul(x, x, r2)
	e.fma213(x, r2, p)
	e.add(float32(1), p, p)
	e.scale2(p, n, x)
}

// scale2 gives d = p·2^n, or 0 where n < expMin. Y scales in two steps, so that 2^n need not be
// a number for n = 128. n is consumed.
func (e *isa) scale2(p, n, d vec) {
	const notLess = 0x15 // true for NaN too
	if e.z {
		k := e.K()
		e.VCMPPS(U8(notLess), e.consts[bitsOf(expMin)], n[0], k)
		e.VSCALEFPS_Z(n[0], p[0], k, d[0])
		return
	}
	keep, half := e.YMM(), e.YMM()
	for i := range d {
		e.VCMPPS(U8(notLess), e.constant(bitsOf(expMin)), n[i], keep)
		e.VCVTPS2DQ(n[i], n[i])
		e.VPSRAD(Imm(1), n[i], half)
		e.VPSUBD(half, n[i], n[i])
		for _, h := range []reg.VecVirtual{half, n[i]} {
			e.VPADDD(e.constant(bias), h, h)
			e.VPSLLD(Imm(23), h, h)
			e.VMULPS(h, p[i], p[i])
		}
		e.VANDPS(keep, p[i], d[i])
	}
}

// keep clears the lanes outside of the predicate.
func (e *isa) keep(v vec, p *predicate) {
	if p == nil {
		return
	}
	for i, r := range v {
		if e.z {
			e.VMOVAPS_Z(r, p.k, r)
		} else {
			e.VANDPS(p.v[i], r, r)
		}
	}
}

func emitExp(g *gen) {
	expSums(g)
	expElements(g)
	kl(g)
	swiGLU(g)
}

func expSums(g *gen) {
	for _, f := range []struct {
		name, sig string
		doc       []string
		store     bool
	}{
		{"ExpSum", "func(y, x *float32, n int, shift float32) (s float32)",
			append(loop("for i := range n { y[i] = exp(x[i] - shift); s += y[i] }"), "",
				"exp is within 2 ulp; below 2^-125 it is 0, above the greatest f32 +Inf. y may be x."),
			true},
		{"SumExp", "func(x *float32, n int, shift float32) (s float32)",
			loop("for i := range n { s += exp(x[i] - shift) }"), false},
	} {
		both(g, f.name, f.sig, f.doc, func(e *isa) {
			e.expConstants()
			shift, acc := e.splatArg("shift"), e.vecs(2)
			e.zero(acc[0])
			e.zero(acc[1])
			x, n := e.arg("x"), e.arg("n")
			ptrs := []reg.Register{x}
			if f.store {
				ptrs = append(ptrs, e.arg("y"))
			}
			e.sweep(n, ptrs, 2, func(slot, disp int, p *predicate) {
				v := e.vec()
				e.load(at(x, disp), p, v)
				e.subR(shift, v, v)
				e.exp(v)
				e.keep(v, p)
				if f.store {
					e.store(v, at(ptrs[1], disp), p)
				}
				e.add(v, acc[slot], acc[slot])
			})
			e.result(e.fold(e.VADDPS, acc))
		})
	}
}

func expElements(g *gen) {
	for _, f := range []struct {
		name string
		doc  []string
		acc  bool
	}{
		{"ExpScale", append(loop("for i := range n { y[i] = scale * exp(x[i] - shift) }"), "",
			"y may be x."), false},
		{"ExpAdd", loop("for i := range n { y[i] += scale * exp(x[i] - shift) }"), true},
	} {
		both(g, f.name, "func(y, x *float32, n int, shift, scale float32)", f.doc, func(e *isa) {
			e.expConstants()
			shift, scale := e.splatArg("shift"), e.splatArg("scale")
			y, x, n := e.arg("y"), e.arg("x"), e.arg("n")
			e.sweep(n, []reg.Register{y, x}, 2, func(slot, disp int, p *predicate) {
				v := e.vec()
				e.load(at(x, disp), p, v)
				e.subR(shift, v, v)
				e.exp(v)
				if !f.acc {
					e.mul(scale, v, v)
					e.store(v, at(y, disp), p)
					return
				}
				yv := e.vec()
				e.load(at(y, disp), p, yv)
				e.fma(scale, v, yv)
				e.store(yv, at(y, disp), p)
			})
		})
	}
	both(g, "SoftmaxGrad", "func(d, p *float32, n int, delta, scale float32)",
		append(loop("for i := range n { d[i] = scale * p[i] * (d[i] - delta) }"), "",
			"d comes in as the gradient of p and leaves as that of the logits over scale."),
		func(e *isa) {
			delta, scale := e.splatArg("delta"), e.splatArg("scale")
			d, prob, n := e.arg("d"), e.arg("p"), e.arg("n")
			e.sweep(n, []reg.Register{d, prob}, 2, func(slot, disp int, p *predicate) {
				dv, pv := e.vec(), e.vec()
				e.load(at(d, disp), p, dv)
				e.load(at(prob, disp), p, pv)
				e.subR(delta, dv, dv)
				e.mul(scale, pv, pv)
				e.mul(pv, dv, dv)
				e.store(dv, at(d, disp), p)
			})
		})
}

// kl emits the two loops of D_KL(softmax(x) ‖ softmax(r)).
func kl(g *gen) {
	both(g, "KL", "func(x, r *float32, n int, lx, lr float32) (s float32)",
		append(loop("for i := range n { s += exp(x[i]-lx) * ((x[i]-lx) - (r[i]-lr)) }"), "",
			"lx and lr are the log Σ exp of x and r."),
		func(e *isa) {
			e.expConstants()
			lx, lr, acc := e.lazyArg("lx"), e.lazyArg("lr"), e.vecs(2)
			e.zero(acc[0])
			e.zero(acc[1])
			x, r, n := e.arg("x"), e.arg("r"), e.arg("n")
			e.sweep(n, []reg.Register{x, r}, 2, func(slot, disp int, p *predicate) {
				v, d := e.logRatio(x, r, lx, lr, disp, p)
				e.mul(d, v, v)
				e.keep(v, p)
				e.add(v, acc[slot], acc[slot])
			})
			e.result(e.fold(e.VADDPS, acc))
		})
	both(g, "KLGrad", "func(d, x, r *float32, n int, lx, lr, w, kl float32)",
		loop("for i := range n { d[i] += w * exp(x[i]-lx) * ((x[i]-lx) - (r[i]-lr) - kl) }"),
		func(e *isa) {
			e.expConstants()
			lx, lr := e.lazyArg("lx"), e.lazyArg("lr")
			d, x, r, n := e.arg("d"), e.arg("x"), e.arg("r"), e.arg("n")
			e.sweep(n, []reg.Register{d, x, r}, 1, func(slot, disp int, p *predicate) {
				v, t := e.logRatio(x, r, lx, lr, disp, p)
				e.subR(e.splatArg("kl"), t, t)
				e.mul(e.splatArg("w"), v, v)
				dv := e.vec()
				e.load(at(d, disp), p, dv)
				e.fma(t, v, dv)
				e.store(dv, at(d, disp), p)
			})
		})
}

// logRatio gives p = exp(x−lx) and log p − log q = (x−lx) − (r−lr).
func (e *isa) logRatio(x, r reg.Register, lx, lr func() vec, disp int, p *predicate) (prob, d vec) {
	prob, d = e.vec(), e.vec()
	rv := e.vec()
	e.load(at(x, disp), p, prob)
	e.load(at(r, disp), p, rv)
	e.subR(lx(), prob, prob)
	e.subR(lr(), rv, rv)
	e.subR(rv, prob, d)
	e.exp(prob)
	return prob, d
}

// sigmoid gives 1/(1+e^−a).
func (e *isa) sigmoid(a vec) vec {
	s, one := e.vec(), e.vec()
	e.mul(float32(-1), a, s)
	e.exp(s)
	e.add(float32(1), s, s)
	for i := range one {
		if e.z {
			e.VMOVAPS(e.consts[bitsOf(1)], one[i])
		} else {
			e.VMOVUPS(e.constant(bitsOf(1)), one[i])
		}
	}
	e.divR(s, one, s)
	return s
}

func swiGLU(g *gen) {
	both(g, "SwiGLU", "func(y, gate, up *float32, n int)",
		append(loop("for i := range n { y[i] = gate[i] / (1 + exp(-gate[i])) * up[i] }"), "",
			"y may be gate or up."),
		func(e *isa) {
			e.expConstants()
			e.constants(-1)
			y, gate, up, n := e.arg("y"), e.arg("gate"), e.arg("up"), e.arg("n")
			e.sweep(n, []reg.Register{y, gate, up}, 2, func(slot, disp int, p *predicate) {
				a, u := e.vec(), e.vec()
				e.load(at(gate, disp), p, a)
				s := e.sigmoid(a)
				e.mul(a, s, s)
				e.load(at(up, disp), p, u)
				e.mul(u, s, s)
				e.store(s, at(y, disp), p)
			})
		})
	both(g, "SwiGLUGrad", "func(dgate, dup, dy, gate, up *float32, n int)",
		append(loop(
			"for i := range n {",
			"\ts := 1 / (1 + exp(-gate[i]))",
			"\tdgate[i], dup[i] = dy[i]*up[i]*s*(1+gate[i]*(1-s)), dy[i]*gate[i]*s",
			"}"), "", "dgate may be gate, and dup may be up."),
		func(e *isa) {
			e.expConstants()
			e.constants(-1)
			dgate, dup, dy := e.arg("dgate"), e.arg("dup"), e.arg("dy")
			gate, up, n := e.arg("gate"), e.arg("up"), e.arg("n")
			ptrs := []reg.Register{dgate, dup, dy, gate, up}
			e.sweep(n, ptrs, 1, func(slot, disp int, p *predicate) {
				a := e.vec()
				e.load(at(gate, disp), p, a)
				s := e.sigmoid(a)
				d, u, t := e.vec(), e.vec(), e.vec()
				e.load(at(dy, disp), p, d)
				e.load(at(up, disp), p, u)
				e.mul(s, d, d)  // dy·s
				e.mul(a, d, t)  // dy·s·a
				e.fnma(s, a, a) // a − s·a
				e.add(float32(1), a, a)
				e.mul(u, d, d)
				e.mul(a, d, d)
				e.store(t, at(dup, disp), p)
				e.store(d, at(dgate, disp), p)
			})
		})
}
