package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitPeak writes loops that touch registers only: the roof that the other kernels are held to.
func emitPeak(g *gen) {
	peak(g, "PeakZ", 24, g.ZMM)
	peak(g, "PeakY", 12, g.YMM)
}

func peak(g *gen, name string, chains int, vec func() reg.VecVirtual) {
	g.fn(name, "func(n int)",
		name+" does n rounds of independent f32 FMAs in registers: the arithmetic peak of a core.")
	n := g.arg("n")
	acc := make([]reg.VecVirtual, chains)
	for i := range acc {
		acc[i] = vec()
		g.VXORPS(acc[i].AsX(), acc[i].AsX(), acc[i].AsX())
	}
	x, y := vec(), vec()
	t := g.GP32()
	g.MOVL(U32(0x3f7fbe77), t)
	g.VMOVD(t, x.AsX())
	g.VBROADCASTSS(x.AsX(), x)
	g.MOVL(U32(0x3edfbe77), t)
	g.VMOVD(t, y.AsX())
	g.VBROADCASTSS(y.AsX(), y)
	g.Label("loop")
	for _, r := range acc {
		g.VFMADD213PS(y, x, r)
	}
	g.DECQ(n)
	g.JNE(to("loop"))
	g.ret()
}
