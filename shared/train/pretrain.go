package train

import (
	"context"
	"fmt"
	"io"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// PretrainConfig is how a model is trained from nothing. Its JSON is part of the state: a run
// resumes only under the configuration that it began with.
type PretrainConfig struct {
	Model       llama.Config `json:"model"`
	Seed        uint64       `json:"seed"`        // of the fresh weights and the corpus
	BatchTokens int          `json:"batchTokens"` // of one optimizer step
	Schedule    Schedule     `json:"schedule"`
	AdamW       AdamW        `json:"adamw"`
}

// Corpus gives document i. It must always give the same one.
type Corpus func(i int64) Example

// Pretrainer trains every weight of a model on the next token of a corpus.
type Pretrainer struct {
	cfg    PretrainConfig
	m      *llama.Model
	graph  *graph
	opt    *optimizer
	corpus Corpus
	valid  []*micro
	doc    int64 // the next document to read
	// Probe, if set, adds measurements to an evaluation: task accuracy, say.
	Probe func(ctx context.Context, m *llama.Model) (Metrics, error)
}

// microRows is how many rows go through a model at once: enough for its products to run at full
// speed on all threads (2,048 take 6 % longer on two), few enough to keep every layer's activations.
const microRows = 4096

// validDocs is how many held-out documents the validation loss is measured on.
const validDocs = 256

// NewPretrainer makes a model with fresh weights and what it takes to train it. valid gives
// documents that corpus does not hold.
func NewPretrainer(dev compute.Device, cfg PretrainConfig, corpus, valid Corpus) (*Pretrainer, error) {
	m, err := llama.New(dev, cfg.Model, compute.F32)
	if err != nil {
		return nil, err
	}
	if err := m.Trainable(); err != nil {
		return nil, err
	}
	m.Init(newRand(cfg.Seed, 0))
	t := &Pretrainer{cfg: cfg, m: m, corpus: corpus}
	if t.graph, err = newGraph(m, microRows, false); err != nil {
		return nil, err
	}
	if t.opt, err = newOptimizer(dev, cfg.AdamW); err != nil {
		return nil, err
	}
	for _, p := range m.Params() {
		if err := t.opt.add(p.Name, p.P, p.Grad, p.Decay); err != nil {
			return nil, err
		}
	}
	var held []Example
	for i := range int64(validDocs) {
		held = append(held, valid(i))
	}
	t.valid = pack(held, microRows)
	return t, nil
}

// Model is the model in training.
func (t *Pretrainer) Model() *llama.Model { return t.m }

// Step reads the next BatchTokens tokens and takes one step of AdamW on their mean loss.
func (t *Pretrainer) Step(ctx context.Context, n int) (Metrics, error) {
	var examples []Example
	doc, tokens := t.doc, 0
	for tokens < t.cfg.BatchTokens {
		e := t.corpus(doc)
		examples = append(examples, e)
		tokens += len(e.Tokens)
		doc++
	}
	batches := pack(examples, microRows)
	t.opt.zeroGrad()
	loss, err := t.graph.backwardMean(ctx, batches, totalWeight(batches))
	if err != nil {
		return nil, err
	}
	lr := t.cfg.Schedule.At(n)
	norm, err := t.opt.step(n, lr)
	if err != nil {
		return nil, err
	}
	t.m.Sync()
	t.doc = doc
	return Metrics{"loss": loss, "lr": lr, "gradNorm": norm, "tokens": float64(tokens)}, nil
}

// Eval gives minus the mean loss on held-out documents, and what Probe adds.
func (t *Pretrainer) Eval(ctx context.Context) (float64, Metrics, error) {
	weight, loss := totalWeight(t.valid), 0.0
	for _, b := range t.valid {
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
		nll, err := t.graph.forward(b)
		if err != nil {
			return 0, nil, err
		}
		loss += nll / weight
	}
	m := Metrics{"validLoss": loss}
	if t.Probe != nil {
		more, err := t.Probe(ctx, t.m)
		if err != nil {
			return 0, nil, err
		}
		for k, v := range more {
			m[k] = v
		}
	}
	return -loss, m, nil
}

// SaveState implements Trainer.
func (t *Pretrainer) SaveState(w io.Writer, p Progress) error {
	return writeState(w, t.m.Dev, t.opt, t.cfg, p, fmt.Sprint(t.doc))
}

// LoadState implements Trainer.
func (t *Pretrainer) LoadState(r checkpoint.Blob) (Progress, error) {
	p, cursor, err := readState(r, t.m.Dev, t.opt, t.cfg)
	if err != nil {
		return p, err
	}
	if _, err := fmt.Sscan(cursor, &t.doc); err != nil {
		return p, fmt.Errorf("train: state: document number %q: %w", cursor, err)
	}
	t.m.Sync()
	return p, nil
}

// WriteResult writes the model as a bf16 checkpoint.
func (t *Pretrainer) WriteResult(w io.Writer, _ Progress) error { return llama.WriteWeights(w, t.m) }
