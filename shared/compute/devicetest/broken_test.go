package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// broken is the reference with one bug, named by a word. Each bug is one that a real device had or
// could have; mutants_test.go says which check must notice.
type broken struct {
	reference
	bug   string
	later []func() // ops that the bug "late" holds back
	calls int
}

// mapped is a copy of t with f applied.
func mapped(t compute.Tensor, f func(float32) float32) compute.Tensor {
	b := make(floats, t.Len())
	for i, v := range data(t) {
		b[i] = f(v)
	}
	return compute.Tensor{Buf: b, Rows: t.Rows, Cols: t.Cols}
}

func filled(t compute.Tensor, v float32) compute.Tensor {
	return mapped(t, func(float32) float32 { return v })
}

func intsOf(v []int32) compute.Ints { return compute.Ints{Buf: int32s(v), N: len(v)} }

// asBF16 drops to bf16, as a tensor core or a careless kernel would.
func asBF16(x float32) float32 { return roundBF16(x) }

// asTF32 keeps the 10 bits of fraction that NVIDIA's tensor cores take of an f32.
func asTF32(x float32) float32 { return roundTo(x, 11, -126, math.MaxFloat32) }

// asInt8 quantises activations in place of keeping f32.
func asInt8(x compute.Tensor) compute.Tensor {
	top := float32(0)
	for _, v := range data(x) {
		top = max(top, v, -v)
	}
	return mapped(x, func(v float32) float32 {
		return float32(math.RoundToEven(float64(v/top*127))) * top / 127
	})
}

// blocksInInt8 quantises each block of x as Options.Int8Inputs grants, or carelessly.
func blocksInInt8(x compute.Tensor, nearest bool) compute.Tensor {
	y := filled(x, 0)
	round := math.RoundToEven
	if !nearest {
		round = math.Floor
	}
	for b := 0; b < x.Len(); b += compute.BlockQ8 {
		packBlock(data(y)[b:b+compute.BlockQ8], data(x)[b:b+compute.BlockQ8], round)
	}
	return y
}

func (d *broken) NewTensor(rows, cols int) (compute.Tensor, error) {
	t, err := d.reference.NewTensor(rows, cols)
	if d.bug == "dirty" && rows > 100 {
		data(t)[rows*cols-1] = 1
	}
	return t, err
}

func (d *broken) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	if d.bug == "transposed dims" {
		return d.reference.NewWeight(t, in, out)
	}
	return d.reference.NewWeight(t, out, in)
}

func (d *broken) Read(dst []float32, src compute.Tensor) error {
	for _, f := range d.later {
		f()
	}
	d.later = nil
	if d.bug == "read whole buffer" {
		src.Off = 0
	}
	return d.reference.Read(dst, src)
}

func (d *broken) Free(b compute.Buffer) {
	if d.bug != "frees nothing" {
		d.reference.Free(b)
	}
}

func (d *broken) Pack(w compute.Weight, src compute.Tensor) {
	r := w.(*refWeight)
	bits := func(mask, half uint32) func(float32) float32 {
		return func(x float32) float32 {
			return math.Float32frombits((math.Float32bits(x) + half) & mask)
		}
	}
	switch {
	case d.bug == "bf16 truncates" && r.t == compute.BF16:
		src = mapped(src, bits(0xffff0000, 0))
	case d.bug == "bf16 ties away" && r.t == compute.BF16:
		src = mapped(src, bits(0xffff0000, 0x8000))
	case d.bug == "f16 truncates" && r.t == compute.F16:
		src = mapped(src, bits(0xffffe000, 0))
	case d.bug == "f16 saturates" && r.t == compute.F16:
		src = mapped(src, func(x float32) float32 { return max(-65504, min(65504, x)) })
	case d.bug == "f16 flushes" && r.t == compute.F16:
		src = mapped(src, func(x float32) float32 {
			if x > -0x1p-14 && x < 0x1p-14 {
				return 0
			}
			return x
		})
	case d.bug == "q8 ties away" && r.t == compute.Q8:
		for b := 0; b < len(r.v); b += compute.BlockQ8 {
			packBlock(r.v[b:b+compute.BlockQ8], data(src)[b:b+compute.BlockQ8], math.Round)
		}
		return
	case d.bug == "q8 zero block" && r.t == compute.Q8:
		d.reference.Pack(w, src)
		for i, v := range data(src) {
			if v == 0 {
				r.v[i] = nan32
			}
		}
		return
	case d.bug == "q8 one scale a row" && r.t == compute.Q8:
		for i := range r.out {
			packBlock(r.v[i*r.in:(i+1)*r.in], data(src.Slice(i, i+1)), math.RoundToEven)
		}
		return
	case d.bug == "q4 ties away" && r.t == compute.Q4:
		for b := 0; b < len(r.v); b += compute.BlockQ8 {
			packBlock4(r.v[b:b+compute.BlockQ8], data(src)[b:b+compute.BlockQ8], math.Round)
		}
		return
	case d.bug == "q4 symmetric" && r.t == compute.Q4:
		for b := 0; b < len(r.v); b += compute.BlockQ8 {
			packBlock4(r.v[b:b+compute.BlockQ8], data(src)[b:b+compute.BlockQ8],
				func(q float64) float64 { return max(-7, math.RoundToEven(q)) })
		}
		return
	}
	d.reference.Pack(w, src)
}

