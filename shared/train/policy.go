package train

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"transformer2/shared/answer"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
)

// Base is the frozen model that a z-vector is trained for.
type Base struct {
	Name          string // for the expert's record
	Model         *llama.Model
	Tok           *tokenizer.Tokenizer
	Decomposition *svf.Decomposition
	// Rows of answers go through policy and reference at once, and between two such batches a
	// training can be cancelled; 0 is what suits the form. Sums are rounded in another order with
	// another number.
	Rows int
	Form Form // "" is Auto
}

// Policy says which z are trained, and as what.
type Policy struct {
	Scope           string              `json:"scope"` // see svf.ParseScope
	Parametrisation svf.Parametrisation `json:"parametrisation"`
}

// policy is a model whose matrices in scope are W' = U diag(σ∘z) Vᵀ, with the θ that z is made of.
type policy struct {
	Model *llama.Model
	kind  svf.Parametrisation
	scope svf.Scope
	mats  []policyMatrix
}

// policyMatrix is one adapted matrix.
type policyMatrix struct {
	name  string
	sigma []float64
	theta compute.Tensor // [1 r] what the optimizer moves
	grad  compute.Tensor // [1 r] its gradient
	z1    compute.Tensor // [1 r] z − 1 as it acts; theta itself where z = 1 + θ
	adapted
}

// newPolicy clones base and has the clone's matrices in scope follow a z.
func newPolicy(base Base, cfg Policy, s Sizes, seed uint64) (*policy, error) {
	scope, err := svf.ParseScope(cfg.Scope)
	if err != nil {
		return nil, err
	}
	dev := base.Model.Dev
	p := &policy{Model: base.Model.Clone(), kind: cfg.Parametrisation, scope: scope}
	shared := &projection{s.Rows, svf.NewScratch(dev), map[svf.Role]compute.Tensor{}}
	for _, l := range p.Model.Linears() {
		if !scope.Has(l.Name) {
			continue
		}
		m, ok := base.Decomposition.Matrix(l.Name)
		if !ok {
			return nil, fmt.Errorf("train: the decomposition has no matrix %q", l.Name)
		}
		mat, err := newPolicyMatrix(dev, m, p.kind)
		if err != nil {
			return nil, err
		}
		if s.Form == Projected {
			mat.adapted, err = shared.newProjected(dev, l, m, mat.z1, mat.grad)
		} else {
			mat.adapted, err = newFolded(dev, l, m, mat.z1, mat.grad)
		}
		if err != nil {
			return nil, err
		}
		p.mats = append(p.mats, mat)
	}
	if len(p.mats) == 0 {
		return nil, fmt.Errorf("train: scope %q names no matrix of the model", cfg.Scope)
	}
	rng := newRand(seed, 1<<63)
	for i := range p.mats {
		m := &p.mats[i]
		dev.Write(m.theta, p.kind.Init(rng, m.theta.Cols))
	}
	return p, p.apply()
}

// newPolicyMatrix is the numbers of a matrix's z.
func newPolicyMatrix(dev compute.Device, m *svf.Matrix, kind svf.Parametrisation) (policyMatrix,
	error) {
	mat := policyMatrix{name: m.Name, sigma: m.Sigma}
	tensors := []*compute.Tensor{&mat.theta, &mat.grad}
	if kind != svf.Linear {
		tensors = append(tensors, &mat.z1)
	}
	for _, t := range tensors {
		var err error
		if *t, err = dev.NewTensor(1, m.R); err != nil {
			return mat, err
		}
	}
	if kind == svf.Linear {
		mat.z1 = mat.theta
	}
	return mat, nil
}

// apply makes the model that of the present θ.
func (p *policy) apply() error {
	dev := p.Model.Dev
	for i := range p.mats {
		m := &p.mats[i]
		if p.kind != svf.Linear {
			theta := make([]float32, m.theta.Cols)
			if err := dev.Read(theta, m.theta); err != nil {
				return err
			}
			if err := p.kind.Scale(theta, append([]float32(nil), theta...), m.sigma); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			dev.Write(m.z1, theta)
		}
		m.adapted.apply()
	}
	return dev.Submit()
}

func (p *policy) zeroGrad() {
	for i := range p.mats {
		p.mats[i].zeroGrad()
	}
}

