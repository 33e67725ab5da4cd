package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// eachSum calls f with the registers and the address in y of every row of every panel; last is
// set in the panel to which the mask applies.
func (p *panel) eachSum(sums func(q, i int) []reg.VecVirtual, np int,
	f func(v []reg.VecVirtual, m Mem, last bool)) {
	c, ldy := p.GP64(), p.argBytes("ldy", 2)
	p.MOVQ(p.y, c)
	if p.passes == 2 {
		off := p.GP64()
		p.MOVQ(p.half, off)
		p.SHLQ(Imm(5), off)
		p.ADDQ(off, c)
	}
	for i := range p.mr {
		for q := range np {
			f(sums(q, i), at(c, 128*q), q == np-1)
		}
		if i+1 < p.mr {
			p.ADDQ(ldy, c)
		}
	}
}

func (p *panel) initSums(label string, acc []reg.VecVirtual,
	sums func(q, i int) []reg.VecVirtual, np int) {
	for _, a := range acc {
		p.VXORPS(a.AsX(), a.AsX(), a.AsX())
	}
	flag := p.arg("acc")
	p.TESTQ(flag, flag)
	p.JE(to(label + "Start"))
	if p.z {
		p.eachSum(sums, np, func(v []reg.VecVirtual, m Mem, last bool) {
			if last {
				p.VMOVUPS_Z(m, p.lo, v[0])
				p.VMOVUPS_Z(m.Offset(64), p.hi, v[1])
			} else {
				p.VMOVUPS(m, v[0])
				p.VMOVUPS(m.Offset(64), v[1])
			}
		})
	} else {
		p.eachPartY(sums, np, func(r reg.VecVirtual, m Mem, mask reg.VecVirtual) {
			if mask == nil {
				p.VMOVUPS(m, r)
			} else {
				p.VMASKMOVPS(m, mask, r)
			}
		})
	}
	p.Label(label + "Start")
}

func (p *panel) storeSums(label string, sums func(q, i int) []reg.VecVirtual, np int) {
	if p.z {
		p.eachSum(sums, np, func(v []reg.VecVirtual, m Mem, last bool) {
			if last {
				p.VMOVUPS(v[0], p.lo, m)
				p.VMOVUPS(v[1], p.hi, m.Offset(64))
			} else {
				p.VMOVUPS(v[0], m)
				p.VMOVUPS(v[1], m.Offset(64))
			}
		})
		return
	}
	// A masked store is slow on older AMD cores: whole panels are stored plainly.
	p.CMPL(p.mask.As32(), U32(0xffffffff))
	p.JNE(to(label + "Edge"))
	p.eachSum(sums, np, func(v []reg.VecVirtual, m Mem, last bool) {
		for n, r := range v {
			p.VMOVUPS(r, m.Offset(partDisp(n)))
		}
	})
	p.JMP(to(label + "Stored"))
	p.Label(label + "Edge")
	p.eachPartY(sums, np, func(r reg.VecVirtual, m Mem, mask reg.VecVirtual) {
		if mask == nil {
			p.VMOVUPS(r, m)
		} else {
			p.VMASKMOVPS(r, mask, m)
		}
	})
	p.Label(label + "Stored")
}

// partDisp is the place in y of the n-th register of a row: halves h = n/2, columns 8h or 16+8h.
func partDisp(n int) int { return n/2*32 + n%2*64 }

// eachPartY is eachSum register by register, one mask after the other, to have few of them.
func (p *panel) eachPartY(sums func(q, i int) []reg.VecVirtual, np int,
	f func(r reg.VecVirtual, m Mem, mask reg.VecVirtual)) {
	for n := range len(sums(0, 0)) {
		bits := p.GP64()
		p.MOVL(p.mask.As32(), bits.As32())
		p.SHRL(Imm(uint64(n/2*8+n%2*16)), bits.As32())
		if p.passes == 2 {
			t, skip := p.GP32(), p.GP32()
			p.MOVL(bits.As32(), t)
			p.SHRL(Imm(8), t)
			p.MOVL(p.half.As32(), skip)
			p.TESTL(skip, skip)
			p.CMOVLNE(t, bits.As32())
		}
		mask := p.laneMask(bits)
		p.eachSum(sums, np, func(v []reg.VecVirtual, m Mem, last bool) {
			if last {
				f(v[n], m.Offset(partDisp(n)), mask)
			} else {
				f(v[n], m.Offset(partDisp(n)), nil)
			}
		})
	}
}

// laneMask turns bits 0-7 into a vector mask.
func (g *gen) laneMask(bits reg.GPVirtual) reg.VecVirtual {
	v := g.YMM()
	g.VMOVD(bits.As32(), v.AsX())
	g.VPBROADCASTD(v.AsX(), v)
	lanes := g.laneBits()
	g.VPAND(lanes, v, v)
	g.VPCMPEQD(lanes, v, v)
	return v
}
