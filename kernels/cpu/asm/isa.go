package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa writes one kernel for either instruction set in terms of vectors of 64 bytes, 16 f32 or 8
// f64: one ZMM register (Z), or two YMM registers (Y). Both forms do the same arithmetic in the
// same order, so both give the same bits.
type isa struct {
	*gen
	z      bool
	double bool
	consts map[bits]reg.VecVirtual // constants that Z keeps in registers
}

// vec is 64 bytes: one register, or two.
type vec []reg.VecVirtual

// predicate selects lanes of a vec; nil means all.
type predicate struct {
	k reg.Register // Z
	v vec          // Y
}

// both emits a kernel in its two forms; the name of each ends in its letter.
func both(g *gen, name, signature string, doc []string, body func(e *isa)) {
	inBoth(g, name, signature, doc, false, body)
}

// both64 is both for f64.
func both64(g *gen, name, signature string, doc []string, body func(e *isa)) {
	inBoth(g, name, signature, doc, true, body)
}

func inBoth(g *gen, name, signature string, doc []string, double bool, body func(e *isa)) {
	for _, z := range []bool{true, false} {
		suffix := "Y"
		if z {
			suffix = "Z"
		}
		g.fn(name+suffix, signature, append([]string{name + suffix + " is"}, doc...)...)
		body(&isa{gen: g, z: z, double: double, consts: map[bits]reg.VecVirtual{}})
		g.ret()
	}
}

func (e *isa) vec() vec {
	if e.z {
		return vec{e.ZMM()}
	}
	return vec{e.YMM(), e.YMM()}
}

func (e *isa) vecs(n int) []vec {
	r := make([]vec, n)
	for i := range r {
		r[i] = e.vec()
	}
	return r
}

// one is a vector whose lanes are all alike: both halves are the same register.
func (e *isa) one() vec {
	if e.z {
		return vec{e.ZMM()}
	}
	r := e.YMM()
	return vec{r, r}
}

func (e *isa) zero(v vec) {
	for _, r := range v {
		e.VXORPS(r.AsX(), r.AsX(), r.AsX()) // clears the whole register, in any register file
	}
}

// splat broadcasts the number at m.
func (e *isa) splat(m Mem) vec {
	v := e.one()
	if e.double {
		e.VBROADCASTSD(m, v[0])
	} else {
		e.VBROADCASTSS(m, v[0])
	}
	return v
}

// splatArg broadcasts a parameter.
func (e *isa) splatArg(name string) vec {
	return e.splat(e.paramMem(name))
}

// lazyArg broadcasts a parameter once (Z) or at each use (Y, which has few registers).
func (e *isa) lazyArg(name string) func() vec {
	if !e.z {
		return func() vec { return e.splatArg(name) }
	}
	v := e.splatArg(name)
	return func() vec { return v }
}

// bits is a 32-bit constant, alike in all lanes.
type bits uint32

func bitsOf(x float32) bits { return bits(math.Float32bits(x)) }

// table defines read-only data once per file and gives its address.
func (g *gen) table(name string, words ...bits) Mem {
	if g.tables == nil {
		g.tables = map[string]bool{}
	}
	if !g.tables[name] {
		g.tables[name] = true
		g.StaticGlobal(name)
		g.DataAttributes(attr.RODATA | attr.NOPTR)
		for i, w := range words {
			g.AddDatum(4*i, U32(w))
		}
	}
	return NewDataAddr(Symbol{Name: name, Static: true}, 0)
}

// constant is the address of x, eight times over.
func (g *gen) constant(x bits) Mem {
	return g.table(fmt.Sprintf("x8_%08x", uint32(x)), x, x, x, x, x, x, x, x)
}

