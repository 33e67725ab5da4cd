package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"transformer2/shared/answer"
	"transformer2/shared/llama"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
	"transformer2/shared/train"
)

// pretrainFlags are `t2 pretrain`'s.
type pretrainFlags struct {
	out, tokenizer                    string
	seed                              uint64
	steps, evalEvery, saveEvery       int
	batch, vocab, dim, hidden, layers int
	heads, kvHeads, context           int
	lr                                float64
	promptWeight                      float32
}

func (a *app) pretrainCmd() *cobra.Command {
	var f pretrainFlags
	cmd := &cobra.Command{
		Use:   "pretrain --out DIR",
		Short: "train a small base model from the generated corpus",
		Long: `Train a small Llama from nothing on the corpus that the suite's tasks generate: fresh
weights, AdamW, warm-up and cosine. The vocabulary is trained first, on the same corpus.

The directory holds the run: state.safetensors to resume from (run the same command again),
log.jsonl with a line a step, and at the end the model: config.json, tokenizer.json,
model.safetensors.

With --json a line a step and an evaluation: {"kind","step","steps","seconds","metrics","best"}.`,
		Example: `  t2 pretrain --out runs/mine --steps 5000
  t2 pretrain --out runs/other --tokenizer runs/mine/tokenizer.json --seed 2
  t2 pretrain --out runs/tiny --dim 64 --hidden 192 --layers 3 --steps 500
  t2 generate --model runs/tiny/best.safetensors "What does the kafin eat?"
  t2 generate --model runs/tiny "What does the kafin eat?"`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pretrain(cmd.Context(), f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "", "directory of the run: state, log, model")
	fl.StringVar(&f.tokenizer, "tokenizer", "", "a tokenizer.json to take the vocabulary of, instead "+
		"of training one (then --vocab is its size)")
	fl.Uint64Var(&f.seed, "seed", 1, "of the fresh weights and the corpus")
	fl.IntVar(&f.steps, "steps", 3000, "optimizer steps")
	fl.IntVar(&f.evalEvery, "eval-every", 250, "steps between evaluations")
	fl.IntVar(&f.saveEvery, "save-every", 100, "steps between saved states")
	fl.IntVar(&f.batch, "batch-tokens", 16384, "tokens of a step")
	fl.IntVar(&f.vocab, "vocab", 1024, "tokens of the vocabulary")
	fl.IntVar(&f.dim, "dim", 128, "width of the residual stream")
	fl.IntVar(&f.hidden, "hidden", 384, "width of the MLP")
	fl.IntVar(&f.layers, "layers", 6, "layers")
	fl.IntVar(&f.heads, "heads", 4, "query heads")
	fl.IntVar(&f.kvHeads, "kv-heads", 2, "key/value heads")
	fl.IntVar(&f.context, "context", 256, "tokens of context")
	fl.Float64Var(&f.lr, "lr", 3e-3, "peak learning rate")
	fl.Float32Var(&f.promptWeight, "prompt-weight", 0.1, "what a token of a question counts "+
		"against one of an answer")
	cmd.MarkFlagRequired("out")
	return cmd
}

// corpusTexts is how many documents the vocabulary is trained on.
const corpusTexts = 40000

func (a *app) pretrain(ctx context.Context, f pretrainFlags) error {
	dir, err := openRunDir(f.out)
	if err != nil {
		return err
	}
	defer dir.Close()
	dev, err := a.device()
	if err != nil {
		return err
	}
	defer dev.Close()
	corpus := task.NewCorpus(f.seed, task.DefaultMixture())
	tok, err := vocabulary(dir, corpus, f)
	if err != nil {
		return err
	}
	f.vocab = tok.VocabSize()
	cfg := train.PretrainConfig{
		Model: llama.Config{Vocab: f.vocab, Dim: f.dim, Hidden: f.hidden, Layers: f.layers,
			Heads: f.heads, KVHeads: f.kvHeads, HeadDim: f.dim / f.heads, Context: f.context,
			RopeTheta: 10000, Eps: 1e-5, Tied: true},
		Seed: f.seed, BatchTokens: f.batch,
		Schedule: train.Schedule{Peak: f.lr, Final: f.lr / 20, Warmup: 100, Steps: f.steps},
		AdamW:    train.AdamW{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, WeightDecay: 0.05, Clip: 1},
	}
	source := func(c *task.Corpus) train.Corpus {
		return func(i int64) train.Example {
			d := c.Document(i)
			e, err := train.ChatExample(tok, d.System, d.Prompt, d.Answer, f.promptWeight,
				f.context)
			if err != nil {
				panic(err) // the tokenizer was made with the template's tokens
			}
			return e
		}
	}
	held := task.NewCorpus(f.seed+1<<32, task.DefaultMixture())
	t, err := train.NewPretrainer(dev, cfg, source(corpus), source(held))
	if err != nil {
		return err
	}
	// The shape goes first: with it best.safetensors can be looked at while the run goes on.
	if err := dir.Create("config.json", cfg.Model.Write); err != nil {
		return err
	}
	t.Probe = probe(tok)
	fmt.Fprintf(a.err, "%s: %d parameters, %d tokens a step\n", dev.Name(), cfg.Model.NumParams(),
		f.batch)
	err = a.run(ctx, t, dir, train.Options{Steps: f.steps, EvalEvery: f.evalEvery,
		SaveEvery: f.saveEvery})
	if err != nil {
		return err
	}
	return dir.Create("model.safetensors", func(w io.Writer) error {
		return llama.WriteWeights(w, t.Model())
	})
}

// vocabulary is the run's tokenizer: the one in its directory, or that of --tokenizer, or a new one.
func vocabulary(dir *runDir, corpus *task.Corpus, f pretrainFlags) (*tokenizer.Tokenizer, error) {
	tok, err := readTokenizer(filepath.Join(string(dir.Dir), "tokenizer.json"))
	if !errors.Is(err, fs.ErrNotExist) {
		return tok, err
	}
	if f.tokenizer != "" {
		if tok, err = readTokenizer(f.tokenizer); err != nil {
			return nil, err
		}
		return tok, dir.Create("tokenizer.json", tok.Write)
	}
	var texts iter.Seq[string] = func(yield func(string) bool) {
		for i := range int64(corpusTexts) {
			d := corpus.Document(i)
			if !yield(d.System) || !yield(d.Prompt) || !yield(d.Answer) {
				return
			}
		}
	}
	tok, err = tokenizer.Train(texts, tokenizer.TrainOptions{VocabSize: f.vocab,
		Specials: tokenizer.HouseSpecials()})
	if err != nil {
		return nil, err
	}
	return tok, dir.Create("tokenizer.json", tok.Write)
}

func readTokenizer(path string) (*tokenizer.Tokenizer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	tok, err := tokenizer.Read(file)
	if err == nil {
		_, err = tok.Chat(nil, nil, true) // its special tokens must be the template's
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tok, nil
}

// probeItems is how many validation items of each task a probe asks.
const probeItems = 100

// probe measures the accuracy on each task's validation split.
func probe(tok *tokenizer.Tokenizer) func(context.Context, *llama.Model) (train.Metrics, error) {
	var an *answer.Answerer
	return func(ctx context.Context, m *llama.Model) (train.Metrics, error) {
		var err error
		if an == nil {
			if an, err = answer.New(m, tok, 128); err != nil {
				return nil, err
			}
		}
		out := train.Metrics{}
		for _, name := range task.Names() {
			t, err := task.Lookup(name)
			if err != nil {
				return nil, err
			}
			r, err := an.Evaluate(ctx, m, t, task.Valid, probeItems, 1)
			if err != nil {
				return nil, err
			}
			out["valid."+name] = r.Accuracy
		}
		return out, nil
	}
}
