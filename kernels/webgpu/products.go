//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

// fewRows is up to how many rows a product is bound by reading the weight, not by arithmetic.
const fewRows = 16

// heldRows is how many rows' sums the threads of a transposed product hold, by the type of the
// weight, of which a load is more or fewer numbers. More rows take several passes.
var heldRows = [...]int{compute.F32: 8, compute.F16: 8, compute.BF16: 8, compute.Q8: 4,
	compute.Q4: 2}

// MatMul: see compute.Products.
func (d *Device) MatMul(y, x compute.Tensor, w compute.Weight) {
	const op = "MatMul"
	m := d.weight(op, w)
	checkProduct(op, "y", "x", y, x, m.out, m.in)
	yb, yo := d.vals(op, y)
	xb, xo := d.vals(op, x)
	if y.Len() == 0 {
		return
	}
	if m.in == 0 {
		d.fill(yb, int(yo), y.Len(), 0)
		return
	}
	for _, p := range m.parts {
		if y.Rows <= fewRows {
			d.matvec(yb, yo+uint32(p.lo), y.Cols, xb, xo, x, m, p)
			continue
		}
		d.gemm(product{m: x.Rows, n: p.rows, k: m.in, ka: true, kb: true, c: yb,
			co: yo + uint32(p.lo), ldc: m.out, a: xb, ao: xo, lda: m.in, w: m, part: p})
	}
}

// MatMulT: see compute.Products.
func (d *Device) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	const op = "MatMulT"
	m := d.weight(op, w)
	checkProduct(op, "dy", "dx", dy, dx, m.out, m.in)
	xb, xo := d.vals(op, dx)
	yb, yo := d.vals(op, dy)
	if len(m.parts) == 0 && !acc {
		d.fill(xb, int(xo), dx.Len(), 0)
	}
	for i, p := range m.parts {
		if dy.Rows <= fewRows && m.in > 0 && dy.Rows > 0 {
			d.matvecT(xb, xo, yb, yo+uint32(p.lo), dy, m, p, acc || i > 0)
			continue
		}
		d.gemm(product{m: dy.Rows, n: m.in, k: p.rows, ka: true, c: xb, co: xo, ldc: m.in,
			a: yb, ao: yo + uint32(p.lo), lda: m.out, w: m, part: p, acc: acc || i > 0})
	}
}

// checkProduct panics unless y is [T out] and x is [T in].
func checkProduct(op, yName, xName string, y, x compute.Tensor, out, in int) {
	if y.Cols != out || x.Cols != in || y.Rows != x.Rows {
		panic(fmt.Sprintf("webgpu: %s: %s %v, %s %v do not fit a weight [%d %d]", op, yName, y,
			xName, x, out, in))
	}
}

// matvec multiplies up to fewRows rows of x with a part of a weight.
func (d *Device) matvec(y *buffer, yo uint32, ldy int, xb *buffer, xo uint32, x compute.Tensor,
	w *weight, p part) {
	var v kernels.Variant
	if vec := w.fours(xo); vec && worthFew(w, x.Rows) {
		v = kernels.Variant{Name: "few", Type: w.t.String(), Out: 8, Rows: d.fewAtOnce(x.Rows)}
	} else {
		most := fewRows // where more would make more code than drivers compile in seconds, fewer
		if w.t == compute.Q4 {
			most /= 4
		}
		if !vec {
			most /= 4
		}
		v = kernels.Variant{Name: "matvec", Type: w.t.String(), Vec: vec, Rows: 1}
		for v.Rows < min(x.Rows, most) {
			v.Rows *= 2
		}
	}
	d.joinMatvec(matvecOp{y: y, x: xb, yo: yo, xo: xo, ldy: ldy, rows: x.Rows, w: w, p: p,
		variant: v})
}

// matvecT multiplies up to fewRows rows of dy with the transpose of a part of a weight.
func (d *Device) matvecT(xb *buffer, xo uint32, yb *buffer, yo uint32, dy compute.Tensor, w *weight,
	p part, acc bool) {
	const (
		busy  = 512 // workgroups that keep a large GPU busy
		least = 64  // rows of the weight that are worth a workgroup
	)
	if worthFew(w, dy.Rows) && w.fours(xo) {
		d.fewT(xb, xo, yb, yo, dy, w, p, acc)
		return
	}
	w4 := w.words() / 4
	columns := (w4 + 31) / 32
	ranges := max(1, min((busy+columns-1)/columns, p.rows/least))
	span := (p.rows/ranges + 7) / 8 * 8
	ranges = (p.rows + span - 1) / span
	v := kernels.Variant{Name: "matvec_t", Type: w.t.String(), Rows: 1, Unroll: 4}
	for v.Rows < dy.Rows && v.Rows < heldRows[w.t] {
		v.Rows, v.Unroll = 2*v.Rows, 2
	}
	to, off, add := xb, xo, acc
	n := dy.Rows * w.in
	if ranges > 1 {
		to, off, add = d.scratchBuffer(scratchPart, ranges*n), 0, false
	}
	for row := 0; row < dy.Rows; row += v.Rows {
		d.run(v, grid{uint32(columns), uint32(ranges), 1}, bufs{to, yb, p.b}, uint32(p.rows),
			uint32(w4), uint32(w.in), off, yo, uint32(w.out), uint32(row), uint32(dy.Rows-1),
			uint32(span), flag(add), uint32(n))
	}
	if ranges > 1 {
		d.sumRanges(xb, xo, w.in, to, n, w.in, uint32(ranges), acc)
	}
}

