package cli

import (
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	const fields = "weights work bytes seconds unit fits?"
	all := lines(t, ok(t, "plan", "--model", tiny, "--json", "--memory", "0.0265"), fields)
	if len(all) != 15 { // 48 inputs are no blocks of 32, so not q8
		t.Fatalf("%d lines, want 5 for each of f32, bf16 and f16", len(all))
	}
	fits := map[any]int{}
	for _, l := range all {
		fits[l["fits"]]++
		if l["bytes"].(float64) < 1e5 || !(l["seconds"].(float64) > 0) {
			t.Errorf("%v", l)
		}
	}
	if fits[true] == 0 || fits[false] == 0 {
		t.Errorf("of 26.5 MB: %v", fits)
	}
	text := ok(t, "plan", "--model", tiny, "--memory", "0.0265")
	for _, want := range []string{"bf16  serve", "per token", "does not fit", "MB"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if text := ok(t, "plan", "--model", tiny); strings.Contains(text, "fit") {
		t.Errorf("without --memory: %q", text)
	}
	refused(t, t2("", "plan", "--model", tiny, "--memory", "-1"), "-1")
	refused(t, t2("", "plan", "--model", t.TempDir()), "no model.safetensors")
}