func (d *broken) Copy(dst, src compute.Tensor) {
	switch d.bug {
	case "late":
		d.later = append(d.later, func() { d.reference.Copy(dst, src) })
	case "copy via zero":
		d.reference.Copy(dst, mapped(src, func(x float32) float32 { return x + 0 + 1e-45 - 1e-45 }))
	default:
		d.reference.Copy(dst, src)
	}
}

func (d *broken) Fill(dst compute.Tensor, v float32) {
	if d.bug == "fill in eights" {
		dst.Cols, dst.Rows = (dst.Len()+7)/8*8, 1
		dst.Cols = min(dst.Cols, dst.Buf.Len()-dst.Off)
	}
	d.reference.Fill(dst, v)
}

func (d *broken) MatMul(y, x compute.Tensor, w compute.Weight) {
	switch d.bug {
	case "bf16 activations":
		x = mapped(x, asBF16)
	case "tf32 activations":
		x = mapped(x, asTF32)
	case "int8 activations":
		x = asInt8(x)
	case "int8 blocks", "int8 rounded down":
		if w.Type() == compute.Q8 {
			x = blocksInInt8(x, d.bug == "int8 blocks")
		}
	case "unchecked":
		return
	case "mute":
		if out, in := w.Dims(); x.Cols != in || y.Cols != out || x.Rows != y.Rows {
			panic("shape mismatch")
		}
	case "rows of four":
		if x.Rows > 4 && x.Rows%4 != 0 {
			y = y.Slice(0, x.Rows/4*4)
			x = x.Slice(0, x.Rows/4*4)
		}
	case "rows mixed": // as a batch that shares a scale would
		d.reference.MatMul(y, x, w)
		mean := float32(0)
		for _, v := range data(x) {
			mean += v
		}
		d.reference.Copy(y, mapped(y, func(v float32) float32 { return v + v*mean*1e-9 }))
		return
	case "nondeterministic":
		d.calls++
		d.reference.MatMul(y, x, w)
		data(y)[0] = math.Nextafter32(data(y)[0], float32(d.calls%2)*1e9)
		return
	}
	d.reference.MatMul(y, x, w)
}

func (d *broken) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	switch d.bug {
	case "matmult never adds":
		acc = false
	case "matmult always adds":
		acc = true
	case "matmult in bf16":
		dy = mapped(dy, asBF16)
	}
	d.reference.MatMulT(dx, dy, w, acc)
}

func (d *broken) Gemm(o compute.Orientation, c, a, b compute.Tensor, acc bool) {
	switch d.bug {
	case "gemm never adds":
		acc = false
	case "gemm TN skips the last row":
		if o == compute.TN && a.Rows > 1 {
			a, b = a.Slice(0, a.Rows-1), b.Slice(0, b.Rows-1)
		}
	case "gemm f16 sums":
		d.reference.Gemm(o, c, a, b, acc)
		d.reference.Copy(c, mapped(c, roundF16))
		return
	case "gemm scratches b":
		defer func() { data(b)[b.Len()-1] += 1 }()
	}
	d.reference.Gemm(o, c, a, b, acc)
}

func (d *broken) ScaleCols(y, x, z compute.Tensor, rows compute.Ints) {
	switch d.bug {
	case "first expert only":
		rows = compute.Ints{}
	case "expert of the row":
		if !rows.IsZero() {
			ids := make([]int32, x.Rows)
			for i := range ids {
				ids[i] = int32(i % z.Rows)
			}
			rows = intsOf(ids)
		}
	}
	d.reference.ScaleCols(y, x, z, rows)
}

func (d *broken) ColDot(s, a, b compute.Tensor) {
	if d.bug == "coldot overwrites" {
		d.reference.Fill(s, 0)
	}
	d.reference.ColDot(s, a, b)
}

func (d *broken) Add(y, x compute.Tensor) {
	if d.bug == "add ignores the offset" {
		x.Off = 0
	}
	d.reference.Add(y, x)
}

