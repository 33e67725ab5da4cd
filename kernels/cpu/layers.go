package cpu

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// ScaleCols: see compute.Products.
func (d *Device) ScaleCols(y, x, z compute.Tensor, rows compute.Ints) {
	shape("ScaleCols", "y", y, x.Rows, x.Cols, x)
	shape("ScaleCols", "z", z, z.Rows, x.Cols, x)
	t := opTask{f: scaleColsRows, y: d.vals("ScaleCols", y), x: d.vals("ScaleCols", x),
		a: d.vals("ScaleCols", z), n: x.Cols}
	if !rows.IsZero() {
		count("ScaleCols", "rows", rows, x.Rows, x)
		t.ids = d.ints("ScaleCols", rows)
	}
	d.rows(x.Rows, x.Cols, t)
}

func scaleColsRows(w *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		r := 0
		if t.ids != nil {
			r = int(t.ids[i])
		}
		w.d.f.mulScale(t.y[i*t.n:(i+1)*t.n], t.x[i*t.n:], 1, t.a[r*t.n:(r+1)*t.n])
	}
}

// reduceBlock is the rows whose products are summed together before they join a column sum: a
// fixed number, so that the sum does not depend on who computes which block.
const reduceBlock = 128

// ColDot: see compute.Products.
func (d *Device) ColDot(sum, a, b compute.Tensor) {
	shape("ColDot", "b", b, a.Rows, a.Cols, a)
	shape("ColDot", "d", sum, 1, a.Cols, a)
	blocks := (a.Rows + reduceBlock - 1) / reduceBlock
	part := d.scratch(sharedC, blocks*a.Cols)
	d.ops.op = opTask{f: colDotBlocks, y: part, a: d.vals("ColDot", a), b: d.vals("ColDot", b),
		n: a.Cols, m: a.Rows}
	d.pool.do(blocks, 1+smallElems/max(1, reduceBlock*a.Cols), &d.ops.op)
	d.addBlocks(d.vals("ColDot", sum), part)
}

func colDotBlocks(w *worker, t *opTask, lo, hi int) {
	for k := lo; k < hi; k++ {
		y := t.y[k*t.n : (k+1)*t.n]
		clear(y)
		for i := k * reduceBlock; i < min((k+1)*reduceBlock, t.m); i++ {
			w.d.f.mulAcc(y, t.a[i*t.n:(i+1)*t.n], t.b[i*t.n:], 1)
		}
	}
}

// addBlocks adds the rows of part, in order, to sum.
func (d *Device) addBlocks(sum, part []float32) {
	for o := 0; o < len(part); o += len(sum) {
		d.f.add(sum, part[o:])
	}
	d.ops.op = opTask{}
}

// Add: see compute.Layers.
func (d *Device) Add(y, x compute.Tensor) {
	shape("Add", "x", x, y.Rows, y.Cols, y)
	d.elems(y.Len(), opTask{f: addElems, y: d.vals("Add", y), x: d.vals("Add", x)})
}

func addElems(w *worker, t *opTask, lo, hi int) {
	lo, hi = span(lo, hi, len(t.y))
	w.d.f.add(t.y[lo:hi], t.x[lo:hi])
}

// rmsScale is r = 1/√(mean x² + eps).
func rmsScale(f *form, x []float32, eps float32) float32 {
	return float32(1 / math.Sqrt(float64(f.dot(x, x))/float64(len(x))+float64(eps)))
}

// RMSNorm: see compute.Layers.
func (d *Device) RMSNorm(y, x, g compute.Tensor, eps float32) {
	shape("RMSNorm", "y", y, x.Rows, x.Cols, x)
	shape("RMSNorm", "g", g, 1, x.Cols, x)
	d.rows(x.Rows, x.Cols, opTask{f: rmsRows, y: d.vals("RMSNorm", y), x: d.vals("RMSNorm", x),
		a: d.vals("RMSNorm", g), n: x.Cols, s: eps})
}

