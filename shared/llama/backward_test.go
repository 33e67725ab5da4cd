package llama_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// Every gradient against central differences of the float64 oracle.
func TestBackwardCentralDifferences(t *testing.T) {
	for name, c := range shapes {
		t.Run(name, func(t *testing.T) { checkGradients(t, c) })
	}
}

// trainingBatch is two sequences, what their tokens count, and what a training step takes of them.
type trainingBatch struct {
	llama.Batch
	seqs    [][]int32
	counts  [][]float64
	targets compute.Ints
	w       compute.Tensor
}

func newTrainingBatch(dev compute.Device, rng *rand.Rand, vocab int) *trainingBatch {
	b := &trainingBatch{seqs: [][]int32{tokens(rng, vocab, 9), tokens(rng, vocab, 4)}}
	var ids []int32
	var counts []float32
	for s, seq := range b.seqs {
		b.Append(seq[:len(seq)-1], s)
		ids = append(ids, seq[1:]...)
		b.counts = append(b.counts, nil)
		for range seq[1:] {
			v := rng.NormFloat64()
			b.counts[s], counts = append(b.counts[s], v), append(counts, float32(v))
		}
	}
	b.targets, _ = dev.NewInts(len(ids))
	b.w, _ = dev.NewTensor(len(ids), 1)
	dev.WriteInts(b.targets, ids)
	dev.Write(b.w, counts)
	return b
}

// backward adds the gradients of −Σ count·log p(token) to m's.
func (b *trainingBatch) backward(m *llama.Model, ws *llama.Workspace) {
	m.Forward(ws, &b.Batch, nil)
	m.Backward(ws, func(lo, hi int, logits compute.Tensor) {
		m.Dev.LogProbsGrad(logits, logits, b.targets.Slice(lo, hi), b.w.Slice(lo, hi))
	})
}

func checkGradients(t *testing.T, c llama.Config) {
	dev := open(t)
	m := fresh(t, dev, c, 5)
	o, err := newOracle(m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(6, 0))
	b := newTrainingBatch(dev, rng, c.Vocab)
	ws, err := m.NewWorkspace(16, true)
	if err != nil {
		t.Fatal(err)
	}
	b.backward(m, ws)
	loss := func() float64 {
		sum := 0.0
		for s, seq := range b.seqs {
			sum += o.nll(seq, b.counts[s])
		}
		return sum
	}
	for _, p := range m.Params() {
		grad := make([]float32, p.Grad.Len())
		if err := dev.Read(grad, p.Grad); err != nil {
			t.Fatal(err)
		}
		checkGradient(t, p.Name, grad, o.w[p.Name], loss, rng)
	}
}

// Activations that are computed once more are the same bits, and so is every gradient.
func TestRecomputedGradientsToTheBit(t *testing.T) {
	for name, c := range shapes {
		t.Run(name, func(t *testing.T) {
			dev := open(t)
			var all [2][][]float32
			for i := range all {
				m := fresh(t, dev, c, 5)
				ws, err := m.NewWorkspace(16, true)
				if i == 1 {
					ws, err = m.NewRecomputing(16)
				}
				if err != nil {
					t.Fatal(err)
				}
				b := newTrainingBatch(dev, rand.New(rand.NewPCG(6, 0)), c.Vocab)
				for range 2 { // the second sums onto the first
					b.backward(m, ws)
				}
				for _, p := range m.Params() {
					grad := make([]float32, p.Grad.Len())
					if err := dev.Read(grad, p.Grad); err != nil {
						t.Fatal(err)
					}
					all[i] = append(all[i], grad)
				}
			}
			if !reflect.DeepEqual(all[0], all[1]) || !slices.ContainsFunc(all[0][0],
				func(g float32) bool { return g != 0 }) {
				t.Error("gradients of recomputed activations are others")
			}
		})
	}
}

// gradTol bounds gradients of size 1 to 10 in f32 against central differences with h = 1e-5 in
// f64, whose own error is 1e-9: measured 3e-6.
const gradTol = 1e-4

func checkGradient(t *testing.T, name string, grad []float32, w []float64, loss func() float64, rng *rand.Rand) {
	t.Helper()
	const h = 1e-5
	for range 12 {
		i := rng.IntN(len(w))
		keep := w[i]
		w[i] = keep + h
		up := loss()
		w[i] = keep - h
		down := loss()
		w[i] = keep
		want := (up - down) / (2 * h)
		if d := math.Abs(want - float64(grad[i])); !(d <= gradTol*(1+math.Abs(want))) {
			t.Fatalf("%s[%d]: gradient %g, central difference %g", name, i, grad[i], want)
		}
	}
}
