package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rope turns the pairs (i, i+half) of heads that lie one behind the other.
func rope(g *gen) {
	both(g, "RoPE", "func(x, cosSin *float32, heads, half int, sign float32)",
		append(loop(
			"for h := range heads { for i := range half {",
			"\tc, s := cosSin[i], sign*cosSin[half+i]",
			"\ta, b := x[h*2*half+i], x[h*2*half+half+i]",
			"\tx[h*2*half+i], x[h*2*half+half+i] = a*c-b*s, b*c+a*s",
			"}}"), "", "sign is 1, or −1 for the inverse."),
		func(e *isa) {
			sign := e.splatArg("sign")
			x, heads, half := e.arg("x"), e.arg("heads"), e.argBytes("half", 2)
			y, c, s, n := e.GP64(), e.GP64(), e.GP64(), e.GP64()
			e.TESTQ(heads, heads)
			e.JLE(to("end"))
			e.Label("head")
			e.LEAQ(at2(x, half, 1, 0), y)
			e.Load(e.Param("cosSin"), c)
			e.LEAQ(at2(c, half, 1, 0), s)
			e.MOVQ(half, n)
			e.SHRQ(Imm(2), n)
			e.sweep(n, []reg.Register{x, y, c, s}, 2, func(slot, disp int, p *predicate) {
				cv, sv, a, b, t := e.vec(), e.vec(), e.vec(), e.vec(), e.vec()
				e.load(at(c, disp), p, cv)
				e.load(at(s, disp), p, sv)
				e.load(at(x, disp), p, a)
				e.load(at(y, disp), p, b)
				e.mul(sign, sv, sv)
				e.mul(cv, a, t)
				e.fnma(b, sv, t)
				e.store(t, at(x, disp), p)
				e.mul(cv, b, t)
				e.fma(a, sv, t)
				e.store(t, at(y, disp), p)
			})
			// y went from the half to the end of the head, and over it when the last vector was
			// a part; x is what it was half a head ago, rounded up the same way.
			e.Load(e.Param("heads"), n)
			e.SUBQ(heads, n)
			e.INCQ(n)
			e.IMULQ(half, n)
			e.Load(e.Param("x"), x)
			e.LEAQ(at2(x, n, 2, 0), x)
			e.DECQ(heads)
			e.JNE(to("head"))
			e.Label("end")
		})
}

// adamW has its constants behind one pointer, because ten parameters would cost more to pass.
func adamW(g *gen) {
	both(g, "AdamW", "func(p, grad, m, v *float32, n int, c *[10]float32)",
		append(loop(
			"for i := range n {",
			"\td := c[0] * grad[i]",
			"\tm[i] = c[1]*m[i] + c[2]*d",
			"\tv[i] = c[3]*v[i] + c[4]*d*d",
			"\tp[i] -= c[8] * (m[i]*c[5]/(√(v[i]*c[6])+c[7]) + c[9]*p[i])",
			"}"), "",
			"c = {GradScale, β1, 1−β1, β2, 1−β2, 1/(1−β1^Step), 1/(1−β2^Step), Eps, LR, WeightDecay}."),
		func(e *isa) {
			c, n := e.arg("c"), e.arg("n")
			ptr := []reg.Register{e.arg("p"), e.arg("grad"), e.arg("m"), e.arg("v")}
			// Z keeps the constants; Y has too few registers and reads them where they are used.
			kept := map[int]vec{}
			if e.z {
				for i := range 10 {
					kept[i] = e.splat(at(c, 4*i))
				}
			}
			k := func(i int) vec {
				if v, ok := kept[i]; ok {
					return v
				}
				return e.splat(at(c, 4*i))
			}
			e.sweep(n, ptr, 1, func(slot, disp int, p *predicate) {
				pv, d, m, v := e.vec(), e.vec(), e.vec(), e.vec()
				e.load(at(ptr[1], disp), p, d)
				e.load(at(ptr[2], disp), p, m)
				e.load(at(ptr[3], disp), p, v)
				e.mul(k(0), d, d)
				e.mul(k(1), m, m)
				e.fma(k(2), d, m)
				e.mul(k(3), v, v)
				e.mul(d, d, d)
				e.fma(k(4), d, v)
				e.store(m, at(ptr[2], disp), p)
				e.store(v, at(ptr[3], disp), p)
				e.mul(k(6), v, v)
				for i := range v {
					e.VSQRTPS(v[i], v[i])
				}
				e.add(k(7), v, v)
				e.mul(k(5), m, m)
				e.divR(v, m, m)
				e.load(at(ptr[0], disp), p, pv)
				e.fma(k(9), pv, m)
				e.fnma(k(8), m, pv)
				e.store(pv, at(ptr[0], disp), p)
			})
		})
}
