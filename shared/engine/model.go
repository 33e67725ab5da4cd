// Package engine is what all faces call: a terminal, a web page, a server.
package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/tokenizer"
)

// The files of a model directory. Experts lie in a folder of their own, NAME.safetensors each.
const (
	configFile    = "config.json"
	weightsFile   = "model.safetensors"
	tokenizerFile = "tokenizer.json"
	expertsDir    = "experts"
	expertSuffix  = ".safetensors"
)

// Model is a base model with its tokenizer and the experts that came with it.
type Model struct {
	Name        string
	LM          *llama.Model // frozen
	Tok         *tokenizer.Tokenizer
	Fingerprint checkpoint.Fingerprint // of its linear weights

	files   fs.FS
	weights string // name of the weights' file
}

// Source is where a model's files are.
type Source struct {
	Name    string // for people: "zoo:tako", a path
	Files   fs.FS
	Weights string // name of the weights' file; "" is model.safetensors
}

// Open loads a model onto a device. Weights are held as dtype.
func Open(dev compute.Device, src Source, dtype compute.DType) (*Model, error) {
	m := &Model{Name: src.Name, files: src.Files, weights: cmp.Or(src.Weights, weightsFile)}
	if err := m.load(dev, dtype); err != nil {
		return nil, fmt.Errorf("model %s: %w", src.Name, err)
	}
	return m, nil
}

func (m *Model) load(dev compute.Device, dtype compute.DType) error {
	config, err := m.readConfig()
	if err != nil {
		return err
	}
	if m.Tok, err = m.readTokenizer(); err != nil {
		return err
	}
	if m.Tok.VocabSize() > config.Vocab {
		return fmt.Errorf("%s has %d tokens, %s embeds %d", tokenizerFile, m.Tok.VocabSize(),
			configFile, config.Vocab)
	}
	return m.withWeights(func(weights *checkpoint.File) error {
		// The tensors are looked at before memory is taken for a model as large as the config
		// claims.
		if err := config.CheckTensors(weights); err != nil {
			return err
		}
		if m.LM, err = llama.New(dev, config, dtype); err != nil {
			return err
		}
		if err := m.LM.LoadWeights(weights); err != nil {
			return err
		}
		m.Fingerprint, err = svf.Base(weights)
		return err
	})
}

func (m *Model) readConfig() (llama.Config, error) {
	file, err := m.files.Open(configFile)
	if err != nil {
		return llama.Config{}, err
	}
	defer file.Close()
	config, err := llama.ReadConfig(file)
	if err != nil {
		return config, fmt.Errorf("%s: %w", configFile, err)
	}
	return config, nil
}

func (m *Model) readTokenizer() (*tokenizer.Tokenizer, error) {
	file, err := m.files.Open(tokenizerFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	tok, err := tokenizer.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	return tok, nil
}

// withWeights opens the weights' file for as long as f runs.
func (m *Model) withWeights(f func(*checkpoint.File) error) error {
	blob, err := openBlob(m.files, m.weights)
	if err != nil {
		return err
	}
	defer blob.Close()
	weights, err := checkpoint.Open(blob, blob.Size())
	if err == nil {
		err = f(weights)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.weights, err)
	}
	return nil
}

// openBlob opens a file of any fs.FS for random access; one that only streams is read whole.
func openBlob(files fs.FS, name string) (checkpoint.Blob, error) {
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	if r, ok := file.(io.ReaderAt); ok {
		return blob{ReaderAt: r, Closer: file, size: info.Size()}, nil
	}
	data, err := io.ReadAll(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return blob{ReaderAt: bytes.NewReader(data), Closer: file, size: int64(len(data))}, nil
}

type blob struct {
	io.ReaderAt
	io.Closer
	size int64
}

func (b blob) Size() int64 { return b.size }

// ExpertNames lists the experts that came with the model, sorted.
func (m *Model) ExpertNames() []string {
	entries, err := fs.ReadDir(m.files, expertsDir)
	if err != nil {
		return nil // a model without experts has no such folder
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), expertSuffix); ok && !e.IsDir() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Expert reads an expert that came with the model.
func (m *Model) Expert(name string) (*svf.Expert, error) {
	blob, err := openBlob(m.files, path.Join(expertsDir, name+expertSuffix))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, fmt.Errorf("model %s has no expert %q, it has: %s", m.Name, name,
			strings.Join(m.ExpertNames(), ", "))
	}
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	e, err := svf.ReadExpert(blob, blob.Size())
	if err != nil {
		return nil, fmt.Errorf("expert %q of %s: %w", name, m.Name, err)
	}
	return e, nil
}

// Decompose gives the singular bases of the matrices in scope, from the cache in store or anew.
func (m *Model) Decompose(ctx context.Context, p compute.Dense64, store checkpoint.Store,
	scope svf.Scope, report func(svf.Progress)) (*svf.Decomposition, error) {
	var d *svf.Decomposition
	err := m.withWeights(func(weights *checkpoint.File) (err error) {
		cache := svf.Cache{Store: store}
		d, err = cache.Model(ctx, p, weights, scope, report)
		return err
	})
	return d, err
}

// Shapes is the model's decomposition without σ and bases: enough to check an expert.
func (m *Model) Shapes() *svf.Decomposition {
	d := &svf.Decomposition{Base: m.Fingerprint}
	for _, l := range m.LM.Linears() {
		d.Matrices = append(d.Matrices, svf.Matrix{Name: l.Name, Out: l.Out, In: l.In,
			R: min(l.Out, l.In), Left: l.Out <= l.In})
	}
	return d
}
