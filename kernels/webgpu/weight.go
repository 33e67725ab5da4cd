//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

// weight is W [out, in] by rows, cut into parts that a kernel can see whole.
type weight struct {
	d       *Device
	t       compute.DType
	out, in int
	parts   []part
	freed   bool
}

// part is rows [lo, lo+rows) of a weight. A row is padded with zeros to whole vec4; of Q8 and Q4, the
// scales [rows, in/32] follow the rows.
type part struct {
	b        *buffer
	lo, rows int
}

func (w *weight) Dims() (out, in int) { return w.out, w.in }
func (w *weight) Type() compute.DType { return w.t }

func (w *weight) Len() int { return w.out * w.in }

func (w *weight) Bytes() int64 { return int64(w.out) * int64(w.rowBytes()) }

// perWord is how many numbers a word of a weight holds.
var perWord = [...]int{compute.F32: 1, compute.F16: 2, compute.BF16: 2, compute.Q8: 4,
	compute.Q4: 8}

// words is how many words of numbers a row has, padded.
func (w *weight) words() int {
	perWord := perWord[w.t]
	return (w.in + 4*perWord - 1) / (4 * perWord) * 4
}

// fours reports whether rows of inputs at offset xo are read four numbers at a time: no row of the
// weight is padded.
func (w *weight) fours(xo uint32) bool { return xo%4 == 0 && w.in%(4*perWord[w.t]) == 0 }

func (w *weight) rowBytes() int {
	n := 4 * w.words()
	if w.t.Blocked() {
		n += 4 * w.in / compute.BlockQ8
	}
	return n
}

// NewWeight: see compute.Memory.
func (d *Device) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	w := &weight{d: d, t: t, out: out, in: in}
	if t > compute.Q4 {
		return nil, fmt.Errorf("webgpu: weight [%d %d]: unknown type %v", out, in, t)
	}
	if t.Blocked() && in%compute.BlockQ8 != 0 {
		return nil, fmt.Errorf("webgpu: %v weight [%d %d]: want inputs in blocks of %d",
			t, out, in, compute.BlockQ8)
	}
	if err := d.room("row of a weight", 1, in); err != nil {
		return nil, err
	}
	if out < 0 || out > 1<<30 {
		return nil, fmt.Errorf("webgpu: weight [%d %d]: want 0 to 2^30 rows", out, in)
	}
	most := int(d.limits.MaxStorageBufferBindingSize) / max(w.rowBytes(), 1)
	if d.maxRows > 0 {
		most = d.maxRows
	}
	for lo := 0; lo < out; lo += most {
		rows := min(most, out-lo)
		b, err := d.zeroed(fmt.Sprintf("%v weight [%d %d]", t, out, in),
			uint64(rows)*uint64(w.rowBytes()))
		if err != nil {
			d.Free(w)
			return nil, err
		}
		w.parts = append(w.parts, part{b: b, lo: lo, rows: rows})
	}
	return w, nil
}

// weight is w as this device holds it.
func (d *Device) weight(op string, w compute.Weight) *weight {
	p, ok := w.(*weight)
	if !ok || p.d != d {
		panic(fmt.Sprintf("webgpu: %s: the weight belongs to another device", op))
	}
	if p.freed {
		panic(fmt.Sprintf("webgpu: %s: the %v weight was freed", op, p.t))
	}
	return p
}

// Pack: see compute.Memory.
func (d *Device) Pack(w compute.Weight, src compute.Tensor) {
	m := d.weight("Pack", w)
	shape("Pack", "src", src, m.out, m.in, src)
	xb, xo := d.vals("Pack", src)
	words := m.words()
	for _, p := range m.parts {
		at := xo + uint32(p.lo*m.in)
		if m.t.Blocked() {
			blocks := p.rows * m.in / compute.BlockQ8
			d.run(plain("pack_"+m.t.String()), threads(blocks), bufs{p.b, xb}, uint32(blocks), at,
				uint32(p.rows*words))
			continue
		}
		d.run(kernels.Variant{Name: "pack", Type: m.t.String()}, threads(p.rows*words),
			bufs{p.b, xb}, uint32(p.rows*words), uint32(words), uint32(m.in), at)
	}
}

// Unpack: see compute.Memory.
func (d *Device) Unpack(dst compute.Tensor, w compute.Weight) {
	m := d.weight("Unpack", w)
	shape("Unpack", "dst", dst, m.out, m.in, dst)
	xb, xo := d.vals("Unpack", dst)
	words := m.words()
	for _, p := range m.parts {
		d.run(kernels.Variant{Name: "unpack", Type: m.t.String()}, threads(p.rows*m.in),
			bufs{xb, p.b}, uint32(p.rows*m.in), uint32(words), uint32(m.in),
			xo+uint32(p.lo*m.in), uint32(p.rows*words))
	}
}
