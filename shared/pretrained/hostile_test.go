package pretrained_test

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/pretrained"
	"transformer2/shared/pretrained/familytest"
)

// rewritten is a safetensors file whose tensors change may replace.
func rewritten(t *testing.T, f *fstest.MapFile,
	change func(name string, info checkpoint.Info, data []float32) checkpoint.Tensor) *fstest.MapFile {
	t.Helper()
	file, err := checkpoint.Open(bytes.NewReader(f.Data), int64(len(f.Data)))
	if err != nil {
		t.Fatal(err)
	}
	var tensors []checkpoint.Tensor
	for _, name := range file.Names() {
		data, err := file.Float32(name)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := file.Tensor(name)
		tensors = append(tensors, change(name, info, data))
	}
	var out bytes.Buffer
	if err := checkpoint.Write(&out, tensors, file.Metadata()); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: out.Bytes()}
}

// A tensor that is not what it should be is refused with its file, its name, and what it is.
func TestHostileTensors(t *testing.T) {
	const shard, victim = "model-00002-of-00002.safetensors", "model.norm.weight"
	for name, c := range map[string]struct {
		spoil func(info checkpoint.Info, data []float32) checkpoint.Tensor
		want  []string
	}{
		"NaN": {func(info checkpoint.Info, data []float32) checkpoint.Tensor {
			data[3] = float32(math.NaN())
			return checkpoint.FromFloat32(victim, info.DType, data, info.Shape...)
		}, []string{victim, "number 3", "NaN"}},
		"integers": {func(info checkpoint.Info, data []float32) checkpoint.Tensor {
			return checkpoint.FromInt8(victim, make([]int8, len(data)), info.Shape...)
		}, []string{shard, victim, "I8 [32]", "want F32, F16, BF16 or F64"}},
		"a matrix": {func(info checkpoint.Info, data []float32) checkpoint.Tensor {
			return checkpoint.FromFloat32(victim, info.DType, data, 1, len(data))
		}, []string{victim, "is [1 32], want [32]"}},
		"short": {func(info checkpoint.Info, data []float32) checkpoint.Tensor {
			return checkpoint.FromFloat32(victim, info.DType, data[1:], len(data)-1)
		}, []string{victim, "is [31], want [32]"}},
	} {
		files := filesOf(t, familytest.All()[0])
		files[shard] = rewritten(t, files[shard], func(name string, info checkpoint.Info,
			data []float32) checkpoint.Tensor {
			if name == victim {
				return c.spoil(info, data)
			}
			return checkpoint.FromFloat32(name, info.DType, data, info.Shape...)
		})
		err := openError(t, files)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
}

// A key that is there twice is refused by the file's name.
func TestHostileKeys(t *testing.T) {
	for file, key := range map[string]string{"config.json": `"vocab_size": 400`,
		"generation_config.json": `"eos_token_id": 2`, "tokenizer_config.json": `"bos_token": "\u003cs\u003e"`,
		"model.safetensors.index.json": `"lm_head.weight": "model-00002-of-00002.safetensors"`} {
		files := filesOf(t, familytest.All()[0])
		files[file] = edited(files[file], key, key+","+key)
		if err := openError(t, files); err == nil || !strings.Contains(err.Error(), file) ||
			!strings.Contains(err.Error(), "duplicate") {
			t.Errorf("%s: %v, want a duplicate", file, err)
		}
	}
}

// A GGUF is refused for what a directory is refused for.
func TestHostileGGUF(t *testing.T) {
	s := session(t, published(t, familytest.All()[3]))
	var file bytes.Buffer
	if err := s.WriteGGUF(context.Background(), &file, engine.Base(), checkpoint.GGUFF32); err != nil {
		t.Fatal(err)
	}
	spoil := func(change func(b []byte)) error {
		b := bytes.Clone(file.Bytes())
		change(b)
		return openError(t, fstest.MapFS{"m.gguf": {Data: b}})
	}
	if err := spoil(func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	nan := spoil(func(b []byte) { copy(b[len(b)-4:], "\x00\x00\xc0\x7f") })
	if nan == nil || !strings.Contains(nan.Error(), "m.gguf") || !strings.Contains(nan.Error(), "NaN") {
		t.Errorf("NaN: %v", nan)
	}
	width := spoil(func(b []byte) {
		key := "llama.feed_forward_length"
		at := bytes.Index(b, []byte(key)) + len(key) + 4 // its type comes between
		b[at]++
	})
	if width == nil || !strings.Contains(width.Error(), "want [65 32]") ||
		!strings.Contains(width.Error(), "ffn_gate") && !strings.Contains(width.Error(), "gate_proj") {
		t.Errorf("another width: %v", width)
	}
	cut := openError(t, fstest.MapFS{"m.gguf": {Data: file.Bytes()[:file.Len()/2]}})
	if cut == nil || !strings.Contains(cut.Error(), "m.gguf") {
		t.Errorf("half of it: %v", cut)
	}
}

// A published template is text, never a program: loops without an end and bombs cost nothing, and the
// model converses as one of no known family does.
func TestHostileTemplates(t *testing.T) {
	for _, jinja := range []string{
		"{% for i in range(10**18) %}{{ i }}{% endfor %}",
		"{% set x = 'x' * 10**12 %}{{ x }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"{{ ''.__class__.__mro__[1].__subclasses__() }}", strings.Repeat("{% if x %}", 1<<20),
		"{% for", "\x00\xff"} {
		files := filesOf(t, familytest.All()[0])
		delete(files, "tokenizer_config.json")
		files["chat_template.jinja"] = &fstest.MapFile{Data: []byte(jinja)}
		format, err := pretrained.Open(files, "", pretrained.Options{})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		tok, err := format.Tokenizer()
		if err != nil {
			t.Fatal(err)
		}
		ids, err := tok.Chat(nil, conversation, true)
		if err != nil || len(ids) > 100 {
			t.Errorf("%.40q: %d ids, %v", jinja, len(ids), err)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("%.40q took %v", jinja, d)
		}
	}
	files := filesOf(t, familytest.All()[0])
	files["chat_template.jinja"] = &fstest.MapFile{Data: make([]byte, 65<<20)}
	err := openError(t, files)
	if err == nil || !strings.Contains(err.Error(), "chat_template.jinja: more than 67108864 bytes") {
		t.Errorf("65 MB: %v", err)
	}
}
