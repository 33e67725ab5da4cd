package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestConvert(t *testing.T) {
	dir := t.TempDir()
	read := func(name string, args ...string) []byte {
		path := filepath.Join(dir, name)
		args = append([]string{"convert", "--model", tiny, "-o", path, "--json"}, args...)
		l := lines(t, ok(t, args...), "file expert type bytes")[0]
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if l["file"] != path || l["bytes"] != float64(len(data)) ||
			!bytes.HasPrefix(data, []byte("GGUF")) {
			t.Errorf("%v, %d bytes, %q", l, len(data), data[:4])
		}
		return data
	}
	base, again := read("base.gguf"), read("again.gguf", "--expert", "base")
	if !bytes.Equal(base, again) {
		t.Error("the base is not the same twice")
	}
	math := read("math.gguf", "--expert", "math", "--type", "f32")
	half := read("half.gguf", "--type", "f16")
	if bytes.Equal(math[len(math)/2:], base[len(base)/2:]) || len(math) < 3*len(half)/2 {
		t.Errorf("%d bytes of math in f32, %d of base in f16", len(math), len(half))
	}
	path := filepath.Join(dir, "base.gguf")
	refused(t, t2("", "convert", "--model", tiny, "-o", path), "base.gguf", "--force")
	refused(t, t2("", "convert", "--model", tiny, "-o", path, "--force", "--type", "q3"), `"q3"`,
		"q8_0")
	refused(t, t2("", "convert", "--model", tiny, "-o", ""), "-o is empty")
	refused(t, t2("", "convert", "--model", tiny, "-o", filepath.Join(dir, "x"), "--expert", "maths"),
		`"maths"`)
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("a refused conversion left a file")
	}
}

// A model that is written as Hugging Face's directory answers as the voice that it was written as.
func TestConvertToDirectory(t *testing.T) {
	says := func(model string, args ...string) any {
		t.Helper()
		return lines(t, ok(t, append([]string{"generate", "--model", model, "--json", "--prompt",
			question, "--max-tokens", "64"}, args...)...), answerFields)[0]["text"]
	}
	for _, voice := range []string{"base", "math"} {
		dir := filepath.Join(t.TempDir(), voice)
		l := lines(t, ok(t, "convert", "--model", tiny, "--expert", voice, "--to", "hf", "--type", "f32",
			"-o", dir, "--json"), "file expert type bytes")[0]
		if l["file"] != dir || l["expert"] != voice || l["bytes"].(float64) < 100_000 {
			t.Errorf("%v", l)
		}
		if got, want := says(dir), says(tiny, "--expert", voice, "--weights", "f32"); got != want {
			t.Errorf("%s: the directory says %q, want %q", voice, got, want)
		}
		refused(t, t2("", "convert", "--model", tiny, "--to", "hf", "-o", dir), "not empty", voice)
	}
	out := filepath.Join(t.TempDir(), "x")
	refused(t, t2("", "convert", "--model", tiny, "--to", "onnx", "-o", out), `"onnx"`, "gguf or hf")
	refused(t, t2("", "convert", "--model", tiny, "--to", "hf", "--type", "q8_0", "-o", out), `"q8_0"`,
		"bf16")
	refused(t, t2("", "convert", "--model", tiny, "--to", "hf", "-o",
		filepath.Join(tiny, "config.json")), "config.json")
}

// What could not be written whole leaves nothing behind: not a file, nor a directory that was not
// there.
func TestConvertLeavesNothing(t *testing.T) {
	model := copyModel(t)
	check(os.Mkdir(filepath.Join(model, "special_tokens_map.json"), 0o777)) // no file to copy
	out := t.TempDir()
	for _, dir := range []string{filepath.Join(out, "new"), out} {
		refused(t, t2("", "convert", "--model", model, "--to", "hf", "-o", dir), "special_tokens_map")
		if entries := must(os.ReadDir(out)); len(entries) > 0 {
			t.Errorf("%s: %v were left", dir, entries)
		}
	}
}
