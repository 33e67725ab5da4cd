package train

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// probeModel is a frozen random model with weights that matter, and its decomposition.
func probeModel(t *testing.T) Base {
	t.Helper()
	c := llama.Config{Vocab: 40, Dim: 16, Hidden: 24, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 8,
		Context: 32, RopeTheta: 10000, Eps: 1e-5, Tied: true}
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	m, err := llama.New(dev, c, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 0))
	var tensors []checkpoint.Tensor
	for _, spec := range c.Tensors() {
		data := make([]float32, spec.Rows*spec.Cols)
		shape := []int{spec.Rows, spec.Cols}
		for i := range data {
			data[i] = float32(rng.NormFloat64() * 0.3)
			if spec.Rows == 1 {
				data[i]++
			}
		}
		if spec.Rows == 1 {
			shape = shape[1:]
		}
		tensors = append(tensors, checkpoint.FromFloat32(spec.Name, checkpoint.F32, data, shape...))
	}
	var file bytes.Buffer
	if err := checkpoint.Write(&file, tensors, nil); err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoint.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.LoadWeights(weights); err != nil {
		t.Fatal(err)
	}
	cache := svf.Cache{Store: &checkpoint.Memory{}}
	d, err := cache.Model(context.Background(), dev, weights, svf.AllScope(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Base{Name: "probe", Model: m, Decomposition: d}
}

// The gradient of θ, for the whole loss of REINFORCE with its KL penalty in either direction and
// under both parametrisations, against central differences of the loss itself.
func TestPolicyGradientCentralDifferences(t *testing.T) {
	b := probeModel(t)
	for _, kind := range []svf.Parametrisation{svf.Linear, svf.SigmoidNuclear} {
		for _, forwardKL := range []bool{false, true} {
			t.Run(string(kind)+map[bool]string{false: "/policy", true: "/reference"}[forwardKL],
				func(t *testing.T) { checkPolicyGradient(t, b, kind, forwardKL) })
		}
	}
}

func checkPolicyGradient(t *testing.T, b Base, kind svf.Parametrisation, forwardKL bool) {
	p, err := newPolicy(b, Policy{Scope: "all", Parametrisation: kind}, 7)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGraph(p.Model, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.withReference(b.Model, 64); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 0))
	theta := make([][]float32, len(p.mats))
	for i := range p.mats {
		m := &p.mats[i]
		theta[i] = make([]float32, m.theta.Cols)
		for j := range theta[i] {
			theta[i][j] = float32(0.1 * rng.NormFloat64())
		}
		p.Model.Dev.Write(m.theta, theta[i])
	}
	batch := randomMicro(rng, b.Model.Vocab)
	loss := func() float64 { return policyLoss(t, b, p, g, batch, forwardKL) }

	if err := p.fold(); err != nil {
		t.Fatal(err)
	}
	p.zeroGrad()
	if _, _, err := g.backwardKL(batch, forwardKL); err != nil {
		t.Fatal(err)
	}
	if err := p.gradTheta(); err != nil {
		t.Fatal(err)
	}
	grads := make([][]float32, len(p.mats))
	for i := range p.mats {
		grads[i] = make([]float32, p.mats[i].grad.Cols)
		if err := p.Model.Dev.Read(grads[i], p.mats[i].grad); err != nil {
			t.Fatal(err)
		}
	}
	// h balances the differences' own error, h², against f32's 1e-6 in the loss over h. Measured
	// 4e-4 on gradients of size 0.01 to 1.
	const h, tol = 2e-2, 5e-3
	for range 25 {
		i := rng.IntN(len(p.mats))
		j := rng.IntN(len(theta[i]))
		at := func(d float32) float64 {
			moved := append([]float32(nil), theta[i]...)
			moved[j] += d
			p.Model.Dev.Write(p.mats[i].theta, moved)
			return loss()
		}
		want := (at(h) - at(-h)) / (2 * h)
		at(0)
		if d := math.Abs(want - float64(grads[i][j])); !(d <= tol) {
			t.Fatalf("%s[%d]: gradient %g, central difference %g", p.mats[i].name, j, grads[i][j], want)
		}
	}
}

