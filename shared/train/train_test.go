package train_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
	"transformer2/shared/train"
)

var tiny = llama.Config{Vocab: 300, Dim: 32, Hidden: 64, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 16,
	Context: 160, RopeTheta: 10000, Eps: 1e-5, Tied: true}

func device(t testing.TB) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

func vocabulary(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	corpus := task.NewCorpus(1, task.DefaultMixture())
	tok, err := tokenizer.Train(func(yield func(string) bool) {
		for i := range int64(500) {
			d := corpus.Document(i)
			if !yield(d.Prompt + " " + d.Answer) {
				return
			}
		}
	}, tokenizer.TrainOptions{VocabSize: tiny.Vocab, Specials: tokenizer.HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func corpus(t testing.TB, tok *tokenizer.Tokenizer, seed uint64) train.Corpus {
	c := task.NewCorpus(seed, task.DefaultMixture())
	return func(i int64) train.Example {
		d := c.Document(i)
		e, err := train.ChatExample(tok, d.System, d.Prompt, d.Answer, 0.1, tiny.Context)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func pretrainer(t testing.TB, tok *tokenizer.Tokenizer) *train.Pretrainer {
	t.Helper()
	p, err := train.NewPretrainer(device(t), train.PretrainConfig{Model: tiny, Seed: 3, BatchTokens: 700,
		Schedule: train.Schedule{Peak: 3e-3, Final: 1e-4, Warmup: 3, Steps: 12},
		AdamW:    train.AdamW{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, WeightDecay: 0.05, Clip: 1},
	}, corpus(t, tok, 1), corpus(t, tok, 2))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// base is a barely trained model with its decomposition.
func base(t testing.TB) train.Base { return baseAs(t, compute.F32)[0] }

// baseAs is base with its matrices held as each of the types.
func baseAs(t testing.TB, held ...compute.DType) (all []train.Base) {
	t.Helper()
	tok := vocabulary(t)
	p := pretrainer(t, tok)
	if _, err := train.Run(context.Background(), p, &checkpoint.Memory{}, train.Options{Steps: 3}); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := llama.WriteWeights(&file, p.Model()); err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoint.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	cache := svf.Cache{Store: &checkpoint.Memory{}}
	d, err := cache.Model(context.Background(), device(t), weights, svf.AllScope(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range held {
		m, err := llama.New(device(t), tiny, kind)
		if err == nil {
			err = m.LoadWeights(weights)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, train.Base{Name: "tiny", Model: m, Tok: tok, Decomposition: d})
	}
	return all
}

func reinforcer(t testing.TB, b train.Base, change func(*train.ReinforceConfig)) *train.Reinforcer {
	t.Helper()
	cfg, err := train.Preset("default")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Task, cfg.Seed, cfg.Prompts, cfg.Samples, cfg.ValidItems = "brief", 5, 2, 3, 4
	if change != nil {
		change(&cfg)
	}
	r, err := train.NewReinforcer(cfg, b)
	if err != nil {
		t.Fatal(err)
	}
	// The task's own score would be zero for every babble of an untrained model.
	r.Reward = func(_, output string) float64 { return float64(len(output)%7) / 6 }
	return r
}

func nextToken(t testing.TB, b train.Base, change func(*train.NextTokenConfig)) *train.NextToken {
	t.Helper()
	cfg := train.DefaultNextToken()
	cfg.Task, cfg.Batch, cfg.ValidItems = "brief", 4, 5
	if change != nil {
		change(&cfg)
	}
	n, err := train.NewNextToken(cfg, b)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func read(t testing.TB, s checkpoint.Store, name string) []byte {
	t.Helper()
	b, err := s.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dying is a store that fails from some write on, as a kill or a full disk would: what was written
// before stays.
type dying struct {
	*checkpoint.Memory
	writes int
}

var errDead = errors.New("killed")

func (d *dying) Create(name string, write func(io.Writer) error) error {
	if d.writes == 0 {
		return errDead
	}
	d.writes--
	return d.Memory.Create(name, write)
}

// A run that dies at any of its writes, or is cancelled at any step, ends in the same bytes as one
// that nothing disturbed.
func TestResumeBitForBit(t *testing.T) {
	b := base(t)
	tok := b.Tok
	makers := map[string]func() train.Trainer{
		"pretrain":  func() train.Trainer { return pretrainer(t, tok) },
		"reinforce": func() train.Trainer { return reinforcer(t, b, nil) },
		"projected": func() train.Trainer { return reinforcer(t, in(b, train.Projected), nil) },
		"sigmoid-nuclear": func() train.Trainer {
			return reinforcer(t, b, func(c *train.ReinforceConfig) { c.Parametrisation = svf.SigmoidNuclear })
		},
		"next-token": func() train.Trainer { return nextToken(t, b, nil) },
	}
	o := train.Options{Steps: 5, EvalEvery: 2, SaveEvery: 1}
	for name, make := range makers {
		t.Run(name, func(t *testing.T) {
			whole := &checkpoint.Memory{}
			if _, err := train.Run(context.Background(), make(), whole, o); err != nil {
				t.Fatal(err)
			}
			for _, writes := range []int{1, 4} {
				store := &checkpoint.Memory{}
				_, err := train.Run(context.Background(), make(), &dying{store, writes}, o)
				if !errors.Is(err, errDead) {
					t.Fatalf("dying after %d writes: %v", writes, err)
				}
				finish(t, make(), store, o, whole)
			}
			for _, at := range []int{3} {
				store := &checkpoint.Memory{}
				ctx, cancel := context.WithCancel(context.Background())
				stop := o
				stop.Report = func(e train.Event) {
					if e.Step == at {
						cancel()
					}
				}
				if _, err := train.Run(ctx, make(), store, stop); !errors.Is(err, context.Canceled) {
					t.Fatalf("cancelled at step %d: %v", at, err)
				}
				finish(t, make(), store, o, whole)
			}
		})
	}
}

func finish(t *testing.T, tr train.Trainer, store *checkpoint.Memory, o train.Options, whole checkpoint.Store) {
	t.Helper()
	if _, err := train.Run(context.Background(), tr, store, o); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{train.StateFile, train.BestFile} {
		if !bytes.Equal(read(t, store, file), read(t, whole, file)) {
			t.Fatalf("%s differs from the undisturbed run's", file)
		}
	}
}

func TestResumeRefusesAnotherConfiguration(t *testing.T) {
	b := base(t)
	store := &checkpoint.Memory{}
	o := train.Options{Steps: 1}
	if _, err := train.Run(context.Background(), reinforcer(t, b, nil), store, o); err != nil {
		t.Fatal(err)
	}
	other := reinforcer(t, b, func(c *train.ReinforceConfig) { c.KL = 0.5 })
	_, err := train.Run(context.Background(), other, store, o)
	if err == nil || !strings.Contains(err.Error(), "the run was begun with") {
		t.Fatalf("another configuration resumes: %v", err)
	}
}

func TestPretrainingLearns(t *testing.T) {
	p := pretrainer(t, vocabulary(t))
	var losses []float64
	o := train.Options{Steps: 12, Report: func(e train.Event) {
		if e.Kind == "step" {
			losses = append(losses, e.Metrics["loss"])
		}
	}}
	if _, err := train.Run(context.Background(), p, &checkpoint.Memory{}, o); err != nil {
		t.Fatal(err)
	}
	if first, last := losses[0], losses[len(losses)-1]; !(math.Abs(first-math.Log(300)) < 0.3 && last < first-0.3) {
		t.Fatalf("loss goes from %.2f to %.2f; want it from log 300 = 5.70 down by 0.3", first, last)
	}
}

func TestExpertRecordsItsTraining(t *testing.T) {
	b := base(t)
	store := &checkpoint.Memory{}
	if _, err := train.Run(context.Background(), reinforcer(t, b, nil), store,
		train.Options{Steps: 2, EvalEvery: 1}); err != nil {
		t.Fatal(err)
	}
	data := read(t, store, train.BestFile)
	e, err := svf.ReadExpert(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(b.Decomposition); err != nil {
		t.Fatal(err)
	}
	if e.Meta.Task != "brief" || e.Meta.Seed != 5 || e.Meta.Training["method"] != "reinforce" {
		t.Fatalf("expert records %+v", e.Meta)
	}
	if n := len(e.Z); n != 14 {
		t.Fatalf("expert has %d vectors, want 7 for each of 2 layers", n)
	}
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(*train.ReinforceConfig){
		"unknown task":  func(c *train.ReinforceConfig) { c.Task = "juggling" },
		"samples":       func(c *train.ReinforceConfig) { c.Samples = 1 },
		"baseline":      func(c *train.ReinforceConfig) { c.Baseline = "mine" },
		"temperature":   func(c *train.ReinforceConfig) { c.Temperature = math.Inf(1) },
		"learning rate": func(c *train.ReinforceConfig) { c.Schedule.Peak = 0 },
		"KL weight":     func(c *train.ReinforceConfig) { c.KL = math.NaN() },
	} {
		cfg, _ := train.Preset("default")
		cfg.Task = "math"
		change(&cfg)
		if _, err := train.NewReinforcer(cfg, train.Base{}); err == nil || !strings.Contains(err.Error(), want) &&
			!strings.Contains(err.Error(), "juggling") {
			t.Errorf("%s: error is %v", want, err)
		}
	}
	if _, err := train.Preset("mine"); err == nil {
		t.Error("an unknown preset is taken")
	}
}
