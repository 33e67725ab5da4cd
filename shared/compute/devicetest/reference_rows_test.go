package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

func (d *reference) UnpackRows(y compute.Tensor, w compute.Weight, ids compute.Ints) {
	r := held("UnpackRows", w)
	fit("UnpackRows", y.Cols == r.in && y.Rows == ids.N, y, r.in, ids.N)
	put(y, gatherRows(matrix{r.out, r.in, wide(r.v)}, numbers(ids)))
}

func (d *reference) PackFrom(w compute.Weight, read func(lo int, rows []float32) error) error {
	r := held("PackFrom", w)
	t, _ := d.NewTensor(r.out, r.in)
	for i := range r.out {
		if err := read(i, data(t.Slice(i, i+1))); err != nil {
			return err
		}
	}
	d.Pack(w, t)
	return nil
}

func (d *reference) PackBytes(w compute.Weight, read func(lo int, rows []byte) error) error {
	b := make([]byte, 2*held("PackBytes", w).in)
	return d.PackFrom(w, func(lo int, rows []float32) error {
		err := read(lo, b)
		for i := range rows {
			rows[i] = math.Float32frombits(uint32(b[2*i])<<16 | uint32(b[2*i+1])<<24)
		}
		return err
	})
}

func (d *broken) UnpackRows(y compute.Tensor, w compute.Weight, ids compute.Ints) {
	r := w.(*refWeight)
	switch d.bug {
	case "unpack rows clamps":
		ids = idsWith(ids, clamp(r.out))
	case "unpack rows in parts": // a row of the second part is looked for in the first
		ids = idsWith(ids, func(id int32) int32 {
			if id >= 7 && int(id) < r.out {
				return id - 7
			}
			return id
		})
	case "unpack rows by one scale":
		if r.t.Blocked() {
			d.reference.UnpackRows(y, w, ids)
			first := filled(y, 0)
			d.reference.UnpackRows(first, w, intsOf(make([]int32, ids.N)))
			d.reference.Copy(y.Slice(0, 1), first.Slice(0, 1))
			return
		}
	}
	d.reference.UnpackRows(y, w, ids)
}

func (d *broken) PackFrom(w compute.Weight, read func(lo int, rows []float32) error) error {
	switch d.bug {
	case "packs what failed":
		d.reference.PackFrom(w, func(lo int, rows []float32) error { read(lo, rows); return nil })
		return nil
	case "first rows again":
		return d.reference.PackFrom(w, func(lo int, rows []float32) error {
			return read(lo-lo%2, rows)
		})
	}
	return d.reference.PackFrom(w, read)
}

func (d *broken) PackBytes(w compute.Weight, read func(lo int, rows []byte) error) error {
	if d.bug == "bytes swapped" {
		return d.reference.PackBytes(w, func(lo int, rows []byte) error {
			err := read(lo, rows)
			for i := 0; i < len(rows); i += 2 {
				rows[i], rows[i+1] = rows[i+1], rows[i]
			}
			return err
		})
	}
	return d.reference.PackBytes(w, read)
}
