package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	maxQ8Z = 6 // rows of x: 2 sums of int32 and 2 of f32 each
	maxQ8Y = 2

	q8Block  = 32              // inputs that share a scale
	q8Panel  = 4*32 + 32*32    // bytes of a block of a panel: 32 scales, 32×32 numbers
	q8Input  = q8Block + 4 + 4 // bytes of a block of x: numbers, scale, correction
	q8Numers = 4 * 32          // where the numbers of a panel's block start
)

func emitQ8(g *gen) {
	for mr := 1; mr <= maxQ8Z; mr++ {
		q8Z(g, mr)
	}
	for mr := 1; mr <= maxQ8Y; mr++ {
		q8Y(g, mr)
	}
	quantize(g)
	packQ8(g)
	widenQ8(g)
}

const q8Sig = "func(blocks int, x *byte, ldx int, w *byte, panels int, y *float32, ldy int, " +
	"mask uint32)"

func q8Doc(name string, mr int) []string {
	return []string{
		fmt.Sprintf("%s is, for q < panels, i < %d and j < 32 (in the last panel where mask has", name,
			mr),
		"bit j),",
		"",
		"\ty[i*ldy+32*q+j] = Σ_b (Σ_{p<32} qx(i,b,p)·qw(q,b,p,j)) · (sx(i,b)·sw(q,b,j))",
		"",
		"The inner sum is exact, the outer a chain of FMAs in the order of b. See Q8Func.",
	}
}

// q8Rows are the common parts of the two forms.
type q8Rows struct {
	*gen
	w, size, y, x, left, n reg.GPVirtual // size: bytes of a panel
	row                    func(i, disp int) Mem
}

func newQ8(g *gen, name string, mr int) *q8Rows {
	g.fn(name, q8Sig, q8Doc(name, mr)...)
	r := &q8Rows{gen: g, w: g.arg("w"), y: g.arg("y"), left: g.arg("panels"), x: g.GP64(),
		n: g.GP64(), size: g.GP64()}
	g.Load(g.Param("blocks"), r.size)
	g.IMUL3Q(U32(q8Panel), r.size, r.size)
	r.row = g.aRows(r.x, g.arg("ldx"), mr)
	return r
}

// q8Z: 16 rows of w are 16 lanes, four inputs each. VPDPBUSD multiplies unsigned by signed, so w
// is held as q+128 and the sum starts from x's correction −128·Σ qx.
func q8Z(g *gen, mr int) {
	r := newQ8(g, fmt.Sprintf("q8Z%d", mr), mr)
	lo, hi := g.K(), g.K()
	together := 1
	if mr == 1 {
		together = 4
	} else if mr <= 2 {
		together = 2
	}
	for np := together; ; np = 1 {
		label := fmt.Sprintf("by%d", np)
		g.Label(label)
		g.CMPQ(r.left, Imm(uint64(np)))
		g.JLT(to(label + "End"))
		g.SUBQ(Imm(uint64(np)), r.left)
		m, all := g.GP32(), g.GP32()
		g.Load(g.Param("mask"), m)
		g.MOVL(U32(0xffffffff), all)
		g.TESTQ(r.left, r.left)
		g.CMOVLNE(all, m)
		g.KMOVD(m, lo)
		g.KSHIFTRD(Imm(16), lo, hi)
		r.groupZ(label, mr, np, lo, hi)
		g.JMP(to(label))
		g.Label(label + "End")
		if np == 1 {
			break
		}
	}
	g.ret()
}

func (r *q8Rows) groupZ(label string, mr, np int, lo, hi reg.Register) {
	sums := r.zmms(2 * mr * np)
	for _, s := range sums {
		r.VXORPS(s.AsX(), s.AsX(), s.AsX())
	}
	next, third := r.GP64(), r.GP64()
	r.MOVQ(r.w, next)
	if np > 3 {
		r.LEAQ(at2(next, r.size, 2, 0), third)
		r.ADDQ(r.size, third)
	}
	r.Load(r.Param("x"), r.x)
	r.Load(r.Param("blocks"), r.n)
	r.TESTQ(r.n, r.n)
	r.JE(to(label + "Store"))
	r.Label(label + "Block")
	for q := range np {
		m := at(next, 0)
		switch q {
		case 1, 2:
			m.Index, m.Scale = r.size, uint8(q)
		case 3:
			m.Base = third
		}
		r.blockZ(m, mr, sums[2*mr*q:])
	}
	r.ADDQ(Imm(q8Input), r.x)
	r.ADDQ(U32(q8Panel), next)
	if np > 3 {
		r.ADDQ(U32(q8Panel), third)
	}
	r.DECQ(r.n)
	r.JNE(to(label + "Block"))
	r.Label(label + "Store")
	c, ldy := r.GP64(), r.argBytes("ldy", 2)
	r.MOVQ(r.y, c)
	for i := range mr {
		for q := range np {
			s := sums[2*(mr*q+i):]
			if q < np-1 {
				r.VMOVUPS(s[0], at(c, 128*q))
				r.VMOVUPS(s[1], at(c, 128*q+64))
			} else {
				r.VMOVUPS(s[0], lo, at(c, 128*q))
				r.VMOVUPS(s[1], hi, at(c, 128*q+64))
			}
		}
		if i+1 < mr {
			r.ADDQ(ldy, c)
		}
	}
	for range np {
		r.ADDQ(r.size, r.w)
	}
	r.ADDQ(U32(uint32(128*np)), r.y)
}

