//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"transformer2/kernels"
	"transformer2/shared/compute"
)

// A dispatch costs a GPU some microseconds in which most of it is idle, and a decoded token is
// hundreds of small ones. So a few ops are held back until the next op is known, and done together
// with it where it is their like: up to three products of the same vectors, two rotations, two
// scatters or all four of them, two products and the gated unit of them, a sum and the norm of it, a
// product and a sum with it. A norm of such a sum, and the products of the norm, take no dispatch of
// their own either: the first kernel leaves the sum times the norm's gain and the parts of its sum
// of squares, the second divides its results by the root of them. What is held back shares no
// buffer that either writes.

// mostJoined is how many like ops are done in one dispatch.
const mostJoined = 3

// held is ops that wait for their like.
type held struct {
	kind   heldKind
	n      int
	matvec [mostJoined]matvecOp
	rope   [2]ropeOp
	rows   [2]scatterOp
	add    addOp
	norm   normOp
	parts  int  // of norm's sum of squares, which the sum before left; 0: none
	normed bool // the products are of norm's output, which they write too
	summed bool // add is of the product's output, or to it
}

type heldKind uint8

const (
	holdsNothing heldKind = iota
	holdsMatvec
	holdsRope
	holdsScatter
	holdsStore // two rotations, then the second and another tensor scattered
	holdsAdd
	holdsNorm
)

type (
	matvecOp struct {
		y, x    *buffer
		yo, xo  uint32
		ldy     int
		rows    int // of x
		w       *weight
		p       part
		variant kernels.Variant
	}
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
	normOp struct {
		y, x, g      *buffer
		yo, xo, gOff uint32
		n            int
		eps          float32
	}
	addOp struct {
		y, x   *buffer
		yo, xo uint32
		n      int
	}
)

// hold marks what a held op uses, so that a write to it from the host comes after.
func (d *Device) hold(kind heldKind, bs ...*buffer) {
	d.held.kind = kind
	d.held.n++
	for _, b := range bs {
		b.batch = d.rec.batch
	}
}

// let records what is held.
func (d *Device) let() {
	h := &d.held
	kind, n := h.kind, h.n
	h.kind, h.n = holdsNothing, 0
	switch kind {
	case holdsMatvec:
		if h.matvec[0].variant.Name == "few" {
			d.runFew(h.matvec[:n])
			break
		}
		d.runMatvec(h.matvec[:n], nil)
		h.normed, h.summed = false, false
	case holdsNorm:
		d.runNorm(h.norm, 1, h.norm.n, addOp{}, false)
	case holdsRope:
		d.runRope(h.rope[:n])
	case holdsScatter:
		d.runScatter(h.rows[:n])
	case holdsStore:
		d.runStore(h.rope, h.rows[:n-2])
	case holdsAdd:
		a := h.add
		d.run(plain("add"), threads(a.n), bufs{a.y, a.x}, uint32(a.n), a.yo, a.xo)
	}
}

// joinMatvec holds a product back, or lets what is held go first.
func (d *Device) joinMatvec(o matvecOp) {
	h := &d.held
	if d.joinNorm(o) {
		return
	}
	fits := h.kind == holdsMatvec && h.n < mostJoined && o.x != o.y && !h.summed &&
		(!h.normed || d.binds(2*h.n+5))
	for i := range h.n {
		if !fits {
			break
		}
		a := h.matvec[i]
		fits = a.x == o.x && a.xo == o.xo && a.rows == o.rows && a.w.in == o.w.in &&
			a.w.t == o.w.t && a.y != o.y && a.y != o.x
	}
	if !fits {
		d.let()
	}
	h.matvec[h.n] = o
	d.hold(holdsMatvec, o.y, o.x, o.p.b)
}

