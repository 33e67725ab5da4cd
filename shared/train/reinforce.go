package train

import (
	"context"
	"fmt"
	"io"

	"transformer2/shared/answer"
	"transformer2/shared/checkpoint"
	"transformer2/shared/sample"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

// Baselines that are taken off a reward to make it an advantage.
const (
	BaselineNone        = "none"          // A = R
	BaselineBatch       = "batch"         // A = R − mean over the batch
	BaselineLeaveOneOut = "leave-one-out" // A = R − mean of the same prompt's other samples
)

// Directions of the KL penalty.
const (
	KLPolicy    = "policy-reference" // D(π_z ‖ π_base), the paper's
	KLReference = "reference-policy" // D(π_base ‖ π_z), the released code's
)

// ReinforceConfig is how a z-vector is trained by REINFORCE (paper, section 3.2):
//
//	loss = 1/B Σ_j [ −A_j Σ_t log π_z(y_jt | x_j, y_j<t) + λ Σ_t KL_jt ]
type ReinforceConfig struct {
	Policy
	Task        string   `json:"task"`
	Seed        uint64   `json:"seed"`
	Prompts     int      `json:"prompts"`     // a step
	Samples     int      `json:"samples"`     // of each prompt
	Temperature float64  `json:"temperature"` // of the rollouts; 0 is greedy
	Baseline    string   `json:"baseline"`
	KL          float64  `json:"kl"` // λ
	KLDirection string   `json:"klDirection"`
	Wrong       float64  `json:"wrong"` // the reward of a wrong answer; a right one's is 1
	Schedule    Schedule `json:"schedule"`
	AdamW       AdamW    `json:"adamw"`
	ValidItems  int      `json:"validItems"` // that an evaluation asks

	// Data, if set, are the user's own questions, whose name Task is.
	Data *task.Data `json:"data,omitempty"`
}

// Preset is a named configuration.
//
//	default        several samples a prompt at temperature 1, leave-one-out baseline, small KL
//	paper          one sample, no baseline, λ = 0.1, batch 256, rate 2e-3, clip 1e-3
//	released-code  as its scripts run: greedy rollouts, λ = 0, sigmoid-nuclear z, MLP only
func Preset(name string) (ReinforceConfig, error) {
	c := ReinforceConfig{
		Policy:  Policy{Scope: "all", Parametrisation: svf.Linear},
		Prompts: 32, Samples: 8, Temperature: 1, Baseline: BaselineLeaveOneOut,
		KL: 0.02, KLDirection: KLPolicy, Wrong: -1,
		Schedule:   Schedule{Peak: 1e-2, Warmup: 5},
		AdamW:      AdamW{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Clip: 1},
		ValidItems: 400,
	}
	switch name {
	case "", "default":
		return c, nil
	case "paper", "released-code":
		c.Policy.Scope = "mlp"
		c.Prompts, c.Samples, c.Baseline = 256, 1, BaselineNone
		c.KL = 0.1
		c.Schedule = Schedule{Peak: 2e-3}
		c.AdamW = AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Clip: 1e-3}
		if name == "released-code" {
			c.Temperature, c.KL, c.KLDirection = 0, 0, KLReference
			c.Policy.Parametrisation = svf.SigmoidNuclear
		}
		return c, nil
	}
	return c, fmt.Errorf("train: preset %q: want default, paper or released-code", name)
}

// Validate refuses settings that mean nothing.
func (c ReinforceConfig) Validate() error {
	switch {
	case c.Prompts < 1 || c.Samples < 1:
		return fmt.Errorf("train: %d prompts × %d samples a step, want at least 1 × 1", c.Prompts, c.Samples)
	case c.Baseline != BaselineNone && c.Baseline != BaselineBatch && c.Baseline != BaselineLeaveOneOut:
		return fmt.Errorf("train: baseline %q: want %s, %s or %s", c.Baseline,
			BaselineNone, BaselineBatch, BaselineLeaveOneOut)
	case c.Baseline == BaselineLeaveOneOut && c.Samples < 2:
		return fmt.Errorf("train: baseline %s wants 2 samples a prompt or more, got %d", c.Baseline, c.Samples)
	case c.KLDirection != KLPolicy && c.KLDirection != KLReference:
		return fmt.Errorf("train: KL direction %q: want %s or %s", c.KLDirection, KLPolicy, KLReference)
	case !(c.KL >= 0):
		return fmt.Errorf("train: KL weight %g, want 0 or more", c.KL)
	case !(c.Schedule.Peak > 0):
		return fmt.Errorf("train: learning rate %g, want more than 0", c.Schedule.Peak)
	}
	return sample.Params{Temperature: c.Temperature}.Validate()
}

// Reinforcer trains a z-vector by reward.
type Reinforcer struct {
	cfg ReinforceConfig
	zTrainer
	task task.Task
	// Reward, if set, takes the place of the task's score: 1 is right, 0 wrong.
	Reward func(prompt, output string) float64
	// OnAnswer, if set, hears every answer of a step with its score, which is what it was rewarded
	// for: 1 is right, 0 wrong.
	OnAnswer func(step int, prompt, output string, score float64)
}

// NewReinforcer makes a trainer of a z-vector for base, which stays as it is.
func NewReinforcer(cfg ReinforceConfig, b Base) (*Reinforcer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t, err := goal(cfg.Task, cfg.Data)
	if err != nil {
		return nil, err
	}
	r := &Reinforcer{cfg: cfg, task: t}
	if err := r.zTrainer.init(b, cfg.Policy, cfg.Seed, cfg.AdamW, cfg.Prompts*cfg.Samples); err != nil {
		return nil, err
	}
	return r, r.graph.withReference(b.Model, r.rows)
}