// A z that is trained in projected form has the gradient of one that is folded into the weights.
func TestProjectedGradientIsTheFolded(t *testing.T) {
	b := probeModel(t)
	p, err := newPolicy(b, Policy{Scope: "all", Parametrisation: svf.Linear}, 7)
	if err != nil {
		t.Fatal(err)
	}
	dev, model := b.Model.Dev, b.Model.Clone()
	scratch := svf.NewScratch(dev)
	rng := rand.New(rand.NewPCG(9, 0))
	var trained []*svf.Trained
	for i, l := range model.Linears() {
		m, _ := b.Decomposition.Matrix(l.Name)
		projector, err := svf.NewProjector(scratch, *m, compute.F32, 64)
		var a *svf.Trained
		if err == nil {
			a, err = svf.NewTrained(projector)
		}
		if err != nil {
			t.Fatal(err)
		}
		theta := make([]float32, m.R)
		for j := range theta {
			theta[j] = float32(0.1 * rng.NormFloat64())
		}
		dev.Write(a.Z1, theta)
		dev.Write(p.mats[i].theta, theta)
		l.Adapter = a
		trained = append(trained, a)
	}
	if err := p.fold(); err != nil {
		t.Fatal(err)
	}
	batch := randomMicro(rng, model.Vocab)
	for _, m := range []*llama.Model{p.Model, model} {
		g, err := newGraph(m, 64)
		if err == nil {
			err = g.withReference(b.Model, 64)
		}
		if err == nil {
			_, _, err = g.backwardKL(batch, false)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := p.gradTheta(); err != nil {
		t.Fatal(err)
	}
	const tol = 1e-5 // measured 4e-7 on gradients of size 0.01 to 1
	for i, a := range trained {
		want, got := make([]float32, a.Grad.Cols), make([]float32, a.Grad.Cols)
		if err := dev.Read(want, p.mats[i].grad); err != nil {
			t.Fatal(err)
		}
		if err := dev.Read(got, a.Grad); err != nil {
			t.Fatal(err)
		}
		for j := range want {
			if d := math.Abs(float64(want[j] - got[j])); !(d <= tol) {
				t.Fatalf("%s[%d]: %g projected, %g folded", p.mats[i].name, j, got[j], want[j])
			}
		}
	}
}

// randomMicro is two sequences with advantages of both signs and KL weights on their second halves.
func randomMicro(rng *rand.Rand, vocab int) *micro {
	var examples []Example
	for _, n := range []int{12, 7} {
		e := Example{Start: n / 2, KL: 0.3, Weights: make([]float32, n-1)}
		for range n {
			e.Tokens = append(e.Tokens, int32(rng.IntN(vocab)))
		}
		for i := e.Start - 1; i < n-1; i++ {
			e.Weights[i] = float32(rng.NormFloat64() * 0.3)
		}
		examples = append(examples, e)
	}
	return pack(examples, 64)[0]
}

// policyLoss is Σ w·−log π(target) + Σ klWeight·KL at the present θ, from logits in float64.
func policyLoss(t *testing.T, b Base, p *policy, g *graph, batch *micro, forwardKL bool) float64 {
	t.Helper()
	if err := p.fold(); err != nil {
		t.Fatal(err)
	}
	logits := func(m *llama.Model, ws *llama.Workspace) []float32 {
		m.Forward(ws, &batch.Batch, nil)
		var all []float32
		m.EachLogits(ws, func(lo, hi int, x compute.Tensor) {
			buf := make([]float32, x.Len())
			if err := m.Dev.Read(buf, x); err != nil {
				t.Fatal(err)
			}
			all = append(all, buf...)
		})
		return all
	}
	pi, ref := logits(p.Model, g.ws), logits(b.Model, g.refWS)
	V, sum := p.Model.Vocab, 0.0
	for row := range batch.targets {
		lp, lq := logSoftmax(pi[row*V:(row+1)*V]), logSoftmax(ref[row*V:(row+1)*V])
		if target := batch.targets[row]; target >= 0 {
			sum -= float64(batch.weights[row]) * lp[target]
		}
		for v := range lp {
			if forwardKL {
				sum += float64(batch.kl[row]) * math.Exp(lq[v]) * (lq[v] - lp[v])
			} else {
				sum += float64(batch.kl[row]) * math.Exp(lp[v]) * (lp[v] - lq[v])
			}
		}
	}
	return sum
}

func logSoftmax(x []float32) []float64 {
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v) - math.Log(sum)
	}
	return out
}

// A z of one leaves every weight of the policy as the base's, bit for bit.
func TestPolicyStartsAsTheBase(t *testing.T) {
	b := probeModel(t)
	p, err := newPolicy(b, Policy{Scope: "all", Parametrisation: svf.Linear}, 1)
	if err != nil {
		t.Fatal(err)
	}
	base := b.Model.Linears()
	for i, l := range p.Model.Linears() {
		got, want := make([]float32, l.Out*l.In), make([]float32, l.Out*l.In)
		if err := p.Model.ReadLinear(got, l); err != nil {
			t.Fatal(err)
		}
		if err := b.Model.ReadLinear(want, base[i]); err != nil {
			t.Fatal(err)
		}
		for j := range want {
			if math.Float32bits(got[j]) != math.Float32bits(want[j]) {
				t.Fatalf("%s[%d] is %g, the base's is %g", l.Name, j, got[j], want[j])
			}
		}
	}
}

func TestAdvantages(t *testing.T) {
	for baseline, want := range map[string][]float64{
		BaselineNone:        {1, -1, -1, 1, 1, 1},
		BaselineBatch:       {0.667, -1.333, -1.333, 0.667, 0.667, 0.667},
		BaselineLeaveOneOut: {2, -1, -1, 0, 0, 0},
	} {
		r := &Reinforcer{cfg: ReinforceConfig{Baseline: baseline, Samples: 3}}
		for i, got := range r.advantages([]float64{1, -1, -1, 1, 1, 1}) {
			if math.Abs(got-want[i]) > 1e-3 {
				t.Errorf("%s: advantage %d is %g, want %g", baseline, i, got, want[i])
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	s := Schedule{Peak: 1, Final: 0.1, Warmup: 10, Steps: 110}
	for step, want := range map[int]float64{1: 0.1, 10: 1, 60: 0.55, 110: 0.1, 500: 0.1} {
		if got := s.At(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("rate of step %d is %g, want %g", step, got, want)
		}
	}
	if got := (Schedule{Peak: 2}).At(99); got != 2 {
		t.Errorf("a schedule without steps is at %g, want its peak", got)
	}
}
