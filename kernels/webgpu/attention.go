//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

// minusInf is −Inf in bits: WGSL has no way to write it.
const minusInf = 0xff800000

// attended is the arguments that both directions share.
type attended struct {
	o, lse, q, k, v, spans      *buffer
	oo, lo, qo, ko, vo, so      uint32
	rows, keys, heads, kv, size uint32
	scale                       float32
	given                       bool // lse
}

// attended checks shapes.
func (d *Device) attended(op string, o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) attended {
	if h.KV <= 0 || h.Q%h.KV != 0 || h.Dim <= 0 || h.Dim > mostDim {
		panic(fmt.Sprintf("webgpu: %s: heads %+v", op, h))
	}
	shape(op, "q", q, q.Rows, h.Q*h.Dim, q)
	shape(op, "o", o, q.Rows, h.Q*h.Dim, q)
	shape(op, "k", k, k.Rows, h.KV*h.Dim, q)
	shape(op, "v", v, k.Rows, h.KV*h.Dim, k)
	count(op, "spans", spans, 2*q.Rows, q)
	a := attended{rows: uint32(q.Rows), keys: uint32(k.Rows), heads: uint32(h.Q), kv: uint32(h.KV),
		size: uint32(h.Dim), scale: h.Scale, given: !lse.IsZero()}
	a.o, a.oo = d.vals(op, o)
	a.q, a.qo = d.vals(op, q)
	a.k, a.ko = d.vals(op, k)
	a.v, a.vo = d.vals(op, v)
	a.spans, a.so = d.ints(op, spans)
	a.lse = d.scratchBuffer(scratchRows, 1)
	if a.given {
		shape(op, "lse", lse, q.Rows, h.Q, q)
		a.lse, a.lo = d.vals(op, lse)
	}
	return a
}

// mostDim is the largest head that the kernels' workgroup memory holds.
const mostDim = 256

// Attention: see compute.Products.
func (d *Device) Attention(o, lse, q, k, v compute.Tensor, spans compute.Ints, h compute.Heads) {
	const rowByRow = 32 // rows up to which each is its own work: they may lie in far-apart spans
	a := d.attended("Attention", o, lse, q, k, v, spans, h)
	vec := h.Dim%4 == 0 && a.qo%4 == 0 && a.ko%4 == 0 && a.vo%4 == 0
	if q.Rows <= rowByRow && h.Dim <= d.mostHead {
		d.attentionRows(a, h, vec)
		return
	}
	d.run(kernels.Variant{Name: "attention", Vec: vec, Dim: h.Dim},
		grid{(a.rows + 63) / 64, a.heads, 1}, bufs{a.o, a.lse, a.q, a.k, a.v, a.spans},
		a.rows, a.heads, a.kv, a.oo, a.lo, a.qo, a.ko, a.vo, a.so, f32(a.scale), flag(a.given),
		minusInf)
}

// attentionRows gives each row and group of heads workgroups of its own, and cuts long spans into
// ranges where those are few.
func (d *Device) attentionRows(a attended, h compute.Heads, vec bool) {
	const (
		busy    = 1024 // workgroups that keep a large GPU busy
		least   = 32   // keys that are worth a workgroup
		most    = 32   // ranges that are still quickly made one
		numbers = 512  // of queries that a workgroup holds
	)
	group := h.Q / h.KV
	for n := group; ; n-- {
		if group%n == 0 && n <= 4 && (n*h.Dim <= numbers || n == 1) {
			group = n
			break
		}
	}
	units := h.Q / group
	works := max(1, int(a.rows)*units)
	ranges := max(1, min((busy+works-1)/works, int(a.keys)/least, most))
	v := kernels.Variant{Name: "attention_rows", Vec: vec, Dim: h.Dim, Group: group}
	g := grid{a.rows, uint32(units), uint32(ranges)}
	o, lse, oo, lo, given := a.o, a.lse, a.oo, a.lo, a.given
	if ranges > 1 {
		n := int(a.rows) * h.Q * ranges
		o, lse = d.scratchBuffer(scratchPart, n*h.Dim), d.scratchBuffer(scratchRows, 2*n)
		oo, lo, given = 0, 0, true
	}
	d.run(v, g, bufs{o, lse, a.q, a.k, a.v, a.spans}, a.rows, a.heads, a.kv, oo, lo, a.qo, a.ko,
		a.vo, a.so, f32(a.scale), uint32(ranges), minusInf, flag(given))
	if ranges > 1 {
		if !a.given {
			a.lse = d.scratchBuffer(scratchSpare, 1)
		}
		d.run(plain("attention_merge"), line(int(a.rows)*h.Q), bufs{a.o, a.lse, o, lse},
			a.rows*a.heads, a.size, uint32(ranges), a.oo, a.lo, minusInf, flag(a.given))
	}
}

// AttentionGrad: see compute.Products.
func (d *Device) AttentionGrad(dq, dk, dv, do, o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) {
	const op = "AttentionGrad"
	a := d.attended(op, o, lse, q, k, v, spans, h)
	shape(op, "dq", dq, q.Rows, q.Cols, q)
	shape(op, "do", do, q.Rows, q.Cols, q)
	shape(op, "dk", dk, k.Rows, k.Cols, k)
	shape(op, "dv", dv, k.Rows, k.Cols, k)
	shape(op, "lse", lse, q.Rows, h.Q, q)
	gb, gOff := d.vals(op, do)
	delta := d.scratchBuffer(scratchRows, q.Rows*h.Q)
	d.run(plain("attention_delta"), threads(q.Rows*h.Q), bufs{delta, gb, a.o}, a.rows*a.heads,
		a.size, gOff, a.oo)
	vec := h.Dim%4 == 0 && a.qo%4 == 0 && a.ko%4 == 0 && a.vo%4 == 0 && gOff%4 == 0
	for _, out := range []struct {
		kernel string
		t      compute.Tensor
		g      grid
	}{
		{"attention_grad_q", dq, grid{(a.rows + 31) / 32, a.heads, 1}},
		{"attention_grad_k", dk, grid{(a.keys + 31) / 32, a.kv, 1}},
		{"attention_grad_v", dv, grid{(a.keys + 31) / 32, a.kv, 1}},
	} {
		b, off := d.vals(op, out.t)
		d.run(kernels.Variant{Name: out.kernel, Vec: vec, Dim: h.Dim}, out.g,
			bufs{b, a.q, a.k, a.v, gb, a.lse, delta, a.spans}, a.rows, a.keys, a.heads, a.kv, off,
			a.qo, a.ko, a.vo, gOff, a.lo, a.so, f32(a.scale))
	}
}
