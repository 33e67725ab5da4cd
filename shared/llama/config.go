package llama

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Config is the shape of a model, under the names that Hugging Face's config.json uses.
type Config struct {
	Vocab     int     `json:"vocab_size"`
	Dim       int     `json:"hidden_size"`             // C, the residual stream
	Hidden    int     `json:"intermediate_size"`       // F, the MLP
	Layers    int     `json:"num_hidden_layers"`       // L
	Heads     int     `json:"num_attention_heads"`     // H query heads
	KVHeads   int     `json:"num_key_value_heads"`     // G key/value heads, H/G queries share one
	HeadDim   int     `json:"head_dim"`                // D
	Context   int     `json:"max_position_embeddings"` // positions that rotary tables are made for
	RopeTheta float64 `json:"rope_theta"`
	Eps       float32 `json:"rms_norm_eps"`
	Tied      bool    `json:"tie_word_embeddings"` // the head is the embedding table
}

// maxDim bounds every size in a config, so that products of two of them fit an int64 with ease.
const maxDim = 1 << 24

// Validate says what is wrong with a config, in terms of its JSON names.
func (c Config) Validate() error {
	for _, f := range []struct {
		name string
		v    int
	}{
		{"vocab_size", c.Vocab}, {"hidden_size", c.Dim}, {"intermediate_size", c.Hidden},
		{"num_hidden_layers", c.Layers}, {"num_attention_heads", c.Heads},
		{"num_key_value_heads", c.KVHeads}, {"head_dim", c.HeadDim},
		{"max_position_embeddings", c.Context},
	} {
		if f.v < 1 || f.v > maxDim {
			return fmt.Errorf("llama: config: %s is %d, want 1 to %d", f.name, f.v, maxDim)
		}
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("llama: config: num_attention_heads %d is no multiple of num_key_value_heads %d",
			c.Heads, c.KVHeads)
	}
	if c.HeadDim%2 != 0 {
		return fmt.Errorf("llama: config: head_dim is %d, want an even number", c.HeadDim)
	}
	if !(c.RopeTheta > 0) || math.IsInf(c.RopeTheta, 0) {
		return fmt.Errorf("llama: config: rope_theta is %g, want a positive number", c.RopeTheta)
	}
	if !(c.Eps > 0 && c.Eps < 1) {
		return fmt.Errorf("llama: config: rms_norm_eps is %g, want between 0 and 1", c.Eps)
	}
	return nil
}

// NumParams is the number of weights, the tied table counted once.
func (c Config) NumParams() int {
	n := 0
	for _, t := range c.Tensors() {
		n += t.Rows * t.Cols
	}
	return n
}

// maxConfig bounds what ReadConfig takes in: real ones are a few kB.
const maxConfig = 1 << 20

// ReadConfig reads a config.json.
func ReadConfig(r io.Reader) (Config, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return Config{}, fmt.Errorf("llama: config: %w", err)
	}
	if len(raw) > maxConfig {
		return Config{}, fmt.Errorf("llama: config: more than %d bytes", maxConfig)
	}
	c := Config{RopeTheta: 10000, Eps: 1e-5}
	if err := json.Unmarshal(raw, &c); err != nil {
		return Config{}, fmt.Errorf("llama: config: %w", err)
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Dim / c.Heads
	}
	return c, c.Validate()
}

// Write writes a config.json that Hugging Face's loader takes as a Llama.
func (c Config) Write(w io.Writer) error {
	type plain Config
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Architectures []string `json:"architectures"`
		ModelType     string   `json:"model_type"`
		Activation    string   `json:"hidden_act"`
		plain
	}{[]string{"LlamaForCausalLM"}, "llama", "silu", plain(c)})
}
