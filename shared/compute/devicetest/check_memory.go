package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// checkMemory: what is new is zero, also on storage given back dirty; what is written is read.
func checkMemory(e *env) {
	e.label = "memory"
	if e.dev.Name() == "" {
		e.errorf("the device has no name")
	}
	for _, n := range []int{1, 7, 33, 1000, 4096} {
		for range 2 { // the second time on storage that was given back dirty
			x, err := e.dev.NewTensor(n, 3)
			e.must(err)
			got := repeat(nan32, n*3)
			e.must(e.dev.Read(got, x))
			e.same("new tensor", got, make([]float32, n*3))
			e.dev.Write(x, repeat(nan32, n*3))
			e.dev.Free(x.Buf)

			ids, err := e.dev.NewInts(n)
			e.must(err)
			out := make([]int32, n)
			out[0] = 1
			e.must(e.dev.ReadInts(out, ids))
			for i, v := range out {
				if v != 0 {
					e.errorf("new ints: [%d] = %d", i, v)
					break
				}
			}
			for i := range out {
				out[i] = math.MinInt32 + int32(i)
			}
			e.dev.WriteInts(ids, out)
			back := make([]int32, n)
			e.must(e.dev.ReadInts(back, ids))
			for i, v := range back {
				if v != out[i] {
					e.errorf("ints: [%d]: wrote %d, read %d", i, out[i], v)
					break
				}
			}
			e.dev.Free(ids.Buf)
		}
	}
	checkWeights(e)
}

// checkWeights: a new weight says what it is, and is zero.
func checkWeights(e *env) {
	bits := map[compute.DType]int{compute.F32: 32, compute.F16: 16, compute.BF16: 16, compute.Q8: 9,
		compute.Q4: 5}
	for _, t := range dtypes {
		c := e.begin("new %v weight [33 64]", t)
		w, err := e.dev.NewWeight(t, 33, 64)
		e.must(err)
		if out, in := w.Dims(); out != 33 || in != 64 || w.Type() != t {
			e.errorf("it says [%d %d] %v", out, in, w.Type())
		}
		if least := int64(33 * 64 * bits[t] / 8); w.Bytes() < least {
			e.errorf("%d bytes, want %d or more", w.Bytes(), least)
		}
		d := c.out(33, 64)
		c.run(func() { e.dev.Unpack(d.Tensor, w) })
		e.same("unpacked", d.got(), make([]float32, 33*64))
		c.end()

		// One that takes the room of another, given back dirty, is zero too.
		c = e.begin("%v weight in freed memory", t)
		e.dev.Pack(w, c.normal(33, 64).Tensor)
		e.dev.Free(w)
		again, err := e.dev.NewWeight(t, 33, 64)
		e.must(err)
		d = c.out(33, 64)
		c.run(func() { e.dev.Unpack(d.Tensor, again) })
		e.same("unpacked", d.got(), make([]float32, 33*64))
		e.dev.Free(again)
		c.end()
	}
}

// checkOrder: ops take effect in the order of the calls, whatever runs when.
func checkOrder(e *env) {
	c := e.begin("order")
	n := 33
	a, b := normal(e.rng, n), normal(e.rng, n)
	x, y1, y2, y3 := c.acc(1, n), c.out(1, n), c.out(1, n), c.out(1, n)
	host := append([]float32(nil), a...)
	e.dev.Write(x.Tensor, host)
	copy(host, repeat(nan32, n)) // the source may be reused when Write returns
	e.dev.Copy(y1.Tensor, x.Tensor)
	e.dev.Write(x.Tensor, b)
	e.dev.Copy(y2.Tensor, x.Tensor)
	e.must(e.dev.Submit())
	e.dev.Add(x.Tensor, y1.Tensor)
	e.dev.Copy(y3.Tensor, x.Tensor)
	e.dev.Fill(x.Tensor, 3)
	c.read()
	sum := make([]float32, n)
	for i := range sum {
		sum[i] = b[i] + a[i]
	}
	e.same("before the second write", y1.got(), a)
	e.same("after the second write", y2.got(), b)
	e.same("after Submit", y3.got(), sum)
	e.same("at the end", x.got(), repeat(3, n))
	c.end()

	c = e.begin("order of ints")
	table, z1, z2 := c.normal(4, 5), c.out(2, 5), c.out(2, 5)
	ids, err := e.dev.NewInts(2)
	e.must(err)
	e.dev.WriteInts(ids, []int32{3, 1})
	e.dev.GatherRows(z1.Tensor, table.Tensor, ids)
	e.dev.WriteInts(ids, []int32{0, 2})
	e.dev.GatherRows(z2.Tensor, table.Tensor, ids)
	e.dev.Free(ids.Buf) // what was recorded still runs
	c.read()
	e.same("first ids", z1.got(), narrow(gatherRows(table.wide(), []int32{3, 1})))
	e.same("second ids", z2.got(), narrow(gatherRows(table.wide(), []int32{0, 2})))
	c.end()

	c = e.begin("read of a part")
	p := c.acc(6, 7)
	got := make([]float32, 14)
	e.must(e.dev.Read(got, p.Slice(2, 4)))
	e.same("rows 2 and 3", got, p.before[p.pre+14:p.pre+28])
	e.dev.Write(p.Slice(5, 6), a[:7])
	c.read()
	e.same("row 5", p.got()[35:], a[:7])
	e.same("rows before", p.got()[:35], p.before[p.pre:p.pre+35])
	c.end()
}

