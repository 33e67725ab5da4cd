package cpu

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

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
	d.rounding(p, d.vals("Pack", src), false)
}

// Unpack writes the rounded numbers of w to dst.
func (d *Device) Unpack(dst compute.Tensor, w compute.Weight) {
	p := d.weight("Unpack", w)
	shape("Unpack", "dst", dst, p.out, p.in, dst)
	d.rounding(p, d.vals("Unpack", dst), true)
}

// UnpackRows: see compute.Memory.
func (d *Device) UnpackRows(y compute.Tensor, w compute.Weight, ids compute.Ints) {
	p := d.weight("UnpackRows", w)
	count("UnpackRows", "ids", ids, y.Rows, y)
	shape("UnpackRows", "y", y, ids.N, p.in, y)
	d.rows(y.Rows, y.Cols, opTask{f: unpackRows, y: d.vals("UnpackRows", y), w: p,
		ids: d.ints("UnpackRows", ids), n: y.Cols})
}

func unpackRows(_ *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		y := t.y[i*t.n : (i+1)*t.n]
		if id := int(t.ids[i]); id >= 0 && id < t.w.out {
			t.w.row(y, id)
		} else {
			clear(y)
		}
	}
}

// row is row i of the weight, which lies a panel's width apart, as f32.
func (w *weight) row(dst []float32, i int) {
	p, j := i/nr, i%nr
	at := p * w.in * nr
	blocks := w.in / q8Block
	switch w.t {
	case compute.F32:
		for l := range dst {
			dst[l] = w.f[at+l*nr+j]
		}
	case compute.F16:
		for l := range dst {
			dst[l] = fromF16(w.h[at+l*nr+j])
		}
	case compute.BF16:
		at += bf16At(j)
		for l := range dst {
			dst[l] = fromBF16(w.h[at+l*nr])
		}
	case compute.Q8:
		for b := range blocks {
			widenQ8Column(dst[b*q8Block:], 1, w.q[(p*blocks+b)*q8Bytes:], j)
		}
	default:
		for b := range blocks {
			widenQ4Column(dst[b*q8Block:], 1, w.q[(p*blocks+b)*q4Bytes:], j)
		}
	}
}

func (d *Device) rounding(w *weight, x []float32, unpack bool) {
	t := &d.ops.weight
	t.w, t.x, t.unpack = w, x, unpack
	d.pool.do(w.panels(), 1, t)
	t.w, t.x = nil, nil
}

// PackFrom: see compute.Memory. A worker has the rows of one panel.
func (d *Device) PackFrom(w compute.Weight, read func(lo int, rows []float32) error) error {
	p := d.weight("PackFrom", w)
	t := &weightTask{w: p, read: read}
	d.pool.do(p.panels(), 1, t)
	return t.err
}

// PackBytes: see compute.Memory.
func (d *Device) PackBytes(w compute.Weight, read func(lo int, rows []byte) error) error {
	p := d.weight("PackBytes", w)
	if p.t != compute.BF16 || p.in%2 != 0 {
		panic(fmt.Sprintf("cpu: PackBytes: the weight [%d %d] is %v, want bf16 and even inputs",
			p.out, p.in, p.t))
	}
	t := &weightTask{w: p, bytes: read}
	d.pool.do(p.panels(), 1, t)
	return t.err
}

// weightTask packs or unpacks; an item is a panel.
type weightTask struct {
	w      *weight
	x      []float32 // [out, in]
	unpack bool

	// in place of x
	read  func(lo int, rows []float32) error
	bytes func(lo int, rows []byte) error

	mu     sync.Mutex
	failed atomic.Bool
	err    error // the first of read
}

func (t *weightTask) run(w *worker, lo, hi int) {
	for p := lo; p < hi; p++ {
		switch {
		case t.unpack:
			t.unpackPanel(w, p)
		case t.x != nil:
			t.packPanel(w, p, t.x[p*nr*t.w.in:])
		case !t.failed.Load():
			if err := t.readPanel(w, p); err != nil {
				t.fail(err)
			}
		}
	}
}

// readPanel packs panel p from what read or bytes give.
func (t *weightTask) readPanel(w *worker, p int) error {
	in, n := t.w.in, min(nr, t.w.out-p*nr)
	if t.read != nil {
		rows := w.scratch(slotB, n*in)
		err := t.read(p*nr, rows)
		if err == nil {
			t.packPanel(w, p, rows)
		}
		return err
	}
	rows := w.scratch(slotB, n*in/2) // pairs of numbers in the bits of one
	if err := t.bytes(p*nr, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(rows))),
		2*n*in)); err != nil {
		return err
	}
	pairs := w.scratch(slotA, in/2*nr)
	w.d.f.packT(pairs, 1, rows, in/2, n, in/2)
	w.d.f.pairsBF16(t.w.h[p*in*nr:(p+1)*in*nr], pairs)
	return nil
}

func (t *weightTask) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	t.failed.Store(true)
}

// packPanel rounds panel p from its rows.
func (t *weightTask) packPanel(w *worker, p int, src []float32) {
	m := t.w
	rows := min(nr, m.out-p*nr)
	src = src[:rows*m.in]
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
