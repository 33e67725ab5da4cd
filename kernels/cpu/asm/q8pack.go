package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quantize turns a row of x into the blocks that the q8 kernels read.
func quantize(g *gen) {
	both(g, "Quantize", "func(dst *byte, x *float32, blocks int)",
		append(loop(
			"for b := range blocks {",
			"\tmost := max |x[32*b+p]| over p < 32",
			"\tq[p] = round half to even(x[32*b+p] * (127/most)), or 0 if most < 2^-119",
			"\tdst[40*b:] = q [32]int8, float32(most/127 or 0), int32(-128*Σ q)",
			"}"), "", "A NaN in a block makes its scale NaN."),
		func(e *isa) {
			dst, x, n := e.arg("dst"), e.arg("x"), e.arg("blocks")
			e.bits(absMask, bitsOf(127), leastMax)
			e.TESTQ(n, n)
			e.JE(to("end"))
			e.Label("block")
			a, b, most := e.vec(), e.vec(), e.vec()
			e.load(at(x, 0), nil, a)
			e.load(at(x, 64), nil, b)
			e.and(absMask, a, most)
			t := e.vec()
			e.and(absMask, b, t)
			e.op3(e.VPMAXSD, t, most, most)
			m := e.fold(e.VPMAXSD, []vec{most}).AsX()
			// scale and factor, both 0 if most is next to nothing
			scale, factor, keep := e.XMM(), e.XMM(), e.XMM()
			e.VMOVD(e.constant(leastMax), keep)
			e.VPCMPGTD(keep, m, keep)
			e.VMOVSS(e.constant(bitsOf(127)), factor)
			e.VDIVSS(factor, m, scale)
			e.VDIVSS(m, factor, factor)
			e.VPAND(keep, scale, scale)
			e.VPAND(keep, factor, factor)
			e.VMOVSS(scale, at(dst, q8Block))
			f := e.one()
			e.VBROADCASTSS(factor, f[0])
			for _, v := range []vec{a, b} {
				e.mul(f, v, v)
				e.toInt(v)
			}
			e.storeBytes(a, b, dst)
			e.op3(e.VPADDD, a, b, b)
			sum, zero := e.fold(e.VPADDD, []vec{b}).AsX(), e.XMM()
			e.VPSLLD(Imm(7), sum, sum)
			e.VPXOR(zero, zero, zero)
			e.VPSUBD(sum, zero, sum)
			e.VMOVD(sum, at(dst, q8Block+4))
			e.ADDQ(Imm(4*q8Block), x)
			e.ADDQ(Imm(q8Input), dst)
			e.DECQ(n)
			e.JNE(to("block"))
			e.Label("end")
		})
}

const (
	absMask  = bits(0x7fffffff)
	leastMax = bits(8 << 23) // 2^-119
)

func (e *isa) and(a any, b, d vec) { e.op3(e.VANDPS, a, b, d) }

// toInt rounds half to even.
func (e *isa) toInt(v vec) {
	for _, r := range v {
		e.VCVTPS2DQ(r, r)
	}
}

// storeBytes writes the 32 integers of a and b as int8.
func (e *isa) storeBytes(a, b vec, dst reg.Register) {
	if e.z {
		e.VPMOVSDB(a[0], at(dst, 0))
		e.VPMOVSDB(b[0], at(dst, 16))
		return
	}
	lo, hi, order := e.YMM(), e.YMM(), e.YMM()
	e.VPACKSSDW(a[1], a[0], lo) // a0 a2 | a1 a3 in quarters of 4
	e.VPACKSSDW(b[1], b[0], hi)
	e.VPACKSSWB(hi, lo, lo)
	e.VMOVDQU(e.table("unpackOrder", 0, 4, 1, 5, 2, 6, 3, 7), order)
	e.VPERMD(lo, order, lo)
	e.VMOVDQU(lo, at(dst, 0))
}

// packQ8 rounds a panel of f32 to Q8 as compute.Device.Pack says.
func packQ8(g *gen) {
	both(g, "PackQ8", "func(dst *byte, src *float32, blocks int)",
		append(loop(
			"for b < blocks and j < 32, with w[p] = src[(32*b+p)*32+j] for p < 32:",
			"\tscale(b, j) = max |w[p]| / 127",
			"\tq(b, p, j) = round half to even(w[p] / scale(b, j)), or 0"),
			"", "dst is a panel as Q8Func reads it."),
		func(e *isa) {
			dst, src, n := e.arg("dst"), e.arg("src"), e.arg("blocks")
			e.bits(absMask, bitsOf(127), bitsOf(1), 0, 127, minus127, 128)
			e.TESTQ(n, n)
			e.JE(to("end"))
			e.Label("block")
			half, from := e.GP64(), e.GP64()
			e.MOVQ(U32(2), half)
			e.Label("half")
			e.packHalf(dst, src, from)
			e.ADDQ(Imm(64), src)
			e.ADDQ(Imm(64), dst)
			e.DECQ(half)
			e.JNE(to("half"))
			e.ADDQ(U32(32*128-128), src)
			e.ADDQ(U32(q8Panel-128), dst)
			e.DECQ(n)
			e.JNE(to("block"))
			e.Label("end")
		})
}

