package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A dtype is a way to hold the numbers of a panel: rows of 32, [k][32].
type dtype struct {
	name  string
	goTyp string
	size  int // bytes
}

var (
	f32  = dtype{"F32", "*float32", 4}
	f16  = dtype{"F16", "*uint16", 2}
	bf16 = dtype{"BF16", "*uint16", 2}
	q8   = dtype{"Q8", "*byte", 1}
	q4   = dtype{"Q4", "*byte", 1} // a byte is the least that addresses count
)

// blocked says that numbers lie in blocks with scales.
func (t dtype) blocked() bool { return t == q8 || t == q4 }

// rowBytes is the size of one row of a panel, 32 numbers.
func (t dtype) rowBytes() int { return 32 * t.size }

func emitPanel(g *gen) {
	for _, t := range []dtype{f32, f16, bf16} {
		for mr := 1; mr <= maxMRZ; mr++ {
			emitPanelFunc(newPanel(g, t, mr, true))
		}
		for mr := 1; mr <= maxMRY; mr++ {
			emitPanelFunc(newPanel(g, t, mr, false))
		}
	}
	for mr := 1; mr <= maxPanelQ8Z; mr++ {
		emitPanelFunc(newPanel(g, q8, mr, true))
	}
	for mr := 1; mr <= maxPanelQ8Y; mr++ {
		emitPanelFunc(newPanel(g, q8, mr, false))
	}
	for mr := 1; mr <= maxPanelQ4Z; mr++ {
		emitPanelFunc(newPanel(g, q4, mr, true))
	}
	for mr := 1; mr <= maxPanelQ4Y; mr++ {
		emitPanelFunc(newPanel(g, q4, mr, false))
	}
}

// panel is one kernel while it is being written: mr rows of x times panels of a weight. The order
// of every sum is that of the GEMM kernels.
//
// Z holds a row of a panel in two registers. Y needs four; with few rows it has them, otherwise it
// passes twice over the panel (halves), each time over columns 8h-8h+7 and 16+8h-16+8h+7, which
// is what one 32-byte load of BF16 holds.
type panel struct {
	*gen
	t      dtype
	mr     int
	z      bool
	name   string
	passes int // 2 if the halves are done one after the other

	w, ldw, y, k, x, left reg.GPVirtual
	half                  reg.GPVirtual // 0, or 1 in the second pass
	mask                  reg.GPVirtual // of the last panel of a group
	row                   func(i, disp int) Mem
	lo, hi                reg.Register // mask as predicates (Z)
}

func newPanel(g *gen, t dtype, mr int, z bool) *panel {
	p := &panel{gen: g, t: t, mr: mr, z: z, passes: 1}
	isa := "Y"
	if z {
		isa = "Z"
	} else if mr > 2 && !t.blocked() {
		p.passes = 2
	}
	p.name = fmt.Sprintf("panel%s%s%d", t.name, isa, mr)
	return p
}

// together is how many panels are read at once: one row has too few sums to keep the FMAs busy,
// and several streams get more out of the memory than one.
func (p *panel) together() int {
	switch {
	case p.z && p.mr == 1:
		return 4
	case p.z && p.mr <= 3, p.mr == 1 && !p.t.blocked():
		return 2
	}
	return 1
}

func (p *panel) doc() []string {
	number := "w[q*ldw+32*p+j]"
	switch p.t {
	case bf16:
		number = "w[q*ldw+32*p+order(j)]"
	case q8, q4:
		number = "w(q,p,j)"
	}
	doc := []string{
		fmt.Sprintf("%s is, for q < panels, i < %d and j < 32 (in the last panel where mask", p.name,
			p.mr),
		"has bit j),",
		"",
		"\ts := 0, or y[i*ldy+32*q+j] if acc != 0",
		"\tfor p := range k { s = fma(x[i*ldx+p], " + number + ", s) }",
		"\ty[i*ldy+32*q+j] = s",
	}
	if p.t == bf16 {
		doc = append(doc, "", "order(j) = 2*j for j < 16, 2*(j-16)+1 above.")
	}
	if p.t.blocked() {
		doc = append(doc, "", "w(q,p,j) is what Widen"+p.t.name+" makes of the panel at w[q*ldw]. k is a "+
			"multiple of 32.")
	}
	return doc
}

