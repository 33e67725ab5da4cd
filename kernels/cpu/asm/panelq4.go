package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Q4 panels (the layout is in panel_tables_amd64.go) times f32 rows, the same bits as after widening.
const (
	maxPanelQ4Z = 4
	maxPanelQ4Y = 2
)

// nibbleNumbers is −8 … 7, what the nibbles 0 … 15 stand for.
func (g *gen) nibbleNumbers() Mem {
	var words [16]bits
	for i := range words {
		words[i] = bitsOf(float32(i - 8))
	}
	return g.table("nibbles", words[:]...)
}

// stepQ4Z loads the scales of a block, and gives the code of eight inputs: VPERMPS looks the number up
// by the lowest four bits of a lane, whatever is above them.
func (p *panel) stepQ4Z(np int, place func(q, disp int) Mem,
	sums func(q, i int) []reg.VecVirtual) func() {
	s, numbers := p.zmms(2*np), p.ZMM()
	for q := range np {
		p.VMOVUPS(place(q, 0), s[2*q])
		p.VMOVUPS(place(q, 64), s[2*q+1])
	}
	p.VMOVUPS(p.nibbleNumbers(), numbers)
	return func() {
		word, w := p.zmms(2), p.zmms(2)
		for q := range np {
			p.VMOVDQU32(place(q, 0), word[0])
			p.VMOVDQU32(place(q, 64), word[1])
			for n := range 8 {
				for h := range 2 {
					index := word[h]
					if n > 0 {
						index = w[h]
						p.VPSRLD(Imm(uint64(4*n)), word[h], index)
					}
					p.VPERMPS(numbers, index, w[h])
					p.VMULPS(s[2*q+h], w[h], w[h])
					for i := range p.mr {
						p.VFMADD231PS_BCST(p.row(i, 4*n), w[h], sums(q, i)[h])
					}
				}
			}
		}
	}
}

// stepQ4Y is eight inputs of one panel, whose scales are at block, eight columns at a time.
func (p *panel) stepQ4Y(block, next reg.Register, first []reg.VecVirtual,
	sums func(q, i int) []reg.VecVirtual) {
	for part := range first {
		word, w, x := p.YMM(), p.YMM(), p.YMM()
		p.VMOVDQU(at(next, partDisp(part)), word)
		for n := range 8 {
			if n > 0 {
				p.VPSRLD(Imm(4), word, word)
			}
			p.VPAND(p.constant(15), word, w)
			p.VCVTDQ2PS(w, w)
			p.VSUBPS(p.constant(bitsOf(8)), w, w)
			p.VMULPS(at(block, partDisp(part)), w, w)
			for i := range p.mr {
				p.VBROADCASTSS(p.row(i, 4*n), x)
				p.VFMADD231PS(x, w, sums(0, i)[part])
			}
		}
	}
}
