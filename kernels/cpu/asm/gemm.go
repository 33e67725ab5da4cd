package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	maxMRZ = 14 // 14×2 accumulators, 2 of b, 2 of a: all 32 registers
	maxMRY = 6  // 6×2 accumulators, 2 of b, 2 of a: all 16 registers
)

func emitGemm(g *gen) { emitTiles(g, false) }

func emitGemm64(g *gen) { emitTiles(g, true) }

func emitTiles(g *gen, double bool) {
	for _, z := range []bool{true, false} {
		most := maxMRY
		if z {
			most = maxMRZ
		}
		for mr := 1; mr <= most; mr++ {
			for _, rows := range []bool{false, true} {
				t := &tile{gen: g, mr: mr, rows: rows, z: z, double: double}
				t.emit()
			}
		}
	}
}

// tile is a GEMM micro-kernel while it is being written: mr rows times the 128 bytes of a row of a
// panel, 32 f32 or 16 f64. Every output is one chain of FMAs in the order of p, whatever mr is, so
// a row's numbers do not depend on the rows that it is computed with.
type tile struct {
	*gen
	mr     int
	rows   bool // a is row-major, otherwise k-major
	z      bool
	double bool
}

func (t *tile) emit() {
	name := "gemm"
	if t.rows {
		name += "Row"
	}
	if t.double {
		name += "64"
	}
	if t.z {
		name = fmt.Sprintf("%sZ%d", name, t.mr)
	} else {
		name = fmt.Sprintf("%sY%d", name, t.mr)
	}
	t.fn(name, t.signature(), t.doc(name)...)
	if t.z {
		t.emitZ()
	} else {
		t.emitY()
	}
	t.ret()
}

func (t *tile) signature() string {
	if t.double {
		return "func(k int, alpha float64, a *float64, lda int, b *float64, ldb int, " +
			"c *float64, ldc int, mask uint32)"
	}
	return "func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, " +
		"acc int, mask uint32)"
}

func (t *tile) doc(name string) []string {
	a := "a[p*lda+i]"
	if t.rows {
		a = "a[i*lda+p]"
	}
	lines := []string{"s := 0, or c[i*ldc+j] if acc != 0",
		"for p := range k { s = fma(" + a + ", b[p*ldb+j], s) }", "c[i*ldc+j] = s"}
	if t.double {
		lines[0], lines[2] = "s := 0", "c[i*ldc+j] = fma(alpha, s, c[i*ldc+j])"
	}
	cols := 128 / t.size()
	doc := []string{fmt.Sprintf("%s is, for i < %d and the columns j < %d whose bit is set in mask,",
		name, t.mr, cols)}
	return append(append(doc, loop(lines...)...), "",
		fmt.Sprintf("b is read for all %d columns whatever the mask.", cols))
}

func (t *tile) size() int {
	if t.double {
		return 8
	}
	return 4
}

// bytes loads a count of elements as bytes.
func (t *tile) bytes(name string) reg.GPVirtual {
	return t.argBytes(name, uint64(t.size()/4+1))
}

func (t *tile) fma(a, b, d Op) {
	if t.double {
		t.VFMADD231PD(a, b, d)
	} else {
		t.VFMADD231PS(a, b, d)
	}
}

func (t *tile) broadcast(m, d Op) {
	if t.double {
		t.VBROADCASTSD(m, d)
	} else {
		t.VBROADCASTSS(m, d)
	}
}

// aRows addresses element p of the rows a[i*lda + p], i < mr.
func (g *gen) aRows(a, lda reg.Register, mr int) func(i, disp int) Mem {
	row := g.rowsFrom(lda, mr)
	return func(i, disp int) Mem { return row(a, i, disp) }
}