const minus127 = bits(0xffffff81)

// packHalf writes the scales and numbers of 16 columns of a block.
func (e *isa) packHalf(dst, src, from reg.Register) {
	most, v, count := e.vec(), e.vec(), e.GP64()
	e.zero(most)
	e.MOVQ(src, from)
	e.MOVQ(U32(q8Block), count)
	e.Label("most")
	e.load(at(from, 0), nil, v)
	e.and(absMask, v, v)
	e.op3(e.VPMAXSD, v, most, most)
	e.ADDQ(Imm(128), from)
	e.DECQ(count)
	e.JNE(to("most"))
	d := e.vec()
	for i := range d {
		t := e.inRegister(127)
		e.VDIVPS(t[0], most[i], d[i])
	}
	e.store(d, at(dst, 0), nil)
	e.oneForZero(d)
	e.MOVQ(src, from)
	to4, word := e.GP64(), e.vec()
	e.LEAQ(at(dst, q8Numers), to4)
	e.MOVQ(U32(q8Block/4), count)
	e.Label("four")
	for p := range 4 {
		e.load(at(from, 128*p), nil, v)
		e.divR(d, v, v)
		e.toInt(v)
		e.op3(e.VPMINSD, bits(127), v, v)
		e.op3(e.VPMAXSD, minus127, v, v)
		e.op3(e.VPADDD, bits(128), v, v)
		if p == 0 {
			for i := range v {
				e.VMOVAPS(v[i], word[i])
			}
			continue
		}
		for i := range v {
			e.VPSLLD(Imm(uint64(8*p)), v[i], v[i])
			e.VPADDD(v[i], word[i], word[i])
		}
	}
	e.store(word, at(to4, 0), nil)
	e.ADDQ(U32(4*128), from)
	e.ADDQ(U32(128), to4)
	e.DECQ(count)
	e.JNE(to("four"))
}

// oneForZero replaces 0 by 1.
func (e *isa) oneForZero(d vec) {
	const equal = 0
	if e.z {
		k := e.K()
		e.VCMPPS(Imm(equal), e.consts[0], d[0], k)
		e.VMOVAPS(e.consts[bitsOf(1)], k, d[0])
		return
	}
	for _, r := range d {
		t := e.YMM()
		e.VCMPPS(Imm(equal), e.constant(0), r, t)
		e.VANDPS(e.constant(bitsOf(1)), t, t)
		e.VORPS(t, r, r)
	}
}

// widenQ8 is the inverse.
func widenQ8(g *gen) {
	both(g, "WidenQ8", "func(dst *float32, w *byte, blocks int)",
		append(loop("for b < blocks, p < 32 and j < 32:",
			"\tdst[(32*b+p)*32+j] = scale(b, j) * q(b, p, j)"),
			"", "w is a panel as Q8Func reads it."),
		func(e *isa) {
			dst, w, n := e.arg("dst"), e.arg("w"), e.arg("blocks")
			e.bits(0xff, 128)
			e.TESTQ(n, n)
			e.JE(to("end"))
			e.Label("block")
			s0, s1, count := e.vec(), e.vec(), e.GP64()
			e.load(at(w, 0), nil, s0)
			e.load(at(w, 64), nil, s1)
			e.ADDQ(U32(q8Numers), w)
			e.MOVQ(U32(q8Block/4), count)
			e.Label("four")
			for h, s := range []vec{s0, s1} {
				word := e.vec()
				e.load(at(w, 64*h), nil, word)
				for p := range 4 {
					v := e.vec()
					for i := range v {
						e.VPSRLD(Imm(uint64(8*p)), word[i], v[i])
					}
					e.and(bits(0xff), v, v)
					e.op3(e.VPSUBD, bits(128), v, v)
					for _, r := range v {
						e.VCVTDQ2PS(r, r)
					}
					e.mul(s, v, v)
					e.store(v, at(dst, 128*p+64*h), nil)
				}
			}
			e.ADDQ(U32(128), w)
			e.ADDQ(U32(4*128), dst)
			e.DECQ(count)
			e.JNE(to("four"))
			e.DECQ(n)
			e.JNE(to("block"))
			e.Label("end")
		})
}
