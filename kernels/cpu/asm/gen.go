package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gen is an avo context with the idioms that the kernels share.
type gen struct {
	*build.Context
	tables map[string]bool // data that this file has
}

// fn opens a function: NOSPLIT because it needs no stack, noescape because it keeps no pointer.
func (g *gen) fn(name, signature string, doc ...string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr(signature)
	g.Pragma("noescape")
	g.Doc(doc...)
}

// arg loads an integer or pointer parameter.
func (g *gen) arg(name string) reg.GPVirtual {
	return g.Load(g.Param(name), g.GP64()).(reg.GPVirtual)
}

// argBytes loads a count of elements and turns it into bytes (1<<shift each).
func (g *gen) argBytes(name string, shift uint64) reg.GPVirtual {
	r := g.arg(name)
	g.SHLQ(operand.Imm(shift), r)
	return r
}

// paramMem is where a parameter lies.
func (g *gen) paramMem(name string) operand.Mem {
	b, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// ret leaves the upper halves clean, so that SSE code of the caller does not stall.
func (g *gen) ret() {
	g.VZEROUPPER()
	g.RET()
}

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

func at2(base, index reg.Register, scale uint8, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

func (g *gen) zmms(n int) []reg.VecVirtual {
	r := make([]reg.VecVirtual, n)
	for i := range r {
		r[i] = g.ZMM()
	}
	return r
}

func (g *gen) ymms(n int) []reg.VecVirtual {
	r := make([]reg.VecVirtual, n)
	for i := range r {
		r[i] = g.YMM()
	}
	return r
}

// label jumps read as in the text: g.JNE(to("loop")).
func to(name string) operand.LabelRef { return operand.LabelRef(name) }
