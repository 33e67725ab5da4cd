//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

// bufs is the buffers of one dispatch.
type bufs = [most]*buffer

// plain is a kernel without constants.
func plain(name string) kernels.Variant { return kernels.Variant{Name: name} }

// mostHeld is the loads of a row that a thread of a norm holds at most.
const mostHeld = 8

// RMSNorm: see compute.Layers.
func (d *Device) RMSNorm(y, x, g compute.Tensor, eps float32) {
	shape("RMSNorm", "y", y, x.Rows, x.Cols, x)
	shape("RMSNorm", "g", g, 1, x.Cols, x)
	yb, yo := d.vals("RMSNorm", y)
	xb, xo := d.vals("RMSNorm", x)
	gb, gOff := d.vals("RMSNorm", g)
	o := normOp{y: yb, x: xb, g: gb, yo: yo, xo: xo, gOff: gOff, n: x.Cols, eps: eps}
	a, ok := d.heldSum(yb, yo, xb, xo, x.Len())
	if x.Rows == 1 && !ok {
		if !d.sumNormed(o) {
			d.let()
			d.held.parts = 0
		}
		d.held.norm = o
		d.hold(holdsNorm, yb, xb, gb)
		return
	}
	d.runNorm(o, x.Rows, x.Cols, a, ok)
}

// runNorm norms rows, to which a is added before, if so told.
func (d *Device) runNorm(o normOp, rows, cols int, a addOp, sum bool) {
	v := kernels.Variant{Name: "rms_norm",
		Vec: cols%4 == 0 && o.yo%4 == 0 && o.xo%4 == 0 && o.gOff%4 == 0}
	bs := bufs{o.y, o.x, o.g}
	if sum {
		v.Add, v.Vec, bs[3] = true, v.Vec && a.xo%4 == 0, a.x
	}
	loads := cols
	if v.Vec {
		loads /= 4
	}
	if n := (loads + kernels.Threads - 1) / kernels.Threads; n <= mostHeld {
		v.Hold = 1
		for v.Hold < n {
			v.Hold *= 2
		}
	}
	d.run(v, line(rows), bs, uint32(rows), uint32(cols), o.yo, o.xo, o.gOff, f32(o.eps), a.xo)
}

// RMSNormGrad: see compute.Layers.
func (d *Device) RMSNormGrad(dx, dg, dy, x, g compute.Tensor, eps float32) {
	const op = "RMSNormGrad"
	shape(op, "dx", dx, x.Rows, x.Cols, x)
	shape(op, "dy", dy, x.Rows, x.Cols, x)
	shape(op, "g", g, 1, x.Cols, x)
	dxb, dxo := d.vals(op, dx)
	dyb, dyo := d.vals(op, dy)
	xb, xo := d.vals(op, x)
	gb, gOff := d.vals(op, g)
	if !dg.IsZero() {
		shape(op, "dg", dg, 1, x.Cols, x)
	}
	rows := d.scratchBuffer(scratchRows, x.Rows)
	d.run(plain("rms_norm_grad"), line(x.Rows), bufs{dxb, rows, dyb, xb, gb}, uint32(x.Rows),
		uint32(x.Cols), dxo, dyo, xo, gOff, f32(eps))
	if !dg.IsZero() {
		d.colDot(op, dg, dy, x, rows)
	}
}

// colDot adds Σ_t a[t,j]·b[t,j]·r[t] to sum; r may be nil.
func (d *Device) colDot(op string, sum, a, b compute.Tensor, r *buffer) {
	const rowsOfBlock = 256 // col_dot.wgsl
	sb, so := d.vals(op, sum)
	ab, ao := d.vals(op, a)
	bb, bo := d.vals(op, b)
	given := uint32(1)
	if r == nil {
		r, given = ab, 0
	}
	if a.Rows == 0 || a.Cols == 0 {
		return
	}
	cols, blocks := uint32(a.Cols), uint32((a.Rows+rowsOfBlock-1)/rowsOfBlock)
	g := grid{(cols + 63) / 64, blocks, 1}
	if blocks == 1 {
		d.run(plain("col_dot"), g, bufs{sb, ab, bb, r}, uint32(a.Rows), cols, so, ao, bo, 1, given)
		return
	}
	part := d.scratchBuffer(scratchPart, int(blocks)*a.Cols)
	d.run(plain("col_dot"), g, bufs{part, ab, bb, r}, uint32(a.Rows), cols, 0, ao, bo, 0, given)
	d.run(plain("col_sum"), threads(a.Cols), bufs{sb, part}, blocks, cols, so)
}

// RoPE: see compute.Layers.
func (d *Device) RoPE(x, cosSin compute.Tensor, pos compute.Ints, dim int, inverse bool) {
	if dim <= 0 || dim%2 != 0 || x.Cols%dim != 0 || cosSin.Cols != dim {
		panic(fmt.Sprintf("webgpu: RoPE: x %v, cosSin %v do not fit heads of %d", x, cosSin, dim))
	}
	count("RoPE", "pos", pos, x.Rows, x)
	sign := float32(1)
	if inverse {
		sign = -1
	}
	xb, xo := d.vals("RoPE", x)
	cb, co := d.vals("RoPE", cosSin)
	pb, po := d.ints("RoPE", pos)
	if x.Len() == 0 {
		return
	}
	d.joinRope(ropeOp{x: xb, turn: cb, pos: pb, xo: xo, co: co, po: po, pairs: uint32(x.Len() / 2),
		width: uint32(x.Cols / 2), dim: uint32(dim), sign: sign})
}

