package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/train"
)

// What pre-training should reach: of the rate of a bare product, and of PyTorch.
const (
	wantTraining = 0.5
	wantTorch    = 0.9
)

// lossTie is how far the losses of our training and PyTorch's may be apart, relatively, for their
// models to count as the same: f32 sums in another order differ by 1e-6 before the first step.
const lossTie = 1e-3

// checkedSteps is how many steps' losses are compared; small differences grow with every step.
const checkedSteps = 3

// pretrain measures steps of AdamW on the shipped model's shape: sequences as long as the context,
// the same tokens and the same fresh weights on both sides.
func pretrain(ctx context.Context, env Env) ([]Figure, error) {
	cfg, docs, threads := shape(env.size().layers), env.size().docs, env.threads()
	name := fmt.Sprintf("pretrain %.2gM parameters, batch %d×%d, %s", float64(cfg.NumParams())/1e6,
		docs, cfg.Context, threadsWord(threads))
	env.say("%s", name)
	ours, err := newTraining(env, cfg, docs, threads)
	if err != nil {
		return nil, err
	}
	defer ours.dev.Close()
	bare, err := newProduct(cpu.Options{Threads: threads, Form: env.Device.Form}, env.size().gemm)
	if err != nil {
		return nil, err
	}
	defer bare.dev.Close()
	torch := newTorch(env, cfg, docs, threads)
	s, err := plan{budget: env.short(16 * time.Second), least: 2, warm: true}.turns(ctx,
		side{run: steps(ours.step)}, side{run: bare.steady},
		side{run: steps(torch.step), peer: true})
	if err != nil {
		return nil, err
	}
	tokens := float64(docs * cfg.Context)
	flops := 6 * float64(cfg.NumParams()) * tokens / 1e9
	work := gigaflops(env.size().gemm)
	rate := flops / s[0].median()
	against := Figure{Name: name, Unit: "tokens/s", Want: atLeast(wantTorch)}.
		versus(torch.name, s[0], s[2], tokens)
	if apart := lossesApart(ours.losses, torch.losses); apart > lossTie && against.Ratio != 0 {
		against.Ratio, against.Note = 0, fmt.Sprintf("no ratio: the losses of the first steps "+
			"are %.1g apart, so the models are not the same", apart)
	}
	share, _, _ := ratio(s[1], s[0])
	return []Figure{against, {
		Name: name + ", 6·parameters·tokens", Unit: "GFLOP/s", Value: rate,
		Want: atLeast(wantTraining), Against: "bare matrix product", Peer: work / s[1].median(),
		Ratio: share * flops / work,
	}}, nil
}

// turnSteps steps make a turn. A training goes on and on, so a step should find in the caches what
// the step before it left, not what the other side did.
const turnSteps = 3

// steps gives the mean time of a turn's steps.
func steps(step func(context.Context) (float64, error)) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		sum := 0.0
		for range turnSteps {
			seconds, err := step(ctx)
			if err != nil {
				return 0, err
			}
			sum += seconds / turnSteps
		}
		return sum, nil
	}
}

// steady repeats the product about as long as a step takes and gives the mean: what slows a step
// down from outside must slow it down as well.
func (p *product) steady(context.Context) (float64, error) {
	const long = 200 * time.Millisecond
	calls, begin := 0, time.Now()
	for ; calls == 0 || time.Since(begin) < long; calls++ {
		p.plain()
	}
	return time.Since(begin).Seconds() / float64(calls), nil
}

// lossesApart is the largest relative difference of two trainings' first losses.
func lossesApart(a, b []float64) float64 {
	worst := 0.0
	for i := range min(len(a), len(b), checkedSteps) {
		worst = math.Max(worst, math.Abs(a[i]-b[i])/math.Abs(b[i]))
	}
	return worst
}

// training is our side.
type training struct {
	dev    *cpu.Device
	t      *train.Pretrainer
	n      int
	losses []float64
}

func newTraining(env Env, cfg llama.Config, docs, threads int) (*training, error) {
	dev, err := env.device(threads)
	if err != nil {
		return nil, err
	}
	ids := noise(tokenStream, docs*(cfg.Context+1))
	corpus := func(i int64) train.Example {
		at := int(i) % docs * (cfg.Context + 1)
		e := train.Example{Weights: make([]float32, cfg.Context)}
		for j, id := range ids[at : at+cfg.Context+1] {
			e.Tokens = append(e.Tokens, int32(id%uint32(cfg.Vocab)))
			if j < cfg.Context {
				e.Weights[j] = 1
			}
		}
		return e
	}
	// The optimizer's constants are those of peer.py.
	t, err := train.NewPretrainer(dev, train.PretrainConfig{Model: cfg, Seed: 1,
		BatchTokens: docs * (cfg.Context + 1), Schedule: train.Schedule{Peak: 1e-3},
		AdamW: train.AdamW{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, WeightDecay: 0.05, Clip: 1},
	}, corpus, corpus)
	if err != nil {
		dev.Close()
		return nil, err
	}
	setNoise(dev, t.Model())
	return &training{dev: dev, t: t}, nil
}

func (t *training) step(ctx context.Context) (float64, error) {
	begin := time.Now()
	t.n++
	m, err := t.t.Step(ctx, t.n)
	t.losses = append(t.losses, m["loss"])
	return time.Since(begin).Seconds(), err
}

// torch is PyTorch's side.
type torch struct {
	s      *session
	begin  string
	params int
	name   string
	losses []float64
}

func newTorch(env Env, cfg llama.Config, docs, threads int) *torch {
	begin := "train_begin"
	for _, n := range []int{threads, cfg.Vocab, cfg.Dim, cfg.Layers, cfg.Hidden, cfg.Heads,
		cfg.KVHeads, cfg.Context, docs} {
		begin += fmt.Sprintf(" %d", n)
	}
	return &torch{s: env.session, name: "PyTorch", params: cfg.NumParams(), begin: begin}
}

func (t *torch) step(ctx context.Context) (float64, error) {
	if t.losses == nil {
		a, err := t.s.ask(ctx, "%s", t.begin)
		if err != nil {
			return 0, err
		}
		if len(a.numbers) != 1 || int(a.numbers[0]) != t.params {
			return 0, fmt.Errorf("its model has %v parameters, ours %d", a.numbers, t.params)
		}
		t.name = a.text
	}
	a, err := t.s.ask(ctx, "train_step")
	if err != nil {
		return 0, err
	}
	if len(a.numbers) != 2 {
		return 0, fmt.Errorf("a step gave %v, want seconds and loss", a.numbers)
	}
	t.losses = append(t.losses, a.numbers[1])
	time.Sleep(settle)
	return a.seconds()
}

// tokenStream is the stream of noise that tokens are taken from; those below it are the matrices'.
const tokenStream = 1 << 20

// noise is n integers below 2³², the same as noise in peer.py.
func noise(stream, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		x := uint64(i+1) + uint64(stream)*1000003
		x *= 0x9E3779B97F4A7C15
		x = (x ^ x>>32) * 0xD6E8FEB86659FD93
		out[i] = uint32(x ^ x>>32)
	}
	return out
}

// setNoise gives the matrices the weights that peer.py's have.
func setNoise(dev compute.Device, m *llama.Model) {
	matrix := 0
	for _, p := range m.Params() {
		if !p.Decay {
			continue // gains stay ones
		}
		w := make([]float32, p.P.Len())
		for i, v := range noise(matrix, len(w)) {
			w[i] = float32((float64(v)/(1<<32) - 0.5) * 0.07)
		}
		dev.Write(p.P, w)
		matrix++
	}
	m.Sync()
}
