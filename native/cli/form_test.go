package cli

import (
	"os"
	"path/filepath"
	"testing"

	"transformer2/shared/adapt"
	"transformer2/shared/compute"
)

// Every verb that answers as an expert takes --form, and says the same in each.
func TestForm(t *testing.T) {
	for _, args := range [][]string{{"generate", "--expert", "math"}, {"compare", "--expert", "math"},
		{"adapt", "--adapt", "prompt"}} {
		args = append(args, "--model", tiny, "--max-tokens", "8", "--prompt", question)
		want := ok(t, args...)
		for _, form := range []string{"auto", "folded", "projected"} {
			if got := ok(t, append(args, "--form", form)...); args[0] != "adapt" && got != want {
				t.Errorf("%v --form %s says %q, want %q", args, form, got, want)
			}
		}
		refused(t, t2("", append(args, "--form", "sideways")...), `"sideways"`, "auto, folded or projected")
	}
	for verb, more := range map[string][]string{"chat": nil, "eval": {"--task", "math"}, "plan": nil} {
		refused(t, t2("", append([]string{verb, "--model", tiny, "--form", "sideways"}, more...)...),
			`"sideways"`, "auto, folded or projected")
	}
	args := []string{"eval", "--model", tiny, "--task", "math", "--n", "3", "--expert", "math", "--json"}
	if folded, projected := ok(t, args...), ok(t, append(args, "--form", "projected")...); folded !=
		projected {
		t.Errorf("eval finds %s, projected %s", folded, projected)
	}
}

// eight is the config of Llama 3 8B, which is enough to plan with.
func eight(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "config.json")
	check(os.WriteFile(path, []byte(`{"hidden_size": 4096, "intermediate_size": 14336,
		"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
		"vocab_size": 128256, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
		"max_position_embeddings": 8192}`), 0o666))
	return path
}

// An expert of a large model fits where the model does, folded; what does not is refused, with what
// would.
func TestExpertOfLargeModelFits(t *testing.T) {
	path := eight(t)
	ask := []string{"generate", "--model", path, "--weights", "q8", "--prompt", "x", "--expert", "x",
		"--memory", "12"}
	refused(t, t2("", append(ask, "--form", "projected")...), "to adapt it", "12.0 GB",
		"--form folded takes")
	refused(t, t2("", append(ask, "--cache", "/dev/null/none")...), "to adapt it", "its bases among it",
		"no file can be written")
	refused(t, t2("", ask...), "config.json") // it would fit, but is not here
	// W' of a model in 4 bits lies beside it in 8, where that of one in 8 takes its place.
	refused(t, t2("", append(ask, "--weights", "q4", "--form", "folded")...), "--weights q8 takes")
}

// What is planned follows room and device: projected where it is likely, which takes more.
func TestLikelyForm(t *testing.T) {
	m := must(planned(must((&app{}).modelSource(eight(t)))))
	m.Held = m.Stored.As(compute.Q8)
	takes := map[adapt.Form]int64{}
	for _, c := range []struct {
		memory float64
		host   bool
		form   adapt.Form
	}{{100, true, adapt.FormProjected}, {100, false, adapt.FormAuto}, {12, true, adapt.FormAuto}} {
		got := (&app{memory: c.memory, cache: t.TempDir()}).likely(m, c.host)
		takes[got.Form] = must(bytesOf(got, "adapt"))
		if got.Form != c.form || got.BasesInMemory {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	load := must(bytesOf(m, "load"))
	if folded := takes[adapt.FormAuto] - load; folded > 4e9 || takes[adapt.FormProjected]-load < 10e9 {
		t.Errorf("loading takes %d bytes, adapting %v", load, takes)
	}
}
