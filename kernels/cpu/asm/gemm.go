package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemmSig is shared by all f32 GEMM micro-kernels, so that a caller can hold them in one table.
const gemmSig = "func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, " +
	"acc int, mask uint32)"

const (
	maxMRZ = 14 // 14×2 accumulators, 2 of b, 2 of a: all 32 registers
	maxMRY = 6  // 6×2 accumulators, 2 of b, 2 of a: all 16 registers
)

func emitGemm(g *gen) {
	for mr := 1; mr <= maxMRZ; mr++ {
		gemmZ(g, mr, false)
		gemmZ(g, mr, true)
	}
	for mr := 1; mr <= maxMRY; mr++ {
		gemmY(g, mr, false)
		gemmY(g, mr, true)
	}
}

func gemmDoc(name string, mr int, rows bool) []string {
	a := "a[p*lda+i]"
	if rows {
		a = "a[i*lda+p]"
	}
	return []string{
		fmt.Sprintf("%s is, for i < %d and the columns j < 32 whose bit is set in mask,", name, mr),
		"",
		"\ts := 0, or c[i*ldc+j] if acc != 0",
		"\tfor p := range k { s = fma(" + a + ", b[p*ldb+j], s) }",
		"\tc[i*ldc+j] = s",
		"",
		"b is read for all 32 columns whatever the mask.",
	}
}

// aRows addresses element p of the rows a[i*lda + p], i < mr, with odd multiples of lda in
// registers: row i is base + i·lda = base + (odd·lda)·2^s.
func (g *gen) aRows(a, lda reg.Register, mr int) func(i, disp int) Mem {
	odd := map[int]reg.Register{1: lda}
	for m := 3; m < mr; m += 2 {
		r := g.GP64()
		g.LEAQ(at2(odd[m-2], lda, 2, 0), r)
		odd[m] = r
	}
	return func(i, disp int) Mem {
		if i == 0 {
			return at(a, disp)
		}
		scale := uint8(1)
		for i%2 == 0 {
			i, scale = i/2, scale*2
		}
		return at2(a, odd[i], scale, disp)
	}
}

// kLoop runs step k times, unroll at a time, with advance after each unrolled group.
// k is consumed; step(u) is step u of a group, advance(n) moves on by n steps.
func (g *gen) kLoop(name string, k reg.Register, unroll int, step func(u int), advance func(n int)) {
	g.SUBQ(Imm(uint64(unroll)), k)
	g.JLT(to(name + "Rest"))
	g.Label(name)
	for u := range unroll {
		step(u)
	}
	advance(unroll)
	g.SUBQ(Imm(uint64(unroll)), k)
	g.JGE(to(name))
	g.Label(name + "Rest")
	g.ADDQ(Imm(uint64(unroll)), k)
	g.JE(to(name + "Done"))
	g.Label(name + "One")
	step(0)
	advance(1)
	g.DECQ(k)
	g.JNE(to(name + "One"))
	g.Label(name + "Done")
}

// gemmZ emits the mr×32 AVX-512 micro-kernel. Every output is one chain of FMAs in the order of
// p, whatever mr is, so a row's numbers do not depend on the rows it is computed with.
func gemmZ(g *gen, mr int, rows bool) {
	name := fmt.Sprintf("gemmZ%d", mr)
	if rows {
		name = fmt.Sprintf("gemmRowZ%d", mr)
	}
	g.fn(name, gemmSig, gemmDoc(name, mr, rows)...)
	k, a, b := g.arg("k"), g.arg("a"), g.arg("b")
	lda, ldb := g.argBytes("lda", 2), g.argBytes("ldb", 2)

	lo, hi := g.storeMasks()
	acc := g.zmms(2 * mr)
	for _, r := range acc {
		g.VPXORD(r, r, r)
	}
	g.initC(acc, mr, lo, hi)

	addr := func(i, disp int) Mem { return at(a, 4*i) }
	if rows {
		addr = g.aRows(a, lda, mr)
	}
	bv, av := g.zmms(2), g.zmms(2)
	step := func(u int) {
		g.VMOVUPS(at(b, 0), bv[0])
		g.VMOVUPS(at(b, 64), bv[1])
		if mr < 8 { // with more rows the hardware keeps ahead
			g.PREFETCHT0(at2(b, ldb, 8, 0))
			g.PREFETCHT0(at2(b, ldb, 8, 64))
		}
		for i := range mr {
			g.VBROADCASTSS(addr(i, 4*u), av[i%2])
			g.VFMADD231PS(av[i%2], bv[0], acc[2*i])
			g.VFMADD231PS(av[i%2], bv[1], acc[2*i+1])
		}
		g.ADDQ(ldb, b)
		if !rows {
			g.ADDQ(lda, a)
		}
	}
	unroll := 4
	if mr >= 8 {
		unroll = 2
	}
	g.kLoop("loop", k, unroll, step, func(n int) {
		if rows {
			g.ADDQ(Imm(uint64(4*n)), a)
		}
	})

	c, ldc := g.arg("c"), g.argBytes("ldc", 2)
	for i := range mr {
		g.VMOVUPS(acc[2*i], lo, at(c, 0))
		g.VMOVUPS(acc[2*i+1], hi, at(c, 64))
		if i+1 < mr {
			g.ADDQ(ldc, c)
		}
	}
	g.ret()
}

// storeMasks splits mask into the predicates of columns 0-15 and 16-31.
func (g *gen) storeMasks() (lo, hi reg.Register) {
	m := g.Load(g.Param("mask"), g.GP32())
	lo, hi = g.K(), g.K()
	g.KMOVD(m, lo)
	g.KSHIFTRD(Imm(16), lo, hi)
	return lo, hi
}

