//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import "transformer2/kernels"

// Rotations and scatters that are held back: two of either, or all that brings a token's keys and
// values into a cache.

type (
	ropeOp struct {
		x, turn, pos      *buffer
		xo, co, po        uint32
		pairs, width, dim uint32
		sign              float32
	}
	scatterOp struct {
		dst, src, ids     *buffer
		do, so, io        uint32
		n, cols, rowsOfIt uint32
	}
)

// joinRope holds a rotation back, or lets what is held go first.
func (d *Device) joinRope(o ropeOp) {
	h := &d.held
	if a := h.rope[0]; h.kind != holdsRope || h.n == len(h.rope) || a.x == o.x ||
		a.turn != o.turn || a.co != o.co || a.pos != o.pos || a.po != o.po || a.dim != o.dim ||
		a.sign != o.sign {
		d.let()
	}
	h.rope[h.n] = o
	d.hold(holdsRope, o.x, o.turn, o.pos)
}

func (d *Device) runRope(ops []ropeOp) {
	o := ops[0]
	params := [kernels.ParamWords]uint32{o.dim, o.co, o.po, f32(o.sign)}
	var bs bufs
	n := 0
	for i, p := range ops {
		bs[i] = p.x
		params[4+3*i], params[5+3*i], params[6+3*i] = p.pairs, p.width, p.xo
		n += int(p.pairs)
	}
	bs[len(ops)], bs[len(ops)+1] = o.turn, o.pos
	d.run(kernels.Variant{Name: "rope", Count: len(ops)}, threads(n), bs, params[:]...)
}

// joinScatter holds a scatter back, or lets what is held go first.
func (d *Device) joinScatter(o scatterOp) {
	h := &d.held
	if d.joinStore(o) {
		return
	}
	if a := h.rows[0]; h.kind != holdsScatter || h.n == len(h.rows) || a.dst == o.dst ||
		a.dst == o.src || a.src == o.dst || a.ids != o.ids || a.io != o.io || a.n != o.n ||
		a.cols != o.cols || a.rowsOfIt != o.rowsOfIt {
		d.let()
	}
	h.rows[h.n] = o
	d.hold(holdsScatter, o.dst, o.src, o.ids)
}

// joinStore holds a scatter back with the rotations of what it and the next one scatter.
func (d *Device) joinStore(o scatterOp) bool {
	h := &d.held
	q, k := h.rope[0], h.rope[1]
	apart := o.dst != q.x && o.dst != k.x && o.dst != o.src && o.src != q.x &&
		o.n == 2*k.pairs && o.cols == 2*k.width
	switch {
	case h.kind == holdsRope && h.n == 2 && apart && o.src == k.x && o.so == k.xo:
		h.rows[0] = o
	case h.kind == holdsStore && h.n == 3 && apart && o.src != k.x:
		if a := h.rows[0]; a.dst == o.dst || a.dst == o.src || a.ids != o.ids || a.io != o.io ||
			a.rowsOfIt != o.rowsOfIt {
			return false
		}
		h.rows[1] = o
	default:
		return false
	}
	d.hold(holdsStore, o.dst, o.src, o.ids)
	return true
}

// runStore rotates q and k and scatters k and v.
func (d *Device) runStore(turns [2]ropeOp, rows []scatterOp) {
	if len(rows) < 2 {
		d.runRope(turns[:])
		d.runScatter(rows)
		return
	}
	q, k, sk, sv := turns[0], turns[1], rows[0], rows[1]
	d.run(plain("rope_store"), threads(int(q.pairs+2*k.pairs)),
		bufs{q.x, k.x, sk.dst, sv.dst, q.turn, q.pos, sv.src, sk.ids}, q.dim, q.co, q.po,
		f32(q.sign), q.pairs, q.width, q.xo, k.pairs, k.width, k.xo, sk.do, sv.do, sv.so, sk.io,
		sk.rowsOfIt)
}

func (d *Device) runScatter(ops []scatterOp) {
	o := ops[0]
	params := [kernels.ParamWords]uint32{o.n, o.cols, o.rowsOfIt, o.io}
	var bs bufs
	for i, p := range ops {
		bs[i], bs[len(ops)+i] = p.dst, p.src
		params[4+2*i], params[5+2*i] = p.do, p.so
	}
	bs[2*len(ops)] = o.ids
	d.run(kernels.Variant{Name: "scatter_rows", Count: len(ops)}, threads(int(o.n)), bs,
		params[:]...)
}