// joinGate does two products and the gated unit of them at once, if those are what is held.
func (d *Device) joinGate(y *buffer, yo uint32, gate *buffer, gateOff uint32, up *buffer,
	upOff uint32, rows, cols int) bool {
	h := &d.held
	if h.kind != holdsMatvec || h.n != 2 || h.matvec[0].variant.Name != "matvec" {
		return false
	}
	a, b := h.matvec[0], h.matvec[1]
	whole := a.p.lo == 0 && b.p.lo == 0 && a.p.rows == cols && b.p.rows == cols &&
		a.ldy == cols && b.ldy == cols && a.rows == rows
	if !whole || a.y != gate || a.yo != gateOff || b.y != up || b.yo != upOff || y == gate ||
		y == up || y == a.x || h.summed {
		return false
	}
	h.kind, h.n = holdsNothing, 0
	w4 := a.w.words() / 4
	v := a.variant
	v.Name = "matvec_gate"
	switch {
	case v.Rows > 2 || w4 < 128:
		v.Out, v.Unroll, v.Threads = 2, 1, 64
	case a.w.t == compute.Q4:
		v.Out, v.Unroll, v.Threads = 4, 1, 64
	case v.Rows == 1 && w4 >= 512:
		v.Out, v.Unroll, v.Threads = 1, 4, 128
	default:
		v.Out, v.Unroll, v.Threads = 2, 2, 64
	}
	xb, xo := d.input(a)
	bs := bufs{gate, up, y, xb, a.p.b, b.p.b}
	params := [kernels.ParamWords]uint32{uint32(w4), uint32(a.w.in), xo, 0, uint32(rows - 1),
		uint32(cols), gateOff, upOff, yo}
	d.extras(&v, &bs, 6, &params, 9)
	for row := 0; row < rows; row += v.Rows {
		params[3] = uint32(row)
		d.run(v, line((cols+v.Out-1)/v.Out), bs, params[:]...)
	}
	return true
}

// binds reports whether a kernel may have so many storage buffers.
func (d *Device) binds(n int) bool {
	return n <= most && n <= int(d.limits.MaxStorageBuffersPerShaderStage)
}

// joinNorm holds a product of one row back with the norm that it is of, if that is what is held and
// the sum before it has left what it takes.
func (d *Device) joinNorm(o matvecOp) bool {
	h := &d.held
	n := h.norm
	if h.kind != holdsNorm || h.parts == 0 || n.y != o.x || n.yo != o.xo || o.rows != 1 ||
		n.n != o.w.in || o.y == n.y {
		return false
	}
	h.kind, h.n, h.normed = holdsNothing, 0, true
	h.matvec[0] = o
	d.hold(holdsMatvec, o.y, n.y, o.p.b)
	return true
}

// sumNormed does the product and the sum that are held, if o is the norm of that sum, and leaves
// what the products of the norm take.
func (d *Device) sumNormed(o normOp) bool {
	h := &d.held
	if h.kind != holdsMatvec || !h.summed || h.matvec[0].rows != 1 || h.add.y != o.x ||
		h.add.yo != o.xo || h.add.n != o.n || !d.binds(7) {
		return false
	}
	h.kind, h.n = holdsNothing, 0
	h.parts = d.runMatvec(h.matvec[:1], &o)
	return true
}

// joinSum holds a sum back with the product whose output it adds, or adds to.
func (d *Device) joinSum(o addOp) bool {
	h := &d.held
	a := h.matvec[0]
	if h.kind != holdsMatvec || h.n != 1 || a.variant.Name != "matvec" || h.normed || h.summed || a.p.lo != 0 ||
		a.p.rows != a.ldy || o.n != a.rows*a.ldy || o.y == o.x || o.y == a.x || o.x == a.x ||
		!(o.y == a.y && o.yo == a.yo || o.x == a.y && o.xo == a.yo) {
		return false
	}
	h.add, h.summed = o, true
	o.y.batch, o.x.batch = d.rec.batch, d.rec.batch
	return true
}

