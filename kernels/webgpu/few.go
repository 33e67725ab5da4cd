//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"transformer2/kernels"
	"transformer2/shared/compute"
)

// worthFew reports whether rows are so many that reading them costs more than reading the weight.
func worthFew(w *weight, rows int) bool { return rows > 2 && w.t != compute.F32 }

// fewAtOnce is how many of few rows are done at once: 4, 8 or 16, as far as the driver compiles such
// kernels in a moment.
func (d *Device) fewAtOnce(rows int) int {
	n := 4
	for n < min(rows, d.mostFew) {
		n *= 2
	}
	return n
}

// runFew multiplies the same few rows with parts of weights. One weight of few outputs is cut into
// ranges of the inner dimension, whose sums are added up after.
func (d *Device) runFew(ops []matvecOp) {
	const (
		busy  = 256 // workgroups that keep a large GPU busy
		least = 512 // numbers of a row that are worth a workgroup
	)
	o := ops[0]
	v := o.variant
	v.Count, v.Teams = len(ops), 4
	groups := 0
	for _, p := range ops {
		groups += (p.p.rows + v.Teams*v.Out - 1) / (v.Teams * v.Out)
	}
	g, span := line(groups), o.w.in
	if ranges := min((busy+groups-1)/groups, o.w.in/least); len(ops) == 1 && ranges > 1 {
		span = ((o.w.in+ranges-1)/ranges + 255) / 256 * 256
		g.z = uint32((o.w.in + span - 1) / span)
	}
	for row := 0; row < o.rows; row += v.Rows {
		rows := min(v.Rows, o.rows-row)
		n := rows * o.p.rows
		params := [kernels.ParamWords]uint32{uint32(o.w.words() / 4), uint32(o.w.in),
			o.xo + uint32(row*o.w.in), uint32(rows), uint32(span), uint32(n)}
		var bs bufs
		bs[len(ops)] = o.x
		for i, p := range ops {
			bs[i], bs[len(ops)+1+i] = p.y, p.p.b
			params[6+3*i], params[7+3*i], params[8+3*i] = uint32(p.p.rows),
				p.yo+uint32(row*p.ldy), uint32(p.ldy)
		}
		if g.z > 1 {
			bs[0], params[7], params[8] = d.scratchBuffer(scratchPart, int(g.z)*n), 0, uint32(o.p.rows)
		}
		d.run(v, g, bs, params[:]...)
		if g.z > 1 {
			d.sumRanges(o.y, o.yo+uint32(row*o.ldy), o.ldy, bs[0], n, o.p.rows, g.z, false)
		}
	}
}

// fewT multiplies few rows of dy with the transpose of a part of a weight.
func (d *Device) fewT(xb *buffer, xo uint32, yb *buffer, yo uint32, dy compute.Tensor, w *weight,
	p part, acc bool) {
	const (
		busy = 128 // workgroups that keep a large GPU busy
		step = 64  // rows of the weight that a workgroup takes at a time
	)
	columns := (w.in + 255) / 256
	ranges := max(1, min(busy/columns, p.rows/step))
	span := ((p.rows+ranges-1)/ranges + step - 1) / step * step
	ranges = (p.rows + span - 1) / span
	v := kernels.Variant{Name: "few_t", Type: w.t.String(), Rows: d.fewAtOnce(dy.Rows), Count: 1}
	for row := 0; row < dy.Rows; row += v.Rows {
		rows := min(v.Rows, dy.Rows-row)
		n, at := rows*w.in, xo+uint32(row*w.in)
		to, off, add := xb, at, acc
		if ranges > 1 {
			to, off, add = d.scratchBuffer(scratchPart, ranges*n), 0, false
		}
		d.run(v, grid{uint32(columns), uint32(ranges), 1}, bufs{to, yb, p.b}, uint32(p.rows),
			uint32(w.words()/4), uint32(w.in), off, yo+uint32(row*w.out), uint32(w.out), uint32(rows),
			uint32(span), flag(add), uint32(n))
		if ranges > 1 {
			d.sumRanges(xb, at, w.in, to, n, w.in, uint32(ranges), acc)
		}
	}
}
