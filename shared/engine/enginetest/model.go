// Package enginetest holds what engines are tested with: a tiny model, and one suite of the
// protocol that any engine must pass over any transport.
package enginetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path"
	"testing"
	"testing/fstest"

	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
)

// Config is the tiny model's shape.
var Config = llama.Config{Vocab: 320, Dim: 32, Hidden: 48, Layers: 2, Heads: 4, KVHeads: 2,
	HeadDim: 8, Context: 160, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// Files are a tiny model of random weights with random experts of the given names, each for the
// task it is called after. dev only helps to make them.
func Files(t testing.TB, dev compute.Device, seed uint64, experts ...string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"config.json": File(t, Config.Write),
		"tokenizer.json": File(t, vocabulary(t).Write),
		"model.safetensors": File(t, func(w io.Writer) error {
			return llama.WriteWeights(w, model(t, dev, seed))
		})}
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: "tiny", Files: files},
		compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	shapes, err := m.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range experts {
		e := svf.Random(shapes, svf.AllScope(), uint64(i), 0.5)
		e.Meta.Task = name
		files[path.Join("experts", name+".safetensors")] = File(t,
			func(w io.Writer) error { return svf.WriteExpert(w, e) })
	}
	return files
}

// File is what write writes.
func File(t testing.TB, write func(io.Writer) error) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

func vocabulary(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	corpus := task.NewCorpus(1, task.DefaultMixture())
	tok, err := tokenizer.Train(func(yield func(string) bool) {
		for i := range int64(100) {
			if d := corpus.Document(i); !yield(d.Prompt) || !yield(d.Answer) {
				return
			}
		}
	}, tokenizer.TrainOptions{VocabSize: Config.Vocab, Specials: tokenizer.HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func model(t testing.TB, dev compute.Device, seed uint64) *llama.Model {
	t.Helper()
	m, err := llama.New(dev, Config, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	err = m.Load(func(name string) ([]float32, error) {
		for _, s := range Config.Tensors() {
			if s.Name != name {
				continue
			}
			x := make([]float32, s.Rows*s.Cols)
			for i := range x {
				if x[i] = float32(rng.NormFloat64() * 0.3); s.Rows == 1 {
					x[i] = 1
				}
			}
			return x, nil
		}
		return nil, errors.New("no such tensor")
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
