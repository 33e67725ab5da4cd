package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Q8 panels (the layout is in q8_tables_amd64.go) times f32 rows, the same bits as after WidenQ8.
const (
	maxPanelQ8Z = 8
	maxPanelQ8Y = 3
)

// byteOf selects byte n of each 32-bit lane, as VPSHUFB wants it.
func (g *gen) byteOf(n int) Mem {
	var words [16]bits
	for i := range words {
		words[i] = bits(0x80808000 + i%4*4 + n)
	}
	return g.table(fmt.Sprintf("byte%d", n), words[:]...)
}

// sumBlocks goes block by block: 32 scales, then rows of 32 words with as many inputs each as fit.
func (p *panel) sumBlocks(label string, np int, sums func(q, i int) []reg.VecVirtual) {
	rows, inputs := q8Block/4, 4
	if p.t == q4 {
		rows, inputs = q8Block/8, 8
	}
	next, third, left := p.GP64(), p.GP64(), p.GP64()
	p.MOVQ(p.w, next)
	if np > 3 {
		p.LEAQ(at2(next, p.ldw, 2, 0), third)
		p.ADDQ(p.ldw, third)
	}
	ahead := p.streams(next)
	from := func(first reg.Register, q, disp int) Mem {
		m := at(first, disp)
		switch q {
		case 1, 2:
			m.Index, m.Scale = p.ldw, uint8(q)
		case 3:
			m.Base = third
		}
		return m
	}
	place := func(q, disp int) Mem { return from(next, q, disp) }
	fetch := func() {
		for q := range np {
			p.PREFETCHT0(from(ahead, q, 128*(rows+1)))
			p.PREFETCHT0(from(ahead, q, 128*(rows+1)+64))
		}
	}
	advance := func() {
		p.ADDQ(U32(128), next)
		p.ADDQ(U32(128), ahead)
		if np > 3 {
			p.ADDQ(U32(128), third)
		}
	}
	p.SHRQ(Imm(5), p.k)
	p.JE(to(label + "Sums"))
	p.Label(label + "Block")
	if np > 3 {
		p.turn(label, p.k, 1, ahead)
	}
	step := p.blockStep(np, next, place, sums)
	fetch()
	advance()
	p.MOVQ(U32(uint32(rows)), left)
	p.Label(label + "Words")
	fetch()
	step()
	advance()
	p.ADDQ(Imm(uint64(4*inputs)), p.x)
	p.DECQ(left)
	p.JNE(to(label + "Words"))
	p.DECQ(p.k)
	p.JNE(to(label + "Block"))
	p.Label(label + "Sums")
}

// blockStep begins a block, whose scales are at next, and gives the code of a row of words.
func (p *panel) blockStep(np int, next reg.Register, place func(q, disp int) Mem,
	sums func(q, i int) []reg.VecVirtual) func() {
	if p.z && p.t == q4 {
		return p.stepQ4Z(np, place, sums)
	}
	if p.z {
		return p.stepQ8Z(np, place, sums)
	}
	block := p.GP64()
	p.MOVQ(next, block)
	if p.t == q4 {
		return func() { p.stepQ4Y(block, next, sums(0, 0), sums) }
	}
	return func() { p.stepQ8Y(block, next, sums(0, 0), sums) }
}

// stepQ8Z loads the scales s of a block, and gives the code of four inputs: a number is the byte
// b = q+128 as f32, times s, minus 128·s in one rounding, which is that of s·q.
func (p *panel) stepQ8Z(np int, place func(q, disp int) Mem,
	sums func(q, i int) []reg.VecVirtual) func() {
	s, c := p.zmms(2*np), p.zmms(2*np)
	for q := range np {
		for h := range 2 {
			p.VMOVUPS(place(q, 64*h), s[2*q+h])
			p.VMULPS_BCST(p.constant(bitsOf(-128)), s[2*q+h], c[2*q+h])
		}
	}
	widen := func(q, h, n int, word, w reg.VecVirtual) {
		switch n { // not all on the one port that shuffles
		case 0:
			p.VPANDD_BCST(p.constant(0xff), word, w)
		case 3:
			p.VPSRLD(Imm(24), word, w)
		default:
			p.VPSHUFB(p.byteOf(n), word, w)
		}
		p.VCVTDQ2PS(w, w)
		p.VFMADD213PS(c[2*q+h], s[2*q+h], w)
	}
	if p.mr > 2 {
		return func() { p.manyQ8Z(np, place, sums, widen) }
	}
	return func() { p.fewQ8Z(np, place, sums, widen) }
}

// fewQ8Z keeps the four numbers of each row of x in registers.
func (p *panel) fewQ8Z(np int, place func(q, disp int) Mem,
	sums func(q, i int) []reg.VecVirtual, widen func(q, h, n int, word, w reg.VecVirtual)) {
	x := p.zmms(4 * p.mr)
	for i := range p.mr {
		for n := range 4 {
			p.VBROADCASTSS(p.row(i, 4*n), x[4*i+n])
		}
	}
	word, w := p.ZMM(), p.zmms(2)
	for q := range np {
		for h := range 2 {
			p.VMOVDQU32(place(q, 64*h), word)
			for n := range 4 {
				widen(q, h, n, word, w[n%2])
				for i := range p.mr {
					p.VFMADD231PS(x[4*i+n], w[n%2], sums(q, i)[h])
				}
			}
		}
	}
}

// manyQ8Z loads a number of x for both halves of a row of the panel.
func (p *panel) manyQ8Z(np int, place func(q, disp int) Mem,
	sums func(q, i int) []reg.VecVirtual, widen func(q, h, n int, word, w reg.VecVirtual)) {
	word, w, x := p.zmms(2), p.zmms(2), p.zmms(2)
	for q := range np {
		p.VMOVDQU32(place(q, 0), word[0])
		p.VMOVDQU32(place(q, 64), word[1])
		for n := range 4 {
			widen(q, 0, n, word[0], w[0])
			widen(q, 1, n, word[1], w[1])
			for i := range p.mr {
				p.VBROADCASTSS(p.row(i, 4*n), x[i%2])
				p.VFMADD231PS(x[i%2], w[0], sums(q, i)[0])
				p.VFMADD231PS(x[i%2], w[1], sums(q, i)[1])
			}
		}
	}
}

// stepQ8Y is four inputs of one panel, whose scales are at block, eight columns at a time.
func (p *panel) stepQ8Y(block, next reg.Register, first []reg.VecVirtual,
	sums func(q, i int) []reg.VecVirtual) {
	for part := range first {
		word, w, x := p.YMM(), p.YMM(), p.YMM()
		p.VMOVDQU(at(next, partDisp(part)), word)
		for n := range 4 {
			p.VPSHUFB(p.byteOf(n), word, w)
			p.VCVTDQ2PS(w, w)
			p.VSUBPS(p.constant(bitsOf(128)), w, w)
			p.VMULPS(at(block, partDisp(part)), w, w)
			for i := range p.mr {
				p.VBROADCASTSS(p.row(i, 4*n), x)
				p.VFMADD231PS(x, w, sums(0, i)[part])
			}
		}
	}
}
