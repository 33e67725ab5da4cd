package llama_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"transformer2/shared/llama"
)

func TestConfigRoundTripAndRefusals(t *testing.T) {
	for name, good := range shapes {
		var file bytes.Buffer
		if err := good.Write(&file); err != nil {
			t.Fatal(err)
		}
		back, err := llama.ReadConfig(&file)
		if err != nil || !reflect.DeepEqual(back, good) {
			t.Fatalf("%s: config comes back as %+v (%v), want %+v", name, back, err, good)
		}
	}
	const whole = `"vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,` +
		`"num_attention_heads":2,"max_position_embeddings":8`
	for text, want := range map[string]string{
		"{":                     "unexpected",
		`{"hidden_size": "x"}`:  "hidden_size",
		`{"vocab_size": -4}`:    "vocab_size is -4",
		`{"vocab_size": 1e300}`: "vocab_size",
		"{" + whole + `,"num_key_value_heads":3}`:        "no multiple",
		"{" + whole + `,"model_type":"qwen2"}`:           `"qwen2"`,
		"{" + whole + `,"hidden_act":"gelu"}`:            `"gelu"`,
		"{" + whole + `,"attention_bias":true}`:          "attention_bias",
		"{" + whole + `,"mlp_bias":true}`:                "mlp_bias",
		"{" + whole + `,"quantization_config":{}}`:       "quantization_config",
		"{" + whole + `,"sliding_window":-1}`:            "sliding_window is -1",
		"{" + whole + `,"rope_scaling":{"type":"yarn"}}`: `"yarn"`,
		"{" + whole + `,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":4,` +
			`"high_freq_factor":4,"original_max_position_embeddings":8}}`: "not above",
		"{" + whole + `,"rope_scaling":{"type":"linear","factor":0}}`: "factor is 0",
	} {
		if _, err := llama.ReadConfig(strings.NewReader(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("config %s: error %v, want one with %q", text, err, want)
		}
	}
}

// What the families publish, as far as it matters here, and what it means.
func TestPublishedConfigs(t *testing.T) {
	scaling := llama.RopeScaling{Kind: "llama3", Factor: 8, LowFactor: 1, HighFactor: 4,
		Original: 8192}
	for name, c := range map[string]struct {
		file string
		want llama.Config
	}{
		"Llama 2 7B": {`{"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
			"hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008,
			"max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32,
			"num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1,
			"rms_norm_eps": 1e-05, "rope_scaling": null, "tie_word_embeddings": false,
			"torch_dtype": "float16", "vocab_size": 32000}`,
			llama.Config{Vocab: 32000, Dim: 4096, Hidden: 11008, Layers: 32, Heads: 32, KVHeads: 32,
				HeadDim: 128, Context: 4096, RopeTheta: 1e4, Eps: 1e-5}},
		"Llama 3.1 8B": {`{"architectures": ["LlamaForCausalLM"], "attention_bias": false,
			"bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu",
			"hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072,
			"mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
			"num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
			"rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
			"original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
			"tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256}`,
			llama.Config{Vocab: 128256, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32, KVHeads: 8,
				HeadDim: 128, Context: 131072, RopeTheta: 5e5, Eps: 1e-5, RopeScaling: scaling}},
		"newer files": {`{"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
			"max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
			"num_key_value_heads": 8, "head_dim": 64, "rms_norm_eps": 1e-05,
			"rope_parameters": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
			"original_max_position_embeddings": 8192, "rope_type": "llama3", "rope_theta": 500000.0},
			"tie_word_embeddings": true, "dtype": "bfloat16", "vocab_size": 128256}`,
			llama.Config{Vocab: 128256, Dim: 2048, Hidden: 8192, Layers: 16, Heads: 32, KVHeads: 8,
				HeadDim: 64, Context: 131072, RopeTheta: 5e5, Eps: 1e-5, Tied: true,
				RopeScaling: scaling}},
		"Mistral 7B v0.1": {`{"architectures": ["MistralForCausalLM"], "bos_token_id": 1,
			"eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
			"max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
			"num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
			"rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false,
			"torch_dtype": "bfloat16", "vocab_size": 32000}`,
			llama.Config{Vocab: 32000, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32, KVHeads: 8,
				HeadDim: 128, Context: 32768, RopeTheta: 1e4, Eps: 1e-5, Window: 4096}},
		"Mistral 7B v0.3": {`{"model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096,
			"head_dim": null, "intermediate_size": 14336, "max_position_embeddings": 32768,
			"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
			"rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null,
			"tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32768}`,
			llama.Config{Vocab: 32768, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32, KVHeads: 8,
				HeadDim: 128, Context: 32768, RopeTheta: 1e6, Eps: 1e-5}},
	} {
		got, err := llama.ReadConfig(strings.NewReader(c.file))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v (%v),\nwant %+v", name, got, err, c.want)
		}
	}
}

// Llama 3.1's first frequencies stay, its last are divided by the factor, and between it is
// monotone.
func TestRopeDivisors(t *testing.T) {
	c := llama.Config{HeadDim: 128, RopeTheta: 5e5, RopeScaling: llama.RopeScaling{Kind: "llama3",
		Factor: 8, LowFactor: 1, HighFactor: 4, Original: 8192}}
	d := c.RopeDivisors()
	if d[0] != 1 || d[28] != 1 || d[63] != 8 || d[36] != 8 {
		t.Errorf("%v", d)
	}
	for i := range d[1:] {
		if d[i+1] < d[i] {
			t.Errorf("divisor %d is %g, the one before %g", i+1, d[i+1], d[i])
		}
	}
	// Pair 32 turns by 1/√theta, so its wave fits 8192/(2π√theta) = 1.84 times: s = 0.281.
	n := 8192 / (2 * math.Pi * math.Sqrt(5e5))
	if want := 1 / ((1-(n-1)/3)/8 + (n-1)/3); math.Abs(d[32]-want) > 1e-12 {
		t.Errorf("divisor 32 is %v, want %v", d[32], want)
	}
}
