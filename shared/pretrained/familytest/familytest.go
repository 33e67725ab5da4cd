// Package familytest writes small models of random weights as each family publishes its own: with
// the families' keys, types, files and names of tensors.
package familytest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// Family is a kind of checkpoint.
type Family struct {
	Name   string
	DType  checkpoint.DType
	Shards int
	config map[string]any // beside what all have
	// vocabulary writes the tokenizer's files.
	vocabulary func(dir string) error
	jinja      string
	generation map[string]any
}

// base is what every config.json has.
var base = map[string]any{"hidden_act": "silu", "vocab_size": 400, "hidden_size": 32,
	"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
	"max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "initializer_range": 0.02,
	"use_cache": true, "torch_dtype": "bfloat16"}

// llama31 is Llama 3.1's scaling, for a context as short as here.
var llama31 = map[string]any{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
	"original_max_position_embeddings": 256, "rope_type": "llama3"}

// All are the families.
func All() []Family {
	llama, mistral := "LlamaForCausalLM", "MistralForCausalLM"
	return []Family{
		{Name: "Llama-2-7b-chat-hf", DType: checkpoint.F16, Shards: 2,
			config: map[string]any{"architectures": []string{llama}, "model_type": "llama",
				"num_key_value_heads": 4, "bos_token_id": 1, "eos_token_id": 2, "pretraining_tp": 1,
				"rope_scaling": nil, "tie_word_embeddings": false, "torch_dtype": "float16"},
			vocabulary: func(dir string) error { return writeModel(dir, pieces(false)) },
			jinja:      "{{ bos_token }}[INST] <<SYS>>{{ system }}<</SYS>>{{ user }} [/INST]",
			generation: map[string]any{"bos_token_id": 1, "eos_token_id": 2}},
		{Name: "Meta-Llama-3-8B-Instruct", DType: checkpoint.BF16, Shards: 1,
			config: map[string]any{"architectures": []string{llama}, "model_type": "llama",
				"num_key_value_heads": 2, "bos_token_id": 385, "eos_token_id": 386,
				"rope_theta": 500000.0, "tie_word_embeddings": false, "attention_bias": false},
			vocabulary: writeLlama3,
			jinja:      "{{ bos_token }}<|start_header_id|>{{ role }}<|end_header_id|>{{ text }}<|eot_id|>",
			generation: map[string]any{"eos_token_id": []int{386, 389}}},
		{Name: "Llama-3.2-1B-Instruct", DType: checkpoint.BF16, Shards: 1,
			config: map[string]any{"architectures": []string{llama}, "model_type": "llama",
				"num_key_value_heads": 2, "bos_token_id": 385, "eos_token_id": []int{386, 390, 389},
				"rope_theta": 500000.0, "rope_scaling": llama31, "tie_word_embeddings": true,
				"attention_bias": false, "mlp_bias": false, "head_dim": 8},
			vocabulary: writeLlama3,
			jinja:      "<|start_header_id|>system<|end_header_id|>Cutting Knowledge Date: {{ date }}",
			generation: map[string]any{"eos_token_id": []int{386, 390, 389}}},
		{Name: "Mistral-7B-Instruct-v0.1", DType: checkpoint.BF16, Shards: 2,
			config: map[string]any{"architectures": []string{mistral}, "model_type": "mistral",
				"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "rope_theta": 10000.0,
				"sliding_window": 24, "tie_word_embeddings": false},
			vocabulary: func(dir string) error { return writeModel(dir, pieces(false)) },
			jinja:      "{{ bos_token }}[INST] {{ user }} [/INST]"},
		{Name: "Mistral-7B-Instruct-v0.3", DType: checkpoint.BF16, Shards: 3,
			config: map[string]any{"architectures": []string{mistral}, "model_type": "mistral",
				"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "head_dim": nil,
				"rope_theta": 1000000.0, "sliding_window": nil, "tie_word_embeddings": false},
			vocabulary: writePieces,
			jinja:      "{{ bos_token }}[INST] {{ user }}[/INST]{{ assistant }}"},
	}
}