func rmsRows(w *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		x := t.x[i*t.n : (i+1)*t.n]
		w.d.f.mulScale(t.y[i*t.n:(i+1)*t.n], x, rmsScale(w.d.f, x, t.s), t.a)
	}
}

// RMSNormGrad: see compute.Layers.
func (d *Device) RMSNormGrad(dx, dg, dy, x, g compute.Tensor, eps float32) {
	const op = "RMSNormGrad"
	shape(op, "dx", dx, x.Rows, x.Cols, x)
	shape(op, "dy", dy, x.Rows, x.Cols, x)
	shape(op, "g", g, 1, x.Cols, x)
	blocks := (x.Rows + reduceBlock - 1) / reduceBlock
	t := opTask{f: rmsGradBlocks, y: d.vals(op, dx), x: d.vals(op, x), a: d.vals(op, dy),
		b: d.vals(op, g), n: x.Cols, m: x.Rows, s: eps}
	if !dg.IsZero() {
		shape(op, "dg", dg, 1, x.Cols, x)
		t.c = d.scratch(sharedC, blocks*x.Cols)
	}
	d.ops.op = t
	d.pool.do(blocks, 1+smallElems/max(1, reduceBlock*x.Cols), &d.ops.op)
	if !dg.IsZero() {
		d.addBlocks(d.vals(op, dg), t.c)
	}
}

func rmsGradBlocks(w *worker, t *opTask, lo, hi int) {
	f, n := w.d.f, t.n
	for k := lo; k < hi; k++ {
		if t.c != nil {
			clear(t.c[k*n : (k+1)*n])
		}
		for i := k * reduceBlock; i < min((k+1)*reduceBlock, t.m); i++ {
			x, dy := t.x[i*n:(i+1)*n], t.a[i*n:(i+1)*n]
			r := rmsScale(f, x, t.s)
			mean := f.dot3(dy, t.b, x) / float32(n)
			f.rmsGrad(t.y[i*n:(i+1)*n], r, dy, t.b, -r*r*r*mean, x)
			if t.c != nil {
				f.mulAcc(t.c[k*n:(k+1)*n], dy, x, r)
			}
		}
	}
}

// RoPE: see compute.Layers.
func (d *Device) RoPE(x, cosSin compute.Tensor, pos compute.Ints, dim int, inverse bool) {
	if dim <= 0 || dim%2 != 0 || x.Cols%dim != 0 || cosSin.Cols != dim {
		panic(fmt.Sprintf("cpu: RoPE: x %v, cosSin %v do not fit heads of %d", x, cosSin, dim))
	}
	count("RoPE", "pos", pos, x.Rows, x)
	sign := float32(1)
	if inverse {
		sign = -1
	}
	d.rows(x.Rows, x.Cols, opTask{f: ropeRows, y: d.vals("RoPE", x), a: d.vals("RoPE", cosSin),
		ids: d.ints("RoPE", pos), n: x.Cols, m: dim, s: sign})
}

func ropeRows(w *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		cs := int(t.ids[i]) * t.m
		w.d.f.rope(t.y[i*t.n:(i+1)*t.n], t.a[cs:cs+t.m], t.m/2, t.s)
	}
}

// SwiGLU: see compute.Layers.
func (d *Device) SwiGLU(y, gate, up compute.Tensor) {
	shape("SwiGLU", "gate", gate, y.Rows, y.Cols, y)
	shape("SwiGLU", "up", up, y.Rows, y.Cols, y)
	d.elems(y.Len(), opTask{f: swigluElems, y: d.vals("SwiGLU", y), a: d.vals("SwiGLU", gate),
		b: d.vals("SwiGLU", up)})
}

func swigluElems(w *worker, t *opTask, lo, hi int) {
	lo, hi = span(lo, hi, len(t.y))
	w.d.f.swiglu(t.y[lo:hi], t.a[lo:hi], t.b[lo:hi])
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
	d.elems(dy.Len(), opTask{f: swigluGradElems, y: d.vals(op, dgate), x: d.vals(op, dup),
		c: d.vals(op, dy), a: d.vals(op, gate), b: d.vals(op, up)})
}

