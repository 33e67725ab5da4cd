// Package randmodel makes Llamas of random weights, for benchmarks and tests against other engines:
// the same numbers as this program reads them and as GGUF.
package randmodel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// The shapes of llama2.c's models of 15, 42 and 110 million parameters.
var (
	Of15M  = shape(288, 768, 6, 6)
	Of42M  = shape(512, 1376, 8, 8)
	Of110M = shape(768, 2048, 12, 12)
)

func shape(dim, hidden, layers, heads int) llama.Config {
	return llama.Config{Vocab: vocab, Dim: dim, Hidden: hidden, Layers: layers, Heads: heads,
		KVHeads: heads, HeadDim: dim / heads, Context: 1024, RopeTheta: 10000, Eps: 1e-5, Tied: true}
}

const vocab = 32000

// Question is what a random model is asked: words that its vocabulary spells with few tokens.
const Question = "once upon a time there was a model"

// Model is a model on disk: ours, and the same numbers as GGUF.
type Model struct {
	Dir    string            // config.json, tokenizer.json, model.safetensors
	GGUF   map[string]string // path by type
	Prompt string            // the question in its template, as text
}

// Make writes a model of random weights into dir, and GGUFs of the given types (checkpoint's
// names of them). Its matrices are rounded to bf16, so that every file holds the same numbers before
// it rounds further.
func Make(ctx context.Context, dir string, c llama.Config, seed uint64, types ...string) (*Model,
	error) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	tok, err := vocabulary()
	if err != nil {
		return nil, err
	}
	r := &Model{Dir: filepath.Join(dir, "model"), GGUF: map[string]string{}}
	if err := os.Mkdir(r.Dir, 0o777); err != nil {
		return nil, err
	}
	m, err := randomWeights(dev, c, tok, seed)
	if err != nil {
		return nil, err
	}
	for name, write := range map[string]func(io.Writer) error{"config.json": c.Write,
		"tokenizer.json":    tok.Write,
		"model.safetensors": func(w io.Writer) error { return llama.WriteWeights(w, m) }} {
		if err := checkpoint.AtomicWrite(filepath.Join(r.Dir, name), write); err != nil {
			return nil, err
		}
	}
	return r, r.convert(ctx, dev, dir, tok, types)
}

