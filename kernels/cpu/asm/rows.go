package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitRows writes the two loops of attention over the rows of a cache.
func emitRows(g *gen) {
	dots(g)
	weightedSum(g)
}

// dots takes 8 rows (Z) or 4 rows (Y) at a time and sums across lanes by transposing, in the
// order of fold, so that a row's number does not depend on its group.
func dots(g *gen) {
	both(g, "Dots", "func(y, q *float32, dim int, k *float32, stride, n int)",
		loop("for j := range n { y[j] = Σ_d q[d] * k[j*stride+d] }"), func(e *isa) {
			group := 4
			if e.z {
				group = 8
			}
			y, k, n := e.arg("y"), e.arg("k"), e.arg("n")
			stride := e.argBytes("stride", 2)
			p := e.GP64()
			row := e.rowsFrom(stride, group)
			e.SUBQ(Imm(uint64(group)), n)
			e.JLT(to("few"))
			e.Label("rows")
			e.MOVQ(k, p)
			next := e.GP64()
			e.LEAQ(at2(k, stride, uint8(group/2), 0), k)
			e.LEAQ(at2(k, stride, uint8(group/2), 0), k)
			e.MOVQ(k, next)
			e.storeDots(e.dotRows("g", p, next, row, group), y)
			e.ADDQ(Imm(uint64(4*group)), y)
			e.SUBQ(Imm(uint64(group)), n)
			e.JGE(to("rows"))
			e.Label("few")
			e.ADDQ(Imm(uint64(group)), n)
			e.JE(to("end"))
			e.Label("row")
			e.MOVQ(k, p)
			s := e.fold(e.VADDPS, e.dotRows("r", p, nil, row, 1))
			e.VMOVSS(s.AsX(), at(y, 0))
			e.ADDQ(stride, k)
			e.ADDQ(Imm(4), y)
			e.DECQ(n)
			e.JNE(to("row"))
			e.Label("end")
		})
}

// dotRows sums q∘row over chunks of 16 for the rows behind p, which moves. Rows of a cache lie too far
// apart for the hardware to fetch ahead: those behind next, if there are any, are asked for.
func (e *isa) dotRows(label string, p, next reg.Register,
	row func(base reg.Register, i, disp int) Mem, rows int) []vec {
	acc := e.vecs(rows)
	for _, a := range acc {
		e.zero(a)
	}
	q, dim := e.arg("q"), e.arg("dim")
	qv := e.vec()
	e.SUBQ(Imm(16), dim)
	e.JLT(to(label + "Tail"))
	e.Label(label + "Chunk")
	e.load(at(q, 0), nil, qv)
	for i := range rows {
		e.fma(row(p, i, 0), qv, acc[i])
		if next != nil {
			e.PREFETCHT0(row(next, i, 0))
		}
	}
	e.ADDQ(Imm(64), q)
	e.ADDQ(Imm(64), p)
	if next != nil {
		e.ADDQ(Imm(64), next)
	}
	e.SUBQ(Imm(16), dim)
	e.JGE(to(label + "Chunk"))
	e.Label(label + "Tail")
	e.ADDQ(Imm(16), dim)
	e.JE(to(label + "Done"))
	mask := e.firstLanes(dim)
	e.load(at(q, 0), mask, qv)
	for i := range rows {
		if e.z {
			t := e.vec()
			e.load(row(p, i, 0), mask, t)
			e.fma(t, qv, acc[i])
			continue
		}
		for h := range 2 { // one register at a time: Y has no more
			t := e.YMM()
			e.VMASKMOVPS(e.part(row(p, i, 0), h), mask.v[h], t)
			e.VFMADD231PS(t, qv[h], acc[i][h])
		}
	}
	e.Label(label + "Done")
	return acc
}