func emitPanelFunc(p *panel) {
	p.fn(p.name, "func(k int, x *float32, ldx int, w "+p.t.goTyp+", ldw, panels int, "+
		"y *float32, ldy int, acc int, mask uint32)", p.doc()...)
	p.w, p.ldw = p.arg("w"), p.argBytes("ldw", uint64(p.t.size/2))
	p.left, p.y = p.arg("panels"), p.arg("y")
	p.x, p.k, p.mask = p.GP64(), p.GP64(), p.GP64()
	p.row = p.aRows(p.x, p.argBytes("ldx", 2), p.mr)
	if p.z {
		p.lo, p.hi = p.K(), p.K()
	}
	p.groups(p.together())
	if p.together() > 1 {
		p.groups(1)
	}
	p.ret()
}

// groups works through np panels at a time while there are so many.
func (p *panel) groups(np int) {
	label := fmt.Sprintf("by%d", np)
	p.Label(label)
	p.CMPQ(p.left, Imm(uint64(np)))
	p.JLT(to(label + "End"))
	p.SUBQ(Imm(uint64(np)), p.left)
	p.groupMask()
	if p.passes == 2 {
		p.half = p.GP64()
		p.XORQ(p.half, p.half)
		p.Label(label + "Half")
	}
	p.group(label, np)
	if p.passes == 2 {
		p.INCQ(p.half)
		p.CMPQ(p.half, Imm(2))
		p.JNE(to(label + "Half"))
	}
	for range np {
		p.ADDQ(p.ldw, p.w)
	}
	p.ADDQ(U32(uint32(128*np)), p.y)
	p.JMP(to(label))
	p.Label(label + "End")
}

// groupMask: all columns, unless no panel is left after this group.
func (p *panel) groupMask() {
	all := p.GP32()
	p.Load(p.Param("mask"), p.mask.As32())
	p.MOVL(U32(0xffffffff), all)
	p.TESTQ(p.left, p.left)
	p.CMOVLNE(all, p.mask.As32())
	if p.z {
		p.KMOVD(p.mask.As32(), p.lo)
		p.KSHIFTRD(Imm(16), p.lo, p.hi)
	}
}

// group computes mr rows of np panels (of one half of the columns, if there are two passes).
func (p *panel) group(label string, np int) {
	width := 4 / p.passes // registers a row of a panel
	if p.z {
		width = 2
	}
	acc := p.regs(np * p.mr * width)
	sums := func(q, i int) []reg.VecVirtual { return acc[(q*p.mr+i)*width:][:width] }
	p.initSums(label, acc, sums, np)
	p.Load(p.Param("x"), p.x)
	p.Load(p.Param("k"), p.k)
	if p.t.blocked() {
		p.sumBlocks(label, np, sums)
	} else {
		p.sum(label, np, sums)
	}
	p.storeSums(label, sums, np)
}

// sum is the loop over k.
func (p *panel) sum(label string, np int, sums func(q, i int) []reg.VecVirtual) {
	next, third := p.GP64(), p.GP64()
	p.MOVQ(p.w, next)
	if p.passes == 2 {
		off := p.GP64()
		p.MOVQ(p.half, off)
		p.SHLQ(Imm(uint64(map[dtype]int{f32: 5, f16: 4, bf16: 5}[p.t])), off)
		p.ADDQ(off, next)
	}
	if np > 3 {
		p.LEAQ(at2(next, p.ldw, 2, 0), third)
		p.ADDQ(p.ldw, third)
	}
	ahead := p.streams(next)
	bv, av := p.regs(2), p.regs(min(2, p.mr))
	unroll := 4
	if p.mr >= 8 {
		unroll = 2
	}
	step := func(u int) {
		if np > 3 && u == 1 { // once in a group of steps
			p.turn(label, p.k, fetched/p.t.rowBytes()-unroll, ahead)
		}
		p.step(u, np, next, third, ahead, bv, av, sums)
	}
	p.kLoop(label+"k", p.k, unroll, step, func(n int) {
		p.ADDQ(Imm(uint64(4*n)), p.x)
		p.ADDQ(U32(uint32(p.t.rowBytes()*n)), next)
		p.ADDQ(U32(uint32(p.t.rowBytes()*n)), ahead)
		if np > 3 {
			p.ADDQ(U32(uint32(p.t.rowBytes()*n)), third)
		}
	})
}

