package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitPack writes what brings matrices into panels.
func emitPack(g *gen) {
	packT(g)
	copyPanel(g)
	halves(g)
}

const packSig = "func(dst *float32, scale float32, src *float32, ld, rows, k int)"

func packDoc(name string) []string {
	return []string{name + " is, for i < 32 and rows <= 32,", "",
		"\tfor p := range k { dst[p*32+i] = i < rows ? scale * src[i*ld+p] : 0 }", "",
		"rows of a matrix become a panel: the operand B of a product with Bᵀ."}
}

// packT transposes squares of s×s in registers, s = 16 (Z) or 8 (Y): s rows of src are s columns
// of the panel.
func packT(g *gen) {
	for _, z := range []bool{true, false} {
		name, side := "PackTY", 8
		if z {
			name, side = "PackTZ", 16
		}
		g.fn(name, packSig, packDoc(name)...)
		t := &transpose{gen: g, z: z, side: side, dst: g.GP64(), src: g.GP64(), left: g.GP64(),
			rows: g.arg("rows"), ld: g.argBytes("ld", 2)}
		col, first := g.GP64(), g.GP64() // byte of the panel's row, place of the first row
		g.XORQ(col, col)
		g.Load(g.Param("src"), first)
		g.Label("strip")
		g.MOVQ(first, t.src)
		g.Load(g.Param("dst"), t.dst)
		g.ADDQ(col, t.dst)
		g.Load(g.Param("k"), t.left)
		g.Label("square")
		g.TESTQ(t.left, t.left)
		g.JLE(to("next"))
		t.square()
		g.ADDQ(Imm(uint64(4*side)), t.src)
		g.ADDQ(U32(uint32(128*side)), t.dst)
		g.SUBQ(Imm(uint64(side)), t.left)
		g.JMP(to("square"))
		g.Label("next")
		for range side {
			g.ADDQ(t.ld, first)
		}
		g.SUBQ(Imm(uint64(side)), t.rows)
		g.ADDQ(Imm(uint64(4*side)), col)
		g.CMPQ(col, U32(128))
		g.JNE(to("strip"))
		g.ret()
	}
}

// transpose is PackT while it is being written.
type transpose struct {
	*gen
	z    bool
	side int

	dst, src, left, rows, ld reg.GPVirtual // left: numbers of each row still to come
}

// square loads up to side rows of up to side numbers and stores their transpose.
func (t *transpose) square() {
	r := make([]reg.VecVirtual, t.side)
	for i := range r {
		r[i] = t.ZMM()
		if !t.z {
			r[i] = t.YMM()
		}
		t.VXORPS(r[i].AsX(), r[i].AsX(), r[i].AsX())
	}
	e := &isa{gen: t.gen, z: t.z}
	n, most := t.GP64(), t.GP64()
	t.MOVQ(t.left, n)
	t.MOVQ(U32(uint32(t.side)), most)
	t.CMPQ(n, most)
	t.CMOVQGT(most, n)
	var load func(m Mem, d reg.VecVirtual)
	if t.z {
		k := e.firstLanes(n).k
		load = func(m Mem, d reg.VecVirtual) { t.VMOVUPS_Z(m, k, d) }
	} else {
		mask := t.YMM()
		t.VMOVD(n.As32(), mask.AsX())
		t.VPBROADCASTD(mask.AsX(), mask)
		t.VPCMPGTD(t.laneIndex(), mask, mask)
		load = func(m Mem, d reg.VecVirtual) { t.VMASKMOVPS(m, mask, d) }
	}
	row := t.GP64()
	t.MOVQ(t.src, row)
	for i := range r {
		t.CMPQ(t.rows, Imm(uint64(i)))
		t.JLE(to("loaded"))
		load(at(row, 0), r[i])
		t.ADDQ(t.ld, row)
	}
	t.Label("loaded")
	var cols []reg.VecVirtual
	if t.z {
		cols = t.transpose16(r)
	} else {
		cols = t.transpose8(r)
	}
	scale := t.paramMem("scale")
	f := t.ZMM()
	if !t.z {
		f = t.YMM()
	}
	t.VBROADCASTSS(scale, f)
	for p, c := range cols {
		if p > 0 {
			t.CMPQ(n, Imm(uint64(p)))
			t.JLE(to("stored"))
		}
		t.VMULPS(f, c, c)
		t.VMOVUPS(c, at(t.dst, 128*p))
	}
	t.Label("stored")
}