func (d *broken) RMSNorm(y, x, g compute.Tensor, eps float32) {
	switch d.bug {
	case "no eps":
		eps = 0
	case "sum for mean":
		eps *= float32(x.Cols)
		g = mapped(g, func(v float32) float32 { return v / float32(math.Sqrt(float64(x.Cols))) })
	case "one plus g":
		g = mapped(g, func(v float32) float32 { return 1 + v })
	case "norm refuses no rows":
		if x.Rows == 0 {
			panic("no rows")
		}
	}
	d.reference.RMSNorm(y, x, g, eps)
}

func (d *broken) RMSNormGrad(dx, dg, dy, x, g compute.Tensor, eps float32) {
	switch d.bug {
	case "norm grad overwrites":
		d.reference.Fill(dx, 0)
	case "dg overwrites":
		if !dg.IsZero() {
			d.reference.Fill(dg, 0)
		}
	case "norm grad without eps":
		eps = 0
	case "norm grad without mean":
		u := compute.Tensor{Buf: make(floats, x.Len()), Rows: x.Rows, Cols: x.Cols}
		r := norms(wideOf(x), float64(eps))
		for i, v := range data(dy) {
			data(u)[i] = v * data(g)[i%g.Cols] * float32(r[i/g.Cols])
		}
		before := mapped(dx, func(v float32) float32 { return v })
		d.reference.RMSNormGrad(dx, dg, dy, x, g, eps)
		d.reference.Copy(dx, before)
		d.reference.Add(dx, u)
		return
	case "dg without r":
		d.reference.RMSNormGrad(dx, compute.Tensor{}, dy, x, g, eps)
		if !dg.IsZero() {
			d.reference.ColDot(dg, dy, x)
		}
		return
	}
	d.reference.RMSNormGrad(dx, dg, dy, x, g, eps)
}

func (d *broken) RoPE(x, cosSin compute.Tensor, pos compute.Ints, dim int, inverse bool) {
	switch d.bug {
	case "rope never inverts":
		inverse = false
	case "rope by row":
		ids := make([]int32, pos.N)
		for i := range ids {
			ids[i] = int32(i % cosSin.Rows)
		}
		pos = intsOf(ids)
	case "rope interleaved":
		half := dim / 2
		order := func(from, to func(i int) int) {
			for h := 0; h < x.Len(); h += dim {
				old := append([]float32(nil), data(x)[h:h+dim]...)
				for i := range dim {
					data(x)[h+to(i)] = old[from(i)]
				}
			}
		}
		halves := func(i int) int { return i }
		pairs := func(i int) int { return i%half*2 + i/half }
		order(pairs, halves)
		defer order(halves, pairs)
	case "rope first head only":
		if x.Rows > 0 {
			x = x.Reshape(1, dim)
			pos = pos.Slice(0, 1)
		}
	}
	d.reference.RoPE(x, cosSin, pos, dim, inverse)
}

func (d *broken) SwiGLU(y, gate, up compute.Tensor) {
	switch d.bug {
	case "gate and up swapped":
		gate, up = up, gate
	case "silu overflows":
		v := make([]float32, y.Len())
		for i, a := range data(gate) {
			e := float32(math.Exp(float64(a)))
			v[i] = a * (e / (1 + e)) * data(up)[i]
		}
		copy(data(y), v)
		return
	case "gelu":
		v := make([]float32, y.Len())
		for i, a := range wideOf(gate).v {
			v[i] = float32(a*(1+math.Erf(a/math.Sqrt2))/2) * data(up)[i]
		}
		copy(data(y), v)
		return
	}
	d.reference.SwiGLU(y, gate, up)
}

func (d *broken) SwiGLUGrad(dgate, dup, dy, gate, up compute.Tensor) {
	switch d.bug {
	case "silu' = sigmoid":
		v := make([]float32, gate.Len())
		for i, a := range wideOf(gate).v {
			v[i] = data(dy)[i] * data(up)[i] * float32(sigmoid(a))
		}
		d.reference.SwiGLUGrad(dgate, dup, dy, gate, up)
		copy(data(dgate), v)
		return
	case "dgate before dup": // wrong where dgate is gate
		v := make(floats, gate.Len())
		other := compute.Tensor{Buf: v, Rows: gate.Rows, Cols: gate.Cols}
		d.reference.SwiGLUGrad(dgate, other, dy, gate, up)
		d.reference.SwiGLUGrad(other, dup, dy, gate, up)
		return
	}
	d.reference.SwiGLUGrad(dgate, dup, dy, gate, up)
}
