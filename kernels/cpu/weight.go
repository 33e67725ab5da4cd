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
	q       []byte    // Q8 (quant.go), Q4 (quant4.go)
	freed   bool
}

func (w *weight) Dims() (out, in int) { return w.out, w.in }
func (w *weight) Type() compute.DType { return w.t }

func (w *weight) Len() int { return w.out * w.in }

func (w *weight) Bytes() int64 { return int64(4*len(w.f) + 2*len(w.h) + len(w.q)) }

func (w *weight) panels() int { return (w.out + nr - 1) / nr }

func (d *Device) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	if err := room("weight", out+nr, in); err != nil {
		return nil, err
	}
	w := &weight{d: d, t: t, out: out, in: in}
	if t.Blocked() && in%q8Block != 0 {
		return nil, fmt.Errorf("cpu: %v weight [%d %d]: want inputs in blocks of %d", t, out, in,
			q8Block)
	}
	switch t {
	case compute.F32:
		w.f = aligned(w.panels() * in * nr)
	case compute.F16, compute.BF16:
		w.h = make([]uint16, w.panels()*in*nr)
	case compute.Q8:
		w.q = newQ8(w.panels() * in / q8Block)
	case compute.Q4:
		w.q = newQ4(w.panels() * in / q8Block)
	default:
		return nil, fmt.Errorf("cpu: weight [%d %d]: unknown type %v", out, in, t)
	}
	return w, nil
}

// weight is w as this device holds it.
func (d *Device) weight(op string, w compute.Weight) *weight {
	p, ok := w.(*weight)
	if !ok || p.d != d {
		panic(fmt.Sprintf("cpu: %s: the weight belongs to another device", op))
	}
	if p.freed {
		panic(fmt.Sprintf("cpu: %s: the %v weight was freed", op, p.t))
	}
	return p
}

// panel is panel p of a weight as f32, inputs [lo, hi): the stored numbers, or widened into buf.
// With Q8 and Q4, lo and hi are multiples of 32.
func (w *weight) panel(p, lo, hi int, buf []float32) []float32 {
	at, n := (p*w.in+lo)*nr, (hi-lo)*nr
	switch w.t {
	case compute.F32:
		return w.f[at : at+n]
	case compute.F16:
		w.d.f.widenF16(buf[:n], w.h[at:at+n])
	case compute.BF16:
		w.d.f.widenBF16(buf[:n], w.h[at:at+n])
	case compute.Q8:
		w.d.f.widenQ8(buf[:n], w.q[at/(nr*q8Block)*q8Bytes:])
	default:
		w.d.f.widenQ4(buf[:n], w.q[at/(nr*q8Block)*q4Bytes:])
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
	if m.t == compute.F32 {
		w.d.f.packT(m.f[p*m.in*nr:(p+1)*m.in*nr], 1, src, m.in, rows, m.in)
		return
	}
	f32 := w.scratch(slotA, m.in*nr)
	w.d.f.packT(f32, 1, src, m.in, rows, m.in)
	at, n := p*m.in*nr, m.in*nr
	switch blocks := m.in / q8Block; m.t {
	case compute.Q8:
		w.d.f.packQ8(m.q[p*blocks*q8Bytes:(p+1)*blocks*q8Bytes], f32)
	case compute.Q4:
		w.d.f.packQ4(m.q[p*blocks*q4Bytes:(p+1)*blocks*q4Bytes], f32)
	case compute.F16:
		w.d.f.narrowF16(m.h[at:at+n], f32)
	default:
		w.d.f.narrowBF16(m.h[at:at+n], f32)
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