// Step samples answers from the policy, scores them and takes one step of AdamW on z.
func (r *Reinforcer) Step(ctx context.Context, n int) (Metrics, error) {
	questions, items := r.questions(n)
	answers, err := r.answerer.Answer(ctx, r.policy.Model, questions)
	if err != nil {
		return nil, err
	}
	rewards := make([]float64, len(answers))
	mean, right, length := 0.0, 0.0, 0.0
	for i, a := range answers {
		score := r.score(items[i], a.Text)
		if r.OnAnswer != nil {
			r.OnAnswer(n, items[i].Prompt, a.Text, score)
		}
		rewards[i] = r.cfg.Wrong + (1-r.cfg.Wrong)*score
		mean += rewards[i] / float64(len(answers))
		right += score / float64(len(answers))
		length += float64(len(a.Tokens)) / float64(len(answers))
	}
	examples, err := r.examples(questions, answers, r.advantages(rewards))
	if err != nil {
		return nil, err
	}
	m, err := r.update(ctx, n, pack(examples, r.rows))
	if err != nil {
		return nil, err
	}
	tokens := 0
	for _, e := range examples {
		tokens += len(e.Weights)
	}
	m["reward"], m["accuracy"], m["length"], m["tokens"] = mean, right, length, float64(tokens)
	return m, nil
}

func (r *Reinforcer) score(it task.Item, output string) float64 {
	if r.Reward != nil {
		return r.Reward(it.Prompt, output)
	}
	return r.task.Score(it, output)
}

// questions draws the step's prompts, each as often as there are samples of it.
func (r *Reinforcer) questions(n int) ([]answer.Question, []task.Item) {
	rng := newRand(r.cfg.Seed, uint64(n))
	size := r.task.Size(task.Train)
	var questions []answer.Question
	var items []task.Item
	for range r.cfg.Prompts {
		it := r.task.Item(task.Train, rng.IntN(size))
		for range r.cfg.Samples {
			q := answer.Ask(r.task, it)
			q.Sampling = sample.Params{Temperature: r.cfg.Temperature}
			q.Seed = rng.Uint64()
			questions, items = append(questions, q), append(items, it)
		}
	}
	return questions, items
}

func (r *Reinforcer) advantages(rewards []float64) []float64 {
	adv := append([]float64(nil), rewards...)
	group := len(rewards)
	switch r.cfg.Baseline {
	case BaselineNone:
		return adv
	case BaselineLeaveOneOut:
		group = r.cfg.Samples
	}
	for lo := 0; lo < len(adv); lo += group {
		sum := 0.0
		for _, v := range rewards[lo : lo+group] {
			sum += v
		}
		for i := lo; i < lo+group; i++ {
			if r.cfg.Baseline == BaselineBatch {
				adv[i] = rewards[i] - sum/float64(group)
			} else {
				adv[i] = rewards[i] - (sum-rewards[i])/float64(group-1)
			}
		}
	}
	return adv
}

// examples are prompts with their answers, the closing token included: ending is an action too.
func (r *Reinforcer) examples(qs []answer.Question, as []answer.Answer, adv []float64) ([]Example, error) {
	B := float64(len(as))
	out := make([]Example, len(as))
	for i, a := range as {
		prompt, err := r.answerer.Tokens(qs[i])
		if err != nil {
			return nil, err
		}
		tokens := append(prompt, a.Tokens...)
		if a.Closed {
			tokens = append(tokens, r.answerer.End())
		}
		e := Example{Tokens: tokens, Start: len(prompt), KL: float32(r.cfg.KL / B),
			Weights: make([]float32, len(tokens)-1)}
		for t := e.Start - 1; t < len(e.Weights); t++ {
			e.Weights[t] = float32(adv[i] / B)
		}
		out[i] = e
	}
	return out, nil
}

// update sums the gradient over the batches and steps.
func (r *Reinforcer) update(ctx context.Context, n int, batches []*micro) (Metrics, error) {
	r.policy.zeroGrad()
	kl, rows := 0.0, 0
	for _, b := range batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.cfg.KL == 0 {
			if _, err := r.graph.backward(b, 1); err != nil {
				return nil, err
			}
			continue
		}
		_, k, err := r.graph.backwardKL(b, r.cfg.KLDirection == KLReference)
		if err != nil {
			return nil, err
		}
		kl += k
		for _, w := range b.kl {
			if w != 0 {
				rows++
			}
		}
	}
	m, err := r.step(n, r.cfg.Schedule.At(n))
	if err != nil {
		return nil, err
	}
	if rows > 0 {
		m["kl"] = kl / float64(rows)
	}
	return m, nil
}

// Eval implements Trainer: greedy accuracy on validation items.
func (r *Reinforcer) Eval(ctx context.Context) (float64, Metrics, error) {
	return r.zTrainer.eval(ctx, r.task, r.cfg.ValidItems, r.score)
}

// SaveState implements Trainer.
func (r *Reinforcer) SaveState(w io.Writer, p Progress) error {
	return writeState(w, r.base.Model.Dev, r.opt, r.cfg, p, "")
}

// LoadState implements Trainer.
func (r *Reinforcer) LoadState(f checkpoint.Blob) (Progress, error) {
	return r.loadState(f, r.cfg)
}

// WriteResult implements Trainer: the expert file.
func (r *Reinforcer) WriteResult(w io.Writer, p Progress) error {
	return r.writeExpert(w, r.cfg.Task, r.cfg.Seed, p, "reinforce", r.cfg)
}

var _ Trainer = (*Reinforcer)(nil)
