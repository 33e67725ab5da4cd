package llama_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// blocked is a shape of whole blocks.
func blocked(tied bool) llama.Config {
	return llama.Config{Vocab: 70, Dim: 64, Hidden: 96, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 16,
		Context: 20, RopeTheta: 10000, Eps: 1e-5, Tied: tied}
}

// fileOf is a model as a file of matrices of type t: safetensors, or a GGUF for Q8_0.
func fileOf(t *testing.T, m *llama.Model, dtype checkpoint.DType) checkpoint.Source {
	t.Helper()
	var file bytes.Buffer
	var tensors []checkpoint.Tensor
	var gguf []checkpoint.GGUFTensor
	err := m.Export(func(s llama.TensorSpec, data []float32) error {
		one, kind, shape := dtype, checkpoint.GGUFQ8, []int{s.Rows, s.Cols}
		if s.Rows == 1 {
			one, kind, shape = checkpoint.F32, checkpoint.GGUFF32, shape[1:]
		}
		gguf = append(gguf, checkpoint.GGUFTensor{Name: s.Name, Type: kind, Rows: s.Rows, Cols: s.Cols,
			Data: func() ([]float32, error) { return data, nil }})
		if dtype != "Q8_0" {
			tensors = append(tensors, checkpoint.FromFloat32(s.Name, one, data, shape...))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	open := func(b []byte) (checkpoint.Source, error) {
		return checkpoint.Open(bytes.NewReader(b), int64(len(b)))
	}
	if dtype == "Q8_0" {
		err = checkpoint.WriteGGUF(&file, nil, gguf)
		open = func(b []byte) (checkpoint.Source, error) {
			return checkpoint.OpenGGUF(bytes.NewReader(b), int64(len(b)))
		}
	} else {
		err = checkpoint.Write(&file, tensors, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	src, err := open(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// A table in as few bits as the file has gives the logits, to the bit, that one in f32 gives, and a
// model that is held as its tied file is has no table beside its head.
func TestTableOfFewBits(t *testing.T) {
	dev := open(t)
	for _, tied := range []bool{true, false} {
		c := blocked(tied)
		m := fresh(t, dev, c, 21)
		for _, dtype := range []checkpoint.DType{checkpoint.F32, checkpoint.BF16, checkpoint.F16,
			"Q8_0"} {
			src := fileOf(t, m, dtype)
			stored := c.StoredIn(src)
			for _, held := range []llama.Held{stored.Like(), stored.As(compute.F32),
				stored.As(compute.BF16), stored.As(compute.Q8), stored.As(compute.Q4)} {
				what := fmt.Sprintf("tied %v, file %s, held %v", tied, dtype, held)
				got := logitsHeld(t, dev, c, held, src)
				if tied && held == stored.Like() && got.table != got.head {
					t.Errorf("%s: the table is not the head", what)
				}
				if dtype == checkpoint.F32 && held.Matrices != compute.F32 {
					continue // rounded to 16 bits
				}
				held.Table = compute.F32
				want := logitsHeld(t, dev, c, held, src)
				if !slices.EqualFunc(got.logits, want.logits, slices.Equal[[]float32]) {
					t.Errorf("%s: other logits than with a table in f32", what)
				}
			}
		}
	}
}

// loaded is what a model that was loaded computes and consists of.
type loaded struct {
	logits      [][]float32
	table, head compute.Weight
}

func logitsHeld(t *testing.T, dev compute.Device, c llama.Config, held llama.Held,
	src checkpoint.Source) loaded {
	t.Helper()
	m, err := llama.NewHeld(dev, c, held)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if err := m.LoadWeights(src); err != nil {
		t.Fatal(err)
	}
	ws, err := m.NewWorkspace(c.Context, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Free()
	var b llama.Batch
	b.Append(tokens(rand.New(rand.NewPCG(3, 3)), c.Vocab, c.Context), 0)
	return loaded{logitsOf(t, m, ws, &b, nil), m.Embed, m.Head.W}
}

// typed is a source whose tensors are of types of its own.
type typed struct {
	checkpoint.Source
	types func(name string) checkpoint.DType
}

func (s typed) Tensor(name string) (checkpoint.Info, bool) {
	return checkpoint.Info{DType: s.types(name)}, true
}

func TestHeldAsStored(t *testing.T) {
	const q6, q4k, q80, q40 = "Q6_K", "Q4_K", "Q8_0", "Q4_0"
	even, odd := blocked(true), shapes["tied"]
	untied := blocked(false)
	for _, s := range []struct {
		c              llama.Config
		most, few, end checkpoint.DType // down_proj is few; end is the table and the head
		like           string           // matrices head table
	}{
		{even, checkpoint.F32, checkpoint.BF16, checkpoint.F32, "f32 f32 f32"},
		{even, checkpoint.BF16, checkpoint.F32, checkpoint.BF16, "bf16 bf16 bf16"},
		{even, checkpoint.F16, q80, checkpoint.F16, "f16 f16 f16"},
		{even, q80, checkpoint.F16, q80, "q8 q8 q8"},
		{even, q40, q6, q6, "q4 q8 q8"},
		{even, q4k, q6, q6, "q8 q8 q8"},
		{even, "Q2_K", "Q3_K", "Q5_1", "q8 q8 q8"},
		{odd, q80, q80, checkpoint.F16, "bf16 f16 f16"}, // 24 inputs are no block
		{even, checkpoint.BF16, checkpoint.BF16, checkpoint.F32, "bf16 f32 f32"},
		{untied, checkpoint.BF16, checkpoint.BF16, checkpoint.F32, "bf16 f32 bf16"},
		{untied, checkpoint.F64, checkpoint.F64, checkpoint.F64, "f32 f32 f32"},
	} {
		src := typed{types: func(name string) checkpoint.DType {
			switch {
			case name == llama.EmbedName || name == "lm_head.weight":
				return s.end
			case strings.Contains(name, "down_proj"):
				return s.few
			}
			return s.most
		}}
		h := s.c.StoredIn(src).Like()
		if got := fmt.Sprint(h.Matrices, " ", h.Head, " ", h.Table); got != s.like {
			t.Errorf("%+v: %s, want %s", s, got, s.like)
		}
	}
	for _, s := range []struct {
		file checkpoint.DType
		as   compute.DType
		want compute.DType // of the table
	}{
		{checkpoint.BF16, compute.F32, compute.F32}, {q80, compute.F32, compute.F32},
		{checkpoint.F32, compute.BF16, compute.BF16}, {checkpoint.F32, compute.F16, compute.F16},
		{checkpoint.F32, compute.Q8, compute.BF16}, {checkpoint.BF16, compute.Q8, compute.BF16},
		{checkpoint.F16, compute.BF16, compute.F16}, {q80, compute.BF16, compute.Q8},
		{q6, compute.BF16, compute.BF16}, {q6, compute.Q8, compute.Q8}, {q6, compute.Q4, compute.Q8},
		{q40, compute.Q8, compute.Q4}, {q40, compute.Q4, compute.Q4},
	} {
		want := llama.Held{Matrices: s.as, Head: s.as, Table: s.want}
		if got := even.StoredAs(s.file).As(s.as); got != want {
			t.Errorf("a file of %s as %v: %v, want %v", s.file, s.as, got, want)
		}
	}
}