// Of1B is a shape of a billion parameters, of which MakeLarge writes files of 2 GB.
var Of1B = llama.Config{Vocab: vocab, Dim: 2048, Hidden: 5632, Layers: 22, Heads: 32, KVHeads: 4,
	HeadDim: 64, Context: 2048, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// MakeLarge writes a model of random weights in bf16 without having all of them in memory: its layers
// are all alike.
func MakeLarge(dir string, c llama.Config, seed uint64) error {
	tok, err := vocabulary()
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var tensors []checkpoint.Tensor
	layer := map[string][]float32{} // by the name of the first that has them
	for _, spec := range c.Tensors() {
		name := firstLayer.ReplaceAllString(spec.Name, "layers.0.")
		data := layer[name]
		if data == nil {
			data = make([]float32, spec.Rows*spec.Cols)
			for i := range data {
				data[i] = float32(rng.Uint32N(2049))/8192 - 0.125
			}
			layer[name] = data
		}
		t := checkpoint.Tensor{}
		if spec.Rows == 1 {
			t = checkpoint.FromFloat32(spec.Name, checkpoint.F32, data, spec.Cols)
		} else {
			t = checkpoint.FromFloat32(spec.Name, checkpoint.BF16, data, spec.Rows, spec.Cols)
		}
		tensors = append(tensors, t)
	}
	for name, write := range map[string]func(io.Writer) error{"config.json": c.Write,
		"tokenizer.json": tok.Write,
		"model.safetensors": func(w io.Writer) error {
			return checkpoint.Write(w, tensors, nil)
		}} {
		if err := checkpoint.AtomicWrite(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	return nil
}

var firstLayer = regexp.MustCompile(`layers\.\d+\.`)

// convert writes the GGUFs from the files that our engine reads.
func (r *Model) convert(ctx context.Context, dev *cpu.Device, dir string,
	tok *tokenizer.Tokenizer, types []string) error {
	m, err := engine.Open(ctx, dev, engine.Source{Name: "random", Files: os.DirFS(r.Dir)}, compute.F32)
	if err != nil {
		return err
	}
	s := engine.NewSession(dev, m, &checkpoint.Memory{})
	for _, name := range types {
		t, err := checkpoint.ParseGGUFType(name)
		if err != nil {
			return err
		}
		r.GGUF[name] = filepath.Join(dir, name+".gguf")
		err = checkpoint.AtomicWrite(r.GGUF[name], func(w io.Writer) error {
			return s.WriteGGUF(ctx, w, engine.Base(), t)
		})
		if err != nil {
			return err
		}
	}
	ids, err := tok.Chat(nil, []tokenizer.Message{{Role: tokenizer.RoleUser, Content: Question}}, true)
	r.Prompt = tok.DecodeSpecial(ids)
	return err
}

// randomWeights fills a model. The rows of special tokens and of single bytes are zero: their logits
// are 0, some other's is always greater, and so the text neither ends nor breaks a character.
func randomWeights(dev compute.Device, c llama.Config, tok *tokenizer.Tokenizer, seed uint64) (
	*llama.Model, error) {
	m, err := llama.New(dev, c, compute.F32)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	embed := c.Tensors()[0].Name
	sizes := map[string]llama.TensorSpec{}
	for _, spec := range c.Tensors() {
		sizes[spec.Name] = spec
	}
	err = m.Load(func(name string) ([]float32, error) {
		spec := sizes[name]
		x := make([]float32, spec.Rows*spec.Cols)
		for i := range x {
			switch {
			case spec.Rows == 1:
				x[i] = 1
			case name == embed && len(tok.Bytes(int32(i/spec.Cols))) == 1,
				name == embed && tok.IsSpecial(int32(i/spec.Cols)):
			default:
				x[i] = float32(rng.NormFloat64() * 0.06)
			}
		}
		return x, nil
	})
	return m, err
}

// vocabulary is 32,000 tokens: the bytes, pairs of letters, and pairs of pairs as far as they go.
func vocabulary() (*tokenizer.Tokenizer, error) {
	specials := tokenizer.HouseSpecials()
	tokens := byteTokens()
	var merges, pairs []string
	add := func(a, b string) {
		if len(tokens)+len(specials) < vocab {
			tokens, merges = append(tokens, a+b), append(merges, a+" "+b)
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyz"
	for _, a := range strings.Split(letters, "") {
		for _, b := range strings.Split(letters, "") {
			add(a, b)
			pairs = append(pairs, a+b)
		}
	}
	for _, a := range pairs {
		for _, b := range pairs {
			add(a, b)
		}
	}
	ids := map[string]int{}
	for i, t := range tokens {
		ids[t] = i
	}
	var added []map[string]any
	for i, name := range specials {
		added = append(added, map[string]any{"id": len(tokens) + i, "content": name, "special": true,
			"normalized": false, "single_word": false, "lstrip": false, "rstrip": false})
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "added_tokens": added,
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "behavior": "Isolated", "invert": false,
				"pattern": map[string]string{"Regex": tokenizer.PatternSingleDigit}},
			map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}}},
		"model": map[string]any{"type": "BPE", "vocab": ids, "merges": merges}})
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Read(bytes.NewReader(data))
	if err == nil && tok.VocabSize() != vocab {
		err = fmt.Errorf("the vocabulary has %d tokens, want %d", tok.VocabSize(), vocab)
	}
	return tok, err
}

// byteTokens are the 256 bytes as GPT-2's table writes them: printable Latin-1 as it is, the rest
// from U+0100 on.
func byteTokens() []string {
	var all []string
	next := rune(256)
	for b := range rune(256) {
		if b > ' ' && b <= '~' || b >= 0xa1 && b != 0xad {
			all = append(all, string(b))
			continue
		}
		all = append(all, string(next))
		next++
	}
	return slices.Clip(all)
}