// Gemm: see compute.Products.
func (d *Device) Gemm(o compute.Orientation, c, a, b compute.Tensor, acc bool) {
	const op = "Gemm"
	m, k, n, inner := a.Rows, a.Cols, b.Rows, b.Cols
	switch o {
	case compute.NN:
		n, inner = b.Cols, b.Rows
	case compute.TN:
		m, k, n, inner = a.Cols, a.Rows, b.Cols, b.Rows
	}
	if k != inner || c.Rows != m || c.Cols != n {
		panic(fmt.Sprintf("webgpu: Gemm %v: c %v, a %v, b %v do not fit", o, c, a, b))
	}
	cb, co := d.vals(op, c)
	ab, ao := d.vals(op, a)
	bb, bo := d.vals(op, b)
	d.gemm(product{m: m, n: n, k: k, ka: o != compute.TN, kb: o == compute.NT, c: cb, co: co, ldc: n,
		a: ab, ao: ao, lda: a.Cols, b: bb, bo: bo, ldb: b.Cols, acc: acc})
}

// product is C (+)= op(A)·op(B), m×n, inner k. B is a tensor, or a part of a weight.
type product struct {
	m, n, k    int
	ka, kb     bool // k runs along the rows of A, of B
	c, a, b    *buffer
	co, ao, bo uint32
	ldc        int
	lda, ldb   int
	w          *weight
	part       part
	acc        bool
}

// tile chooses the tile, and the ranges of k that are summed apart because C alone would leave most
// of a GPU idle.
func (p *product) tile() (v kernels.Variant, ranges int) {
	const (
		busy  = 256 // workgroups that keep a large GPU busy
		least = 256 // inner dimension that is worth a workgroup
	)
	tiles := func() int {
		return (p.m + v.TileM() - 1) / v.TileM() * ((p.n + v.TileN() - 1) / v.TileN())
	}
	v = kernels.Variant{Name: "gemm", KA: p.ka, KB: p.kb}
	switch {
	case p.m <= 16:
		v.TX, v.TY, v.RM, v.RN = 32, 4, 1, 1
	case p.m <= 32:
		v.TX, v.TY, v.RM, v.RN = 32, 8, 1, 1
	default:
		v.TX, v.TY, v.RM, v.RN = 16, 16, 2, 2
		if tiles() < busy/2 {
			v.RM, v.RN = 1, 1
		}
	}
	ranges = max(1, min((2*busy+tiles()-1)/tiles(), p.k/least))
	if tiles() >= busy/2 {
		ranges = 1
	}
	return v, ranges
}

func (d *Device) gemm(p product) {
	if p.m == 0 || p.n == 0 {
		return
	}
	if p.k == 0 {
		if !p.acc {
			d.fill(p.c, int(p.co), p.m*p.n, 0) // only tensors, whose rows are whole, have k = 0
		}
		return
	}
	v, ranges := p.tile()
	four := p.lda%4 == 0 && p.ldc%4 == 0 && p.n%4 == 0 && p.ao%4 == 0 && p.co%4 == 0
	b, so := p.b, uint32(0)
	if p.w != nil {
		v.Type, b, p.bo = p.w.t.String(), p.part.b, 0
		p.ldb = p.w.words() * perWord[p.w.t] / 4
		so = uint32(p.part.rows * p.w.words())
	} else {
		four = four && p.ldb%4 == 0 && p.bo%4 == 0
	}
	v.Vec = four && p.k%4 == 0
	g := grid{uint32((p.n + v.TileN() - 1) / v.TileN()), uint32((p.m + v.TileM() - 1) / v.TileM()),
		uint32(ranges)}
	span := (p.k/ranges + 15) / 16 * 16
	g.z = uint32((p.k + span - 1) / span)
	c, co, ldc, acc := p.c, p.co, p.ldc, p.acc
	if g.z > 1 {
		c, co, ldc, acc = d.scratchBuffer(scratchPart, int(g.z)*p.m*p.n), 0, p.n, false
	}
	d.run(v, g, bufs{c, p.a, b, b}, uint32(p.m), uint32(p.n), uint32(p.k), co, uint32(ldc), p.ao,
		uint32(p.lda), p.bo, uint32(p.ldb), flag(acc), uint32(span), uint32(p.m*p.n), so)
	if g.z > 1 {
		d.sumRanges(p.c, p.co, p.ldc, c, p.m*p.n, p.n, g.z, p.acc)
	}
}

// sumRanges adds up what ranges left in part, n numbers each, in rows of cols; c has rows of ldc.
func (d *Device) sumRanges(c *buffer, co uint32, ldc int, part *buffer, n, cols int, ranges uint32,
	acc bool) {
	d.run(plain("gemm_sum"), threads(n), bufs{c, part}, uint32(n), uint32(cols), uint32(ldc), co,
		ranges, flag(acc))
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// ScaleCols: see compute.Products.
func (d *Device) ScaleCols(y, x, z compute.Tensor, rows compute.Ints) {
	const op = "ScaleCols"
	shape(op, "y", y, x.Rows, x.Cols, x)
	shape(op, "z", z, z.Rows, x.Cols, x)
	yb, yo := d.vals(op, y)
	xb, xo := d.vals(op, x)
	zb, zo := d.vals(op, z)
	rb, ro := zb, uint32(0)
	if !rows.IsZero() {
		count(op, "rows", rows, x.Rows, x)
		rb, ro = d.ints(op, rows)
	}
	d.run(plain("scale_cols"), threads(x.Len()), bufs{yb, xb, zb, rb}, uint32(x.Len()),
		uint32(x.Cols), yo, xo, zo, ro, flag(!rows.IsZero()))
}

// ColDot: see compute.Products.
func (d *Device) ColDot(sum, a, b compute.Tensor) {
	shape("ColDot", "b", b, a.Rows, a.Cols, a)
	shape("ColDot", "d", sum, 1, a.Cols, a)
	d.colDot("ColDot", sum, a, b, nil)
}
