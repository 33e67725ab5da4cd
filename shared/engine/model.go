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
	"sync"

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
	Name string
	LM   *llama.Model // frozen
	Tok  *tokenizer.Tokenizer

	files  fs.FS
	format Format
	print  func() (map[string]checkpoint.Fingerprint, error) // of the linear weights
}

// Source is where a model's files are.
type Source struct {
	Name    string // for people: "zoo:tako", a path
	Files   fs.FS
	Weights string // name of the weights' file; "" is model.safetensors
	Format  Format // reads the files; nil: config.json, tokenizer.json and the weights' file
	// Hold chooses how the model is held by how the files hold it; nil: as who opens it says.
	Hold func(llama.Stored) llama.Held
	// Loading, if set, hears of the tensors as they are loaded: done of total.
	Loading func(done, total int)
}

// Format reads a model's files. The program's own layout is one, what others publish are others.
type Format interface {
	Config() (llama.Config, error)
	// Tokenizer gives the vocabulary with the chat template and the stop tokens of the model.
	Tokenizer() (*tokenizer.Tokenizer, error)
	// Weights opens the tensors, under the names of llama.Config.Tensors, for as long as f runs.
	Weights(f func(checkpoint.Source) error) error
}

func (s Source) format() Format {
	if s.Format != nil {
		return s.Format
	}
	return House{s.Files, cmp.Or(s.Weights, weightsFile)}
}

// Open loads a model onto a device, its matrices held as dtype unless the source has a Hold. Where ctx
// ends, so does the loading.
func Open(ctx context.Context, dev compute.Device, src Source, dtype compute.DType) (*Model,
	error) {
	m := &Model{Name: src.Name, files: src.Files, format: src.format()}
	hold := src.Hold
	if hold == nil {
		hold = func(s llama.Stored) llama.Held { return s.As(dtype) }
	}
	if err := m.load(ctx, dev, hold, src.Loading); err != nil {
		if m.LM != nil {
			m.LM.Free()
		}
		return nil, fmt.Errorf("model %s: %w", src.Name, err)
	}
	m.print = sync.OnceValues(m.hash)
	return m, nil
}

// Fingerprint is of the model's linear weights. The files are read again when it is first asked for:
// only experts and decompositions need it, and to hash takes longer than to load.
func (m *Model) Fingerprint() (checkpoint.Fingerprint, error) {
	all, err := m.print()
	if err != nil {
		return checkpoint.Fingerprint{}, err
	}
	return checkpoint.HashModel(all), nil
}

func (m *Model) hash() (all map[string]checkpoint.Fingerprint, err error) {
	err = m.format.Weights(func(weights checkpoint.Source) (err error) {
		all, err = hash(weights)
		return err
	})
	if err != nil {
		err = fmt.Errorf("model %s: %w", m.Name, err)
	}
	return all, err
}

// Stored tells how a model's files hold it, by what stands before their numbers.
func (s Source) Stored() (c llama.Config, stored llama.Stored, err error) {
	format := s.format()
	if c, err = format.Config(); err != nil {
		return c, stored, err
	}
	err = format.Weights(func(weights checkpoint.Source) error {
		stored = c.StoredIn(weights)
		return c.CheckTensors(weights)
	})
	return c, stored, err
}

func (m *Model) load(ctx context.Context, dev compute.Device,
	hold func(llama.Stored) llama.Held, loading func(done, total int)) error {
	config, err := m.format.Config()
	if err != nil {
		return err
	}
	if m.Tok, err = m.format.Tokenizer(); err != nil {
		return err
	}
	if m.Tok.VocabSize() > config.Vocab {
		return fmt.Errorf("the tokenizer has %d tokens, the model embeds %d", m.Tok.VocabSize(),
			config.Vocab)
	}
	return m.format.Weights(func(weights checkpoint.Source) error {
		// The tensors are looked at before memory is taken for a model as large as the config
		// claims.
		if err := config.CheckTensors(weights); err != nil {
			return err
		}
		if m.LM, err = llama.NewHeld(dev, config, hold(config.StoredIn(weights))); err != nil {
			return err
		}
		if loading == nil {
			loading = func(int, int) {}
		}
		done, total := 0, len(config.Tensors())
		begin := func() {
			if done > 0 {
				loading(done, total)
			}
			done++
		}
		if err = m.LM.LoadWeights(until(ctx, weights, begin)); err == nil {
			loading(total, total)
		}
		return err
	})
}

// OpenBlob opens a file of any fs.FS for random access; one that only streams is read whole.
func OpenBlob(files fs.FS, name string) (checkpoint.Blob, error) {
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
func (m *Model) ExpertNames() []string { return ExpertNames(m.files) }

// ExpertNames lists the experts in a model's folder, sorted.
func ExpertNames(files fs.FS) []string {
	entries, err := fs.ReadDir(files, expertsDir)
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
	blob, err := OpenBlob(m.files, path.Join(expertsDir, name+expertSuffix))
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
	err := m.format.Weights(func(weights checkpoint.Source) (err error) {
		known, err := m.print()
		if err != nil {
			return err
		}
		cache := svf.Cache{Store: store, Known: known}
		d, err = cache.Model(ctx, p, weights, scope, report)
		return err
	})
	return d, err
}

// reload loads matrices once more, from the files that they came from; done hears of each. Where it
// fails, that matrix is undefined. Files of other numbers, which make another model, are refused.
func (m *Model) reload(ctx context.Context, names []string, done func(name string)) error {
	known, err := m.print()
	if err != nil {
		return err
	}
	err = m.format.Weights(func(weights checkpoint.Source) error {
		src := until(ctx, weights, nil)
		found, err := checkpoint.HashWeights(src, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			if found[name] != known[name] {
				return fmt.Errorf("%s is not the matrix that was loaded: the file is another one now", name)
			}
		}
		for _, name := range names {
			if err := m.LM.Reload(src, name); err != nil {
				return err
			}
			done(name)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("model %s: %w", m.Name, err)
	}
	return err
}

// Shapes is the model's decomposition without σ and bases: enough to check an expert.
func (m *Model) Shapes() (*svf.Decomposition, error) {
	print, err := m.Fingerprint()
	return &svf.Decomposition{Base: print, Matrices: m.Matrices()}, err
}

// Matrices are the shapes of the model's linear weights.
func (m *Model) Matrices() []svf.Matrix {
	var all []svf.Matrix
	for _, l := range m.LM.Linears() {
		all = append(all, svf.Matrix{Name: l.Name, Out: l.Out, In: l.In, R: min(l.Out, l.In),
			Left: l.Out <= l.In})
	}
	return all
}
