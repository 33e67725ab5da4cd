package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"context"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// shape is the Llama of 15 M parameters that engines for the browser are compared on.
var shape = llama.Config{Vocab: 32000, Dim: 288, Hidden: 768, Layers: 6, Heads: 6, KVHeads: 6,
	HeadDim: 48, Context: 512, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// question is what the random model is asked: words that its vocabulary spells with few tokens.
const question = "once upon a time there was a model"

// random is the model on disk: ours, and the same numbers as GGUF.
type random struct {
	dir    string            // config.json, tokenizer.json, model.safetensors
	gguf   map[string]string // path by type: f32, q8_0
	prompt string            // the question in its template, as text
}

// makeModel writes a model of random weights. Its matrices are rounded to bf16, so that every file
// holds the same numbers before it rounds further.
func makeModel(ctx context.Context, dir string, seed uint64) (*random, error) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	tok, err := vocabulary()
	if err != nil {
		return nil, err
	}
	r := &random{dir: filepath.Join(dir, "model"), gguf: map[string]string{}}
	if err := os.Mkdir(r.dir, 0o777); err != nil {
		return nil, err
	}
	m, err := randomWeights(dev, tok, seed)
	if err != nil {
		return nil, err
	}
	for name, write := range map[string]func(io.Writer) error{"config.json": shape.Write,
		"tokenizer.json":    tok.Write,
		"model.safetensors": func(w io.Writer) error { return llama.WriteWeights(w, m) }} {
		if err := checkpoint.AtomicWrite(filepath.Join(r.dir, name), write); err != nil {
			return nil, err
		}
	}
	return r, r.convert(ctx, dev, dir, tok)
}

// convert writes the GGUFs from the files that our engine reads.
func (r *random) convert(ctx context.Context, dev *cpu.Device, dir string,
	tok *tokenizer.Tokenizer) error {
	m, err := engine.Open(ctx, dev, engine.Source{Name: "random", Files: os.DirFS(r.dir)}, compute.F32)
	if err != nil {
		return err
	}
	s := engine.NewSession(dev, m, &checkpoint.Memory{})
	for _, name := range []string{"f32", "q8_0"} {
		t, err := checkpoint.ParseGGUFType(name)
		if err != nil {
			return err
		}
		r.gguf[name] = filepath.Join(dir, name+".gguf")
		err = checkpoint.AtomicWrite(r.gguf[name], func(w io.Writer) error {
			return s.WriteGGUF(ctx, w, engine.Base(), t)
		})
		if err != nil {
			return err
		}
	}
	ids, err := tok.Chat(nil, []tokenizer.Message{{Role: tokenizer.RoleUser, Content: question}}, true)
	r.prompt = tok.DecodeSpecial(ids)
	return err
}

// randomWeights fills a model. The rows of special tokens and of single bytes are zero: their logits
// are 0, some other's is always greater, and so the text neither ends nor breaks a character.
func randomWeights(dev compute.Device, tok *tokenizer.Tokenizer, seed uint64) (*llama.Model, error) {
	m, err := llama.New(dev, shape, compute.F32)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	embed := shape.Tensors()[0].Name
	sizes := map[string]llama.TensorSpec{}
	for _, spec := range shape.Tensors() {
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
		if len(tokens)+len(specials) < shape.Vocab {
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
	if err == nil && tok.VocabSize() != shape.Vocab {
		err = fmt.Errorf("the vocabulary has %d tokens, want %d", tok.VocabSize(), shape.Vocab)
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