// initC loads the accumulators from c if acc != 0, else touches c so that it is near when stored.
func (g *gen) initC(acc []reg.VecVirtual, mr int, lo, hi reg.Register) {
	c, ldc, flag := g.arg("c"), g.argBytes("ldc", 2), g.arg("acc")
	g.TESTQ(flag, flag)
	g.JE(to("fresh"))
	for i := range mr {
		g.VMOVUPS_Z(at(c, 0), lo, acc[2*i])
		g.VMOVUPS_Z(at(c, 64), hi, acc[2*i+1])
		if i+1 < mr {
			g.ADDQ(ldc, c)
		}
	}
	g.JMP(to("start"))
	g.Label("fresh")
	for i := range mr {
		g.PREFETCHT0(at(c, 0))
		g.PREFETCHT0(at(c, 64))
		if i+1 < mr {
			g.ADDQ(ldc, c)
		}
	}
	g.Label("start")
}

// gemmY emits the mr×32 AVX2 micro-kernel: columns 0-15, then 16-31 of the same panel.
func gemmY(g *gen, mr int, rows bool) {
	name := fmt.Sprintf("gemmY%d", mr)
	if rows {
		name = fmt.Sprintf("gemmRowY%d", mr)
	}
	g.fn(name, gemmSig, gemmDoc(name, mr, rows)...)
	lda, ldb := g.argBytes("lda", 2), g.argBytes("ldb", 2)
	half, mask := g.GP64(), g.GP32()
	g.XORQ(half, half)
	g.Load(g.Param("mask"), mask)
	a := g.GP64()
	addr := func(i, disp int) Mem { return at(a, 4*i) }
	if rows {
		addr = g.aRows(a, lda, mr)
	}

	g.Label("half")
	k, b, c, ldc := g.arg("k"), g.arg("b"), g.arg("c"), g.argBytes("ldc", 2)
	g.Load(g.Param("a"), a)
	g.ADDQ(half, b)
	g.ADDQ(half, c)
	acc := g.ymms(2 * mr)
	for _, r := range acc {
		g.VXORPS(r, r, r)
	}
	g.initCY(acc, mr, c, ldc, mask)

	bv, av := g.ymms(2), g.ymms(min(2, mr))
	step := func(u int) {
		g.VMOVUPS(at(b, 0), bv[0])
		g.VMOVUPS(at(b, 32), bv[1])
		g.PREFETCHT0(at2(b, ldb, 8, 0))
		for i := range mr {
			t := av[i%len(av)]
			g.VBROADCASTSS(addr(i, 4*u), t)
			g.VFMADD231PS(t, bv[0], acc[2*i])
			g.VFMADD231PS(t, bv[1], acc[2*i+1])
		}
		g.ADDQ(ldb, b)
		if !rows {
			g.ADDQ(lda, a)
		}
	}
	g.kLoop("loop", k, 4, step, func(n int) {
		if rows {
			g.ADDQ(Imm(uint64(4*n)), a)
		}
	})
	g.storeCY(acc, mr, half, mask)

	g.SHRL(Imm(16), mask)
	g.JE(to("end"))
	g.ADDQ(Imm(64), half)
	g.JMP(to("half"))
	g.Label("end")
	g.ret()
}

// lanes turns bits 0-7 and 8-15 of mask into vector masks.
func (g *gen) lanes(mask reg.Register) (lo, hi reg.VecVirtual) {
	bits := g.YMM()
	lo, hi = g.YMM(), g.YMM()
	g.VMOVDQU(g.laneBits(), bits)
	t := g.GP32()
	g.MOVL(mask, t)
	g.VMOVD(t, lo.AsX())
	g.SHRL(Imm(8), t)
	g.VMOVD(t, hi.AsX())
	for _, v := range []reg.VecVirtual{lo, hi} {
		g.VPBROADCASTD(v.AsX(), v)
		g.VPAND(bits, v, v)
		g.VPCMPEQD(bits, v, v)
	}
	return lo, hi
}

// initCY is initC for 16 columns; c is consumed.
func (g *gen) initCY(acc []reg.VecVirtual, mr int, c, ldc, mask reg.Register) {
	flag := g.arg("acc")
	g.TESTQ(flag, flag)
	g.JE(to("start"))
	lo, hi := g.lanes(mask)
	for i := range mr {
		g.VMASKMOVPS(at(c, 0), lo, acc[2*i])
		g.VMASKMOVPS(at(c, 32), hi, acc[2*i+1])
		if i+1 < mr {
			g.ADDQ(ldc, c)
		}
	}
	g.Label("start")
}

// storeCY writes 16 columns. Masked stores are slow on older AMD cores, so a full half is plain.
func (g *gen) storeCY(acc []reg.VecVirtual, mr int, half, mask reg.Register) {
	c, ldc := g.arg("c"), g.argBytes("ldc", 2)
	g.ADDQ(half, c)
	full := g.GP32()
	g.MOVL(mask, full)
	g.ANDL(U32(0xffff), full)
	g.CMPL(full, U32(0xffff))
	g.JNE(to("edge"))
	for i := range mr {
		g.VMOVUPS(acc[2*i], at(c, 0))
		g.VMOVUPS(acc[2*i+1], at(c, 32))
		if i+1 < mr {
			g.ADDQ(ldc, c)
		}
	}
	g.JMP(to("stored"))
	g.Label("edge")
	lo, hi := g.lanes(mask)
	for i := range mr {
		g.VMASKMOVPS(acc[2*i], lo, at(c, 0))
		g.VMASKMOVPS(acc[2*i+1], hi, at(c, 32))
		if i+1 < mr {
			g.ADDQ(ldc, c)
		}
	}
	g.Label("stored")
}