// gradTheta leaves the gradients of θ, from what Backward summed.
func (p *policy) gradTheta() error {
	dev := p.Model.Dev
	for i := range p.mats {
		m := &p.mats[i]
		m.sumGrad()
		if p.kind == svf.Linear {
			continue
		}
		theta, dz := make([]float32, m.theta.Cols), make([]float32, m.theta.Cols)
		if err := dev.Read(theta, m.theta); err != nil {
			return err
		}
		if err := dev.Read(dz, m.grad); err != nil {
			return err
		}
		if err := p.kind.Chain(dz, dz, theta, m.sigma); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		dev.Write(m.grad, dz)
	}
	return nil
}

// params reads what an expert file holds: z = 1 + θ, or the logits θ.
func (p *policy) params() (map[string][]float32, error) {
	out := map[string][]float32{}
	for i := range p.mats {
		m := &p.mats[i]
		theta := make([]float32, m.theta.Cols)
		if err := p.Model.Dev.Read(theta, m.theta); err != nil {
			return nil, err
		}
		if p.kind == svf.Linear {
			for j := range theta {
				theta[j]++
			}
		}
		out[m.name] = theta
	}
	return out, nil
}

// zTrainer is what all trainers of a z-vector share.
type zTrainer struct {
	base     Base
	policy   *policy
	graph    *graph
	opt      *optimizer
	answerer *answer.Answerer
	rows     int // of a batch
}

func (t *zTrainer) init(b Base, cfg Policy, seed uint64, adamw AdamW, parallel int) error {
	s, err := b.Form.Sizes(b.Model.Config, b.Rows, parallel)
	if err != nil {
		return err
	}
	t.base, t.rows = b, s.Rows
	if t.policy, err = newPolicy(b, cfg, s, seed); err != nil {
		return err
	}
	if t.graph, err = newGraph(t.policy.Model, s.Rows, s.Form == Projected); err != nil {
		return err
	}
	if t.opt, err = newOptimizer(b.Model.Dev, adamw); err != nil {
		return err
	}
	for i := range t.policy.mats {
		m := &t.policy.mats[i]
		if err := t.opt.add(m.name, m.theta, m.grad, true); err != nil {
			return err
		}
	}
	t.answerer, err = answer.New(b.Model, b.Tok, s.Slots)
	return err
}

// Model is the model as the present z makes it.
func (t *zTrainer) Model() *llama.Model { return t.policy.Model }

// step applies the gradients that Backward summed.
func (t *zTrainer) step(n int, lr float64) (Metrics, error) {
	if err := t.policy.gradTheta(); err != nil {
		return nil, err
	}
	norm, err := t.opt.step(n, lr)
	if err != nil {
		return nil, err
	}
	return Metrics{"gradNorm": norm, "lr": lr}, t.policy.apply()
}

// evalSeed draws the validation items: the same ones at every evaluation of every run.
const evalSeed = 1

func (t *zTrainer) eval(ctx context.Context, tk task.Task, n int,
	score func(task.Item, string) float64) (float64, Metrics, error) {
	items := answer.Items(tk, task.Valid, n, evalSeed)
	questions := make([]answer.Question, len(items))
	for i, it := range items {
		questions[i] = answer.Ask(tk, it)
	}
	answers, err := t.answerer.Answer(ctx, t.policy.Model, questions)
	if err != nil {
		return 0, nil, err
	}
	mean := 0.0
	for i, it := range items {
		mean += score(it, answers[i].Text) / float64(len(items))
	}
	return mean, Metrics{"validAccuracy": mean}, ctx.Err() // a judge that failed ends ctx
}

func (t *zTrainer) loadState(f checkpoint.Blob, cfg any) (Progress, error) {
	p, _, err := readState(f, t.base.Model.Dev, t.opt, cfg)
	if err != nil {
		return p, err
	}
	return p, t.policy.apply()
}

func (t *zTrainer) writeExpert(w io.Writer, taskName string, seed uint64, p Progress,
	method string, cfg any) error {
	z, err := t.policy.params()
	if err != nil {
		return err
	}
	config, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("train: expert: %w", err)
	}
	e := &svf.Expert{Z: z, Meta: svf.Meta{
		Parametrisation: t.policy.kind, Scope: t.policy.scope,
		Base: t.base.Decomposition.Base, Model: t.base.Name, Task: taskName, Seed: seed,
		CreatedBy: "transformer2 t2 train",
		Training: map[string]string{"method": method, "config": string(config),
			"step":          strconv.Itoa(p.BestStep),
			"validAccuracy": strconv.FormatFloat(p.BestScore, 'g', 6, 64)},
	}}
	return svf.WriteExpert(w, e)
}