// blockZ adds one block of one panel at m to the sums of mr rows.
func (r *q8Rows) blockZ(m Mem, mr int, sums []reg.VecVirtual) {
	ints := r.zmms(2 * mr)
	for i := range mr {
		r.VPBROADCASTD(r.row(i, q8Block+4), ints[2*i])
		r.VMOVDQA32(ints[2*i], ints[2*i+1])
	}
	w, x := r.zmms(2), r.zmms(2)
	for k := range q8Block / 4 {
		r.VMOVDQU32(m.Offset(q8Numers+128*k), w[0])
		r.VMOVDQU32(m.Offset(q8Numers+128*k+64), w[1])
		if mr < 4 {
			r.PREFETCHT0(m.Offset(2304 + 128*k))
			r.PREFETCHT0(m.Offset(2304 + 128*k + 64))
		}
		for i := range mr {
			r.VPBROADCASTD(r.row(i, 4*k), x[i%2])
			r.VPDPBUSD(x[i%2], w[0], ints[2*i])
			r.VPDPBUSD(x[i%2], w[1], ints[2*i+1])
		}
	}
	for i := range mr {
		r.VBROADCASTSS(r.row(i, q8Block), x[0])
		for h := range 2 {
			r.VMULPS(m.Offset(64*h), x[0], w[h])
			r.VCVTDQ2PS(ints[2*i+h], ints[2*i+h])
			r.VFMADD231PS(ints[2*i+h], w[h], sums[2*i+h])
		}
	}
}

// q8Y does the same without VNNI, 16 columns at a time. VPMADDUBSW adds two products in 16 bits
// and saturates; with |w| ≤ 128 unsigned and the sign of w given to x, 2·128·127 fits.
func q8Y(g *gen, mr int) {
	r := newQ8(g, fmt.Sprintf("q8Y%d", mr), mr)
	half, mask := g.GP64(), g.GP64()
	g.Label("panel")
	g.TESTQ(r.left, r.left)
	g.JE(to("end"))
	g.DECQ(r.left)
	all := g.GP32()
	g.Load(g.Param("mask"), mask.As32())
	g.MOVL(U32(0xffffffff), all)
	g.TESTQ(r.left, r.left)
	g.CMOVLNE(all, mask.As32())
	g.XORQ(half, half)
	g.Label("half")
	sums := g.ymms(2 * mr)
	for _, s := range sums {
		g.VXORPS(s, s, s)
	}
	next := g.GP64()
	g.LEAQ(at2(r.w, half, 1, 0), next)
	g.Load(g.Param("x"), r.x)
	g.Load(g.Param("blocks"), r.n)
	g.TESTQ(r.n, r.n)
	g.JE(to("store"))
	g.Label("block")
	r.blockY(next, mr, sums)
	g.ADDQ(Imm(q8Input), r.x)
	g.ADDQ(U32(q8Panel), next)
	g.DECQ(r.n)
	g.JNE(to("block"))
	g.Label("store")
	c, ldy := g.GP64(), g.argBytes("ldy", 2)
	g.LEAQ(at2(r.y, half, 1, 0), c)
	low, high := g.lanes(mask.As32(), false)
	for i := range mr {
		g.VMASKMOVPS(sums[2*i], low, at(c, 0))
		g.VMASKMOVPS(sums[2*i+1], high, at(c, 32))
		if i+1 < mr {
			g.ADDQ(ldy, c)
		}
	}
	g.SHRL(Imm(16), mask.As32())
	g.ADDQ(Imm(64), half)
	g.CMPQ(half, U32(128))
	g.JNE(to("half"))
	g.ADDQ(r.size, r.w)
	g.ADDQ(U32(128), r.y)
	g.JMP(to("panel"))
	g.Label("end")
	g.ret()
}

func (r *q8Rows) blockY(next reg.Register, mr int, sums []reg.VecVirtual) {
	ints := r.ymms(2 * mr)
	for _, v := range ints {
		r.VPXOR(v, v, v)
	}
	w, abs, x := r.YMM(), r.YMM(), r.YMM()
	for k := range q8Block / 4 {
		for h := range 2 {
			r.VMOVDQU(at(next, q8Numers+128*k+32*h), w)
			r.VPXOR(r.constant(0x80808080), w, w)
			r.VPABSB(w, abs)
			for i := range mr {
				r.VPBROADCASTD(r.row(i, 4*k), x)
				r.VPSIGNB(w, x, x)
				r.VPMADDUBSW(x, abs, x)
				r.VPMADDWD(r.constant(0x00010001), x, x)
				r.VPADDD(x, ints[2*i+h], ints[2*i+h])
			}
		}
	}
	for i := range mr {
		r.VBROADCASTSS(r.row(i, q8Block), w)
		for h := range 2 {
			r.VMULPS(at(next, 32*h), w, abs)
			r.VCVTDQ2PS(ints[2*i+h], ints[2*i+h])
			r.VFMADD231PS(ints[2*i+h], abs, sums[2*i+h])
		}
	}
}
