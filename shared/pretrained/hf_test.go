package pretrained_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/pretrained"
	"transformer2/shared/pretrained/familytest"
	"transformer2/shared/svf"
	"transformer2/shared/zoo"
)

// writtenHF is a session of the directory that s writes as a voice.
func writtenHF(t *testing.T, s *engine.Session, v engine.Voice, o engine.HFOptions) (
	*engine.Session, string) {
	t.Helper()
	dir := t.TempDir()
	if err := s.WriteHF(context.Background(), checkpoint.Dir(dir), v, o); err != nil {
		t.Fatal(err)
	}
	src := engine.Source{Name: "hf", Files: os.DirFS(dir)}
	var err error
	if src.Format, err = pretrained.Open(src.Files, "", pretrained.Options{}); err != nil {
		t.Fatal(err)
	}
	return session(t, src), dir
}

func object(t *testing.T, path string) (v map[string]any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A family's model that is written as a directory is the same model: numbers, ids, conversations
// and answers. So is one that went through a GGUF, which has no small files to copy.
func TestFamiliesAsDirectories(t *testing.T) {
	for _, f := range familytest.All() {
		t.Run(f.Name, func(t *testing.T) {
			s := session(t, published(t, f))
			o := engine.HFOptions{Type: f.DType}
			again, dir := writtenHF(t, s, engine.Base(), o)
			compare(t, s, again)
			config := object(t, filepath.Join(dir, "config.json"))
			want := map[checkpoint.DType]string{checkpoint.F16: "float16", checkpoint.BF16: "bfloat16"}
			if config["torch_dtype"] != want[f.DType] || config["use_cache"] != true {
				t.Errorf("config.json is %v", config)
			}
			o.Type = checkpoint.F32
			o.Shard = 30_000
			sharded, dir := writtenHF(t, exported(t, s, checkpoint.GGUFF32), engine.Base(), o)
			compare(t, s, sharded)
			index := object(t, filepath.Join(dir, "model.safetensors.index.json"))
			total := index["metadata"].(map[string]any)["total_size"].(float64)
			if want := 4 * s.Model.LM.Config.NumParams(); int(total) != want {
				t.Errorf("total_size %v, want %d", total, want)
			}
			shards, err := filepath.Glob(filepath.Join(dir, "model-*-of-*.safetensors"))
			if err != nil || len(shards) < 3 {
				t.Errorf("shards %v (%v)", shards, err)
			}
			for _, shard := range shards {
				if info, err := os.Stat(shard); err != nil || info.Size() > 4*400*32+4_000 {
					t.Errorf("%s has %d bytes (%v)", shard, info.Size(), err)
				}
			}
		})
	}
}

func randomExpert(t *testing.T, s *engine.Session) *svf.Expert {
	t.Helper()
	shapes, err := s.Model.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	return svf.Random(shapes, svf.AllScope(), 1, 0.5)
}

// An adapted model's directory answers as the expert does, without knowing of it.
func TestAdaptedAsDirectory(t *testing.T) {
	s := session(t, published(t, familytest.All()[4]))
	v := engine.Voice{Name: "random", Expert: randomExpert(t, s)}
	r := engine.Request{Prompt: "how many boats went out?", MaxTokens: 64}
	want, err := s.Generate(context.Background(), v, r)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := writtenHF(t, s, v, engine.HFOptions{Type: checkpoint.F32})
	got, err := again.Generate(context.Background(), engine.Base(), r)
	if err != nil {
		t.Fatal(err)
	}
	base, err := s.Generate(context.Background(), engine.Base(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Tokens, want.Tokens) || slices.Equal(got.Tokens, base.Tokens) {
		t.Errorf("answers %v, want %v; the base %v", got.Tokens, want.Tokens, base.Tokens)
	}
}

// Torch, in the arithmetic of Hugging Face's model and from the directory alone, says the same 64
// tokens: names, shapes and the order of rows are what they should be.
func TestDirectoryInTorch(t *testing.T) {
	for adapted, f := range []familytest.Family{familytest.All()[1], familytest.All()[4]} {
		s := session(t, published(t, f))
		v := engine.Base()
		if adapted == 1 {
			v.Expert = randomExpert(t, s)
		}
		answer, err := s.Generate(context.Background(), v,
			engine.Request{System: "be brief", Prompt: "how many boats?", MaxTokens: 64})
		if err != nil {
			t.Fatal(err)
		}
		var want []int32
		for _, token := range answer.Tokens {
			want = append(want, token.ID)
		}
		prompt, err := s.Model.Tok.Chat(nil, conversation, true)
		if err != nil {
			t.Fatal(err)
		}
		_, dir := writtenHF(t, s, v, engine.HFOptions{Type: checkpoint.F32})
		args := []string{"testdata/greedy.py", dir, fmt.Sprint(len(want))}
		for _, id := range prompt {
			args = append(args, fmt.Sprint(id))
		}
		out, err := exec.Command("/usr/bin/python3", args...).CombinedOutput()
		switch {
		case errors.Is(err, fs.ErrNotExist), strings.Contains(string(out), "No module named 'torch'"):
			t.Skip("there is no torch: Debian's python3-torch brings it")
		case err != nil:
			t.Fatalf("%v: %s", err, out)
		}
		if got := strings.TrimSpace(string(out)); "["+got+"]" != fmt.Sprint(want) || len(want) < 32 {
			t.Errorf("%s:\ntorch [%s]\nours  %v", f.Name, got, want)
		}
	}
}

// What other programs want to find in the files, by the letter.
func TestDirectoryIsTheUsualOne(t *testing.T) {
	s := exported(t, session(t, published(t, familytest.All()[2])), checkpoint.GGUFF32)
	_, dir := writtenHF(t, s, engine.Base(), engine.HFOptions{Type: checkpoint.BF16})
	data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if file.Metadata()["format"] != "pt" { // transformers refuses a file without it
		t.Errorf("metadata %v", file.Metadata())
	}
	var want []string
	for _, spec := range s.Model.LM.Config.Tensors() {
		want = append(want, spec.Name)
	}
	slices.Sort(want)
	if !slices.Equal(file.Names(), want) {
		t.Errorf("tensors %v, want %v", file.Names(), want)
	}
	if info, _ := file.Tensor("model.norm.weight"); info.String() != "BF16 [32]" {
		t.Errorf("model.norm.weight is %v", info)
	}
	config := object(t, filepath.Join(dir, "config.json"))
	if config["model_type"] != "llama" || config["torch_dtype"] != "bfloat16" ||
		config["bos_token_id"] != 385.0 || config["tie_word_embeddings"] != true {
		t.Errorf("config.json is %v", config)
	}
	rope := config["rope_scaling"].(map[string]any)
	if rope["rope_type"] != "llama3" || rope["factor"] != 8.0 ||
		rope["original_max_position_embeddings"] != 256.0 {
		t.Errorf("rope_scaling is %v", rope)
	}
	g := object(t, filepath.Join(dir, "generation_config.json"))
	if len(g["eos_token_id"].([]any)) != 3 {
		t.Errorf("generation_config.json is %v", g)
	}
	conf := object(t, filepath.Join(dir, "tokenizer_config.json"))
	if conf["bos_token"] != "<|begin_of_text|>" || conf["eos_token"] != "<|eot_id|>" ||
		conf["clean_up_tokenization_spaces"] != false ||
		!strings.Contains(conf["chat_template"].(string), "Cutting Knowledge Date") {
		t.Errorf("tokenizer_config.json is %v", conf)
	}
	before := object(t, filepath.Join(dir, "tokenizer.json"))["post_processor"].(map[string]any)
	if got := fmt.Sprint(before["single"], before["special_tokens"]); got != "[map[SpecialToken:"+
		"map[id:<|begin_of_text|> type_id:0]] map[Sequence:map[id:A type_id:0]]] "+
		"map[<|begin_of_text|>:map[id:<|begin_of_text|> ids:[385] tokens:[<|begin_of_text|>]]]" {
		t.Errorf("a text is put after %s", got)
	}
}

// Pieces without a file that says whose class reads them travel with a tokenizer.json, which is
// what the class that is written beside them reads.
func TestPiecesWithoutAClass(t *testing.T) {
	tried := 0
	for _, f := range familytest.All() {
		src := published(t, f)
		if pieces, _ := fs.Glob(src.Files, "tokenizer.model*"); len(pieces) == 0 {
			continue
		}
		files := filesOf(t, f)
		delete(files, "tokenizer_config.json")
		var err error
		if src.Format, err = pretrained.Open(files, "", pretrained.Options{}); err != nil {
			t.Fatal(err)
		}
		src.Files = files
		s := session(t, src)
		again, dir := writtenHF(t, s, engine.Base(), engine.HFOptions{Type: checkpoint.F32})
		compare(t, s, again)
		conf := object(t, filepath.Join(dir, "tokenizer_config.json"))
		model := object(t, filepath.Join(dir, "tokenizer.json"))["model"].(map[string]any)
		if conf["tokenizer_class"] != "PreTrainedTokenizerFast" || model["type"] != "BPE" {
			t.Errorf("%s: %v beside a model of type %v", f.Name, conf, model["type"])
		}
		tried++
	}
	if tried == 0 {
		t.Error("no family has pieces")
	}
}

// A directory that could not be written whole has no config.json, and so is no model.
func TestDirectoryRefusesWhatItCannotHold(t *testing.T) {
	s := session(t, published(t, familytest.All()[1]))
	lm := s.Model.LM
	lm.Dev.Write(lm.Blocks[0].MLPNorm.G, slices.Repeat([]float32{-70000}, lm.Dim))
	dir := t.TempDir()
	err := s.WriteHF(context.Background(), checkpoint.Dir(dir), engine.Base(),
		engine.HFOptions{Type: checkpoint.F16})
	if err == nil || !strings.Contains(err.Error(), "layers.0.post_attention_layernorm") ||
		!strings.Contains(err.Error(), "more than F16 holds") {
		t.Errorf("%v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%v were left", entries)
	}
	err = s.WriteHF(context.Background(), checkpoint.Dir(dir), engine.Base(),
		engine.HFOptions{Type: "I8"})
	if err == nil || !strings.Contains(err.Error(), "want F32") {
		t.Errorf("%v", err)
	}
}

func TestRopeDivisorsWithoutAName(t *testing.T) {
	c := llama.Config{Vocab: 8, Dim: 16, Hidden: 8, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 8,
		Context: 64, RopeTheta: 1e4, Eps: 1e-5}
	c.RopeScaling.Divisors = []float32{4, 4, 4, 4}
	if named, err := c.Named(); err != nil || named.RopeScaling.Kind != "linear" ||
		named.RopeScaling.Factor != 4 {
		t.Errorf("%+v: %v", named.RopeScaling, err)
	}
	for _, divisors := range [][]float32{{1, 2, 5, 4}, {1, 1, 8, 8}, {2, 3, 4, 5},
		{1, float32(math.Nextafter(1, 2)), 1, 3}} {
		c.RopeScaling.Divisors = divisors
		if named, err := c.Named(); err == nil || !strings.Contains(err.Error(), "no name") {
			t.Errorf("%v are %+v: %v", divisors, named.RopeScaling, err)
		}
	}
}

// The models that ship travel with their template: other programs write conversations as they do.
func TestHouseTemplateElsewhere(t *testing.T) {
	files, err := zoo.Open(zoo.Default)
	if err != nil {
		t.Fatal(err)
	}
	s := session(t, engine.Source{Name: "zoo", Files: files})
	again, dir := writtenHF(t, s, engine.Base(), engine.HFOptions{Type: checkpoint.F32})
	compare(t, s, again)
	ids, err := s.Model.Tok.Chat(nil, conversation, true)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("python3", "testdata/render.py", dir,
		`[{"role": "system", "content": "be brief"}, {"role": "user", "content": "how many boats?"}]`,
	).CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound), strings.Contains(string(out), "No module named 'jinja2'"):
		t.Skip("there is no jinja2: Debian's python3-jinja2 brings it")
	case err != nil:
		t.Fatalf("%v: %s", err, out)
	}
	if want := s.Model.Tok.DecodeSpecial(ids); string(out) != want {
		t.Errorf("rendered %q, want %q", out, want)
	}
}