// laneIndex is {0, 1, ... 15}.
func (g *gen) laneIndex() Mem {
	return g.table("laneIndex", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}

// laneIndex64 is {0, 1, ... 7} in lanes of 64 bits.
func (g *gen) laneIndex64() Mem {
	return g.table("laneIndex64", 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0)
}

// laneBits is {1, 2, 4, ... 128}: bit j selects lane j.
func (g *gen) laneBits() Mem {
	return g.table("laneBits", 1, 2, 4, 8, 16, 32, 64, 128)
}

// laneBits64 is the same for lanes of 64 bits.
func (g *gen) laneBits64() Mem {
	return g.table("laneBits64", 1, 0, 2, 0, 4, 0, 8, 0)
}

// constants loads constants before a loop: Z has registers for them, Y reads them from memory.
func (e *isa) constants(xs ...float32) {
	for _, x := range xs {
		e.bits(bitsOf(x))
	}
}

func (e *isa) bits(us ...bits) {
	for _, u := range us {
		if _, ok := e.consts[u]; ok || !e.z {
			continue
		}
		r := e.ZMM()
		e.VBROADCASTSS(e.constant(u), r)
		e.consts[u] = r
	}
}

// part is the operand of half i: a register of a vec, memory, or a constant (float32, bits).
func (e *isa) part(x any, i int) Op {
	switch x := x.(type) {
	case vec:
		return x[i]
	case Mem:
		x.Disp += 32 * i
		return x
	case float32:
		return e.part(bitsOf(x), i)
	case bits:
		if !e.z {
			return e.constant(x)
		}
		r, ok := e.consts[x]
		if !ok {
			panic(fmt.Sprintf("constant %x was not loaded", x))
		}
		return r
	}
	panic("operand")
}

// op3 emits d = b op a, in Go's operand order op(a, b, d), for both halves.
func (e *isa) op3(op func(...Op), a any, b, d vec) {
	for i := range d {
		op(e.part(a, i), b[i], d[i])
	}
}

// either chooses by the size of the numbers.
func (e *isa) either(single, double func(...Op)) func(...Op) {
	if e.double {
		return double
	}
	return single
}

func (e *isa) plus() func(...Op) { return e.either(e.VADDPS, e.VADDPD) }

// lanes is how many numbers a vec holds.
func (e *isa) lanes() int {
	if e.double {
		return 8
	}
	return 16
}

// The last argument is written; the first may be memory or a constant. An R at the end of a name
// reminds of the order: d = b − a, b / a; max and min give a if either is NaN.
func (e *isa) add(a any, b, d vec)  { e.op3(e.plus(), a, b, d) }
func (e *isa) mul(a any, b, d vec)  { e.op3(e.either(e.VMULPS, e.VMULPD), a, b, d) }
func (e *isa) subR(a any, b, d vec) { e.op3(e.VSUBPS, a, b, d) }
func (e *isa) divR(a any, b, d vec) { e.op3(e.VDIVPS, a, b, d) }
func (e *isa) maxR(a any, b, d vec) { e.op3(e.VMAXPS, a, b, d) }
func (e *isa) minR(a any, b, d vec) { e.op3(e.VMINPS, a, b, d) }

// fma: d += a·b    fnma: d −= a·b    fma213: d = d·b + a
func (e *isa) fma(a any, b, d vec) {
	e.op3(e.either(e.VFMADD231PS, e.VFMADD231PD), a, b, d)
}
func (e *isa) fnma(a any, b, d vec)   { e.op3(e.VFNMADD231PS, a, b, d) }
func (e *isa) fma213(a any, b, d vec) { e.op3(e.VFMADD213PS, a, b, d) }

// load reads a vec, lanes outside of the predicate as 0.
func (e *isa) load(m Mem, p *predicate, v vec) {
	for i, r := range v {
		switch {
		case p == nil:
			e.VMOVUPS(e.part(m, i), r)
		case e.z:
			if e.double {
				e.VMOVUPD_Z(m, p.k, r)
			} else {
				e.VMOVUPS_Z(m, p.k, r)
			}
		case e.double:
			e.VMASKMOVPD(e.part(m, i), p.v[i], r)
		default:
			e.VMASKMOVPS(e.part(m, i), p.v[i], r)
		}
	}
}

// store writes the lanes of the predicate.
func (e *isa) store(v vec, m Mem, p *predicate) {
	for i, r := range v {
		switch {
		case p == nil:
			e.VMOVUPS(r, e.part(m, i))
		case e.z:
			e.either(e.VMOVUPS, e.VMOVUPD)(r, p.k, m)
		case e.double:
			e.VMASKMOVPD(r, p.v[i], e.part(m, i))
		default:
			e.VMASKMOVPS(r, p.v[i], e.part(m, i))
		}
	}
}

// firstLanes is the predicate of the lanes below n (0 < n < 256).
func (e *isa) firstLanes(n reg.Register) *predicate {
	if e.z {
		t, k := e.GP32(), e.K()
		e.MOVL(U32(0xffffffff), t)
		e.BZHIL(n.(reg.GPVirtual).As32(), t, t)
		e.KMOVW(t, k)
		return &predicate{k: k}
	}
	v := e.vec()
	e.VMOVD(n.(reg.GPVirtual).As32(), v[0].AsX())
	if e.double {
		e.VPBROADCASTQ(v[0].AsX(), v[0])
		e.VPCMPGTQ(e.part(e.laneIndex64(), 1), v[0], v[1])
		e.VPCMPGTQ(e.part(e.laneIndex64(), 0), v[0], v[0])
		return &predicate{v: v}
	}
	e.VPBROADCASTD(v[0].AsX(), v[0])
	lanes := e.laneIndex()
	e.VPCMPGTD(e.part(lanes, 1), v[0], v[1])
	e.VPCMPGTD(e.part(lanes, 0), v[0], v[0])
	return &predicate{v: v}
}

// sweep walks n numbers behind ptrs: groups of unroll vectors while they are whole, then single
// vectors with a predicate. body handles the vector at disp bytes; slot is its place in a group.
func (e *isa) sweep(n reg.Register, ptrs []reg.Register, unroll int,
	body func(slot, disp int, p *predicate)) {
	advance := func(vectors int) {
		for _, p := range ptrs {
			e.ADDQ(U32(uint32(64*vectors)), p)
		}
	}
	group := uint32(e.lanes() * unroll)
	e.SUBQ(U32(group), n)
	e.JLT(to("tail"))
	e.Label("group")
	for u := range unroll {
		body(u, 64*u, nil)
	}
	advance(unroll)
	e.SUBQ(U32(group), n)
	e.JGE(to("group"))
	e.Label("tail")
	e.ADDQ(U32(group), n)
	e.JE(to("done"))
	e.Label("single")
	body(0, 0, e.firstLanes(n))
	advance(1)
	e.SUBQ(Imm(uint64(e.lanes())), n)
	e.JGT(to("single"))
	e.Label("done")
}

// fold adds (or takes the maximum of) vectors and then halves: lane i with i+8,
// i+4, i+2, i+1 (f64: from i+4 on).
// The result is lane 0 of the register that it returns.
func (e *isa) fold(op func(...Op), vs []vec) reg.VecVirtual {
	for len(vs) > 1 {
		half := len(vs) / 2
		for i := range half {
			e.op3(op, vs[i+half], vs[i], vs[i])
		}
		vs = vs[:half]
	}
	v := vs[0]
	lo := v[0].AsY()
	if e.z {
		hi := e.YMM()
		e.VEXTRACTF64X4(Imm(1), v[0], hi)
		op(hi, lo, lo)
	} else {
		op(v[1], lo, lo)
	}
	h, x := e.XMM(), v[0].AsX()
	e.VEXTRACTF128(Imm(1), lo, h)
	op(h, x, x)
	e.VPERMILPD(Imm(1), x, h)
	op(h, x, x)
	if e.double {
		return v[0]
	}
	e.VMOVSHDUP(x, h)
	op(h, x, x)
	return v[0]
}

// result stores lane 0 as the function's result. (Store would use an SSE instruction.)
func (e *isa) result(v reg.VecVirtual) {
	b, err := e.ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	if e.double {
		e.VMOVSD(v.AsX(), b.Addr)
	} else {
		e.VMOVSS(v.AsX(), b.Addr)
	}
}
