package llama_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/llama"
)

// divided says what is wrong with rows that should be divided among running sequences and free runs.
func divided(g *llama.Generator, rows int) error {
	taken, free := g.Runs()
	all := slices.Concat(taken, free)
	slices.SortFunc(all, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	next := 0
	for _, r := range all {
		if r[0] != next || r[1] <= r[0] {
			break
		}
		next = r[1]
	}
	for i := 1; i < len(free); i++ {
		if free[i-1][1] >= free[i][0] {
			return fmt.Errorf("free runs touch or are out of order: %v", free)
		}
	}
	if next != rows {
		return fmt.Errorf("%d rows divided into %v taken, %v free", rows, taken, free)
	}
	return nil
}

// schedule is n requests of every length that the context takes, and beyond it; some come to a stop
// of their own.
func schedule(c llama.Config, seed uint64, n int) (reqs []llama.Request) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for range n {
		r := llama.Request{Prompt: tokens(rng, c.Vocab, 1+rng.IntN(c.Context/3)),
			MaxTokens: 1 + rng.IntN(c.Context/3), Stop: []int32{7}}
		switch rng.IntN(8) {
		case 0: // to the end of the context
			r.MaxTokens = 1 << 62
		case 1:
			r.Prompt = tokens(rng, c.Vocab, c.Context-1-rng.IntN(3))
		}
		reqs = append(reqs, r)
	}
	return reqs
}

// alone is what each request gives by itself, its prompt read in one step.
func alone(t *testing.T, m *llama.Model, reqs []llama.Request) (results []llama.Result) {
	t.Helper()
	g, err := llama.GeneratorOf(m, 1, m.Context, m.Context, m.Context)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Free()
	for _, r := range reqs {
		one, err := g.Run(context.Background(), []llama.Request{r})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, one...)
	}
	return results
}

// However few rows sequences share, and in however small parts prompts are read, each request's
// tokens are those it gives alone, and no two sequences ever have the same row.
func TestSharedRows(t *testing.T) {
	for _, name := range []string{"tied", "window"} {
		c := shapes[name]
		m := fresh(t, open(t), c, 12)
		reqs := schedule(c, 13, 40)
		want := alone(t, m, reqs)
		for _, s := range []struct{ slots, rows, prefill int }{
			{8, c.Context, 1}, {8, c.Context + 13, 5}, {8, 2*c.Context + 1, 17}, {5, 3 * c.Context, 100},
			{1, c.Context, 2}, {8, 8 * c.Context, 3}} {
			g, err := llama.GeneratorOf(m, s.slots, c.Context, s.rows, s.prefill)
			if err != nil {
				t.Fatal(err)
			}
			most, wrong := 0, error(nil)
			watched := slices.Clone(reqs)
			for i := range watched {
				watched[i].OnToken = func(int32, []float32) bool {
					taken, _ := g.Runs()
					most = max(most, len(taken))
					wrong = cmp.Or(wrong, divided(g, s.rows))
					return true
				}
			}
			got, err := g.Run(context.Background(), watched)
			if err != nil || wrong != nil {
				t.Fatalf("%s, %+v: %v, %v", name, s, err, wrong)
			}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("%s, %+v: request %d gives %v, alone %v", name, s, i, got[i], want[i])
				}
			}
			if taken, free := g.Runs(); len(taken) > 0 || len(free) != 1 {
				t.Fatalf("%s, %+v: at the end %v are taken, %v free", name, s, taken, free)
			}
			if most < min(s.slots, 2) || (most == s.slots) != (s.rows >= s.slots*c.Context/2) {
				t.Errorf("%s, %+v: at most %d sequences at once", name, s, most)
			}
			g.Free()
		}
	}
}

// A gap between two running sequences is not enough for a request that would fit all that is free
// together: it waits until what it needs is free in one piece.
func TestRowsInPieces(t *testing.T) {
	c := shapes["tied"]
	m := fresh(t, open(t), c, 14)
	g, err := llama.GeneratorOf(m, 4, c.Context, c.Context, 100)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(15, 0))
	var order []int
	req := func(i, rows, tokensOut int) llama.Request {
		return llama.Request{Prompt: tokens(rng, c.Vocab, rows+1-tokensOut), MaxTokens: tokensOut,
			OnToken: func(int32, []float32) bool { order = append(order, i); return true }}
	}
	// Rows 0–9, 10–19 and 20–29; the first and third end after two tokens, the second after nine.
	// The fourth needs 25: 20 are free beside the second, in two pieces, then all 40.
	reqs := []llama.Request{req(0, 10, 2), req(1, 10, 9), req(2, 10, 2), req(3, 25, 1)}
	if _, err := g.Run(context.Background(), reqs); err != nil {
		t.Fatal(err)
	}
	want := []int{0, 1, 2, 0, 1, 2, 1, 1, 1, 1, 1, 1, 1, 3}
	if !slices.Equal(order, want) {
		t.Errorf("tokens come in the order %v, want %v", order, want)
	}
}