// storeDots sums the lanes of 8 (Z) or 4 (Y) vectors into 8 or 4 numbers.
func (e *isa) storeDots(acc []vec, y reg.Register) {
	quads := make([]reg.VecVirtual, 4) // lanes i + (i+8) + (i+4), two rows a register in Z
	for i, a := range acc {
		if e.z {
			hi := e.YMM()
			e.VEXTRACTF64X4(Imm(1), a[0], hi)
			e.VADDPS(hi, a[0].AsY(), a[0].AsY())
			continue
		}
		e.VADDPS(a[1], a[0], a[0])
		hi := e.XMM()
		e.VEXTRACTF128(Imm(1), a[0], hi)
		e.VADDPS(hi, a[0].AsX(), a[0].AsX())
		quads[i] = a[0]
	}
	width := func(v reg.VecVirtual) reg.Register { return v.AsX() }
	if e.z {
		width = func(v reg.VecVirtual) reg.Register { return v.AsY() }
		for i := range quads {
			lo, hi := e.YMM(), e.YMM()
			a, b := acc[i][0].AsY(), acc[i+4][0].AsY()
			e.VPERM2F128(Imm(0x20), b, a, lo)
			e.VPERM2F128(Imm(0x31), b, a, hi)
			e.VADDPS(hi, lo, lo)
			quads[i] = lo
		}
	}
	pairs := make([]reg.VecVirtual, 2) // lanes i + (i+2)
	for i := range pairs {
		a, b, hi := quads[2*i], quads[2*i+1], e.YMM()
		e.VUNPCKHPD(width(b), width(a), width(hi))
		e.VUNPCKLPD(width(b), width(a), width(a))
		e.VADDPS(width(hi), width(a), width(a))
		pairs[i] = a
	}
	a, b, odd := pairs[0], pairs[1], e.YMM()
	e.VSHUFPS(Imm(0xdd), width(b), width(a), width(odd))
	e.VSHUFPS(Imm(0x88), width(b), width(a), width(a))
	e.VADDPS(width(odd), width(a), width(a))
	e.VMOVUPS(width(a), at(y, 0))
}

// weightedSum keeps a block of columns in registers and walks the rows in pairs: even and odd
// rows have a sum each, because one chain of FMAs would wait for itself.
func weightedSum(g *gen) {
	both(g, "WeightedSum", "func(o, p, v *float32, stride, n, dim int)",
		loop("for d := range dim { o[d] = Σ_{j<n} p[j] * v[j*stride+d] }"), func(e *isa) {
			o, v, dim := e.arg("o"), e.arg("v"), e.arg("dim")
			stride := e.argBytes("stride", 2)
			widths := []int{2} // vectors a block
			if e.z {
				widths = []int{4, 3, 2}
			}
			for _, w := range widths {
				name := string(rune('0' + w))
				e.Label("block" + name)
				e.CMPQ(dim, U32(uint32(16*w)))
				e.JLT(to("narrow" + name))
				e.sumRows(name, o, v, stride, w, nil)
				e.SUBQ(U32(uint32(16*w)), dim)
				e.JMP(to("block" + name))
				e.Label("narrow" + name)
			}
			e.Label("block1")
			e.TESTQ(dim, dim)
			e.JLE(to("end"))
			e.sumRows("1", o, v, stride, 1, e.firstLanes(dim))
			e.SUBQ(Imm(16), dim)
			e.JMP(to("block1"))
			e.Label("end")
		})
}

// sumRows writes w vectors of o and moves o and v on to the next columns.
func (e *isa) sumRows(name string, o, v, stride reg.Register, w int, mask *predicate) {
	even, odd := e.vecs(w), e.vecs(w)
	for i := range w {
		e.zero(even[i])
		e.zero(odd[i])
	}
	p, n, row, second := e.arg("p"), e.arg("n"), e.GP64(), e.GP64()
	e.MOVQ(v, row)
	step := func(acc []vec, row reg.Register, disp int) {
		b := e.splat(at(p, disp))
		for i := range w {
			m := at(row, 64*i)
			e.PREFETCHT0(at2(row, stride, 8, 64*i))
			if mask == nil {
				e.fma(m, b, acc[i])
				continue
			}
			t := e.vec()
			e.load(m, mask, t)
			e.fma(t, b, acc[i])
		}
	}
	e.SUBQ(Imm(2), n)
	e.JLT(to("last" + name))
	e.Label("pair" + name)
	step(even, row, 0)
	e.LEAQ(at2(row, stride, 1, 0), second)
	step(odd, second, 4)
	e.LEAQ(at2(row, stride, 2, 0), row)
	e.ADDQ(Imm(8), p)
	e.SUBQ(Imm(2), n)
	e.JGE(to("pair" + name))
	e.Label("last" + name)
	e.ADDQ(Imm(2), n)
	e.JE(to("out" + name))
	step(even, row, 0)
	e.Label("out" + name)
	for i := range w {
		e.add(odd[i], even[i], even[i])
		e.store(even[i], at(o, 64*i), mask)
	}
	e.ADDQ(U32(uint32(64*w)), o)
	e.ADDQ(U32(uint32(64*w)), v)
}