// extras are the buffers and parameters of what is done along with products, after the products'
// own.
func (d *Device) extras(v *kernels.Variant, bs *bufs, nb int, params *[kernels.ParamWords]uint32,
	np int) {
	h := &d.held
	v.Norm, v.Sum = h.normed, h.summed
	if v.Norm {
		bs[nb], bs[nb+1] = d.scratchBuffer(scratchSquares, 1), h.norm.y
		params[np], params[np+1], params[np+2] = h.norm.yo, uint32(h.parts), f32(h.norm.eps)
	}
	if v.Sum {
		o, a := h.matvec[0], h.add
		if a.y == o.y && a.yo == o.yo {
			bs[nb], params[np], params[np+1] = a.x, a.xo, 0
		} else {
			bs[nb], params[np], params[np+1] = a.y, a.yo, 1
		}
	}
	h.normed, h.summed = false, false
}

// input is what products read: their x, or, if that is a norm, what the sum before it left.
func (d *Device) input(o matvecOp) (*buffer, uint32) {
	if d.held.normed {
		return d.scratchBuffer(scratchGained, o.w.in), 0
	}
	return o.x, o.xo
}

// runMatvec does products of the same x, and, if next is not nil, what the norm of their sum needs:
// it returns how many parts the sum of squares has.
func (d *Device) runMatvec(ops []matvecOp, next *normOp) int {
	o := ops[0]
	w4 := o.w.words() / 4
	v := o.variant
	// A load of Q4 is eight times four numbers, whose inputs several outputs should share.
	switch {
	case v.Rows > 2 || o.w.t == compute.Q4:
		v.Out, v.Unroll, v.Threads = 4, 1, 64
	case w4 < 256:
		v.Out, v.Unroll, v.Threads = 4, 2, 64
	case next != nil:
		v.Out, v.Unroll, v.Threads = 4, 1, 128 // fewer parts of the sum of squares
	default:
		v.Out, v.Unroll, v.Threads = 2, 2, 128
	}
	for w4 < v.Threads*v.Unroll && v.Unroll > 1 {
		v.Unroll /= 2
	}
	v.Count = len(ops)
	var bs bufs
	groups := 0
	xb, xo := d.input(o)
	params := [kernels.ParamWords]uint32{uint32(w4), uint32(o.w.in), xo, 0, uint32(o.rows - 1)}
	bs[len(ops)] = xb
	for i, p := range ops {
		bs[i], bs[len(ops)+1+i] = p.y, p.p.b
		groups += (p.p.rows + v.Out - 1) / v.Out
		params[5+3*i], params[6+3*i], params[7+3*i] = uint32(p.p.rows), p.yo, uint32(p.ldy)
	}
	d.extras(&v, &bs, 2*len(ops)+1, &params, 5+3*len(ops))
	if next != nil {
		v.Gain = true
		bs[4], bs[5] = next.g, d.scratchBuffer(scratchGained, next.n)
		bs[6] = d.scratchBuffer(scratchSquares, groups)
		params[10] = next.gOff
	}
	for row := 0; row < o.rows; row += v.Rows {
		params[3] = uint32(row)
		d.run(v, line(groups), bs, params[:]...)
	}
	return groups
}

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

// heldSum is the sum that is held back, if it is that of the norm's input x, and forgets it. The
// norm's output y may take the place of what was added: a row is read before it is written.
func (d *Device) heldSum(y *buffer, yo uint32, x *buffer, xo uint32, n int) (a addOp, ok bool) {
	h := &d.held
	a = h.add
	if h.kind != holdsAdd || a.y != x || a.yo != xo || a.n != n || y == x || a.x == x ||
		(y == a.x && yo != a.xo) {
		return a, false
	}
	h.kind, h.n = holdsNothing, 0
	return a, true
}

// Add: see compute.Layers.
func (d *Device) Add(y, x compute.Tensor) {
	shape("Add", "x", x, y.Rows, y.Cols, y)
	o := addOp{n: y.Len()}
	o.y, o.yo = d.vals("Add", y)
	o.x, o.xo = d.vals("Add", x)
	if d.joinSum(o) {
		return
	}
	d.let()
	d.held.add = o
	d.hold(holdsAdd, o.y, o.x)
}
