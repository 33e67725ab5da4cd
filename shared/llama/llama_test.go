package llama_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
)

func layerName(l int, s string) string { return fmt.Sprintf("model.layers.%d.%s.weight", l, s) }

var shapes = map[string]llama.Config{
	"tied": {Vocab: 50, Dim: 24, Hidden: 40, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8,
		Context: 40, RopeTheta: 10000, Eps: 1e-5, Tied: true},
	"untied": {Vocab: 33, Dim: 32, Hidden: 64, Layers: 3, Heads: 2, KVHeads: 2, HeadDim: 10,
		Context: 40, RopeTheta: 500000, Eps: 1e-6},
	"one kv head": {Vocab: 64, Dim: 32, Hidden: 96, Layers: 1, Heads: 4, KVHeads: 1, HeadDim: 16,
		Context: 40, RopeTheta: 10000, Eps: 1e-5, Tied: true},
	"window": {Vocab: 40, Dim: 24, Hidden: 40, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8,
		Context: 40, RopeTheta: 10000, Eps: 1e-5, Window: 5},
	"llama3 scaling": {Vocab: 40, Dim: 24, Hidden: 40, Layers: 2, Heads: 2, KVHeads: 2, HeadDim: 16,
		Context: 40, RopeTheta: 100, Eps: 1e-5, RopeScaling: llama.RopeScaling{Kind: "llama3",
			Factor: 8, LowFactor: 1, HighFactor: 4, Original: 64}},
}

func open(t testing.TB) compute.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// fresh is a trainable model whose weights are large enough for the logits to mean something.
func fresh(t testing.TB, dev compute.Device, c llama.Config, seed uint64) *llama.Model {
	t.Helper()
	m, err := llama.New(dev, c, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Trainable(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	m.Init(rng)
	for _, p := range m.Params() {
		buf := make([]float32, p.P.Len())
		for i := range buf {
			buf[i] = float32(rng.NormFloat64() * 0.2)
			if !p.Decay {
				buf[i]++
			}
		}
		dev.Write(p.P, buf)
	}
	m.Sync()
	return m
}

func tokens(rng *rand.Rand, vocab, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(vocab))
	}
	return ids
}

// logitsOf runs one batch and gives the logits of every row.
func logitsOf(t testing.TB, m *llama.Model, ws *llama.Workspace, b *llama.Batch, kv *llama.Cache) [][]float32 {
	t.Helper()
	m.Forward(ws, b, kv)
	var rows [][]float32
	m.EachLogits(ws, func(lo, hi int, logits compute.Tensor) {
		buf := make([]float32, logits.Len())
		if err := m.Dev.Read(buf, logits); err != nil {
			t.Fatal(err)
		}
		for i := range hi - lo {
			rows = append(rows, buf[i*m.Vocab:(i+1)*m.Vocab])
		}
	})
	return rows
}

// absF64 bounds f32 logits against float64: measured 1e-6 on logits of size 3.
const absF64 = 2e-5

func near(t testing.TB, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - v); !(d <= tol) {
			t.Fatalf("%s: number %d is %g, want %g (off by %g, allowed %g)", what, i, got[i], v, d, tol)
		}
	}
}

func TestLogitsEqualFloat64(t *testing.T) {
	for name, c := range shapes {
		t.Run(name, func(t *testing.T) {
			dev := open(t)
			m := fresh(t, dev, c, 1)
			o, err := newOracle(m)
			if err != nil {
				t.Fatal(err)
			}
			ws, err := m.NewWorkspace(64, false)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(2, 0))
			var b llama.Batch
			var want [][]float64
			for seq, n := range []int{1, 17, 30} {
				ids := tokens(rng, c.Vocab, n)
				b.Append(ids, seq)
				want = append(want, o.logits(ids)...)
			}
			for i, row := range logitsOf(t, m, ws, &b, nil) {
				near(t, fmt.Sprintf("row %d", i), row, want[i], absF64)
			}
		})
	}
}

// The cache, in any division of a sequence into steps, gives what one pass gives.
func TestCacheEqualsNoCache(t *testing.T) {
	for _, name := range []string{"tied", "window"} {
		t.Run(name, func(t *testing.T) { checkCache(t, shapes[name]) })
	}
}

func checkCache(t *testing.T, c llama.Config) {
	dev := open(t)
	m := fresh(t, dev, c, 3)
	o, err := newOracle(m)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := m.NewWorkspace(64, false)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 0))
	a, b := tokens(rng, c.Vocab, 20), tokens(rng, c.Vocab, 20)
	want := map[int][][]float64{0: o.logits(a), 2: o.logits(b)}
	kv, err := m.NewCache(3, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	pos := 0
	for _, n := range []int{1, 7, 1, 1, 10} {
		var batch llama.Batch
		kv.Append(&batch, 2*c.Context, pos, b[pos:pos+n], 0)
		kv.Append(&batch, 0, pos, a[pos:pos+n], 0)
		for i, row := range logitsOf(t, m, ws, &batch, kv) {
			slot, p := 2, pos+i
			if i >= n {
				slot, p = 0, pos+i-n
			}
			near(t, fmt.Sprintf("slot %d position %d", slot, p), row, want[slot][p], absF64)
		}
		pos += n
	}
}

