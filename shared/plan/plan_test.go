package plan

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/tokenizer"
	"transformer2/shared/train"
)

// sample is large enough that what is not planned for, such as names and slices, weighs nothing.
var sample = llama.Config{Vocab: 2000, Dim: 256, Hidden: 704, Layers: 3, Heads: 8, KVHeads: 4,
	HeadDim: 32, Context: 256, RopeTheta: 10000, Eps: 1e-5}

// within15 is how far a plan may be from what is measured.
const within15 = 0.15

func near(t *testing.T, what string, planned, measured int64) {
	t.Helper()
	off := float64(planned)/float64(measured) - 1
	t.Logf("%s: planned %.1f MB, measured %.1f MB (%+.1f %%)", what, float64(planned)/1e6,
		float64(measured)/1e6, 100*off)
	if math.Abs(off) > within15 {
		t.Errorf("%s: planned %d bytes, measured %d", what, planned, measured)
	}
}

// held is what lives on the heap.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // finalizers of the first run what the second frees
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func device(t *testing.T) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// random fills a model.
func random(t *testing.T, m *llama.Model) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	sizes := map[string]int{}
	for _, s := range m.Tensors() {
		sizes[s.Name] = s.Rows * s.Cols
	}
	err := m.Load(func(name string) ([]float32, error) {
		x := make([]float32, sizes[name])
		for i := range x {
			x[i] = float32(rng.NormFloat64() * 0.05)
		}
		return x, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// heapOf is what stays on the heap of what is planned: not what the process itself takes, nor what
// loading took before, but bases, which these tests have in memory.
func heapOf(t *testing.T, m Model) map[string]int64 {
	t.Helper()
	model, err := modelBytes(m)
	if err != nil {
		t.Fatal(err)
	}
	serve, err := conversationBytes(m)
	if err != nil {
		t.Fatal(err)
	}
	training, _, err := trains(m)
	if err != nil {
		t.Fatal(err)
	}
	var bases int64
	for _, s := range m.Config.Linears() {
		bases += basisBytes(s)
	}
	return map[string]int64{"serve": model + serve, "adapt": model + serve + bases + totals(m).fold,
		"train": model + bases + training}
}

// What is planned is what is taken, at every type: by the model, a conversation and an expert.
func TestBytesOfServing(t *testing.T) {
	for _, kind := range []compute.DType{compute.F32, compute.BF16, compute.F16, compute.Q8,
		compute.Q4} {
		dev := device(t)
		planned := heapOf(t, Model{Config: sample, Held: llama.All(kind)})
		before := held()
		m, err := llama.New(dev, sample, kind)
		if err != nil {
			t.Fatal(err)
		}
		model, err := modelBytes(Model{Config: sample, Held: llama.All(kind)})
		if err != nil {
			t.Fatal(err)
		}
		near(t, kind.String()+" model", model, held()-before)
		g, err := m.NewGenerator(1, sample.Context)
		if err != nil {
			t.Fatal(err)
		}
		near(t, kind.String()+" serve", planned["serve"], held()-before)
		random(t, m)
		d := bases(t, dev, m)
		f, err := adapt.NewFolded(m, d)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Use(svf.Random(d, svf.AllScope(), 1, 0.5)); err != nil {
			t.Fatal(err)
		}
		near(t, kind.String()+" adapt", planned["adapt"], held()-before)
		runtime.KeepAlive(g)
		runtime.KeepAlive(f)
		runtime.KeepAlive(d)
	}
}

// bases are orthonormal ones that are no singular vectors: memory does not depend on that.
func bases(t *testing.T, dev compute.Dense64, m *llama.Model) *svf.Decomposition {
	t.Helper()
	d := &svf.Decomposition{}
	for _, l := range m.Linears() {
		r := min(l.Out, l.In)
		one := svf.Matrix{Name: l.Name, Out: l.Out, In: l.In, R: r, Left: l.Out <= l.In,
			Sigma: slices.Repeat([]float64{1}, r), Basis: make([]float32, r*r)}
		for i := range r {
			one.Basis[i*r+i] = 1
		}
		d.Matrices = append(d.Matrices, one)
	}
	return d
}

// What is planned of a training is what it takes, in either form and beside weights of any type.
func TestBytesOfTraining(t *testing.T) {
	words, err := tokenizer.Train(slices.Values([]string{"a"}),
		tokenizer.TrainOptions{VocabSize: 300, Specials: tokenizer.HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Model{
		{Config: sample, Held: llama.All(compute.F32)}, // few numbers are folded
		{Config: sample, Held: llama.All(compute.F32), Training: Training{Form: train.Projected}},
		{Config: sample, Held: llama.All(compute.Q8), Training: Training{Form: train.Projected}},
		{Config: sample, Held: llama.All(compute.BF16),
			Training: Training{Scope: "mlp:1-", Form: train.Projected, Answers: 4}},
		{Config: sample, Held: llama.All(compute.F32), Training: Training{Scope: "q", Answers: 4}},
	} {
		bytesOfTraining(t, m, words)
	}
}

func bytesOfTraining(t *testing.T, m Model, words *tokenizer.Tokenizer) {
	t.Helper()
	dev := device(t)
	planned := heapOf(t, m)
	before := held()
	lm, err := llama.NewHeld(dev, m.Config, m.Held)
	if err != nil {
		t.Fatal(err)
	}
	random(t, lm)
	cfg, err := train.Preset("default")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Task = "math"
	cfg.Scope = cmp.Or(m.Training.Scope, cfg.Scope)
	if n := m.Training.Answers; n > 0 {
		cfg.Prompts, cfg.Samples = n/2, 2
	}
	d := bases(t, dev, lm)
	tr, err := train.NewReinforcer(cfg, train.Base{Model: lm, Tok: words, Decomposition: d,
		Form: m.Training.Form})
	if err != nil {
		t.Fatal(err)
	}
	near(t, fmt.Sprintf("train %v %+v", m.Held.Matrices, m.Training), planned["train"], held()-before)
	runtime.KeepAlive(tr)
	runtime.KeepAlive(d)
}

// What a decomposition takes at its height, as the heap is seen every millisecond.
func TestBytesOfDecomposing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	dev := device(t)
	rng := rand.New(rand.NewPCG(2, 2))
	for _, s := range [][2]int{{768, 768}, {1536, 640}, {512, 2048}} {
		w := make([]float32, s[0]*s[1])
		for k := range w {
			w[k] = float32(rng.NormFloat64())
		}
		want := linalg.BasisBytes(s[0], s[1])
		took := int64(math.MaxInt64)
		for range 4 { // a collection that comes late is not the plan's
			took = min(took, peakOf(t, func() error {
				_, err := linalg.Basis(dev, s[0], s[1], w)
				return err
			})+4*int64(len(w)))
		}
		near(t, fmt.Sprint("decompose ", s), want, took)
	}
}

// peakOf is the most that f has on the heap at once.
func peakOf(t *testing.T, f func() error) int64 {
	t.Helper()
	before := held()
	peak := before
	done := make(chan error)
	go func() { done <- f() }()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return peak - before
		case <-time.After(time.Millisecond):
			metrics.Read(sample)
			peak = max(peak, int64(sample[0].Value.Uint64()))
		}
	}
}

// Every rate is measured, and twice the speed is half the time.
func TestRates(t *testing.T) {
	dev := device(t)
	r, err := Measure(dev, Model{Config: sample, Held: llama.All(compute.BF16)})
	if err != nil {
		t.Fatal(err)
	}
	r.Basis, err = MeasureBasis(context.Background(), []compute.Dense64{dev, device(t)},
		&checkpoint.Memory{}, sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []float64{r.Load, r.Touch, r.Stream, r.Product, r.Basis} {
		if !(v > 1e6) || v > 1e14 {
			t.Errorf("rates %+v, want what a machine does", r)
		}
	}
	m := Model{Config: sample, Held: llama.All(compute.BF16), File: 1 << 20}
	slow, err := Of(m, r)
	if err != nil {
		t.Fatal(err)
	}
	fast, err := Of(m, Rates{2 * r.Load, 2 * r.Touch, 2 * r.Stream, 2 * r.Product, 2 * r.Basis})
	if err != nil {
		t.Fatal(err)
	}
	for i := range slow {
		if ratio := slow[i].Seconds / fast[i].Seconds; math.Abs(ratio-2) > 1e-9 || slow[i].Bytes <= 0 {
			t.Errorf("%+v at the rates, %+v at twice as much", slow[i], fast[i])
		}
	}
}

// llama8B is the shape of Llama 3 8B.
var llama8B = llama.Config{Vocab: 128256, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32,
	KVHeads: 8, HeadDim: 128, Context: 1024, RopeTheta: 5e5, Eps: 1e-5}

// Llama 3 8B in bf16: its 8.03 billion weights and nothing beside them.
func TestFullSize(t *testing.T) {
	c := llama8B
	n, err := modelBytes(Model{Config: c, Held: llama.All(compute.BF16)})
	want := 2 * int64(c.NumParams())
	if err != nil || math.Abs(float64(n-want)) > 0.001*float64(want) {
		t.Errorf("%d bytes (%v), want about %d", n, err, want)
	}
	if got := len(c.Linears()); got != 224 {
		t.Errorf("%d matrices, want 224", got)
	}
}

// A z for it takes its bases in f16, twice each, what enters each layer, and some of a layer's
// activations: nothing of the size of its weights.
func TestFullSizeTraining(t *testing.T) {
	for scope, squares := range map[string]int64{"mlp": 96, "all": 160} { // of 4096; k and v are 1024
		n, _, err := trains(Model{Config: llama8B, Held: llama.All(compute.BF16),
			Training: Training{Scope: scope, Answers: 16}})
		keys := int64(8 * 16 * 32 * 1024 * 1024)
		streams := int64(4 * 32 * 1024 * 4096)
		if want := 4*squares*4096*4096 + keys + streams; err != nil || n < want || n > want+3e9 {
			t.Errorf("%s: %.1f GB (%v), want %.1f and up to 3 for a layer and the vocabulary", scope,
				float64(n)/1e9, err, float64(want)/1e9)
		}
	}
}
