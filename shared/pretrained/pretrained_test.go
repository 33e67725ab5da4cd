package pretrained_test

import (
	"bytes"
	"context"
	"io/fs"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/pretrained"
	"transformer2/shared/pretrained/familytest"
	"transformer2/shared/tokenizer"
)

// session opens a model on a processor.
func session(t *testing.T, src engine.Source) *engine.Session {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	m, err := engine.Open(t.Context(), dev, src, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	return engine.NewSession(dev, m, &checkpoint.Memory{})
}

func published(t *testing.T, f familytest.Family) engine.Source {
	t.Helper()
	dir, err := f.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	src := engine.Source{Name: f.Name, Files: os.DirFS(dir)}
	if src.Format, err = pretrained.Open(src.Files, "", pretrained.Options{}); err != nil {
		t.Fatal(err)
	}
	return src
}

// chats are what each family makes of a short conversation, with special tokens by name.
var chats = map[string]string{
	"Llama-2-7b-chat-hf": "<s> [INST] <<SYS>>\nbe brief\n<</SYS>>\n\nhow many boats? [/INST]",
	"Meta-Llama-3-8B-Instruct": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" +
		"be brief<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nhow many boats?<|eot_id|>" +
		"<|start_header_id|>assistant<|end_header_id|>\n\n",
	"Llama-3.2-1B-Instruct": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" +
		"Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nbe brief<|eot_id|>" +
		"<|start_header_id|>user<|end_header_id|>\n\nhow many boats?<|eot_id|>" +
		"<|start_header_id|>assistant<|end_header_id|>\n\n",
	"Mistral-7B-Instruct-v0.1": "<s> [INST] be brief\n\nhow many boats? [/INST]",
	"Mistral-7B-Instruct-v0.3": "<s>[INST] be brief\n\nhow many boats?[/INST]",
}

var conversation = []tokenizer.Message{{Role: tokenizer.RoleSystem, Content: "be brief"},
	{Role: tokenizer.RoleUser, Content: "how many boats?"}}

// stops are what ends an answer of each family, the closing token first.
var stops = map[string][]int32{"Llama-2-7b-chat-hf": {2},
	"Meta-Llama-3-8B-Instruct": {389, 386, 390},
	"Llama-3.2-1B-Instruct":    {389, 386, 390}, "Mistral-7B-Instruct-v0.1": {2},
	"Mistral-7B-Instruct-v0.3": {2}}

// A family's files load, converse as they should, and say the same as a GGUF made from them.
func TestFamilies(t *testing.T) {
	for _, f := range familytest.All() {
		t.Run(f.Name, func(t *testing.T) {
			s := session(t, published(t, f))
			ids, err := s.Model.Tok.Chat(nil, conversation, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Model.Tok.DecodeSpecial(ids); got != chats[f.Name] {
				t.Errorf("chat\n got %q\nwant %q", got, chats[f.Name])
			}
			if got := s.Model.Tok.Stops(); !slices.Equal(got, stops[f.Name]) {
				t.Errorf("stops %v, want %v", got, stops[f.Name])
			}
			for _, kind := range []checkpoint.GGUFType{checkpoint.GGUFF32, checkpoint.GGUFBF16} {
				if kind == checkpoint.GGUFBF16 && f.DType == checkpoint.F16 {
					kind = checkpoint.GGUFF16
				}
				compare(t, s, exported(t, s, kind))
			}
		})
	}
}

// exported is a session of the GGUF that s writes.
func exported(t *testing.T, s *engine.Session, kind checkpoint.GGUFType) *engine.Session {
	t.Helper()
	var file bytes.Buffer
	if err := s.WriteGGUF(context.Background(), &file, engine.Voice{Name: "base"}, kind); err != nil {
		t.Fatal(err)
	}
	src := engine.Source{Name: "gguf", Files: fstest.MapFS{"m.gguf": {Data: file.Bytes()}}}
	var err error
	if src.Format, err = pretrained.Open(src.Files, "", pretrained.Options{}); err != nil {
		t.Fatal(err)
	}
	return session(t, src)
}

// compare wants two sessions to be of one model: the same shape, numbers, ids and answers.
func compare(t *testing.T, a, b *engine.Session) {
	t.Helper()
	ca, cb := a.Model.LM.Config, b.Model.LM.Config
	da, db := ca.RopeDivisors(), cb.RopeDivisors()
	for i := range da {
		if len(db) != len(da) || math.Abs(da[i]/db[i]-1) > 1e-7 {
			t.Fatalf("divisors %v, want %v", db, da)
		}
	}
	ca.RopeScaling, cb.RopeScaling = llama.RopeScaling{}, llama.RopeScaling{}
	if !reflect.DeepEqual(ca, cb) {
		t.Errorf("config %+v, want %+v", cb, ca)
	}
	pa, errA := a.Model.Fingerprint()
	pb, errB := b.Model.Fingerprint()
	if errA != nil || errB != nil || pa != pb {
		t.Error("the weights are others")
	}
	if !slices.Equal(a.Model.Tok.Stops(), b.Model.Tok.Stops()) {
		t.Errorf("stops %v, want %v", b.Model.Tok.Stops(), a.Model.Tok.Stops())
	}
	wantChat, _ := a.Model.Tok.Chat(nil, conversation, true)
	chat, err := b.Model.Tok.Chat(nil, conversation, true)
	if err != nil || !slices.Equal(chat, wantChat) {
		t.Errorf("chat %v (%v), want %v", chat, err, wantChat)
	}
	r := engine.Request{System: "be brief", Prompt: "how many boats went out?", MaxTokens: 64}
	want, err := a.Generate(context.Background(), engine.Voice{Name: "base"}, r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Generate(context.Background(), engine.Voice{Name: "base"}, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Tokens) == 0 || !slices.Equal(got.Tokens, want.Tokens) {
		t.Errorf("answers %v, want %v", got.Tokens, want.Tokens)
	}
}

func TestContextIsBounded(t *testing.T) {
	src := published(t, familytest.All()[1])
	for bound, want := range map[int]int{0: 2048, 100: 100, 1 << 20: 2048} {
		f, err := pretrained.Open(src.Files, "", pretrained.Options{Context: bound})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := f.Config(); err != nil || c.Context != want {
			t.Errorf("bound %d: context %d (%v), want %d", bound, c.Context, err, want)
		}
	}
}

// What is missing or disagrees is refused with the file and what is wrong with it.
func TestDirectoryRefusals(t *testing.T) {
	const index = "model.safetensors.index.json"
	for want, damage := range map[string]func(files fstest.MapFS){
		"model-00002-of-00002.safetensors is missing": func(f fstest.MapFS) {
			delete(f, "model-00002-of-00002.safetensors")
		},
		"no such tensor": func(f fstest.MapFS) {
			f[index] = edited(f[index], `"lm_head.weight": "model-00002`, `"lm_head.weight": "model-00001`)
		},
		`"../x"`: func(f fstest.MapFS) {
			f[index] = edited(f[index], `"model-00002-of-00002.safetensors"`, `"../x"`)
		},
		"0 tensors": func(f fstest.MapFS) { f[index] = &fstest.MapFile{Data: []byte("{}")} },
		`no tensor "lm_head.weight"`: func(f fstest.MapFS) {
			f[index] = edited(f[index], `"lm_head.weight": "model-00002-of-00002.safetensors",`, "")
		},
		"no tokenizer.json": func(f fstest.MapFS) { delete(f, "tokenizer.model") },
		"the model embeds 300": func(f fstest.MapFS) {
			f["config.json"] = edited(f["config.json"], `"vocab_size": 400`, `"vocab_size": 300`)
		},
		"is [64 32], want [33 32]": func(f fstest.MapFS) {
			f["config.json"] = edited(f["config.json"], `"intermediate_size": 64`, `"intermediate_size": 33`)
		},
		"config.json":            func(f fstest.MapFS) { delete(f, "config.json") },
		"generation_config.json": func(f fstest.MapFS) { f["generation_config.json"].Data = []byte("[") },
		"token id -1": func(f fstest.MapFS) {
			f["generation_config.json"].Data = []byte(`{"eos_token_id": [2, -1]}`)
		},
	} {
		files := filesOf(t, familytest.All()[0])
		damage(files)
		if err := openError(t, files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, files := range map[string]fstest.MapFS{
		"no model.safetensors": {"x": {}},
		"pickles":              {"pytorch_model.bin": {}},
		"2 GGUF files":         {"a.gguf": {}, "b.gguf": {}},
		"4 bytes wanted":       {"a.gguf": {}},
	} {
		if err := openError(t, files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// filesOf are a family's files in memory.
func filesOf(t *testing.T, f familytest.Family) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	dir := published(t, f).Files
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = &fstest.MapFile{Data: data}
	}
	return files
}

// edited is a file with a text replaced; one without it would test nothing.
func edited(f *fstest.MapFile, old, new string) *fstest.MapFile {
	if !bytes.Contains(f.Data, []byte(old)) {
		panic("the file lacks " + old)
	}
	return &fstest.MapFile{Data: bytes.ReplaceAll(f.Data, []byte(old), []byte(new))}
}

func openError(t *testing.T, files fstest.MapFS) error {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	src := engine.Source{Name: "damaged", Files: files}
	if src.Format, err = pretrained.Open(files, "", pretrained.Options{}); err != nil {
		return err
	}
	_, err = engine.Open(t.Context(), dev, src, compute.F32)
	return err
}
