package train

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"reflect"
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

// newProbe is a policy for the probe model and what its gradient takes. θ is random.
func newProbe(t *testing.T, b Base, kind svf.Parametrisation, form Form) (*policy, *graph) {
	t.Helper()
	p, err := newPolicy(b, Policy{Scope: "all", Parametrisation: kind}, Sizes{form, 64, 1}, 7)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGraph(p.Model, 64, form == Projected)
	if err == nil {
		err = g.withReference(b.Model, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 0))
	for _, m := range p.mats {
		theta := make([]float32, m.theta.Cols)
		for j := range theta {
			theta[j] = float32(0.1 * rng.NormFloat64())
		}
		p.Model.Dev.Write(m.theta, theta)
	}
	return p, g
}

// gradients are those of θ, a slice a matrix.
func gradients(t *testing.T, p *policy, g *graph, batch *micro, forwardKL bool) [][]float32 {
	t.Helper()
	err := p.apply()
	p.zeroGrad()
	if err == nil {
		_, _, err = g.backwardKL(batch, forwardKL)
	}
	if err == nil {
		err = p.gradTheta()
	}
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float32
	for _, m := range p.mats {
		all = append(all, numbers(t, p, m.grad))
	}
	return all
}

func numbers(t *testing.T, p *policy, x compute.Tensor) []float32 {
	t.Helper()
	out := make([]float32, x.Len())
	if err := p.Model.Dev.Read(out, x); err != nil {
		t.Fatal(err)
	}
	return out
}

// The gradient of θ, for the whole loss of REINFORCE with its KL penalty in either direction,
// under both parametrisations and in both forms, against central differences of the loss itself.
func TestPolicyGradientCentralDifferences(t *testing.T) {
	b := probeModel(t)
	for _, kind := range []svf.Parametrisation{svf.Linear, svf.SigmoidNuclear} {
		for _, forwardKL := range []bool{false, true} {
			for _, form := range []Form{Folded, Projected} {
				name := string(kind) + map[bool]string{false: "/policy/", true: "/reference/"}[forwardKL]
				t.Run(name+string(form),
					func(t *testing.T) { checkPolicyGradient(t, b, kind, form, forwardKL) })
			}
		}
	}
}

func checkPolicyGradient(t *testing.T, b Base, kind svf.Parametrisation, form Form,
	forwardKL bool) {
	p, g := newProbe(t, b, kind, form)
	rng := rand.New(rand.NewPCG(9, 0))
	batch := randomMicro(rng, b.Model.Vocab)
	grads := gradients(t, p, g, batch, forwardKL)
	// h balances the differences' own error, h², against f32's 1e-6 in the loss over h. Measured
	// 4e-4 on gradients of size 0.01 to 1.
	const h, tol = 2e-2, 5e-3
	for range 25 {
		i := rng.IntN(len(p.mats))
		m := &p.mats[i]
		theta := numbers(t, p, m.theta)
		j := rng.IntN(len(theta))
		at := func(d float32) float64 {
			moved := append([]float32(nil), theta...)
			moved[j] += d
			p.Model.Dev.Write(m.theta, moved)
			return policyLoss(t, b, p, g, batch, forwardKL)
		}
		want := (at(h) - at(-h)) / (2 * h)
		at(0)
		if d := math.Abs(want - float64(grads[i][j])); !(d <= tol) {
			t.Fatalf("%s[%d]: gradient %g, central difference %g", m.name, j, grads[i][j], want)
		}
	}
}

// Layers that share the memory of their coefficients, and are computed once more, have the very
// gradients of layers that keep everything.
func TestRecomputedProjectionToTheBit(t *testing.T) {
	b := probeModel(t)
	batch := randomMicro(rand.New(rand.NewPCG(9, 0)), b.Model.Vocab)
	p, g := newProbe(t, b, svf.Linear, Projected)
	got := gradients(t, p, g, batch, false)
	for i := range p.mats {
		z := p.mats[i].adapted.(projectedMatrix).z
		own, err := b.Model.Dev.NewTensor(z.Coef.Rows, z.Coef.Cols)
		if err != nil {
			t.Fatal(err)
		}
		z.Coef = own
	}
	keeping, err := newGraph(p.Model, 64, false)
	if err == nil {
		err = keeping.withReference(b.Model, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := gradients(t, p, keeping, batch, false); !reflect.DeepEqual(got, want) {
		t.Error("gradients of recomputed layers are others")
	}
}

// formsTol bounds a gradient in one form against the other's, both in f32. Measured 2e-6 on
// gradients of up to 1.6.
const formsTol = 1e-5

// A θ that is trained in projected form has the gradient of one that is folded into the weights,
// for matrices of which U is kept and for those of V.
func TestProjectedGradientIsTheFolded(t *testing.T) {
	b := probeModel(t)
	for _, kind := range []svf.Parametrisation{svf.Linear, svf.SigmoidNuclear} {
		p, g := newProbe(t, b, kind, Folded)
		batch := randomMicro(rand.New(rand.NewPCG(9, 0)), b.Model.Vocab)
		want := gradients(t, p, g, batch, false)
		p, g = newProbe(t, b, kind, Projected)
		got := gradients(t, p, g, batch, false)
		worst, sides := 0.0, map[bool]int{}
		for i := range want {
			m, _ := b.Decomposition.Matrix(p.mats[i].name)
			sides[m.Left]++
			for j := range want[i] {
				d := math.Abs(float64(want[i][j] - got[i][j]))
				if worst = max(worst, d); !(d <= formsTol) {
					t.Fatalf("%s %s[%d]: %g projected, %g folded", kind, m.Name, j, got[i][j], want[i][j])
				}
			}
		}
		t.Logf("%s: off by at most %.1g, %d matrices on the left, %d on the right", kind, worst,
			sides[true], sides[false])
		if sides[true] == 0 || sides[false] == 0 {
			t.Errorf("matrices on one side only: %v", sides)
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
	if err := p.apply(); err != nil {
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
	p, err := newPolicy(b, Policy{Scope: "all", Parametrisation: svf.Linear}, Sizes{Folded, 64, 1}, 1)
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