// checkViews: disjoint views of one buffer are as good as buffers of their own.
func checkViews(e *env) {
	c := e.begin("views of one buffer")
	x := c.acc(9, 7)
	row := func(t int) []float64 { return x.wide().row(t) }
	e.dev.Copy(x.Slice(0, 1), x.Slice(1, 2))
	e.dev.Add(x.Slice(2, 3), x.Slice(3, 4))
	e.dev.RMSNorm(x.Slice(4, 5), x.Slice(5, 6), x.Slice(6, 7), 1e-5)
	e.dev.Gemm(compute.NT, x.Slice(7, 8).Reshape(1, 2), x.Slice(8, 9), x.Slice(5, 7), false)
	c.read()
	got := func(t int) []float32 { return x.got()[7*t : 7*t+7] }
	e.within("Copy", got(0), answer{row(1), make([]float64, 7)})
	e.within("Add", got(2), add(row(2), row(3)))
	e.within("RMSNorm", got(4), rmsNorm(matrix{1, 7, row(5)}, row(6), 1e-5))
	b := matrix{2, 7, x.wide().v[5*7 : 7*7]}
	e.within("Gemm", got(7)[:2], gemm(compute.NT, matrix{1, 7, row(8)}, b, nil))
	for _, t := range []int{1, 3, 5, 6, 8} {
		e.same("inputs", got(t), narrow(row(t)))
	}
	e.same("past the product", got(7)[2:], narrow(row(7)[2:]))
	c.end()
}

// specials are the f32 that copies must carry; denormal numbers are left out, which GPUs may flush.
var specials = []float32{0, float32(math.Copysign(0, -1)), 1, -1, math.MaxFloat32, -math.MaxFloat32,
	0x1p-126, float32(math.Inf(1)), float32(math.Inf(-1)), nan32, 1e-30, 1e30, 16777217}

func checkCopy(e *env) {
	for _, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		v := normal(e.rng, s[0]*s[1])
		copy(v, specials)
		x, y := c.in(s[0], s[1], v), c.out(s[0], s[1])
		c.run(func() { e.dev.Copy(y.Tensor, x.Tensor) })
		e.same("copy", y.got(), v)
		c.end()
	}
}

func checkFill(e *env) {
	for i, s := range keep(e, sizes) {
		c := e.begin("%v", s)
		v := specials[i%len(specials)]
		y := c.out(s[0], s[1])
		if v != v {
			y = c.acc(s[0], s[1])
		}
		c.run(func() { e.dev.Fill(y.Tensor, v) })
		e.same("fill", y.got(), repeat(v, s[0]*s[1]))
		c.end()
	}
}

// checkZeroRows: a loop over no rows does nothing.
func checkZeroRows(e *env) {
	c := e.begin("no rows")
	d := e.dev
	x, y, z := c.acc(2, 8), c.acc(2, 8), c.acc(2, 8)
	nx, ny := x.Slice(0, 0), y.Slice(1, 1)
	ids := c.inInts([]int32{0, 1, 0, 1})
	none := ids.Slice(1, 1)
	w, _ := c.weight(compute.F32, 8, 8, normal(e.rng, 64))
	c.run(func() {
		d.Copy(nx, ny)
		d.Fill(nx, 1)
		d.MatMul(nx, ny, w)
		d.MatMulT(nx, ny, w, true)
		d.Gemm(compute.NT, nx.Reshape(0, 2), ny, z.Tensor, false)
		d.Gemm(compute.TN, z.Reshape(2, 2), nx.Reshape(0, 2), ny.Reshape(0, 2), true)
		d.ScaleCols(nx, ny, z.Slice(0, 1), compute.Ints{})
		d.ColDot(z.Slice(0, 1), nx, ny)
		d.Add(nx, ny)
		d.RMSNorm(nx, ny, z.Slice(0, 1), 1e-5)
		d.SwiGLU(nx, ny, ny)
		d.GatherRows(nx, z.Tensor, none)
		d.UnpackRows(nx, w, none)
		d.ScatterAddRows(z.Tensor, nx, none)
		d.ScatterRows(z.Tensor, nx, none)
		d.RoPE(nx, z.Tensor, none, 8, false)
		d.SumSquares(z.Slice(0, 1).Reshape(1, 1), nx)
	})
	for _, t := range []*tensor{x, y, z} {
		e.same("untouched", t.got(), t.before[t.pre:t.pre+t.Len()])
	}
	c.end()
}
