package train

import (
	"context"
	"fmt"
	"io"

	"transformer2/shared/checkpoint"
	"transformer2/shared/task"
)

// NextTokenConfig is how a z-vector is trained on worked answers by their next tokens: what the
// paper compares REINFORCE with (its table 4, "next token prediction").
type NextTokenConfig struct {
	Policy
	Task       string   `json:"task"`
	Seed       uint64   `json:"seed"`
	Batch      int      `json:"batch"` // examples a step
	Schedule   Schedule `json:"schedule"`
	AdamW      AdamW    `json:"adamw"`
	ValidItems int      `json:"validItems"`

	// Data, if set, are the user's own questions, whose name Task is.
	Data *task.Data `json:"data,omitempty"`
}

// DefaultNextToken is the configuration that `t2 train --method next-token` starts from.
func DefaultNextToken() NextTokenConfig {
	c, _ := Preset("default")
	return NextTokenConfig{Policy: c.Policy, Batch: 128, Schedule: c.Schedule, AdamW: c.AdamW,
		ValidItems: c.ValidItems}
}

// NextToken trains a z-vector on worked answers.
type NextToken struct {
	cfg NextTokenConfig
	zTrainer
	task task.Task
}

// NewNextToken makes a trainer of a z-vector for base, which stays as it is.
func NewNextToken(cfg NextTokenConfig, b Base) (*NextToken, error) {
	t, err := goal(cfg.Task, cfg.Data)
	if err != nil {
		return nil, err
	}
	if cfg.Batch < 1 {
		return nil, fmt.Errorf("train: %d examples a step, want at least 1", cfg.Batch)
	}
	n := &NextToken{cfg: cfg, task: t}
	return n, n.zTrainer.init(b, cfg.Policy, cfg.Seed, cfg.AdamW, MaxSlots)
}

// Step takes one step of AdamW on the mean loss of a batch of worked answers.
func (t *NextToken) Step(ctx context.Context, n int) (Metrics, error) {
	rng := newRand(t.cfg.Seed, uint64(n))
	size := t.task.Size(task.Train)
	var examples []Example
	tokens := 0
	for range t.cfg.Batch {
		it := t.task.Item(task.Train, rng.IntN(size))
		e, err := ChatExample(t.base.Tok, it.System, it.Prompt, it.Worked, 0, t.rows)
		if err != nil {
			return nil, err
		}
		examples = append(examples, e)
		tokens += len(e.Tokens)
	}
	batches := pack(examples, t.rows)
	weight := totalWeight(batches)
	if weight == 0 {
		return nil, fmt.Errorf("train: task %s has no worked answers to learn from", t.cfg.Task)
	}
	t.policy.zeroGrad()
	loss, err := t.graph.backwardMean(ctx, batches, weight)
	if err != nil {
		return nil, err
	}
	m, err := t.step(n, t.cfg.Schedule.At(n))
	if err != nil {
		return nil, err
	}
	m["loss"], m["tokens"] = loss, float64(tokens)
	return m, nil
}

// Eval implements Trainer: greedy accuracy on validation items.
func (t *NextToken) Eval(ctx context.Context) (float64, Metrics, error) {
	return t.zTrainer.eval(ctx, t.task, t.cfg.ValidItems, t.task.Score)
}

// SaveState implements Trainer.
func (t *NextToken) SaveState(w io.Writer, p Progress) error {
	return writeState(w, t.base.Model.Dev, t.opt, t.cfg, p, "")
}

// LoadState implements Trainer.
func (t *NextToken) LoadState(f checkpoint.Blob) (Progress, error) {
	return t.loadState(f, t.cfg)
}

// WriteResult implements Trainer: the expert file.
func (t *NextToken) WriteResult(w io.Writer, p Progress) error {
	return t.writeExpert(w, t.cfg.Task, t.cfg.Seed, p, "next-token", t.cfg)
}

var _ Trainer = (*NextToken)(nil)
