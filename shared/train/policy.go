package train

import (
	"cmp"
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
	// training can be cancelled; 0 is PolicyRows. Sums are rounded in another order with another
	// number.
	Rows int
}

// Policy says which z are trained, and as what.
type Policy struct {
	Scope           string              `json:"scope"` // see svf.ParseScope
	Parametrisation svf.Parametrisation `json:"parametrisation"`
}

// policy is a model whose matrices in scope are W' = U diag(σ∘z) Vᵀ, folded anew whenever z
// changes. Up to some 100 M parameters that is cheaper than keeping the factors apart: decoding
// runs at full speed and the gradient of z comes from the weight gradient that pre-training has.
type policy struct {
	Model *llama.Model
	kind  svf.Parametrisation
	scope svf.Scope
	mats  []policyMatrix
}

// policyMatrix is one adapted matrix.
type policyMatrix struct {
	name   string
	lin    *llama.Linear
	folder *svf.Folder
	sigma  []float64
	base   compute.Tensor // [out in] the base weight
	theta  compute.Tensor // [1 r] what the optimizer moves
	grad   compute.Tensor // [1 r] its gradient
	z1     compute.Tensor // [1 r] z − 1 as it acts; theta itself where z = 1 + θ
	folded compute.Tensor // [out in] scratch of Fold
}

// newPolicy clones base and gives the clone's matrices in scope weights and gradients of their own.
func newPolicy(base Base, cfg Policy, seed uint64) (*policy, error) {
	scope, err := svf.ParseScope(cfg.Scope)
	if err != nil {
		return nil, err
	}
	p := &policy{Model: base.Model.Clone(), kind: cfg.Parametrisation, scope: scope}
	for _, l := range p.Model.Linears() {
		if !scope.Has(l.Name) {
			continue
		}
		m, ok := base.Decomposition.Matrix(l.Name)
		if !ok {
			return nil, fmt.Errorf("train: the decomposition has no matrix %q", l.Name)
		}
		mat, err := newPolicyMatrix(base.Model, l, m, p.kind)
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
		p.Model.Dev.Write(m.theta, p.kind.Init(rng, m.theta.Cols))
	}
	return p, p.fold()
}

func newPolicyMatrix(base *llama.Model, l *llama.Linear, m *svf.Matrix, kind svf.Parametrisation) (
	policyMatrix, error) {
	dev := base.Dev
	mat := policyMatrix{name: l.Name, lin: l, sigma: m.Sigma}
	var err error
	tensor := func(rows, cols int) (t compute.Tensor) {
		if err == nil {
			t, err = dev.NewTensor(rows, cols)
		}
		return t
	}
	mat.base, mat.folded = tensor(l.Out, l.In), tensor(l.Out, l.In)
	mat.theta, mat.grad = tensor(1, m.R), tensor(1, m.R)
	mat.z1 = mat.theta
	if kind != svf.Linear {
		mat.z1 = tensor(1, m.R)
	}
	if err != nil {
		return mat, err
	}
	dev.Unpack(mat.base, l.W)
	if mat.folder, err = svf.NewFolder(dev, *m, mat.base); err != nil {
		return mat, err
	}
	l.Grad = tensor(l.Out, l.In)
	if err == nil {
		l.W, err = dev.NewWeight(compute.F32, l.Out, l.In)
	}
	return mat, err
}

// fold makes the model's weights those of the present z.
func (p *policy) fold() error {
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
		m.folder.Fold(m.folded, m.z1)
		dev.Pack(m.lin.W, m.folded)
	}
	return dev.Submit()
}

func (p *policy) zeroGrad() {
	for i := range p.mats {
		p.Model.Dev.Fill(p.mats[i].lin.Grad, 0)
	}
}

// gradTheta turns the weights' gradients into θ's.
func (p *policy) gradTheta() error {
	dev := p.Model.Dev
	for i := range p.mats {
		m := &p.mats[i]
		dev.Fill(m.grad, 0)
		m.folder.Grad(m.grad, m.lin.Grad)
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

// PolicyRows is a Base's Rows unless it says otherwise; the activations of both models take about
// 50 KB a row in a model of a million parameters.
const PolicyRows = 2048

// MaxSlots bounds how many answers are generated at once.
const MaxSlots = 256

func (t *zTrainer) init(b Base, cfg Policy, seed uint64, adamw AdamW, parallel int) error {
	t.base, t.rows = b, max(cmp.Or(b.Rows, PolicyRows), b.Model.Context)
	var err error
	if t.policy, err = newPolicy(b, cfg, seed); err != nil {
		return err
	}
	if t.graph, err = newGraph(t.policy.Model, t.rows); err != nil {
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
	t.answerer, err = answer.New(b.Model, b.Tok, min(parallel, MaxSlots))
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
	return Metrics{"gradNorm": norm, "lr": lr}, t.policy.fold()
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
	return p, t.policy.fold()
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
