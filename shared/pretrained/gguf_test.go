package pretrained

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
)

// small is a GGUF's metadata that is right; tests change a value.
func small() map[string]any {
	return map[string]any{"general.architecture": "llama", "llama.context_length": uint32(16),
		"llama.embedding_length": uint32(8), "llama.feed_forward_length": uint32(8),
		"llama.block_count": uint32(1), "llama.attention.head_count": uint32(2),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5),
		"tokenizer.ggml.model":                   "llama", "tokenizer.ggml.tokens": tokens(),
		"tokenizer.ggml.token_type": make([]int32, 256), "tokenizer.ggml.scores": make([]float32, 256)}
}

func tokens() []string {
	all := make([]string, 256)
	for b := range all {
		all[b] = fmt.Sprintf("<0x%02X>", b)
	}
	return all
}

// openSmall writes and opens a GGUF of values and of a config's tensors, of which change may
// replace or drop some.
func openSmall(t *testing.T, values map[string]any, change func(*checkpoint.GGUFTensor) bool) (
	file *checkpoint.GGUF) {
	t.Helper()
	var meta []checkpoint.GGUFValue
	for _, key := range slices.Sorted(maps.Keys(values)) {
		meta = append(meta, checkpoint.GGUFValue{Key: key, Value: values[key]})
	}
	c := llama.Config{Vocab: 256, Dim: 8, Hidden: 8, Layers: 1, Heads: 2, KVHeads: 2, HeadDim: 4}
	var all []checkpoint.GGUFTensor
	for _, spec := range c.Tensors() {
		g := checkpoint.GGUFTensor{Name: engine.GGUFName(spec.Name), Rows: spec.Rows, Cols: spec.Cols}
		if change == nil || change(&g) {
			g.Data = func() ([]float32, error) { return make([]float32, g.Rows*g.Cols), nil }
			all = append(all, g)
		}
	}
	var b bytes.Buffer
	if err := checkpoint.WriteGGUF(&b, meta, all); err != nil {
		t.Fatal(err)
	}
	var err error
	file, err = checkpoint.OpenGGUF(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGGUFConfig(t *testing.T) {
	values := small()
	values["tokenizer.ggml.token_type"] = slices.Repeat([]int32{6}, 256)
	file := openSmall(t, values, nil)
	c, err := ggufConfig(file)
	if err != nil || c.Tied || c.Vocab != 256 || c.HeadDim != 4 || c.KVHeads != 2 ||
		c.RopeTheta != 1e4 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := ggufTokenizer(file); err != nil {
		t.Error(err)
	}
	values["llama.rope.scaling.type"], values["llama.rope.scaling.factor"] = "linear", float32(4)
	values["llama.attention.sliding_window"] = uint32(5)
	tied := openSmall(t, values, func(g *checkpoint.GGUFTensor) bool {
		return g.Name != "output.weight"
	})
	c, err = ggufConfig(tied)
	if err != nil || !c.Tied || c.Window != 5 || c.RopeScaling.Kind != "linear" ||
		c.RopeScaling.Factor != 4 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestGGUFRefusals(t *testing.T) {
	const p, v = "llama.", "tokenizer.ggml."
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"general.architecture", "qwen2", `"qwen2"`},
		{p + "context_length", "16", "type string, want int64"},
		{p + "context_length", uint32(1 << 31), "32 bits"},
		{p + "block_count", uint32(0), "num_hidden_layers is 0"},
		{p + "expert_count", uint32(8), "8 experts"},
		{p + "attention.value_length", uint32(6), "values of 6"},
		{p + "rope.dimension_count", uint32(2), "of which 2 turn"},
		{p + "rope.scaling.type", "yarn", `"yarn"`},
		{p + "attention.head_count_kv", []int32{1}, "type []int32"},
		{v + "tokens", []string{}, "no vocabulary"},
		{v + "token_type", []int32{1}, "256 tokens with 1 types"},
		{v + "scores", []float32{1}, "256 tokens with 1 scores"},
		{v + "model", "bert", `"bert"`},
		{v + "model", "gpt2", "tokenizer.ggml.pre"},
		{v + "token_type", make([]int32, 256), "kind 0"},
	} {
		values := small()
		values[v+"token_type"] = slices.Repeat([]int32{6}, 256)
		values[c.key] = c.value
		file := openSmall(t, values, nil)
		_, err := ggufConfig(file)
		if err == nil {
			_, err = ggufTokenizer(file)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v: %v, want %s", c.key, c.value, err, c.want)
		}
	}
}

// Tensors that are not what the metadata tells, or that no Llama has.
func TestGGUFTensorRefusals(t *testing.T) {
	values := small()
	values["llama.attention.key_length"] = uint32(6) // which the tensors do not have
	wide := openSmall(t, values, nil)
	c, err := ggufConfig(wide)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRenamed(wide, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckTensors(r); err == nil || !strings.Contains(err.Error(), "want [12 8]") {
		t.Errorf("key_length 6: %v", err)
	}
	extra := openSmall(t, small(), func(g *checkpoint.GGUFTensor) bool {
		if g.Name == "output.weight" {
			g.Name = "blk.0.attn_q.bias"
		}
		return true
	})
	if c, err = ggufConfig(extra); err != nil {
		t.Fatal(err)
	}
	if _, err := newRenamed(extra, c); err == nil || !strings.Contains(err.Error(), "attn_q.bias") {
		t.Errorf("a bias: %v", err)
	}
	rope := openSmall(t, small(), func(g *checkpoint.GGUFTensor) bool {
		if g.Name == "output.weight" {
			*g = checkpoint.GGUFTensor{Name: engine.RopeDivisors, Rows: 1, Cols: 3}
		}
		return true
	})
	if _, err := ggufConfig(rope); err == nil || !strings.Contains(err.Error(), "want [2]") {
		t.Errorf("divisors: %v", err)
	}
}