func TestGenerateAloneAndInABatch(t *testing.T) {
	c := shapes["tied"]
	dev := open(t)
	m := fresh(t, dev, c, 7)
	rng := rand.New(rand.NewPCG(8, 0))
	var reqs []llama.Request
	for i := range 23 {
		r := llama.Request{Prompt: tokens(rng, c.Vocab, 1+rng.IntN(12)), MaxTokens: 1 + rng.IntN(20),
			Seed: uint64(i), Stop: []int32{7}}
		if i%2 == 1 {
			r.Sampling = sample.Params{Temperature: 0.8, TopP: 0.95}
		}
		reqs = append(reqs, r)
	}
	many, err := m.NewGenerator(5, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := many.Run(context.Background(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	one, err := m.NewGenerator(1, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range reqs {
		alone, err := one.Run(context.Background(), []llama.Request{r})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone[0], batch[i]) {
			t.Fatalf("request %d alone %v, in a batch %v", i, alone[0], batch[i])
		}
		last := batch[i].Tokens[len(batch[i].Tokens)-1]
		if (batch[i].Reason == llama.Stopped) != (last == 7) {
			t.Fatalf("request %d ended by %q with token %d", i, batch[i].Reason, last)
		}
	}
}

func TestGenerateBounds(t *testing.T) {
	c := shapes["tied"]
	m := fresh(t, open(t), c, 9)
	g, err := m.NewGenerator(2, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	long := make([]int32, c.Context-1)
	res, err := g.Run(context.Background(), []llama.Request{{Prompt: long, MaxTokens: 100}})
	if err != nil {
		t.Fatal(err)
	}
	if res[0].Reason != llama.Full || len(res[0].Tokens) != 2 {
		t.Fatalf("a prompt one short of the context gives %d tokens and %q, want 2 and %q",
			len(res[0].Tokens), res[0].Reason, llama.Full)
	}
	for _, bad := range []llama.Request{{MaxTokens: 1}, {Prompt: make([]int32, c.Context), MaxTokens: 1},
		{Prompt: long, MaxTokens: 0},
		{Prompt: long, MaxTokens: 1, Sampling: sample.Params{Temperature: math.NaN()}}} {
		if _, err := g.Run(context.Background(), []llama.Request{bad}); err == nil {
			t.Fatalf("request with %d prompt tokens, %d to generate, %+v is taken",
				len(bad.Prompt), bad.MaxTokens, bad.Sampling)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(int32, []float32) bool { cancel(); return true }
	res, err = g.Run(ctx, []llama.Request{{Prompt: long[:3], MaxTokens: 30, OnToken: stop}})
	if err == nil || res[0].Reason != llama.Cancelled || len(res[0].Tokens) == 0 {
		t.Fatalf("cancelled: %v, %+v; want an error and the tokens so far", err, res)
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	for name, c := range shapes {
		dev := open(t)
		m := fresh(t, dev, c, 10)
		var file bytes.Buffer
		if err := llama.WriteWeights(&file, m); err != nil {
			t.Fatal(err)
		}
		f, err := checkpoint.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		back, err := llama.New(dev, c, compute.F32)
		if err != nil {
			t.Fatal(err)
		}
		if err := back.LoadWeights(f); err != nil {
			t.Fatal(err)
		}
		// By parts of three rows, of which the last is less.
		defer llama.SetReadPart(llama.SetReadPart(3*c.Dim + 1))
		var again bytes.Buffer
		if err := llama.WriteWeights(&again, back); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file.Bytes(), again.Bytes()) {
			t.Fatalf("%s: a loaded checkpoint is not written back as it was", name)
		}
	}
}

// Decoding a token allocates nothing: two hundred more tokens cost no more than the growth of the
// slice that holds them.
func TestDecodeDoesNotAllocate(t *testing.T) {
	c := shapes["tied"]
	c.Context = 256
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m := fresh(t, dev, c, 11)
	g, err := m.NewGenerator(1, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	allocs := func(n int) float64 {
		req := []llama.Request{{Prompt: []int32{1, 2, 3}, MaxTokens: n}}
		return testing.AllocsPerRun(5, func() {
			if _, err := g.Run(context.Background(), req); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := allocs(20), allocs(220); many > few {
		t.Errorf("20 tokens cost %g allocations, 220 cost %g", few, many)
	}
}
