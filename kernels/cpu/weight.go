package cpu

import (
	"fmt"

	"transformer2/shared/compute"
)

// weight is W [out, in] in panels of 32 rows, [ceil(out/32)][in][32], the last filled with zeros:
// one row of x reads it as one stream, and it is the packed operand of the tiles.
type weight struct {
	d       *Device
	t       compute.DType
	out, in int
	f       []float32 // F32
	h       []uint16  // F16, BF16 (a row of BF16 holds columns 0,16,1,17,…)
	q       []q8Panel // Q8
}

func (w *weight) Dims() (out, in int) { return w.out, w.in }
func (w *weight) Type() compute.DType { return w.t }

// Len makes a weight a Buffer, so that Free takes it.
func (w *weight) Len() int { return w.out * w.in }

func (w *weight) Bytes() int64 {
	b := int64(4*len(w.f) + 2*len(w.h))
	for i := range w.q {
		b += int64(len(w.q[i].q) + 4*len(w.q[i].scales))
	}
	return b
}

func (w *weight) panels() int { return (w.out + nr - 1) / nr }

func (d *Device) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	if err := room("weight", out+nr, in); err != nil {
		return nil, err
	}
	w := &weight{d: d, t: t, out: out, in: in}
	switch t {
	case compute.F32:
		w.f = aligned(w.panels() * in * nr)
	case compute.F16, compute.BF16:
		w.h = make([]uint16, w.panels()*in*nr)
	case compute.Q8:
		if in%q8Block != 0 {
			return nil, fmt.Errorf("cpu: q8 weight [%d %d]: want inputs in blocks of %d",
				out, in, q8Block)
		}
		w.newQ8()
	default:
		return nil, fmt.Errorf("cpu: weight [%d %d]: unknown type %v", out, in, t)
	}
	return w, nil
}

// newQ8 lays all panels in three arrays, so that the weight is one stream.
func (w *weight) newQ8() {
	blocks, groups := w.in/q8Block, 2*w.panels()
	rows := groups * blocks * q8Group
	q := make([]int8, rows*q8Block)
	scales := make([]float32, rows)
	w.q = make([]q8Panel, w.panels())
	for i := range w.q {
		lo, hi := rows/len(w.q)*i, rows/len(w.q)*(i+1)
		w.q[i] = q8Panel{blocks: blocks, q: q[lo*q8Block : hi*q8Block],
			scales: scales[lo:hi]}
	}
}

// weight is w as this device holds it.
func (d *Device) weight(op string, w compute.Weight) *weight {
	p, ok := w.(*weight)
	if !ok || p.d != d {
		panic(fmt.Sprintf("cpu: %s: the weight belongs to another device", op))
	}
	return p
}

// panel is panel p of a weight as f32, inputs [lo, hi): the stored numbers, or widened into buf.
func (w *weight) panel(p, lo, hi int, buf []float32) []float32 {
	at, n := (p*w.in+lo)*nr, (hi-lo)*nr
	switch w.t {
	case compute.F32:
		return w.f[at : at+n]
	case compute.F16:
		w.d.f.widenF16(buf[:n], w.h[at:at+n])
	case compute.BF16:
		w.d.f.widenBF16(buf[:n], w.h[at:at+n])
	default:
		w.q[p].widen(buf[:n], lo, hi)
	}
	return buf[:n]
}

// Pack rounds src into w, panel by panel.
func (d *Device) Pack(w compute.Weight, src compute.Tensor) {
	p := d.weight("Pack", w)
	shape("Pack", "src", src, p.out, p.in, src)
	d.ops.weight = weightTask{w: p, x: d.vals("Pack", src)}
	d.pool.do(p.panels(), 1, &d.ops.weight)
}

// Unpack writes the rounded numbers of w to dst.
func (d *Device) Unpack(dst compute.Tensor, w compute.Weight) {
	p := d.weight("Unpack", w)
	shape("Unpack", "dst", dst, p.out, p.in, dst)
	d.ops.weight = weightTask{w: p, x: d.vals("Unpack", dst), unpack: true}
	d.pool.do(p.panels(), 1, &d.ops.weight)
}

// weightTask packs or unpacks; an item is a panel.
type weightTask struct {
	w      *weight
	x      []float32 // [out, in]
	unpack bool
}

func (t *weightTask) run(w *worker, lo, hi int) {
	for p := lo; p < hi; p++ {
		if t.unpack {
			t.unpackPanel(w, p)
		} else {
			t.packPanel(w, p)
		}
	}
}

func (t *weightTask) packPanel(w *worker, p int) {
	m := t.w
	rows := min(nr, m.out-p*nr)
	src := t.x[p*nr*m.in : (p*nr+rows)*m.in]
	if m.t == compute.Q8 {
		for j := range rows {
			m.q[p].put(j, src[j*m.in:(j+1)*m.in])
		}
		return
	}
	if m.t == compute.F32 {
		w.d.f.packT(m.f[p*m.in*nr:], nr, src, m.in, rows, m.in)
		return
	}
	f32 := w.scratch(slotA, m.in*nr)
	w.d.f.packT(f32, nr, src, m.in, rows, m.in)
	dst := m.h[p*m.in*nr : (p+1)*m.in*nr]
	if m.t == compute.F16 {
		for i, v := range f32 {
			dst[i] = toF16(v)
		}
		return
	}
	for o := 0; o < len(dst); o += nr {
		for j := range nr / 2 {
			dst[o+2*j] = toBF16(f32[o+j])
			dst[o+2*j+1] = toBF16(f32[o+j+nr/2])
		}
	}
}

func (t *weightTask) unpackPanel(w *worker, p int) {
	m := t.w
	rows := min(nr, m.out-p*nr)
	panel := m.panel(p, 0, m.in, w.scratch(slotA, m.in*nr))
	for j := range rows {
		row := t.x[(p*nr+j)*m.in : (p*nr+j+1)*m.in]
		for l := range row {
			row[l] = panel[l*nr+j]
		}
	}
}