// fetched is how many bytes before it is read a panel of F32, F16 or BF16 is asked for.
const fetched = 1024

// streams is where what will be read behind next is asked for.
func (p *panel) streams(next reg.Register) reg.Register {
	ahead := p.GP64()
	p.MOVQ(next, ahead)
	return ahead
}

// turn moves ahead on by four panels where n steps are left: the first three of four streams reach the
// next panel there, which is being read already, and go on where they begin in the next group.
func (p *panel) turn(label string, left reg.Register, n int, ahead reg.Register) {
	p.CMPQ(left, Imm(uint64(n)))
	p.JNE(to(label + "Straight"))
	p.LEAQ(at2(ahead, p.ldw, 4, 0), ahead)
	p.Label(label + "Straight")
}

func (p *panel) regs(n int) []reg.VecVirtual {
	if p.z {
		return p.zmms(n)
	}
	return p.ymms(n)
}

// step is one p of the sum: a row of each panel, times a number of each row of x.
func (p *panel) step(u, np int, next, third, ahead reg.Register, bv, av []reg.VecVirtual,
	sums func(q, i int) []reg.VecVirtual) {
	for q := range np {
		m := at(next, u*p.t.rowBytes())
		switch q {
		case 1, 2:
			m.Index, m.Scale = p.ldw, uint8(q)
		case 3:
			m.Base = third
		}
		if p.mr < 8 { // with more rows the hardware keeps ahead
			for line := 0; line < p.t.rowBytes(); line += 64 {
				fetch := m
				if q < 3 {
					fetch.Base = ahead
				}
				fetch.Disp += fetched + line
				p.PREFETCHT0(fetch)
			}
		}
		for h := range len(sums(0, 0)) / 2 {
			p.widen(m, h, bv)
			for i := range p.mr {
				a := av[i%len(av)]
				if q == 0 && h == 0 || p.mr > 2 {
					p.VBROADCASTSS(p.row(i, 4*u), a)
				}
				p.VFMADD231PS(a, bv[0], sums(q, i)[2*h])
				p.VFMADD231PS(a, bv[1], sums(q, i)[2*h+1])
			}
		}
	}
}

// widen loads the numbers of a row of a panel as f32: all 32 (Z), or those of half h (Y).
func (p *panel) widen(m Mem, h int, v []reg.VecVirtual) {
	upper := m
	upper.Disp += p.t.rowBytes() / 2
	if !p.z {
		part := p.t.rowBytes() / 4 * h
		if p.t == bf16 {
			part = 32 * h
		}
		m.Disp += part
		upper.Disp += part
	}
	switch p.t {
	case f32:
		p.VMOVUPS(m, v[0])
		p.VMOVUPS(upper, v[1])
	case f16:
		p.VCVTPH2PS(m, v[0])
		p.VCVTPH2PS(upper, v[1])
	case bf16:
		p.splitBF16(m, p.z, v)
	}
}

// splitBF16 loads words of two BF16: the lower ones to v[0], the upper ones to v[1].
func (g *gen) splitBF16(m Mem, z bool, v []reg.VecVirtual) {
	mask := g.constant(0xffff0000)
	if z {
		g.VMOVDQU32(m, v[1])
		g.VPSLLD(Imm(16), v[1], v[0])
		g.VPANDD_BCST(mask, v[1], v[1])
		return
	}
	g.VMOVDQU(m, v[1])
	g.VPSLLD(Imm(16), v[1], v[0])
	g.VPAND(mask, v[1], v[1])
}