// quads makes, of each four rows, four registers whose lanes of 128 bits hold a column each.
func (t *transpose) quads(r []reg.VecVirtual) []reg.VecVirtual {
	vec := t.YMM
	if t.z {
		vec = t.ZMM
	}
	out := make([]reg.VecVirtual, 0, len(r))
	for i := 0; i < len(r); i += 4 {
		lo0, lo1 := vec(), vec()
		t.VUNPCKLPS(r[i+1], r[i], lo0)
		t.VUNPCKHPS(r[i+1], r[i], r[i])
		t.VUNPCKLPS(r[i+3], r[i+2], lo1)
		t.VUNPCKHPS(r[i+3], r[i+2], r[i+2])
		c1, c3 := r[i+1], r[i+3]
		t.VUNPCKHPD(lo1, lo0, c1)
		t.VUNPCKLPD(lo1, lo0, lo0)
		t.VUNPCKHPD(r[i+2], r[i], c3)
		t.VUNPCKLPD(r[i+2], r[i], r[i])
		out = append(out, lo0, c1, r[i], c3)
	}
	return out
}

// transpose8: quad c of rows 0-3 holds columns c and c+4 in its halves.
func (t *transpose) transpose8(r []reg.VecVirtual) []reg.VecVirtual {
	q := t.quads(r)
	cols := make([]reg.VecVirtual, 8)
	for c := range 4 {
		lo, hi := t.YMM(), q[c]
		t.VPERM2F128(Imm(0x20), q[c+4], q[c], lo)
		t.VPERM2F128(Imm(0x31), q[c+4], q[c], hi)
		cols[c], cols[c+4] = lo, hi
	}
	return cols
}

// transpose16: quad c of rows 4g-4g+3 holds columns c, c+4, c+8, c+12 in its quarters.
func (t *transpose) transpose16(r []reg.VecVirtual) []reg.VecVirtual {
	q := t.quads(r)
	cols := make([]reg.VecVirtual, 16)
	const even, odd = 0x88, 0xdd // quarters 0 and 2, or 1 and 3, of both
	for c := range 4 {
		a, b := t.ZMM(), t.ZMM()
		t.VSHUFF32X4(U8(even), q[c+4], q[c], a)
		t.VSHUFF32X4(U8(odd), q[c+4], q[c], q[c])
		t.VSHUFF32X4(U8(even), q[c+12], q[c+8], b)
		t.VSHUFF32X4(U8(odd), q[c+12], q[c+8], q[c+8])
		t.VSHUFF32X4(U8(even), b, a, q[c+4])
		t.VSHUFF32X4(U8(odd), b, a, a)
		t.VSHUFF32X4(U8(even), q[c+8], q[c], q[c+12])
		t.VSHUFF32X4(U8(odd), q[c+8], q[c], q[c])
		cols[c], cols[c+8], cols[c+4], cols[c+12] = q[c+4], a, q[c+12], q[c]
	}
	return cols
}

func copyPanel(g *gen) {
	both(g, "CopyPanel", "func(dst, src *float32, ld, k, cols int)",
		append(loop("for p := range k and i < 32: dst[p*32+i] = i < cols ? src[p*ld+i] : 0"), "",
			"32 columns of a matrix become a panel. 0 <= cols <= 32."),
		func(e *isa) {
			dst, src, k, cols := e.arg("dst"), e.arg("src"), e.arg("k"), e.arg("cols")
			ld := e.argBytes("ld", 2)
			lo := e.firstLanes(cols)
			rest, zero := e.GP64(), e.GP64()
			e.XORQ(zero, zero)
			e.MOVQ(cols, rest)
			e.SUBQ(Imm(16), rest)
			e.CMOVQLT(zero, rest)
			hi := e.firstLanes(rest)
			e.TESTQ(k, k)
			e.JE(to("end"))
			e.Label("row")
			a, b := e.vec(), e.vec()
			e.load(at(src, 0), lo, a)
			e.load(at(src, 64), hi, b)
			e.store(a, at(dst, 0), nil)
			e.store(b, at(dst, 64), nil)
			e.ADDQ(ld, src)
			e.ADDQ(U32(128), dst)
			e.DECQ(k)
			e.JNE(to("row"))
			e.Label("end")
		})
}

