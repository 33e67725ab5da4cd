package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa writes one kernel for either instruction set in terms of vectors of 16 f32: one ZMM
// register (Z), or two YMM registers (Y). Both forms do the same arithmetic in the same order,
// so both give the same bits.
type isa struct {
	*gen
	z      bool
	consts map[bits]reg.VecVirtual // constants that Z keeps in registers
}

// vec is 16 lanes: one register, or two.
type vec []reg.VecVirtual

// lanes16 is a predicate over 16 lanes; nil means all.
type lanes16 struct {
	k reg.Register // Z
	v vec          // Y
}

// both emits a kernel in its two forms; the name of each ends in its letter.
func both(g *gen, name, signature string, doc []string, body func(e *isa)) {
	for _, z := range []bool{true, false} {
		suffix := "Y"
		if z {
			suffix = "Z"
		}
		g.fn(name+suffix, signature, append([]string{name + suffix + " is"}, doc...)...)
		body(&isa{gen: g, z: z, consts: map[bits]reg.VecVirtual{}})
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

// splat broadcasts the f32 at m.
func (e *isa) splat(m Mem) vec {
	v := e.one()
	e.VBROADCASTSS(m, v[0])
	return v
}

// splatArg broadcasts an f32 parameter.
func (e *isa) splatArg(name string) vec {
	b, err := e.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return e.splat(b.Addr)
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

// laneBits is {1, 2, 4, ... 128}: bit j selects lane j.
func (g *gen) laneBits() Mem {
	return g.table("laneBits", 1, 2, 4, 8, 16, 32, 64, 128)
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

// The last argument is written; the first may be memory or a constant.
func (e *isa) add(a any, b, d vec)    { e.op3(e.VADDPS, a, b, d) }
func (e *isa) mul(a any, b, d vec)    { e.op3(e.VMULPS, a, b, d) }
func (e *isa) subR(a any, b, d vec)   { e.op3(e.VSUBPS, a, b, d) }       // d = b − a
func (e *isa) divR(a any, b, d vec)   { e.op3(e.VDIVPS, a, b, d) }       // d = b / a
func (e *isa) maxR(a any, b, d vec)   { e.op3(e.VMAXPS, a, b, d) }       // a if either is NaN
func (e *isa) minR(a any, b, d vec)   { e.op3(e.VMINPS, a, b, d) }       // a if either is NaN
func (e *isa) fma(a any, b, d vec)    { e.op3(e.VFMADD231PS, a, b, d) }  // d += a·b
func (e *isa) fnma(a any, b, d vec)   { e.op3(e.VFNMADD231PS, a, b, d) } // d −= a·b
func (e *isa) fma213(a any, b, d vec) { e.op3(e.VFMADD213PS, a, b, d) }  // d = d·b + a

// load reads 16 numbers, lanes outside of the predicate as 0.
func (e *isa) load(m Mem, p *lanes16, v vec) {
	for i, r := range v {
		switch {
		case p == nil:
			e.VMOVUPS(e.part(m, i), r)
		case e.z:
			e.VMOVUPS_Z(m, p.k, r)
		default:
			e.VMASKMOVPS(e.part(m, i), p.v[i], r)
		}
	}
}

// store writes the lanes of the predicate.
func (e *isa) store(v vec, m Mem, p *lanes16) {
	for i, r := range v {
		switch {
		case p == nil:
			e.VMOVUPS(r, e.part(m, i))
		case e.z:
			e.VMOVUPS(r, p.k, m)
		default:
			e.VMASKMOVPS(r, p.v[i], e.part(m, i))
		}
	}
}

// firstLanes is the predicate of the lanes below n (0 < n < 256).
func (e *isa) firstLanes(n reg.Register) *lanes16 {
	if e.z {
		t, k := e.GP32(), e.K()
		e.MOVL(U32(0xffffffff), t)
		e.BZHIL(n.(reg.GPVirtual).As32(), t, t)
		e.KMOVW(t, k)
		return &lanes16{k: k}
	}
	v := e.vec()
	e.VMOVD(n.(reg.GPVirtual).As32(), v[0].AsX())
	e.VPBROADCASTD(v[0].AsX(), v[0])
	lanes := e.laneIndex()
	e.VPCMPGTD(e.part(lanes, 1), v[0], v[1])
	e.VPCMPGTD(e.part(lanes, 0), v[0], v[0])
	return &lanes16{v: v}
}

// sweep walks n numbers behind ptrs: groups of unroll vectors while they are whole, then single
// vectors with a predicate. body handles the vector at disp bytes; slot is its place in a group.
func (e *isa) sweep(n reg.Register, ptrs []reg.Register, unroll int,
	body func(slot, disp int, p *lanes16)) {
	advance := func(vectors int) {
		for _, p := range ptrs {
			e.ADDQ(U32(uint32(64*vectors)), p)
		}
	}
	group := uint32(16 * unroll)
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
	e.SUBQ(Imm(16), n)
	e.JGT(to("single"))
	e.Label("done")
}

// fold adds (or takes the maximum of) vectors and then halves: lane i with i+8, i+4, i+2, i+1.
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
	e.VMOVSHDUP(x, h)
	op(h, x, x)
	return v[0]
}

// result stores lane 0 as the function's f32 result. (Store would use an SSE instruction.)
func (e *isa) result(v reg.VecVirtual) {
	b, err := e.ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	e.VMOVSS(v.AsX(), b.Addr)
}
