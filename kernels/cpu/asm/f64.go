package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitF64 writes what the eigen-solver needs besides its products.
func emitF64(g *gen) {
	both64(g, "Dot64", "func(x, y *float64, n int) (s float64)",
		loop("for i := range n { s += x[i] * y[i] }"), func(e *isa) {
			acc := e.vecs(4)
			for _, a := range acc {
				e.zero(a)
			}
			x, y, n := e.arg("x"), e.arg("y"), e.arg("n")
			e.sweep(n, []reg.Register{x, y}, 4, func(slot, disp int, p *predicate) {
				xv, yv := e.vec(), e.vec()
				e.load(at(x, disp), p, xv)
				e.load(at(y, disp), p, yv)
				e.fma(yv, xv, acc[slot])
			})
			e.result(e.fold(e.VADDPD, acc))
		})
	both64(g, "Axpy64", "func(a float64, x, y *float64, n int)",
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
	dots4x64(g)
	symv(g)
}

// dots4x64 shares the loads of x among four rows; two sums a row keep the FMAs busy.
func dots4x64(g *gen) {
	both64(g, "Dots4x64", "func(y, x *float64, n int, a *float64, lda int)",
		loop("for i := range 4 { y[i] = Σ_{j<n} a[i*lda+j] * x[j] }"), func(e *isa) {
			y, x, n, a := e.arg("y"), e.arg("x"), e.arg("n"), e.arg("a")
			row := e.aRows(a, e.argBytes("lda", 3), 4)
			acc := e.vecs(4)
			for _, v := range acc {
				e.zero(v)
			}
			e.sweep(n, []reg.Register{x, a}, 2, func(slot, disp int, p *predicate) {
				xv := e.vec()
				e.load(at(x, disp), p, xv)
				for i := range 4 {
					e.addProduct(row(i, disp), p, xv, acc[i])
				}
			})
			for i := range acc {
				e.VMOVSD(e.fold(e.VADDPD, acc[i:i+1]).AsX(), at(y, 8*i))
			}
		})
}

// addProduct: acc += m·x, under the predicate one register at a time.
func (e *isa) addProduct(m Mem, p *predicate, x, acc vec) {
	if p == nil {
		e.fma(m, x, acc)
		return
	}
	if e.z {
		t := e.vec()
		e.load(m, p, t)
		e.fma(t, x, acc)
		return
	}
	for h := range 2 {
		t := e.YMM()
		if e.double {
			e.VMASKMOVPD(e.part(m, h), p.v[h], t)
			e.VFMADD231PD(t, x[h], acc[h])
		} else {
			e.VMASKMOVPS(e.part(m, h), p.v[h], t)
			e.VFMADD231PS(t, x[h], acc[h])
		}
	}
}

// symv reads a block of eight rows of a triangle once for both of its products.
// Y has registers for four rows and passes twice.
func symv(g *gen) {
	both64(g, "Symv8x64", "func(n int, a *float64, lda int, x, xr, y, z *float64)",
		append(loop(
			"for i := range 8 { y[i] += Σ_{j<n} a[i*lda+j] * x[j] }",
			"for j := range n { z[j] += Σ_{i<8} a[i*lda+j] * xr[i] }"),
			"", "z must not overlap x, xr or y."),
		func(e *isa) {
			lda := e.argBytes("lda", 3)
			if e.z {
				e.symvPass(lda, 8, e.arg("a"), e.arg("xr"), e.arg("y"))
				return
			}
			pass, a, xr, y := e.GP64(), e.arg("a"), e.arg("xr"), e.arg("y")
			e.MOVQ(U32(2), pass)
			e.Label("pass")
			next := e.GP64()
			e.LEAQ(at2(a, lda, 4, 0), next)
			e.symvPass(lda, 4, a, xr, y)
			e.MOVQ(next, a)
			e.ADDQ(Imm(32), xr)
			e.ADDQ(Imm(32), y)
			e.DECQ(pass)
			e.JNE(to("pass"))
		})
}

func (e *isa) symvPass(lda reg.Register, rows int, a, xr, y reg.Register) {
	x, z, n := e.arg("x"), e.arg("z"), e.arg("n")
	row := e.aRows(a, lda, rows)
	acc, r := e.vecs(rows), make([]vec, rows)
	for i := range rows {
		e.zero(acc[i])
		r[i] = e.splat(at(xr, 8*i))
	}
	e.sweep(n, []reg.Register{x, z, a}, 1, func(slot, disp int, p *predicate) {
		if e.z {
			e.symvStepZ(x, z, row, p, acc, r)
			return
		}
		for h := range 2 { // one half at a time: there are few registers left
			e.symvStepY(x, z, row, p, h, acc, r)
		}
	})
	for i := range rows {
		s := e.fold(e.VADDPD, acc[i:i+1]).AsX()
		e.VADDSD(at(y, 8*i), s, s)
		e.VMOVSD(s, at(y, 8*i))
	}
}

func (e *isa) symvStepZ(x, z reg.Register, row func(i, disp int) Mem, p *predicate,
	acc, r []vec) {
	xv, zv := e.vec(), e.vec()
	e.load(at(x, 0), p, xv)
	e.load(at(z, 0), p, zv)
	for i := range acc {
		av := e.vec()
		e.load(row(i, 0), p, av)
		e.fma(av, xv, acc[i])
		e.fma(r[i], av, zv)
	}
	e.store(zv, at(z, 0), p)
}

func (e *isa) symvStepY(x, z reg.Register, row func(i, disp int) Mem, p *predicate, h int,
	acc, r []vec) {
	av, v := e.YMM(), e.YMM()
	if p == nil {
		e.VMOVUPD(at(z, 32*h), v)
		for i := range acc {
			e.VMOVUPD(row(i, 32*h), av)
			e.VFMADD231PD(r[i][0], av, v)
			e.VFMADD231PD(at(x, 32*h), av, acc[i][h])
		}
		e.VMOVUPD(v, at(z, 32*h))
		return
	}
	e.VMASKMOVPD(at(z, 32*h), p.v[h], v)
	for i := range acc {
		e.VMASKMOVPD(row(i, 32*h), p.v[h], av)
		e.VFMADD231PD(r[i][0], av, v)
	}
	e.VMASKMOVPD(v, p.v[h], at(z, 32*h))
	e.VMASKMOVPD(at(x, 32*h), p.v[h], v)
	for i := range acc {
		e.VMASKMOVPD(row(i, 32*h), p.v[h], av)
		e.VFMADD231PD(v, av, acc[i][h])
	}
}
