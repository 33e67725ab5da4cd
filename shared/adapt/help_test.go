package adapt_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// tiny has weights of all shapes that matter here: square, wide, tall, grouped heads.
var tiny = llama.Config{Vocab: 320, Dim: 24, Hidden: 40, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8,
	Context: 96, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// small has the shape of the models that ship.
var small = llama.Config{Vocab: 1024, Dim: 128, Hidden: 384, Layers: 6, Heads: 4, KVHeads: 2,
	HeadDim: 32, Context: 256, RopeTheta: 10000, Eps: 1e-5, Tied: true}

func open(t testing.TB) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// weightStd makes the tiny model's logits large enough to mean something.
const weightStd = 0.2

// fresh is a frozen model of random weights and their decomposition.
func fresh(t testing.TB, dev *cpu.Device, c llama.Config, dtype compute.DType, seed uint64) (
	*llama.Model, *svf.Decomposition) {
	t.Helper()
	m, err := llama.New(dev, c, dtype)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	shapes := map[string]llama.TensorSpec{}
	for _, s := range c.Tensors() {
		shapes[s.Name] = s
	}
	d := &svf.Decomposition{}
	err = m.Load(func(name string) ([]float32, error) {
		s := shapes[name]
		x := make([]float32, s.Rows*s.Cols)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * weightStd)
			if s.Rows == 1 {
				x[i]++
			}
		}
		return x, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[string]checkpoint.Fingerprint{}
	for _, l := range m.Linears() {
		one, err := svf.Decompose(dev, l.Name, l.Out, l.In, weights(t, m, l.Name))
		if err != nil {
			t.Fatal(err)
		}
		d.Matrices = append(d.Matrices, one)
		hashes[l.Name] = one.Weight
	}
	d.Base = checkpoint.HashModel(hashes)
	return m, d
}

// linear finds a matrix of a model.
func linear(t testing.TB, m *llama.Model, name string) *llama.Linear {
	t.Helper()
	for _, l := range m.Linears() {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no linear %s", name)
	return nil
}

// weights reads a matrix [out in] as the products see it.
func weights(t testing.TB, m *llama.Model, name string) []float32 {
	t.Helper()
	l := linear(t, m, name)
	x := make([]float32, l.Out*l.In)
	if err := m.ReadLinear(x, l); err != nil {
		t.Fatal(err)
	}
	return x
}

// expert is a random one of z = 1 + scale·N(0,1) within a scope.
func expert(t testing.TB, d *svf.Decomposition, scope string, seed uint64, scale float64) *svf.Expert {
	t.Helper()
	s, err := svf.ParseScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	return svf.Random(d, s, seed, scale)
}

// logits of every row of a batch, [T V].
func logits(t testing.TB, m *llama.Model, b *llama.Batch) []float32 {
	t.Helper()
	ws, err := m.NewWorkspace(len(b.Tokens), false)
	if err != nil {
		t.Fatal(err)
	}
	m.Forward(ws, b, nil)
	var all []float32
	m.EachLogits(ws, func(lo, hi int, l compute.Tensor) {
		x := make([]float32, l.Len())
		if err := m.Dev.Read(x, l); err != nil {
			t.Fatal(err)
		}
		all = append(all, x...)
	})
	return all
}

// words is a sequence of random tokens.
func words(c llama.Config, n int, seed uint64) []int32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(c.Vocab))
	}
	return ids
}

// batch packs one sequence of each length; sequence i has Seq i.
func batch(c llama.Config, lengths ...int) *llama.Batch {
	b := &llama.Batch{}
	for i, n := range lengths {
		b.Append(words(c, n, uint64(i)), i)
	}
	return b
}

// farthest is the largest |a − b|.
func farthest[A, B float32 | float64](t testing.TB, a []A, b []B) float64 {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d numbers against %d", len(a), len(b))
	}
	worst := 0.0
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if !(d <= worst) {
			worst = d
		}
	}
	return worst
}

func near[A, B float32 | float64](t testing.TB, what string, a []A, b []B, tol float64) {
	t.Helper()
	if d := farthest(t, a, b); !(d <= tol) {
		t.Errorf("%s: off by %g, allowed %g", what, d, tol)
	}
}

// logProb is log p(ids[from:] | ids[:from]) from one forward pass.
func logProb(t testing.TB, m *llama.Model, ids []int32, from int) float64 {
	b := &llama.Batch{}
	b.Append(ids, 0)
	rows := logits(t, m, b)
	sum := 0.0
	for i := from; i < len(ids); i++ {
		sum += llama.LogProb(rows[(i-1)*m.Vocab:i*m.Vocab], ids[i])
	}
	return sum
}
