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
		if l["file"] != path || l["bytes"] != float64(len(data)) || !bytes.HasPrefix(data, []byte("GGUF")) {
			t.Errorf("%v, %d bytes, %q", l, len(data), data[:4])
		}
		return data
	}
	base, again := read("base.gguf"), read("again.gguf", "--expert", "base")
	if !bytes.Equal(base, again) {
		t.Error("the base is not the same twice")
	}
	math, half := read("math.gguf", "--expert", "math", "--type", "f32"), read("half.gguf", "--type", "f16")
	if bytes.Equal(math[len(math)/2:], base[len(base)/2:]) || len(math) < 3*len(half)/2 {
		t.Errorf("%d bytes of math in f32, %d of base in f16", len(math), len(half))
	}
	path := filepath.Join(dir, "base.gguf")
	refused(t, t2("", "convert", "--model", tiny, "-o", path), "base.gguf", "--force")
	refused(t, t2("", "convert", "--model", tiny, "-o", path, "--force", "--type", "q3"), `"q3"`, "q8_0")
	refused(t, t2("", "convert", "--model", tiny, "-o", filepath.Join(dir, "x"), "--expert", "maths"),
		`"maths"`)
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("a refused conversion left a file")
	}
}
