// Package engine is what all faces call: a terminal, a web page, a server.
package engine

import (
	"bytes"
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

	files fs.FS
}

// Open loads a model directory onto a device. Weights are held as dtype.
func Open(dev compute.Device, name string, files fs.FS, dtype compute.DType) (*Model, error) {
	m, err := open(dev, files, dtype)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	m.Name = name
	return m, nil
}

func open(dev compute.Device, files fs.FS, dtype compute.DType) (*Model, error) {
	m := &Model{files: files}
	file, err := files.Open(configFile)
	if err != nil {
		return nil, err
	}
	config, err := llama.ReadConfig(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	if file, err = files.Open(tokenizerFile); err != nil {
		return nil, err
	}
	m.Tok, err = tokenizer.Read(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	if m.Tok.VocabSize() > config.Vocab {
		return nil, fmt.Errorf("%s has %d tokens, %s embeds %d", tokenizerFile, m.Tok.VocabSize(),
			configFile, config.Vocab)
	}
	blob, err := openBlob(files, weightsFile)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	weights, err := checkpoint.Open(blob, blob.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", weightsFile, err)
	}
	// The tensors are looked at before memory is taken for a model as large as the config claims.
	if err := config.CheckTensors(weights); err != nil {
		return nil, fmt.Errorf("%s: %w", weightsFile, err)
	}
	if m.LM, err = llama.New(dev, config, dtype); err != nil {
		return nil, err
	}
	if err := m.LM.LoadWeights(weights); err != nil {
		return nil, fmt.Errorf("%s: %w", weightsFile, err)
	}
	m.Fingerprint, err = svf.Base(weights)
	return m, err
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
	return svf.ReadExpert(blob, blob.Size())
}

// Decompose gives the singular bases of the matrices in scope, from the cache in store or anew.
func (m *Model) Decompose(ctx context.Context, p compute.Dense64, store checkpoint.Store,
	scope svf.Scope, report func(svf.Progress)) (*svf.Decomposition, error) {
	blob, err := openBlob(m.files, weightsFile)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	weights, err := checkpoint.Open(blob, blob.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", weightsFile, err)
	}
	cache := svf.Cache{Store: store}
	return cache.Model(ctx, p, weights, scope, report)
}