// A prompt many times longer than what a step reads scores as the float64 oracle has it.
func TestLongPromptInParts(t *testing.T) {
	c := shapes["tied"]
	c.Context = 300
	m := fresh(t, open(t), c, 16)
	o, err := newOracle(m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(17, 0))
	prompt := tokens(rng, c.Vocab, 290)
	g, err := llama.GeneratorOf(m, 2, c.Context, c.Context, 32)
	if err != nil {
		t.Fatal(err)
	}
	var got []float32
	_, err = g.Run(context.Background(), []llama.Request{{Prompt: prompt, MaxTokens: 1,
		OnToken: func(_ int32, logits []float32) bool { got = slices.Clone(logits); return true }}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "last token", got, o.logits(prompt)[289], absF64)
}

func TestFewerRowsThanContext(t *testing.T) {
	c := shapes["tied"]
	m := fresh(t, open(t), c, 18)
	g, err := llama.GeneratorOf(m, 3, c.Context, 12, 100)
	if err != nil {
		t.Fatal(err)
	}
	run := func(prompt int) ([]llama.Result, error) {
		return g.Run(context.Background(), []llama.Request{{Prompt: make([]int32, prompt), MaxTokens: 9}})
	}
	if res, err := run(8); err != nil || res[0].Reason != llama.Full || len(res[0].Tokens) != 5 {
		t.Errorf("8 tokens and 9 more in 12 rows: %v, %v; want 5 and %q", res, err, llama.Full)
	}
	if _, err := run(12); err == nil || !strings.Contains(err.Error(), "12 tokens") ||
		!strings.Contains(err.Error(), "holds 12") {
		t.Errorf("a prompt of all 12 rows: %v, want a refusal that names both", err)
	}
}

// What is cancelled, also while a prompt is half read, leaves a generator that is as good as new.
func TestCancelledRowsAreFree(t *testing.T) {
	c := shapes["tied"]
	m := fresh(t, open(t), c, 19)
	reqs := schedule(c, 20, 30)
	want := alone(t, m, reqs)
	g, err := llama.GeneratorOf(m, 6, c.Context, 2*c.Context, 4)
	if err != nil {
		t.Fatal(err)
	}
	half := false
	for stop := 1; stop < 60; stop += 2 {
		ctx, cancel := context.WithCancel(context.Background())
		some, heard := slices.Clone(reqs), 0
		for i := range some {
			some[i].OnToken = func(int32, []float32) bool {
				if heard++; heard == stop {
					cancel()
				}
				return true
			}
		}
		got, err := g.Run(ctx, some)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d tokens: %v", stop, err)
		}
		for i, r := range got {
			if n := len(r.Tokens); n > len(want[i].Tokens) || !slices.Equal(r.Tokens, want[i].Tokens[:n]) {
				t.Fatalf("stopped after %d tokens: request %d gives %v, alone %v", stop, i, r, want[i])
			}
			half = half || r.Reason == llama.Cancelled && len(r.Tokens) == 0
		}
		if err := divided(g, 2*c.Context); err != nil {
			t.Fatalf("stopped after %d tokens: %v", stop, err)
		}
	}
	if !half {
		t.Error("no run was cancelled with a prompt half read")
	}
	got, err := g.Run(context.Background(), reqs)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after it all, %v: %v, alone %v", err, got, want)
	}
}

// Small models have rows for all that their slots could take, large ones for 4 GiB, and any for one
// context.
func TestCacheRows(t *testing.T) {
	small := shapes["tied"]
	large := llama.Config{Layers: 32, KVHeads: 8, HeadDim: 128} // Llama-3-8B: 256 KiB a row
	for _, s := range []struct {
		c                    llama.Config
		slots, context, want int
	}{
		{small, 256, 40, 256 * 40}, {small, 1, 40, 40},
		{large, 1, 4096, 4096}, {large, 2, 4096, 8192}, {large, 128, 4096, 16384},
		{large, 256, 8192, 16384}, {large, 128, 131072, 131072}, {large, 1, 131072, 131072},
	} {
		if got := llama.CacheRows(&s.c, s.slots, s.context); got != s.want {
			t.Errorf("%d layers, %d sequences of %d tokens share %d rows, want %d", s.c.Layers,
				s.slots, s.context, got, s.want)
		}
	}
}
