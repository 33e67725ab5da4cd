package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
)

// session is what the benchmarks of a run share: the peers' process and the model, each made when
// it is first asked for.
type session struct {
	ctx  context.Context // of the peers' process
	env  Env
	p    *peer
	perr error
	blas string // the peers' BLAS, for people
	dir  string // of the random model, "" while there is none
}

func newSession(ctx context.Context, env Env) *session { return &session{ctx: ctx, env: env} }

func (s *session) close() {
	if s.p != nil {
		s.p.close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

// peer is the peers' process.
func (s *session) peer() (*peer, error) {
	if s.p == nil && s.perr == nil {
		s.p, s.perr = startPython(s.ctx, s.env)
	}
	return s.p, s.perr
}

// Limits on what a peer may take: to import its libraries, and to measure.
const (
	importLimit  = time.Minute
	measureLimit = 2 * time.Minute
)

// ask asks the peers' process.
func (s *session) ask(ctx context.Context, format string, args ...any) (answer, error) {
	p, err := s.peer()
	if err != nil {
		return answer{}, err
	}
	return p.ask(ctx, measureLimit, format, args...)
}

// openBLAS names the peers' BLAS and the kernels that it chose: "OpenBLAS 0.3.21 SkylakeX".
func (s *session) openBLAS(ctx context.Context) string {
	const unknown = "OpenBLAS"
	if s.blas != "" {
		return s.blas
	}
	p, err := s.peer()
	if err != nil {
		return unknown
	}
	a, err := p.ask(ctx, importLimit, "blas")
	if err != nil || a.text == "" {
		return unknown
	}
	s.blas = a.text
	return s.blas
}

// settle is how long the threads of a peer go on spinning after its work is done.
const settle = 40 * time.Millisecond

// peerSide is a side that a peer measures.
func (s *session) peerSide(format string, args ...any) side {
	return side{peer: true, run: func(ctx context.Context) (float64, error) {
		a, err := s.ask(ctx, format, args...)
		if err != nil {
			return 0, err
		}
		time.Sleep(settle)
		return a.seconds()
	}}
}

// shape is that of the model that ships.
func shape(layers int) llama.Config {
	return llama.Config{Vocab: 1024, Dim: 128, Hidden: 384, Layers: layers, Heads: 4, KVHeads: 2,
		HeadDim: 32, Context: 256, RopeTheta: 10000, Eps: 1e-5, Tied: true}
}

// model is what the model's figures are measured on: its files, what t2 --model calls it, and a
// name for the figures.
func (s *session) model() (src engine.Source, ref, name string, err error) {
	if s.env.Model.Files != nil {
		return s.env.Model, s.env.Ref, s.env.Model.Name, nil
	}
	if s.dir == "" {
		s.env.say("a random model of the shipped one's shape")
		if err := s.randomModel(); err != nil {
			return src, "", "", fmt.Errorf("random model: %w", err)
		}
	}
	const random = "random weights"
	return engine.Source{Name: random, Files: os.DirFS(s.dir)}, s.dir, random, nil
}

// open loads the model onto a device.
func (s *session) open(dev compute.Device) (m *engine.Model, name string, err error) {
	src, _, name, err := s.model()
	if err != nil {
		return nil, "", err
	}
	m, err = engine.Open(context.Background(), dev, src, compute.F32)
	return m, name, err
}

// vocabularyTexts is how many documents the random model's vocabulary is made from.
const vocabularyTexts = 400

// randomModel writes a model of random weights to a folder of its own.
func (s *session) randomModel() error {
	dir, err := os.MkdirTemp("", "t2-bench-")
	if err != nil {
		return err
	}
	s.dir = dir
	cfg := shape(s.env.size().layers)
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		return err
	}
	defer dev.Close()
	m, err := llama.New(dev, cfg, compute.F32)
	if err != nil {
		return err
	}
	if err := m.Trainable(); err != nil {
		return err
	}
	m.Init(rand.New(rand.NewPCG(1, 0)))
	var texts iter.Seq[string] = func(yield func(string) bool) {
		corpus := task.NewCorpus(1, task.DefaultMixture())
		for i := range int64(vocabularyTexts) {
			if d := corpus.Document(i); !yield(d.Prompt) || !yield(d.Answer) {
				return
			}
		}
	}
	tok, err := tokenizer.Train(texts, tokenizer.TrainOptions{VocabSize: cfg.Vocab,
		Specials: tokenizer.HouseSpecials()})
	if err != nil {
		return err
	}
	return errors.Join(writeFile(dir, "config.json", cfg.Write),
		writeFile(dir, "tokenizer.json", tok.Write),
		writeFile(dir, "model.safetensors", func(w io.Writer) error {
			return llama.WriteWeights(w, m)
		}))
}

func writeFile(dir, name string, write func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
