package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transformer2/shared/pretrained/familytest"
	"transformer2/shared/train"
)

// Every verb that works on a model works on the files that the families publish, and on the GGUF
// that t2 makes of them.
func TestFamilies(t *testing.T) {
	for _, f := range familytest.All() {
		t.Run(f.Name, func(t *testing.T) {
			dir, err := f.Write(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			checkVerbs(t, dir)
		})
	}
}

func checkVerbs(t *testing.T, dir string) {
	say := func(model string, more ...string) any {
		t.Helper()
		args := append([]string{"generate", "--model", model, "--json", "--prompt", question,
			"--max-tokens", "12", "--context", "1500"}, more...)
		return lines(t, ok(t, args...), answerFields)[0]["text"]
	}
	if n := len(lines(t, ok(t, "decompose", "--model", dir, "--json", "--scope", "all"),
		spectrumFields)); n != 14 {
		t.Errorf("%d matrices are decomposed, want 14", n)
	}
	run := filepath.Join(t.TempDir(), "run")
	ok(t, "train", "--model", dir, "--task", "math", "--method", "next-token", "--steps", "1",
		"--prompts", "2", "--valid-items", "2", "--lr", "0.5", "--out", run)
	ok(t, "train", "--model", dir, "--task", "math", "--steps", "1", "--prompts", "1", "--samples",
		"2", "--valid-items", "2", "--out", run+"-reinforce")
	// An expert named after a task is one that the two passes may choose.
	if err := os.Mkdir(filepath.Join(dir, "experts"), 0o777); err != nil {
		t.Fatal(err)
	}
	expert := filepath.Join(dir, "experts", "math.safetensors")
	if err := os.Rename(filepath.Join(run, train.BestFile), expert); err != nil {
		t.Fatal(err)
	}
	ok(t, "adapt", "--model", dir, "--prompt", question, "--max-tokens", "8")

	plain, math := say(dir), say(dir, "--expert", "math", "--weights", "f32") // not rounded again
	if plain == math {
		t.Errorf("the expert says what the base says: %q", plain)
	}
	for _, c := range []struct {
		args []string
		want any
	}{{nil, plain}, {[]string{"--expert", "math"}, math}} {
		gguf := filepath.Join(t.TempDir(), "model.gguf")
		ok(t, append([]string{"convert", "--model", dir, "--type", "f32", "-o", gguf}, c.args...)...)
		if got := say(gguf); got != c.want {
			t.Errorf("the GGUF of %v says %q, want %q", c.args, got, c.want)
		}
		again := filepath.Join(t.TempDir(), "again.gguf")
		ok(t, "convert", "--model", gguf, "--type", "f32", "-o", again)
		if got := say(again); got != c.want {
			t.Errorf("the GGUF of the GGUF of %v says %q, want %q", c.args, got, c.want)
		}
	}
	// Weights held in half their width: the files' own numbers are what they hold.
	for _, held := range []string{"bf16", "f16", "q8", "q4"} {
		say(dir, "--weights", held)
	}
}

// Unless told otherwise a model is held as its file holds it.
func TestHeldAsTheFile(t *testing.T) {
	dir := must(familytest.All()[0].Write(t.TempDir()))
	says := func(model, held string) {
		t.Helper()
		out := ok(t, "info", "--model", model, "--look", "1", "--json")
		if !strings.Contains(out, `"weights":"`+held+`"`) {
			t.Errorf("%s: %s, want weights %s", model, strings.SplitN(out, "\n", 2)[0], held)
		}
	}
	for kind, held := range map[string]string{"f32": "f32", "f16": "f16", "bf16": "bf16",
		"q8_0": "q8"} {
		gguf := filepath.Join(t.TempDir(), kind+".gguf")
		ok(t, "convert", "--model", dir, "--type", kind, "-o", gguf)
		says(gguf, held)
	}
	says(tiny, "bf16")
	says("zoo:tako", "f32")
}

func TestModelFlagsRefusals(t *testing.T) {
	refused(t, t2("", "generate", "--model", tiny, "--prompt", "x", "--weights", "q3"), `"q3"`, "bf16")
	refused(t, t2("", "generate", "--model", tiny, "--prompt", "x", "--context", "-1"), "-1")
	empty := t.TempDir()
	refused(t, t2("", "generate", "--model", empty, "--prompt", "x"), "no model.safetensors", empty)
	broken := filepath.Join(empty, "broken.gguf")
	if err := os.WriteFile(broken, []byte("GGUF\x03\x00\x00\x00"), 0o666); err != nil {
		t.Fatal(err)
	}
	refused(t, t2("", "generate", "--model", broken, "--prompt", "x"), "broken.gguf", "left")
}
