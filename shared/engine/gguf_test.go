package engine

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"transformer2/shared/llama"
)

// A head's scores are the same whether halves are turned (Hugging Face) or neighbours (GGUF) of rows
// in GGUF's order: q·k depends on pairs, and interleave only says where a pair lies.
func TestInterleave(t *testing.T) {
	const heads, dim, cols = 2, 8, 3
	rng := rand.New(rand.NewPCG(1, 1))
	q, x := make([]float32, heads*dim*cols), make([]float32, cols)
	for i := range q {
		q[i] = float32(rng.NormFloat64())
	}
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	product := func(w []float32) []float64 {
		y := make([]float64, heads*dim)
		for i := range y {
			for j := range x {
				y[i] += float64(w[i*cols+j] * x[j])
			}
		}
		return y
	}
	turn := func(a, b *float64, angle float64) {
		s, c := math.Sincos(angle)
		*a, *b = *a*c-*b*s, *b*c+*a*s
	}
	halves, pairs := product(q), product(interleave(q, heads, dim, cols))
	for h := range heads {
		for i := range dim / 2 {
			at := h * dim
			turn(&halves[at+i], &halves[at+i+dim/2], float64(i+1))
			turn(&pairs[at+2*i], &pairs[at+2*i+1], float64(i+1))
			if halves[at+i] != pairs[at+2*i] || halves[at+i+dim/2] != pairs[at+2*i+1] {
				t.Fatalf("head %d pair %d: %v %v", h, i, halves, pairs)
			}
		}
	}
}

// One row at a time is Deinterleave.
func TestPairedRow(t *testing.T) {
	const heads, dim = 3, 6
	w := make([]float32, heads*dim)
	for i := range w {
		w[i] = float32(i)
	}
	Deinterleave(w, heads, dim, 1)
	for row, from := range w {
		if got := PairedRow(row, dim); got != int(from) {
			t.Errorf("row %d comes from %d, want %v", row, got, from)
		}
	}
}

func TestGGUFNames(t *testing.T) {
	c := llama.Config{Vocab: 8, Dim: 4, Hidden: 8, Layers: 11, Heads: 2, KVHeads: 1, HeadDim: 2}
	seen := map[string]bool{}
	for _, spec := range c.Tensors() {
		name := GGUFName(spec.Name)
		if seen[name] || strings.Contains(name, "model") || strings.Contains(name, "proj") ||
			strings.Contains(name, "layernorm") {
			t.Errorf("%s is called %s", spec.Name, name)
		}
		seen[name] = true
	}
	for _, want := range []string{"token_embd.weight", "output_norm.weight", "output.weight",
		"blk.0.attn_q.weight", "blk.10.attn_output.weight", "blk.3.ffn_down.weight",
		"blk.3.attn_norm.weight", "blk.3.ffn_norm.weight"} {
		if !seen[want] {
			t.Errorf("there is no %s among %d names", want, len(seen))
		}
	}
}