// SwiGLU: see compute.Layers.
func (d *Device) SwiGLU(y, gate, up compute.Tensor) {
	shape("SwiGLU", "gate", gate, y.Rows, y.Cols, y)
	shape("SwiGLU", "up", up, y.Rows, y.Cols, y)
	yb, yo := d.vals("SwiGLU", y)
	gb, gOff := d.vals("SwiGLU", gate)
	ub, uo := d.vals("SwiGLU", up)
	if d.joinGate(yb, yo, gb, gOff, ub, uo, y.Rows, y.Cols) {
		return
	}
	d.run(plain("swiglu"), threads(y.Len()), bufs{yb, gb, ub}, uint32(y.Len()), yo, gOff, uo)
}

// SwiGLUGrad: see compute.Layers.
func (d *Device) SwiGLUGrad(dgate, dup, dy, gate, up compute.Tensor) {
	const op = "SwiGLUGrad"
	for _, a := range []struct {
		name string
		t    compute.Tensor
	}{{"dgate", dgate}, {"dup", dup}, {"gate", gate}, {"up", up}} {
		shape(op, a.name, a.t, dy.Rows, dy.Cols, dy)
	}
	dgb, dgo := d.vals(op, dgate)
	dub, duo := d.vals(op, dup)
	dyb, dyo := d.vals(op, dy)
	gb, gOff := d.vals(op, gate)
	ub, uo := d.vals(op, up)
	d.run(plain("swiglu_grad"), threads(dy.Len()), bufs{dgb, dub, dyb, gb, ub}, uint32(dy.Len()),
		dgo, duo, dyo, gOff, uo)
}

// GatherRows: see compute.Layers.
func (d *Device) GatherRows(y, table compute.Tensor, ids compute.Ints) {
	count("GatherRows", "ids", ids, y.Rows, y)
	shape("GatherRows", "table", table, table.Rows, y.Cols, y)
	yb, yo := d.vals("GatherRows", y)
	tb, to := d.vals("GatherRows", table)
	ib, io := d.ints("GatherRows", ids)
	d.run(plain("gather_rows"), threads(y.Len()), bufs{yb, tb, ib}, uint32(y.Len()), uint32(y.Cols),
		uint32(table.Rows), yo, to, io)
}

// ScatterAddRows: see compute.Layers.
func (d *Device) ScatterAddRows(dtable, dy compute.Tensor, ids compute.Ints) {
	const op = "ScatterAddRows"
	count(op, "ids", ids, dy.Rows, dy)
	shape(op, "dtable", dtable, dtable.Rows, dy.Cols, dy)
	tb, to := d.vals(op, dtable)
	yb, yo := d.vals(op, dy)
	ib, io := d.ints(op, ids)
	d.run(plain("scatter_add_rows"), threads(dy.Cols), bufs{tb, yb, ib}, uint32(dy.Rows),
		uint32(dy.Cols), uint32(dtable.Rows), to, yo, io)
}

// ScatterRows: see compute.Layers. Ids outside are left out.
func (d *Device) ScatterRows(dst, src compute.Tensor, ids compute.Ints) {
	const op = "ScatterRows"
	count(op, "ids", ids, src.Rows, src)
	shape(op, "dst", dst, dst.Rows, src.Cols, src)
	db, do := d.vals(op, dst)
	sb, so := d.vals(op, src)
	ib, io := d.ints(op, ids)
	if src.Len() == 0 {
		return
	}
	d.joinScatter(scatterOp{dst: db, src: sb, ids: ib, do: do, so: so, io: io, n: uint32(src.Len()),
		cols: uint32(src.Cols), rowsOfIt: uint32(dst.Rows)})
}

// ArgMax: see compute.Layers. A row of NaN gives 0.
func (d *Device) ArgMax(ids compute.Ints, x compute.Tensor) {
	count("ArgMax", "ids", ids, x.Rows, x)
	ib, io := d.ints("ArgMax", ids)
	xb, xo := d.vals("ArgMax", x)
	const part = 4096 // numbers that are worth a workgroup
	parts := max(1, (x.Cols+part-1)/part)
	best := d.scratchBuffer(scratchPart, max(1, 2*parts*min(x.Rows, mostGroups)))
	for lo := 0; lo < x.Rows; lo += mostGroups {
		rows := min(x.Rows-lo, mostGroups)
		for join := range min(parts, 2) {
			g := grid{uint32(rows), uint32(parts), 1}
			if join > 0 {
				g.y = 1
			}
			d.run(plain("argmax"), g, bufs{ib, best, xb}, uint32(rows), uint32(x.Cols),
				io+uint32(lo), xo+uint32(lo*x.Cols), part, uint32(parts), uint32(join))
		}
	}
}