// rowsFrom addresses rows behind any base, with odd multiples of lda in registers: row i is
// base + i·lda = base + (odd·lda)·2^s.
func (g *gen) rowsFrom(lda reg.Register, mr int) func(base reg.Register, i, disp int) Mem {
	odd := map[int]reg.Register{1: lda}
	for m := 3; m < mr; m += 2 {
		r := g.GP64()
		g.LEAQ(at2(odd[m-2], lda, 2, 0), r)
		odd[m] = r
	}
	return func(base reg.Register, i, disp int) Mem {
		if i == 0 {
			return at(base, disp)
		}
		scale := uint8(1)
		for i%2 == 0 {
			i, scale = i/2, scale*2
		}
		return at2(base, odd[i], scale, disp)
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

// address gives the place of a(i, p) for step u of a group of steps from p on.
func (t *tile) address(a, lda reg.Register) func(i, u int) Mem {
	if !t.rows {
		return func(i, u int) Mem { return at(a, t.size()*i) }
	}
	row := t.aRows(a, lda, t.mr)
	return func(i, u int) Mem { return row(i, t.size()*u) }
}

// sum is the loop over k: acc[2*i], acc[2*i+1] += a(i,p)·b[p], for two registers of b.
func (t *tile) sum(k, a, lda, b, ldb reg.Register, addr func(i, u int) Mem,
	acc, bv, av []reg.VecVirtual) {
	width := int(bv[0].Size())
	unroll := 4
	if t.mr >= 8 {
		unroll = 2
	}
	step := func(u int) {
		t.VMOVUPS(at(b, 0), bv[0])
		t.VMOVUPS(at(b, width), bv[1])
		if t.mr < 8 { // with more rows the hardware keeps ahead
			t.PREFETCHT0(at2(b, ldb, 8, 0))
			t.PREFETCHT0(at2(b, ldb, 8, 64))
		}
		for i := range t.mr {
			t.broadcast(addr(i, u), av[i%len(av)])
			t.fma(av[i%len(av)], bv[0], acc[2*i])
			t.fma(av[i%len(av)], bv[1], acc[2*i+1])
		}
		t.ADDQ(ldb, b)
		if !t.rows {
			t.ADDQ(lda, a)
		}
	}
	t.kLoop("loop", k, unroll, step, func(n int) {
		if t.rows {
			t.ADDQ(Imm(uint64(t.size()*n)), a)
		}
	})
}

// eachRow calls f for every row of c, which is consumed.
func (t *tile) eachRow(c, ldc reg.Register, f func(i int)) {
	for i := range t.mr {
		f(i)
		if i+1 < t.mr {
			t.ADDQ(ldc, c)
		}
	}
}

func (t *tile) emitZ() {
	k, a, b := t.arg("k"), t.arg("a"), t.arg("b")
	lda, ldb := t.bytes("lda"), t.bytes("ldb")
	m := t.Load(t.Param("mask"), t.GP32())
	lo, hi := t.K(), t.K()
	t.KMOVD(m, lo)
	t.KSHIFTRD(Imm(uint64(64/t.size())), lo, hi)

	acc := t.zmms(2 * t.mr)
	for _, r := range acc {
		t.VPXORD(r, r, r)
	}
	t.initZ(acc, lo, hi)
	t.sum(k, a, lda, b, ldb, t.address(a, lda), acc, t.zmms(2), t.zmms(min(2, t.mr)))

	c, ldc := t.arg("c"), t.bytes("ldc")
	if !t.double {
		t.eachRow(c, ldc, func(i int) {
			t.VMOVUPS(acc[2*i], lo, at(c, 0))
			t.VMOVUPS(acc[2*i+1], hi, at(c, 64))
		})
		return
	}
	alpha, v := t.ZMM(), t.zmms(2)
	t.VBROADCASTSD(t.paramMem("alpha"), alpha)
	t.eachRow(c, ldc, func(i int) {
		for h, k := range []reg.Register{lo, hi} {
			t.VMOVUPD_Z(at(c, 64*h), k, v[h])
			t.VFMADD231PD(alpha, acc[2*i+h], v[h])
			t.VMOVUPD(v[h], k, at(c, 64*h))
		}
	})
}

// initZ loads the sums from c if acc != 0; otherwise it touches c so that it is near at the end.
func (t *tile) initZ(acc []reg.VecVirtual, lo, hi reg.Register) {
	c, ldc := t.arg("c"), t.bytes("ldc")
	if !t.double {
		flag := t.arg("acc")
		t.TESTQ(flag, flag)
		t.JE(to("fresh"))
		t.eachRow(c, ldc, func(i int) {
			t.VMOVUPS_Z(at(c, 0), lo, acc[2*i])
			t.VMOVUPS_Z(at(c, 64), hi, acc[2*i+1])
		})
		t.JMP(to("start"))
		t.Label("fresh")
	}
	t.eachRow(c, ldc, func(i int) {
		t.PREFETCHT0(at(c, 0))
		t.PREFETCHT0(at(c, 64))
	})
	t.Label("start")
}

// emitY does the first 64 bytes of each row of the panel, then the second.
func (t *tile) emitY() {
	lda, ldb := t.bytes("lda"), t.bytes("ldb")
	half, mask := t.GP64(), t.GP32()
	t.XORQ(half, half)
	t.Load(t.Param("mask"), mask)
	a := t.GP64()
	addr := t.address(a, lda)

	t.Label("half")
	k, b := t.arg("k"), t.arg("b")
	t.Load(t.Param("a"), a)
	t.ADDQ(half, b)
	acc := t.ymms(2 * t.mr)
	for _, r := range acc {
		t.VXORPS(r, r, r)
	}
	if !t.double {
		t.initY(acc, half, mask)
	}
	t.sum(k, a, lda, b, ldb, addr, acc, t.ymms(2), t.ymms(min(2, t.mr)))
	t.storeY(acc, half, mask)

	t.SHRL(Imm(uint64(64/t.size())), mask)
	t.JE(to("end"))
	t.ADDQ(Imm(64), half)
	t.JMP(to("half"))
	t.Label("end")
}

// lanes turns the lowest 8+8 (f32) or 4+4 (f64) bits of mask into vector masks.
func (g *gen) lanes(mask reg.Register, double bool) (lo, hi reg.VecVirtual) {
	lo, hi = g.YMM(), g.YMM()
	t := g.GP32()
	g.MOVL(mask, t)
	g.VMOVD(t, lo.AsX())
	if double {
		g.SHRL(Imm(4), t)
	} else {
		g.SHRL(Imm(8), t)
	}
	g.VMOVD(t, hi.AsX())
	for _, v := range []reg.VecVirtual{lo, hi} {
		if double {
			g.VPBROADCASTQ(v.AsX(), v)
			g.VPAND(g.laneBits64(), v, v)
			g.VPCMPEQQ(g.laneBits64(), v, v)
			continue
		}
		g.VPBROADCASTD(v.AsX(), v)
		g.VPAND(g.laneBits(), v, v)
		g.VPCMPEQD(g.laneBits(), v, v)
	}
	return lo, hi
}

func (t *tile) initY(acc []reg.VecVirtual, half, mask reg.Register) {
	flag := t.arg("acc")
	t.TESTQ(flag, flag)
	t.JE(to("start"))
	lo, hi := t.lanes(mask, t.double)
	c, ldc := t.arg("c"), t.bytes("ldc")
	t.ADDQ(half, c)
	t.eachRow(c, ldc, func(i int) {
		t.VMASKMOVPS(at(c, 0), lo, acc[2*i])
		t.VMASKMOVPS(at(c, 32), hi, acc[2*i+1])
	})
	t.Label("start")
}

// storeY writes one half. Masked stores are slow on older AMD cores, so a full half is plain.
func (t *tile) storeY(acc []reg.VecVirtual, half, mask reg.Register) {
	c, ldc := t.arg("c"), t.bytes("ldc")
	t.ADDQ(half, c)
	all := U32(1<<(64/t.size()) - 1)
	full := t.GP32()
	t.MOVL(mask, full)
	t.ANDL(all, full)
	t.CMPL(full, all)
	t.JNE(to("edge"))
	t.scaleY(nil, func(i, h int, v reg.VecVirtual) {
		t.VMOVUPS(v, at(c, 32*h))
	}, acc, c, ldc)
	t.JMP(to("stored"))
	t.Label("edge")
	lo, hi := t.lanes(mask, t.double)
	masks := []reg.VecVirtual{lo, hi}
	t.scaleY(masks, func(i, h int, v reg.VecVirtual) {
		if t.double {
			t.VMASKMOVPD(v, masks[h], at(c, 32*h))
		} else {
			t.VMASKMOVPS(v, masks[h], at(c, 32*h))
		}
	}, acc, c, ldc)
	t.Label("stored")
}

// scaleY gives store the sums of f32; for f64, c + alpha·sum, reading c under the masks, if any.
func (t *tile) scaleY(masks []reg.VecVirtual, store func(i, h int, v reg.VecVirtual),
	acc []reg.VecVirtual, c, ldc reg.Register) {
	var v reg.VecVirtual
	t.eachRow(c, ldc, func(i int) {
		for h := range 2 {
			v = acc[2*i+h]
			if t.double {
				f := t.YMM()
				t.VBROADCASTSD(t.paramMem("alpha"), f)
				if masks == nil {
					t.VFMADD213PD(at(c, 32*h), f, v)
				} else {
					old := t.YMM()
					t.VMASKMOVPD(at(c, 32*h), masks[h], old)
					t.VFMADD213PD(old, f, v)
				}
			}
			store(i, h, v)
		}
	})
}
