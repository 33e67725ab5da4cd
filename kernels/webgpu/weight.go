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
	for _, p := range m.parts {
		d.packRows(m, p, 0, src.Slice(p.lo, p.lo+p.rows))
	}
}

// packRows rounds src into the rows of a part from row lo of it on.
func (d *Device) packRows(m *weight, p part, lo int, src compute.Tensor) {
	xb, xo := d.vals("Pack", src)
	words := m.words()
	if m.t.Blocked() {
		blocks := m.in / compute.BlockQ8
		d.run(plain("pack_"+m.t.String()), threads(src.Rows*blocks), bufs{p.b, xb},
			uint32(src.Rows*blocks), xo, uint32(p.rows*words), uint32(lo*blocks))
		return
	}
	d.run(kernels.Variant{Name: "pack", Type: m.t.String()}, threads(src.Rows*words),
		bufs{p.b, xb}, uint32(src.Rows*words), uint32(words), uint32(m.in), xo, uint32(lo*words))
}

// PackFrom: see compute.Memory.
func (d *Device) PackFrom(w compute.Weight, read func(lo int, rows []float32) error) error {
	m := d.weight("PackFrom", w)
	seen := min(chunk, int(d.limits.MaxStorageBufferBindingSize))
	most := max(1, min(seen/4/max(m.in, 1), m.out))
	t, err := d.NewTensor(most, m.in)
	if err != nil {
		return err
	}
	defer d.Free(t.Buf)
	host := make([]float32, t.Len())
	return m.eachRows(most, func(p part, lo, n int) error {
		rows := host[:n*m.in]
		err := read(p.lo+lo, rows)
		if err == nil {
			d.Write(t.Slice(0, n), rows)
			d.packRows(m, p, lo, t.Slice(0, n))
			err = d.flush()
		}
		return err
	})
}

// PackBytes: see compute.Memory.
func (d *Device) PackBytes(w compute.Weight, read func(lo int, rows []byte) error) error {
	m := d.weight("PackBytes", w)
	if m.t != compute.BF16 || m.in%2 != 0 {
		panic(fmt.Sprintf("webgpu: PackBytes: the weight [%d %d] is %v, want bf16 and even inputs",
			m.out, m.in, m.t))
	}
	row, padded := 2*m.in, 4*m.words()
	most := max(1, min(chunk/max(padded, 1), m.out))
	host := make([]byte, most*padded)
	return m.eachRows(most, func(p part, lo, n int) error {
		if err := read(p.lo+lo, host[:n*row]); err != nil {
			return err
		}
		for i := n - 1; i >= 0 && padded > row; i-- { // the last first: no row is in another's way
			copy(host[i*padded:], host[i*row:(i+1)*row])
			clear(host[i*padded+row : (i+1)*padded])
		}
		d.write(p.b, uint32(lo*m.words()), host[:n*padded])
		return d.flush()
	})
}

// eachRows calls f for all rows of a weight, so many at once at most: n of a part, from row lo on.
func (m *weight) eachRows(most int, f func(p part, lo, n int) error) error {
	for _, p := range m.parts {
		for lo := 0; lo < p.rows; lo += most {
			if err := f(p, lo, min(most, p.rows-lo)); err != nil {
				return err
			}
		}
	}
	return nil
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

// UnpackRows: see compute.Memory.
func (d *Device) UnpackRows(y compute.Tensor, w compute.Weight, ids compute.Ints) {
	const op = "UnpackRows"
	m := d.weight(op, w)
	count(op, "ids", ids, y.Rows, y)
	shape(op, "y", y, ids.N, m.in, y)
	yb, yo := d.vals(op, y)
	ib, io := d.ints(op, ids)
	if len(m.parts) == 0 {
		d.fill(yb, int(yo), y.Len(), 0)
	}
	for _, p := range m.parts {
		d.run(kernels.Variant{Name: "unpack_rows", Type: m.t.String()}, threads(y.Len()),
			bufs{yb, p.b, ib}, uint32(y.Len()), uint32(m.words()), uint32(m.in),
			uint32(p.rows*m.words()), uint32(p.lo), uint32(p.rows), uint32(m.out), yo, io)
	}
}
