package cli

import (
	"path/filepath"
	"testing"

	"transformer2/shared/train"
)

// SVF works over frozen weights of 16 and of 8 bits: the model that ships picks its expert and answers
// with it, an expert is trained, and belongs to the model however that is held.
func TestHeldWeights(t *testing.T) {
	for _, held := range []string{"bf16", "q8"} {
		t.Run(held, func(t *testing.T) {
			answers := lines(t, ok(t, "adapt", "--weights", held, "--json", "--prompt",
				"Write a function calc(items) to keep only numbers less than 7."),
				"task expert pass1_ms pass2_ms text prompt tokens strategy alpha probabilities")
			if answers[0]["expert"] != "code" || answers[0]["text"] == "" {
				t.Errorf("%v", answers[0])
			}
			dir := t.TempDir()
			ok(t, "train", "--weights", held, "--task", "polite", "--prompts", "2", "--samples", "2",
				"--valid-items", "2", "--steps", "2", "--out", dir, "--json")
			for _, as := range []string{held, "f32"} {
				ok(t, "generate", "--weights", as, "--prompt", "x", "--max-tokens", "2", "--expert",
					filepath.Join(dir, train.BestFile))
			}
		})
	}
}
