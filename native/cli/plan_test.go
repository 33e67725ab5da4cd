package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	const fields = "weights work bytes seconds unit fits? held?"
	all := lines(t, ok(t, "plan", "--model", tiny, "--json", "--memory", "0.0265"), fields)
	if len(all) != 20 { // 48 inputs are no blocks of 32, so not q8
		t.Fatalf("%d lines, want 5 for each of auto, f32, bf16 and f16", len(all))
	}
	fits := map[any]int{}
	bytes := map[any]any{}
	for _, l := range all {
		fits[l["fits"]]++
		if l["work"] == "serve" {
			bytes[l["weights"]] = l["bytes"]
		}
		if (l["weights"] == "auto") != (l["held"] == "bf16") {
			t.Errorf("%v, want auto to be bf16, as the file is", l)
		}
		if l["bytes"].(float64) < 1e5 || !(l["seconds"].(float64) > 0) {
			t.Errorf("%v", l)
		}
	}
	if bytes["auto"] != bytes["bf16"] {
		t.Errorf("%v, want as much for auto as for bf16", bytes)
	}
	if fits[true] == 0 || fits[false] == 0 {
		t.Errorf("of 26.5 MB: %v", fits)
	}
	text := ok(t, "plan", "--model", tiny, "--memory", "0.0265")
	for _, want := range []string{"auto  serve", "as bf16", "f32   serve", "per token",
		"does not fit", "MB"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if text := ok(t, "plan", "--model", tiny); strings.Contains(text, "fit") {
		t.Errorf("without --memory: %q", text)
	}
	refused(t, t2("", "plan", "--model", tiny, "--memory", "-1"), "-1")
	refused(t, t2("", "plan", "--model", t.TempDir()), "no model.safetensors")
	refused(t, t2("", "plan", "--model", tiny, "--weights", "f32,q8"), `"f32,q8"`, "bf16")
}

// Of a model that is not here the config is enough.
func TestPlanOfConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	check(os.WriteFile(path, []byte(`{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
		"intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32,
		"num_key_value_heads": 8, "vocab_size": 128256, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
		"max_position_embeddings": 8192}`), 0o666))
	text := ok(t, "decompose", "--model", path, "--estimate")
	for _, want := range []string{"64 ×   4096×4096", "64 ×   1024×4096", "64 ×  14336×4096",
		"32 ×  4096×14336", "224 matrices"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if shapes := lines(t, ok(t, "decompose", "--model", path, "--estimate", "--json", "--scope", "k"),
		"out in count seconds"); len(shapes) != 1 || shapes[0]["count"] != 32.0 {
		t.Errorf("of k alone: %v", shapes)
	}
	all := lines(t, ok(t, "plan", "--model", path, "--weights", "q8", "--memory", "10",
		"--gpu-memory", "16", "--json"), "weights work bytes seconds unit fits? fits_gpu?")
	fits := map[any][2]any{}
	for _, l := range all {
		fits[l["work"]] = [2]any{l["fits"], l["fits_gpu"]}
	}
	if len(all) != 5 || fits["serve"] != [2]any{false, true} || fits["train"] != [2]any{false, false} ||
		fits["decompose"] != [2]any{true, nil} {
		t.Errorf("in 10 GB and on a GPU of 16: %v", fits)
	}
	refused(t, t2("", "generate", "--model", path, "--prompt", "x", "--force"), "config.json")
	refused(t, t2("", "generate", "--model", path, "--prompt", "x", "--memory", "10"), "as bf16",
		"--weights q4")
}