// halves converts panels between f32 and 16 bits.
func halves(g *gen) {
	rows := func(e *isa, srcBytes, dstBytes int, body func(src, dst reg.Register)) {
		dst, src, n := e.arg("dst"), e.arg("src"), e.arg("rows")
		e.TESTQ(n, n)
		e.JE(to("end"))
		e.Label("row")
		body(src, dst)
		e.ADDQ(U32(uint32(srcBytes)), src)
		e.ADDQ(U32(uint32(dstBytes)), dst)
		e.DECQ(n)
		e.JNE(to("row"))
		e.Label("end")
	}
	both(g, "WidenF16", "func(dst *float32, src *uint16, rows int)",
		loop("for i := range 32 * rows { dst[i] = float32(src[i]) }"), func(e *isa) {
			rows(e, 64, 128, func(src, dst reg.Register) {
				for h := range 2 {
					v := e.vec()
					for i, r := range v {
						e.VCVTPH2PS(at(src, 32*h+16*i), r)
					}
					e.store(v, at(dst, 64*h), nil)
				}
			})
		})
	both(g, "NarrowF16", "func(dst *uint16, src *float32, rows int)",
		append(loop("for i := range 32 * rows { dst[i] = float16(src[i]) }"), "",
			"Rounds half to even."), func(e *isa) {
			rows(e, 128, 64, func(src, dst reg.Register) {
				for h := range 2 {
					v := e.vec()
					e.load(at(src, 64*h), nil, v)
					for i, r := range v {
						e.VCVTPS2PH(Imm(0), r, at(dst, 32*h+16*i))
					}
				}
			})
		})
	both(g, "WidenBF16", "func(dst *float32, src *uint16, rows int)",
		append(loop("for p < rows and j < 32: dst[32*p+j] = float32(src[32*p+order(j)])"), "",
			"order(j) = 2*j for j < 16, 2*(j-16)+1 above, as in PanelFunc."), func(e *isa) {
			rows(e, 64, 128, func(src, dst reg.Register) {
				lo, hi := e.vec(), e.vec()
				for i := range lo {
					e.splitBF16(at(src, 32*i), e.z, []reg.VecVirtual{lo[i], hi[i]})
				}
				e.store(lo, at(dst, 0), nil)
				e.store(hi, at(dst, 64), nil)
			})
		})
	both(g, "NarrowBF16", "func(dst *uint16, src *float32, rows int)",
		append(loop("for p < rows and j < 32: dst[32*p+order(j)] = bfloat16(src[32*p+j])"), "",
			"The inverse of WidenBF16. Rounds half to even; a NaN stays one."), func(e *isa) {
			e.bits(1, 0x7fff, 0x400000, 0xffff0000)
			rows(e, 128, 64, func(src, dst reg.Register) {
				lo, hi := e.vec(), e.vec()
				e.load(at(src, 0), nil, lo)
				e.load(at(src, 64), nil, hi)
				e.roundBF16(lo)
				e.roundBF16(hi)
				for _, r := range lo {
					e.VPSRLD(Imm(16), r, r)
				}
				e.and(bits(0xffff0000), hi, hi)
				e.op3(e.VORPS, lo, hi, hi)
				e.store(hi, at(dst, 0), nil)
			})
		})
}

// roundBF16 rounds to the upper 16 bits: adds half, and a little less where they are even.
func (e *isa) roundBF16(v vec) {
	const unordered = 3
	t := e.vec()
	for i, r := range v {
		e.VPSRLD(Imm(16), r, t[i])
	}
	e.and(bits(1), t, t)
	e.op3(e.VPADDD, bits(0x7fff), t, t)
	e.op3(e.VPADDD, v, t, t)
	quiet := e.vec()
	e.op3(e.VORPS, bits(0x400000), v, quiet)
	for i, r := range v {
		if e.z {
			k := e.K()
			e.VCMPPS(Imm(unordered), r, r, k)
			e.VMOVAPS(t[i], r)
			e.VMOVAPS(quiet[i], k, r)
			continue
		}
		nan := e.YMM()
		e.VCMPPS(Imm(unordered), r, r, nan)
		e.VBLENDVPS(nan, quiet[i], t[i], r)
	}
}