func swigluGradElems(w *worker, t *opTask, lo, hi int) {
	lo, hi = span(lo, hi, len(t.y))
	w.d.f.swigluGrad(t.y[lo:hi], t.x[lo:hi], t.c[lo:hi], t.a[lo:hi], t.b[lo:hi])
}

// GatherRows: see compute.Layers.
func (d *Device) GatherRows(y, table compute.Tensor, ids compute.Ints) {
	count("GatherRows", "ids", ids, y.Rows, y)
	shape("GatherRows", "table", table, table.Rows, y.Cols, y)
	d.rows(y.Rows, y.Cols, opTask{f: gatherRows, y: d.vals("GatherRows", y),
		x: d.vals("GatherRows", table), ids: d.ints("GatherRows", ids), n: y.Cols, m: table.Rows})
}

func gatherRows(_ *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		y := t.y[i*t.n : (i+1)*t.n]
		if id := int(t.ids[i]); id >= 0 && id < t.m {
			copy(y, t.x[id*t.n:(id+1)*t.n])
		} else {
			clear(y)
		}
	}
}

// scatterCols is the columns of one item of ScatterAddRows: rows must be added in their order, so
// the work is split across.
const scatterCols = 64

// ScatterAddRows: see compute.Layers.
func (d *Device) ScatterAddRows(dtable, dy compute.Tensor, ids compute.Ints) {
	const op = "ScatterAddRows"
	count(op, "ids", ids, dy.Rows, dy)
	shape(op, "dtable", dtable, dtable.Rows, dy.Cols, dy)
	d.ops.op = opTask{f: scatterAddCols, y: d.vals(op, dtable), x: d.vals(op, dy),
		ids: d.ints(op, ids), n: dy.Cols, m: dtable.Rows}
	d.pool.do((dy.Cols+scatterCols-1)/scatterCols, 1+smallElems/max(1, dy.Rows*scatterCols),
		&d.ops.op)
}

func scatterAddCols(w *worker, t *opTask, lo, hi int) {
	lo, hi = lo*scatterCols, min(hi*scatterCols, t.n)
	for i, id := range t.ids {
		if id := int(id); id >= 0 && id < t.m {
			w.d.f.add(t.y[id*t.n+lo:id*t.n+hi], t.x[i*t.n+lo:i*t.n+hi])
		}
	}
}

// ScatterRows: see compute.Layers. Ids outside are left out.
func (d *Device) ScatterRows(dst, src compute.Tensor, ids compute.Ints) {
	count("ScatterRows", "ids", ids, src.Rows, src)
	shape("ScatterRows", "dst", dst, dst.Rows, src.Cols, src)
	d.rows(src.Rows, src.Cols, opTask{f: scatterRows, y: d.vals("ScatterRows", dst),
		x: d.vals("ScatterRows", src), ids: d.ints("ScatterRows", ids), n: src.Cols, m: dst.Rows})
}

func scatterRows(_ *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		if id := int(t.ids[i]); id >= 0 && id < t.m {
			copy(t.y[id*t.n:(id+1)*t.n], t.x[i*t.n:(i+1)*t.n])
		}
	}
}

// ArgMax: see compute.Layers. A row of NaN gives 0.
func (d *Device) ArgMax(ids compute.Ints, x compute.Tensor) {
	count("ArgMax", "ids", ids, x.Rows, x)
	d.rows(x.Rows, x.Cols, opTask{f: argMaxRows, x: d.vals("ArgMax", x),
		ids: d.ints("ArgMax", ids), n: x.Cols})
}

func argMaxRows(w *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		x := t.x[i*t.n : (i+1)*t.n]
		t.ids[i] = 0
		if j := w.d.f.index(x, w.d.f.max(x)); j < t.n {
			t.ids[i] = int32(j)
		}
	}
}
