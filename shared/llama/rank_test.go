package llama_test

import (
	"cmp"
	"context"
	"math"
	"slices"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
)

// ranker is a device that ranks on the host, and counts how often, and how many numbers are read
// back whole. It hides behind a wrapper, as a GPU does.
type ranker struct {
	compute.Device
	ranked, read int
}

type wrapper struct{ *ranker }

func (w wrapper) Unwrap() compute.Device { return w.ranker }

func (r *ranker) TopK(top compute.Ints, x compute.Tensor, k int) {
	r.ranked++
	logits, host := make([]float32, x.Len()), make([]int32, top.N)
	if err := r.Device.Read(logits, x); err != nil {
		panic(err)
	}
	for t := range x.Rows {
		row, places := logits[t*x.Cols:(t+1)*x.Cols], make([]int, x.Cols)
		for j := range places {
			places[j] = j
		}
		slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		slices.Sort(places[:k])
		for i, j := range places[:k] {
			host[2*k*t+i], host[2*k*t+k+i] = int32(j), int32(math.Float32bits(row[j]))
		}
	}
	r.Device.WriteInts(top, host)
}

func (r *ranker) Read(dst []float32, src compute.Tensor) error {
	r.read++
	return r.Device.Read(dst, src)
}

// TestRanked: what is drawn from the largest logits is what is drawn from all, and the others stay
// where they are.
func TestRanked(t *testing.T) {
	dev := open(t)
	m := fresh(t, dev, shapes["tied"], 12)
	r := &ranker{Device: dev}
	ranked := m.Clone()
	ranked.Dev = wrapper{r}
	var reqs []llama.Request
	for i, p := range []sample.Params{{}, {Temperature: 1.5, TopK: 3}, {Temperature: 3, TopK: 5},
		{Temperature: 2, TopK: 5, TopP: 0.6}, {Temperature: 2, TopK: 5, MinP: 0.3}} {
		reqs = append(reqs, llama.Request{Prompt: []int32{int32(i), 3}, MaxTokens: 10, Sampling: p,
			Seed: uint64(i), NoLogits: true, OnToken: func(_ int32, logits []float32) bool {
				return true
			}})
	}
	run := func(m *llama.Model, reqs []llama.Request) []llama.Result {
		t.Helper()
		g, err := m.NewGenerator(3, m.Context)
		if err != nil {
			t.Fatal(err)
		}
		results, err := g.Run(context.Background(), reqs)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	want, got := run(m, reqs), run(ranked, reqs)
	for i := range want {
		if !slices.Equal(want[i].Tokens, got[i].Tokens) {
			t.Errorf("request %d: %v, want %v", i, got[i].Tokens, want[i].Tokens)
		}
	}
	if r.ranked < 10 || r.read > 0 {
		t.Errorf("%d rows ranked, %d read back whole, want all ranked", r.ranked, r.read)
	}
	// Whoever hears logits, or samples from all, gets all.
	heard := false
	r.ranked = 0
	run(ranked, []llama.Request{{Prompt: []int32{1}, MaxTokens: 3,
		OnToken: func(_ int32, logits []float32) bool {
			heard = len(logits) == m.Vocab
			return true
		}}})
	run(ranked, []llama.Request{{Prompt: []int32{1}, MaxTokens: 3,
		Sampling: sample.Params{Temperature: 1}}})
	if r.ranked > 0 || !heard {
		t.Errorf("%d rows ranked for those who want all logits; heard %v", r.ranked, heard)
	}
}
