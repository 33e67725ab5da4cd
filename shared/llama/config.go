package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"transformer2/shared/checkpoint"
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
	// Window is how many tokens a token sees, itself among them; 0: all before it (Mistral v0.1).
	Window      int         `json:"sliding_window,omitempty"`
	RopeScaling RopeScaling `json:"rope_scaling,omitzero"`
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
	if c.Window < 0 || c.Window > maxDim {
		return fmt.Errorf("llama: config: sliding_window is %d, want 0 to %d", c.Window, maxDim)
	}
	if err := c.RopeScaling.validate(c.HeadDim / 2); err != nil {
		return fmt.Errorf("llama: config: %w", err)
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
	if err := checkpoint.UnmarshalJSON(raw, &c); err != nil {
		return Config{}, fmt.Errorf("llama: config: %w", err)
	}
	if err := c.readOthers(raw); err != nil {
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

// readOthers reads what a config.json says beside the Config: newer files keep what turns the
// positions in one object, and whatever would need other arithmetic is refused.
func (c *Config) readOthers(raw []byte) error {
	var f struct {
		ModelType    string          `json:"model_type"`
		Activation   string          `json:"hidden_act"`
		AttnBias     bool            `json:"attention_bias"`
		MLPBias      bool            `json:"mlp_bias"`
		Quantization json.RawMessage `json:"quantization_config"`
		Scaling      RopeScaling     `json:"rope_parameters"`
	}
	var theta struct {
		Rope struct {
			Theta *float64 `json:"rope_theta"`
		} `json:"rope_parameters"`
	}
	if err := errors.Join(json.Unmarshal(raw, &f), json.Unmarshal(raw, &theta)); err != nil {
		return err
	}
	if theta.Rope.Theta != nil {
		c.RopeTheta = *theta.Rope.Theta
	}
	if !f.Scaling.IsZero() {
		c.RopeScaling = f.Scaling
	}
	switch {
	case f.ModelType != "" && f.ModelType != "llama" && f.ModelType != "mistral":
		return fmt.Errorf("model_type is %.40q, want llama or mistral", f.ModelType)
	case f.Activation != "" && f.Activation != "silu":
		return fmt.Errorf("hidden_act is %.40q, want silu", f.Activation)
	case f.AttnBias:
		return errors.New("attention_bias is true, want matrices without a bias")
	case f.MLPBias:
		return errors.New("mlp_bias is true, want matrices without a bias")
	case len(f.Quantization) > 0 && string(f.Quantization) != "null":
		return errors.New("quantization_config: want f32, f16 or bf16 weights, or a GGUF")
	}
	return nil
}

// Write writes a config.json that Hugging Face's loader takes as a Llama, or as a Mistral where
// there is a sliding window.
func (c Config) Write(w io.Writer) error {
	type plain Config
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	architecture, kind := "LlamaForCausalLM", "llama"
	if c.Window > 0 {
		architecture, kind = "MistralForCausalLM", "mistral"
	}
	return enc.Encode(struct {
		Architectures []string `json:"architectures"`
		ModelType     string   `json:"model_type"`
		Activation    string   `json:"hidden_act"`
		plain
	}{[]string{architecture}, kind, "silu", plain(c)})
}