// Write writes the model into a directory of its name under parent, and gives that.
func (f Family) Write(parent string) (string, error) {
	dir := filepath.Join(parent, f.Name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	config := maps.Clone(base)
	maps.Copy(config, f.config)
	for name, v := range map[string]map[string]any{"config.json": config,
		"generation_config.json": f.generation,
		"tokenizer_config.json":  {"chat_template": f.jinja, "bos_token": "<s>"}} {
		if v == nil {
			continue
		}
		if err := writeJSON(filepath.Join(dir, name), v); err != nil {
			return "", err
		}
	}
	if err := f.vocabulary(dir); err != nil {
		return "", err
	}
	file, err := os.Open(filepath.Join(dir, "config.json"))
	if err != nil {
		return "", err
	}
	defer file.Close()
	c, err := llama.ReadConfig(file)
	if err != nil {
		return "", err
	}
	return dir, f.writeWeights(dir, c)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o666)
}

// writeWeights writes random weights in one file, or in shards under an index.
func (f Family) writeWeights(dir string, c llama.Config) error {
	rng := rand.New(rand.NewPCG(uint64(len(f.Name)), 1))
	shards := make([][]checkpoint.Tensor, f.Shards)
	where := map[string]string{}
	shard := func(i int) string {
		if f.Shards == 1 {
			return "model.safetensors"
		}
		return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, f.Shards)
	}
	for i, spec := range c.Tensors() {
		data := make([]float32, spec.Rows*spec.Cols)
		shape := []int{spec.Rows, spec.Cols}
		for k := range data {
			data[k] = float32(rng.NormFloat64() * 0.3)
		}
		if spec.Rows == 1 {
			shape = shape[1:]
			for k := range data {
				data[k] = 1 + data[k]/4
			}
		}
		at := i * f.Shards / len(c.Tensors())
		shards[at] = append(shards[at], checkpoint.FromFloat32(spec.Name, f.DType, data, shape...))
		where[spec.Name] = shard(at)
	}
	if strings.HasPrefix(f.Name, "Llama-2") { // whose files hold what is computed as well
		const name = "model.layers.0.self_attn.rotary_emb.inv_freq"
		shards[0] = append(shards[0],
			checkpoint.FromFloat32(name, checkpoint.F32, []float32{1, 0.1, 0.01, 0.001}, 4))
		where[name] = shard(0)
	}
	for i, tensors := range shards {
		err := checkpoint.AtomicWrite(filepath.Join(dir, shard(i)), func(w io.Writer) error {
			return checkpoint.Write(w, tensors, map[string]string{"format": "pt"})
		})
		if err != nil {
			return err
		}
	}
	if f.Shards == 1 {
		return nil
	}
	return writeJSON(filepath.Join(dir, "model.safetensors.index.json"),
		map[string]any{"metadata": map[string]any{"total_size": 2 * c.NumParams()}, "weight_map": where})
}

// writeLlama3 writes a tokenizer.json of bytes with Llama 3's special tokens from 385 on.
func writeLlama3(dir string) error {
	specials := []string{tokenizer.BeginText, tokenizer.EndText, tokenizer.StartHeader,
		tokenizer.EndHeader, tokenizer.EndTurn, tokenizer.EndMessage}
	texts := slices.Values(strings.Split(strings.Repeat(prose, 3), ". "))
	t, err := tokenizer.Train(texts, tokenizer.TrainOptions{VocabSize: 385 + len(specials),
		Specials: specials, Pattern: tokenizer.PatternLlama3})
	if err != nil {
		return err
	}
	if id, _ := t.Special(specials[0]); id != 385 {
		return fmt.Errorf("%s has id %d, want 385", specials[0], id)
	}
	return checkpoint.AtomicWrite(filepath.Join(dir, "tokenizer.json"), t.Write)
}
