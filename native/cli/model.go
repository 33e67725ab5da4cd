package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"transformer2/native/adapter"
	"transformer2/native/mapped"
	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/pretrained"
	"transformer2/shared/svf"
	"transformer2/shared/zoo"
)

// zooPrefix marks a model that ships with the program.
const zooPrefix = "zoo:"

// modelFlag adds --model.
func modelFlag(cmd *cobra.Command, ref *string) {
	cmd.Flags().StringVar(ref, "model", zooPrefix+zoo.Default,
		"zoo:NAME for a model that ships with t2, a model's directory (config.json, safetensors, "+
			"tokenizer), its weights' file, a GGUF, or ORG/NAME[/FILE.gguf][@REVISION] after t2 pull")
}

// session is a device with a model on it.
type session struct {
	*engine.Session
	dev *adapter.Device
}

// asStored is the --weights that leave the choice to the model's files.
const asStored = "auto"

// holding is what --weights says of how a model is held.
func (a *app) holding(src engine.Source) (func(llama.Stored) llama.Held, error) {
	name, ships := cmp.Or(a.weights, asStored), src.Format == nil
	if name == asStored && !ships {
		return llama.Stored.Like, nil
	}
	if name == asStored { // the models that ship are small, and were measured so
		name = compute.F32.String()
	}
	t, err := compute.ParseDType(name)
	if err != nil {
		err = fmt.Errorf("--weights is %q, want auto, f32, f16, bf16, q8 or q4", name)
	}
	return func(s llama.Stored) llama.Held { return s.As(t) }, err
}

// open loads the model that ref names onto the device.
func (a *app) open(ref string) (*session, error) {
	src, err := a.modelSource(ref)
	if err != nil {
		return nil, err
	}
	dev, err := a.device()
	if err != nil {
		return nil, err
	}
	m, err := a.load(dev, src)
	if err != nil {
		dev.Close()
		return nil, err
	}
	tidy()
	s := &session{Session: engine.NewSession(dev, m, a.cacheStore()), dev: dev}
	s.OpenFile = checkpoint.OpenBlob
	s.Adapting = a.voicesOn(dev)
	return s, nil
}

// load loads a model if it fits.
func (a *app) load(dev *adapter.Device, src engine.Source) (m *engine.Model, err error) {
	if src.Hold, err = a.holding(src); err == nil {
		err = a.checkFit(dev, src)
	}
	if err != nil {
		return nil, err
	}
	loading, loaded := a.rounds("loading")
	defer loaded()
	begin := time.Now()
	src.Loading = func(done, total int) { // a small model is there before a bar could be read
		loading(done, total, time.Since(begin) < time.Second)
	}
	return engine.Open(a.ctx, dev, src, compute.F32)
}

func (s *session) Close() error { return s.dev.Close() }

// withModel runs f on a model.
func (a *app) withModel(ref string, f func(*session) error) error {
	s, err := a.open(ref)
	if err != nil {
		return err
	}
	defer s.Close()
	decomposing, decomposed := a.rounds("decomposing")
	defer decomposed()
	s.Decomposing = func(p svf.Progress) { decomposing(p.Done, p.Total, p.Cached) }
	adapting, adapted := a.rounds("adapting")
	defer adapted()
	s.Adapting.Progress = func(p adapt.Progress) { adapting(p.Done, p.Total, false) }
	return f(s)
}

// modelSource finds the files of a model, and how they are laid out.
func (a *app) modelSource(ref string) (engine.Source, error) {
	src := engine.Source{Name: ref}
	if name, ok := strings.CutPrefix(ref, zooPrefix); ok {
		files, err := zoo.Open(name)
		src.Files = files
		return src, err
	}
	if a.context < 0 {
		return src, fmt.Errorf("--context is %d, want 1 or more, or 0", a.context)
	}
	path, err := onDisk(ref)
	if err != nil {
		return src, fmt.Errorf("model %q: %w", ref, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return src, fmt.Errorf("model %q: %w", ref, err)
	}
	weights := ""
	if info.IsDir() {
		src.Files = mapped.FS(path)
	} else {
		src.Files, weights = mapped.FS(filepath.Dir(path)), filepath.Base(path)
	}
	src.Weights = weights
	src.Format, err = pretrained.Open(src.Files, weights,
		pretrained.Options{Context: cmp.Or(a.context, defaultContext)})
	if err != nil {
		return src, fmt.Errorf("model %s: %w", ref, err)
	}
	return src, nil
}

// defaultContext bounds the context where --context does not: the keys and values of the 131,072
// tokens that Llama 3.1 8B was made for take 34 GB, those of 4,096 take 1.
const defaultContext = 4096

// cacheDir is where decompositions are kept between runs, "" where there is no such place.
func (a *app) cacheDir() string {
	if dir := cmp.Or(a.cache, os.Getenv("T2_CACHE")); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "transformer2", "svd")
}

// cacheStore is the store in the cache's directory. Where nothing can be written there, what would
// have been kept is computed anew the next time: that is worth a note, but no reason to fail.
func (a *app) cacheStore() checkpoint.Store {
	dir := a.cacheDir()
	if dir == "" {
		return &checkpoint.Memory{}
	}
	return &lenientStore{Dir: checkpoint.Dir(dir), warn: func(err error) {
		a.warn("decompositions are not kept: %v", err)
	}}
}

// lenientStore is a directory that may fail: what cannot be read is not there, what cannot be
// written is not kept. It warns once.
type lenientStore struct {
	checkpoint.Dir
	warn func(error)
}

func (s *lenientStore) Open(name string) (checkpoint.Blob, error) {
	blob, err := s.Dir.Open(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.failed(err)
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return blob, err
}

func (s *lenientStore) Create(name string, write func(io.Writer) error) error {
	if err := s.Dir.Create(name, write); err != nil {
		s.failed(err)
	}
	return nil
}

func (s *lenientStore) failed(err error) {
	if s.warn != nil {
		s.warn(err)
		s.warn = nil
	}
}

// decompose gives the bases of the session's model in a scope, for training.
func (s *session) decompose(ctx context.Context, scope svf.Scope) (*svf.Decomposition, error) {
	return s.Model.Decompose(ctx, s.dev, s.Store, scope, s.Decomposing)
}
