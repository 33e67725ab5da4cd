package pretrained

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestChoose(t *testing.T) {
	for published, want := range map[string]string{
		"README.md config.json model.safetensors tokenizer.json x.gguf": "config.json tokenizer.json " +
			"model.safetensors",
		"config.json consolidated.safetensors model-00001-of-00002.safetensors " +
			"model-00002-of-00002.safetensors model.safetensors.index.json tokenizer.model.v3": "config.json " +
			"tokenizer.model.v3 model.safetensors.index.json model-00001-of-00002.safetensors " +
			"model-00002-of-00002.safetensors",
		"a.Q4_K_M.GGUF config.json README.md":                "a.Q4_K_M.GGUF",
		"b.gguf a.gguf":                                      "2 GGUF files, name one of them: a.gguf, b.gguf",
		"config.json pytorch_model.bin":                      "no model.safetensors",
		"config.json model.safetensors.index.json":           "no model.safetensors",
		"config.json nested/model.safetensors nested/x.gguf": "no model.safetensors",
	} {
		got, err := Choose(strings.Fields(published), "")
		if err == nil && strings.Join(got, " ") != want || err != nil &&
			!strings.Contains(err.Error(), want) {
			t.Errorf("of %s: %v, %v, want %s", published, got, err, want)
		}
	}
	all := []string{"b.gguf", "a.gguf"}
	if got, err := Choose(all, "a.gguf"); err != nil || !slices.Equal(got, all[1:]) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Choose(all, "c.gguf"); err == nil || !strings.Contains(err.Error(), `"c.gguf"`) {
		t.Errorf("%v", err)
	}
}

func TestMissing(t *testing.T) {
	index := `{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"},
		"metadata": {"total_size": 7}}`
	for _, c := range []struct {
		have, want string
		weights    int64
	}{
		{"", "config.json tokenizer.json or tokenizer.model model.safetensors or the shards of " +
			"model.safetensors.index.json", 0},
		{"config.json tokenizer.model model.safetensors", "", 0},
		{"a.GGUF", "", 0},
		{"config.json tokenizer.json model.safetensors.index.json 1.safetensors", "2.safetensors", 7},
		{"config.json tokenizer.json model.safetensors.index.json 1.safetensors 2.safetensors", "", 7},
	} {
		files := fstest.MapFS{}
		for _, name := range strings.Fields(c.have) {
			files[name] = &fstest.MapFile{Data: []byte(index)}
		}
		got, weights, err := Missing(files)
		if err != nil || strings.Join(got, " ") != c.want || weights != c.weights {
			t.Errorf("of %q: %q, %d bytes, %v", c.have, got, weights, err)
		}
	}
	broken := fstest.MapFS{"model.safetensors.index.json": {Data: []byte("[")}}
	if _, _, err := Missing(broken); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Errorf("%v", err)
	}
}
