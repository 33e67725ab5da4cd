//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// known is a question to the device whose answer is known.
type known struct {
	name string
	run  func(t *asker) (got compute.Tensor, want []float32)
}

// knownTol is how far an answer may be off. Most are whole numbers, exact in any order of sums; the
// others are within a few roundings of numbers near one.
const knownTol = 1e-5

// knowns has a question for each family of kernels.
var knowns = []known{
	{"matrix times vector", func(t *asker) (compute.Tensor, []float32) { return t.product(2) }},
	{"matrix product", func(t *asker) (compute.Tensor, []float32) { return t.product(40) }},
	{"weight gradient", askGemm},
	{"norm", askNorm},
	{"gated unit", askGate},
	{"attention of few rows", func(t *asker) (compute.Tensor, []float32) { return t.attend(2) }},
	{"attention of many rows", func(t *asker) (compute.Tensor, []float32) { return t.attend(40) }},
	{"log probability", askLogProb},
	{"optimizer", askAdamW},
}

// SelfTest asks the device what the host knows, about every family of kernels. A device that gives
// one wrong answer, or none, is not to be used: the error says what it got wrong.
func (d *Device) SelfTest() error {
	t := &asker{d: d}
	defer t.free()
	type asked struct {
		name string
		got  compute.Tensor
		want []float32
	}
	var all []asked
	for _, k := range knowns {
		got, want := k.run(t)
		if t.err != nil {
			return fmt.Errorf("webgpu: %s fails its self-test, %s: %w", d.adapter.Name, k.name, t.err)
		}
		all = append(all, asked{k.name, got, want})
	}
	for _, a := range all {
		host := make([]float32, a.got.Len())
		if err := d.Read(host, a.got); err != nil {
			return fmt.Errorf("webgpu: %s fails its self-test, %s: %w", d.adapter.Name, a.name, err)
		}
		for i, g := range host {
			if !(math.Abs(float64(g)-float64(a.want[i])) <= knownTol) {
				return fmt.Errorf("webgpu: %s computes wrongly, %s: number %d is %v, want %v",
					d.adapter.Name, a.name, i, g, a.want[i])
			}
		}
	}
	return nil
}

// asker makes the tensors of a question; its first error ends the test.
type asker struct {
	d     *Device
	owned []compute.Buffer
	err   error
}

func (t *asker) free() {
	for _, b := range t.owned {
		t.d.Free(b)
	}
}

// tensor is f(i) for every number i.
func (t *asker) tensor(rows, cols int, f func(i int) float32) compute.Tensor {
	x, err := t.d.NewTensor(rows, cols)
	if err != nil {
		t.err = err
		return compute.Tensor{Buf: &floats{d: t.d, b: &buffer{}, n: rows * cols}, Rows: rows,
			Cols: cols}
	}
	t.owned = append(t.owned, x.Buf)
	host := make([]float32, rows*cols)
	for i := range host {
		host[i] = f(i)
	}
	t.d.Write(x, host)
	return x
}

func (t *asker) ints(v ...int32) compute.Ints {
	x, err := t.d.NewInts(len(v))
	if err != nil {
		t.err = err
		return compute.Ints{Buf: &integers{d: t.d, b: &buffer{}, n: len(v)}, N: len(v)}
	}
	t.owned = append(t.owned, x.Buf)
	t.d.WriteInts(x, v)
	return x
}

func zero(int) float32 { return 0 }

// small are whole numbers from −3 to 3.
func small(i int) float32 { return float32((i*5+i/7)%7 - 3) }

// product is y = x Wᵀ for whole numbers and a bf16 weight.
func (t *asker) product(rows int) (compute.Tensor, []float32) {
	const out, in = 37, 72
	w, err := t.d.NewWeight(compute.BF16, out, in)
	if err != nil {
		t.err = err
		return compute.Tensor{}, nil
	}
	t.owned = append(t.owned, w)
	t.d.Pack(w, t.tensor(out, in, small))
	y := t.tensor(rows, out, zero)
	t.d.MatMul(y, t.tensor(rows, in, func(i int) float32 { return small(i + 3) }), w)
	want := make([]float32, rows*out)
	for i := range want {
		for k := range in {
			want[i] += small(i/out*in+k+3) * small(i%out*in+k)
		}
	}
	return y, want
}

func askGemm(t *asker) (compute.Tensor, []float32) {
	const m, n, k = 36, 20, 48
	c := t.tensor(m, n, small)
	t.d.Gemm(compute.TN, c, t.tensor(k, m, small), t.tensor(k, n, small), true)
	want := make([]float32, m*n)
	for i := range want {
		want[i] = small(i)
		for l := range k {
			want[i] += small(l*m+i/n) * small(l*n+i%n)
		}
	}
	return c, want
}

func askNorm(t *asker) (compute.Tensor, []float32) {
	const rows, cols = 2, 300
	y := t.tensor(rows, cols, zero)
	x := t.tensor(rows, cols, func(i int) float32 { return float32(2 - 4*(i%2)) })
	t.d.RMSNorm(y, x, t.tensor(1, cols, func(i int) float32 { return float32(i % 3) }), 0)
	want := make([]float32, rows*cols)
	for i := range want {
		want[i] = float32(1-2*(i%2)) * float32(i%cols%3)
	}
	return y, want
}

func askGate(t *asker) (compute.Tensor, []float32) {
	gates := []float32{0, 90, -100, 1, 50}
	y := t.tensor(1, len(gates), zero)
	t.d.SwiGLU(y, t.tensor(1, len(gates), func(i int) float32 { return gates[i] }),
		t.tensor(1, len(gates), func(int) float32 { return 0.25 }))
	return y, []float32{0, 22.5, 0, 0.25 * 0.7310585786, 12.5}
}

// attend asks for the mean of values: all keys of a span count the same where the query is zero.
func (t *asker) attend(rows int) (compute.Tensor, []float32) {
	h := compute.Heads{Q: 2, KV: 1, Dim: 16, Scale: 0.25}
	o, q := t.tensor(rows, h.Q*h.Dim, small), t.tensor(rows, h.Q*h.Dim, zero)
	k, v := t.tensor(rows+64, h.Dim, small), t.tensor(rows+64, h.Dim, small)
	spans := make([]int32, 2*rows)
	want := make([]float32, rows*h.Q*h.Dim)
	for r := range rows {
		lo, n := r, 1<<(r%7)
		spans[2*r], spans[2*r+1] = int32(lo), int32(lo+n)
		for i := range h.Q * h.Dim {
			for s := lo; s < lo+n; s++ {
				want[r*h.Q*h.Dim+i] += small(s*h.Dim+i%h.Dim) / float32(n)
			}
		}
	}
	t.d.Attention(o, compute.Tensor{}, q, k, v, t.ints(spans...), h)
	return o, want
}

func askLogProb(t *asker) (compute.Tensor, []float32) {
	const n = 1000
	lp := t.tensor(2, 1, zero)
	x := t.tensor(2, n, func(i int) float32 { return 3 })
	t.d.LogProbs(lp, x, t.ints(n-1, -1))
	return lp, []float32{float32(-math.Log(n)), 0}
}

func askAdamW(t *asker) (compute.Tensor, []float32) {
	p, m, v := t.tensor(1, 3, small), t.tensor(1, 3, zero), t.tensor(1, 3, zero)
	g := t.tensor(1, 3, func(i int) float32 { return float32(i - 1) })
	t.d.AdamW(p, g, m, v, compute.AdamWParams{LR: 0.5, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1,
		GradScale: 1})
	return p, []float32{small(0) + 0.5, small(1), small(2) - 0.5} // the first step is the sign
}
