package bench

import (
	"fmt"
	"math"
	"time"

	"transformer2/kernels/webgpu"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
	"transformer2/shared/svf"
)

// gpuPolicy is a model of random bf16 weights whose MLP is rescaled by z in projected form, with
// the memory of a step of REINFORCE, as shared/train has it. Its bases are random too: orthonormal
// only in the mean, which takes as long.
type gpuPolicy struct {
	gpuShape
	dev       compute.Device
	rows      int          // of a step: all tokens of all sequences
	base      *llama.Model // z = 1, the reference of the KL penalty
	model     *llama.Model
	z         []*svf.Trained
	moments   []compute.Tensor // two of each z
	ws, ref   *llama.Workspace
	packed    llama.Batch
	targets   compute.Ints
	counts    compute.Tensor // [rows 1] what a row counts
	lp, kl    compute.Tensor // [rows 1]
	refLogits compute.Tensor // [chunk V]
	gradient  compute.Tensor // [chunk V]
	steps     int
}

// reinforceBytes is about what a step takes of the device's memory: weights, the embedding
// and what it is made of, bases, what enters each layer, and the activations of one layer of policy
// and reference with the policy's gradients and coefficients.
func (s gpuShape) reinforceBytes() float64 {
	q, kv, rows := s.heads*s.headDim, s.kvHeads*s.headDim, s.batch*s.answer
	acts := 4 * rows * (4*s.dim + 2*q + 2*kv + 3*s.hidden)
	return 2*float64(s.weights()) + 6*float64(s.vocab*s.dim) +
		float64(s.layers)*float64(3*2*2*s.dim*s.dim+4*rows*s.dim) +
		float64(3*acts+4*rows*7*s.dim)
}

// reinforce measures one step of REINFORCE on a device of its own, which gives all memory back:
// the rollouts, and the update by what a bare matrix product reaches.
func (g *gpuBench) reinforce() error {
	s := g.shape
	name := fmt.Sprintf("gpu reinforce %s bf16, %d×%d tokens, MLP", s.name, s.batch,
		s.answer)
	peak, err := g.product()
	if err != nil {
		return err
	}
	g.dev.Trim()
	dev, err := webgpu.New(webgpu.Options{Adapter: g.env.Adapter, Unchecked: true})
	if err != nil {
		return err
	}
	defer dev.Close()
	g.say("%s: making random weights", name)
	p, err := newGPUPolicy(dev, s)
	if err != nil {
		f := Figure{Name: name, Unit: "s", Value: math.NaN()}
		f.Note = fmt.Sprintf("not measured: needs about %.0f GB (%v)", s.reinforceBytes()/1e9, err)
		g.figure(f)
		return nil
	}
	g.say("%s: rollouts", name)
	d, err := p.rollouts(g)
	if err != nil {
		return err
	}
	g.figure(Figure{Name: name + ", rollouts", Unit: "s", Value: d.Seconds()})
	g.say("%s: update", name)
	best := time.Duration(1<<63 - 1)
	for i := range 3 { // the first compiles
		start := time.Now()
		if err := p.update(); err != nil {
			return err
		}
		if d := time.Since(start); i > 0 {
			best = min(best, d)
		}
		if err := g.ctx.Err(); err != nil {
			return err
		}
	}
	g.figure(Figure{Name: name + ", update", Unit: "s", Value: best.Seconds()})
	rate := p.flops() / best.Seconds()
	g.figure(Figure{Name: name + ", update", Unit: "TFLOP/s", Value: rate / 1e12,
		Against: "bare matrix product", Peer: peak / 1e12, Ratio: rate / peak})
	return nil
}

// product measures a bare product of the shape of the MLP's, with a bf16 weight.
func (g *gpuBench) product() (flops float64, err error) {
	s, times := g.shape, 8
	rows := s.batch * s.answer
	m := &gpuModel{dev: g.dev}
	defer m.free()
	a := &allocs{m: m}
	src := a.randomTensor(s.hidden*s.dim, s.dim)
	w := a.weight(compute.BF16, s.hidden, s.dim, src)
	x, y := a.randomTensor(rows*s.dim, 1), a.tensor(rows, s.hidden)
	if a.err != nil {
		return 0, a.err
	}
	d, err := g.timed(3, func() {
		for range times {
			g.dev.MatMul(y, x.Reshape(rows, s.dim), w)
		}
	})
	flops = float64(times) * 2 * float64(rows) * float64(s.dim) * float64(s.hidden) / d.Seconds()
	if err == nil {
		g.figure(Figure{Name: fmt.Sprintf("gpu matrix product %dx%dx%d, bf16 weight", rows, s.hidden,
			s.dim), Unit: "TFLOP/s", Value: flops / 1e12})
	}
	return flops, err
}

func newGPUPolicy(dev *webgpu.Device, s gpuShape) (*gpuPolicy, error) {
	p := &gpuPolicy{gpuShape: s, dev: dev, rows: s.batch * s.answer}
	var err error
	if p.base, err = llama.New(dev, s.config(s.answer), compute.BF16); err != nil {
		return nil, err
	}
	p.model = p.base.Clone()
	a := &allocs{m: &gpuModel{dev: dev}}
	src := a.randomTensor(max(s.vocab, s.hidden)*s.dim, s.dim)
	if a.err != nil {
		return nil, a.err
	}
	dev.Pack(p.base.Embed, src.Reshape(s.vocab, s.dim))
	for _, l := range append(p.base.Linears(), &p.base.Head) {
		dev.Pack(l.W, src.Reshape(l.Out, l.In))
	}
	for i := range p.base.Blocks {
		dev.Fill(p.base.Blocks[i].AttnNorm.G, 1)
		dev.Fill(p.base.Blocks[i].MLPNorm.G, 1)
	}
	dev.Fill(p.base.Norm.G, 1)
	scratch := svf.NewScratch(dev)
	coef := []compute.Tensor{a.tensor(p.rows, s.dim), a.tensor(p.rows, s.dim), a.tensor(p.rows, s.dim)}
	for i := range p.model.Blocks {
		b := &p.model.Blocks[i]
		for k, l := range []*llama.Linear{&b.Gate, &b.Up, &b.Down} {
			b, bt := a.weight(compute.F16, s.dim, s.dim, src), a.weight(compute.F16, s.dim, s.dim, src)
			z := &svf.Trained{Z1: a.tensor(1, s.dim), Grad: a.tensor(1, s.dim), Coef: coef[k]}
			if a.err != nil {
				return nil, a.err
			}
			z.P, err = svf.ProjectorOf(scratch, l.Out, l.In, l.Out <= l.In, b, bt, p.rows)
			if err != nil {
				return nil, err
			}
			l.Adapter = z
			p.z = append(p.z, z)
			p.moments = append(p.moments, a.tensor(1, s.dim), a.tensor(1, s.dim))
		}
	}
	dev.Free(src.Buf)
	dev.Trim()
	return p, p.memory(a)
}

// memory makes room for a step's activations and its loss.
func (p *gpuPolicy) memory(a *allocs) (err error) {
	if p.ws, err = p.model.NewRecomputing(p.rows); err != nil {
		return err
	}
	if p.ref, err = p.base.NewWorkspace(p.rows, false); err != nil {
		return err
	}
	p.targets, p.counts = a.ints(p.rows), a.tensor(p.rows, 1)
	p.lp, p.kl = a.tensor(p.rows, 1), a.tensor(p.rows, 1)
	p.refLogits, p.gradient = a.tensor(llama.HeadChunk, p.vocab), a.tensor(llama.HeadChunk, p.vocab)
	if a.err != nil {
		return a.err
	}
	n := p.answer
	tokens := make([]int32, n)
	for i := range p.batch {
		for t := range tokens {
			tokens[t] = int32((i*n + t*7) % p.vocab)
		}
		p.packed.Append(tokens, 0)
	}
	p.dev.WriteInts(p.targets, p.packed.Tokens)
	p.dev.Fill(p.counts, 1/float32(p.rows))
	return p.dev.Submit()
}

// rollouts samples the sequences, all but the first token of each, at temperature 1.
func (p *gpuPolicy) rollouts(g *gpuBench) (time.Duration, error) {
	n := p.answer
	generator, err := p.model.NewGenerator(p.batch, n)
	if err != nil {
		return 0, err
	}
	run := func(tokens int) error {
		var all []llama.Request
		for i := range p.batch {
			all = append(all, llama.Request{Prompt: []int32{int32(i)}, MaxTokens: tokens,
				Sampling: sample.Params{Temperature: 1}, Seed: uint64(i)})
		}
		_, err := generator.Run(g.ctx, all)
		return err
	}
	if err := run(2); err != nil { // compiles
		return 0, err
	}
	start := time.Now()
	err = run(n - 1)
	return time.Since(start), err
}

// update is the gradient of −Σ log π + Σ KL(π ‖ base) and a step of AdamW on every z.
func (p *gpuPolicy) update() error {
	dev := p.dev
	for _, z := range p.z {
		dev.Fill(z.Grad, 0)
	}
	p.base.Forward(p.ref, &p.packed, nil)
	p.model.Forward(p.ws, &p.packed, nil)
	p.model.Backward(p.ws, func(lo, hi int, logits compute.Tensor) {
		targets, counts := p.targets.Slice(lo, hi), p.counts.Slice(lo, hi)
		ref, d := p.refLogits.Slice(0, hi-lo), p.gradient.Slice(0, hi-lo)
		p.base.Logits(ref, p.ref.Hidden().Slice(lo, hi))
		dev.LogProbs(p.lp.Slice(lo, hi), logits, targets)
		dev.KL(p.kl.Slice(lo, hi), logits, ref)
		dev.LogProbsGrad(d, logits, targets, counts)
		dev.KLGrad(d, logits, ref, counts)
		dev.Copy(logits, d)
	})
	p.steps++
	for i, z := range p.z {
		dev.AdamW(z.Z1, z.Grad, p.moments[2*i], p.moments[2*i+1], compute.AdamWParams{LR: 1e-3,
			Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: p.steps, GradScale: 1})
	}
	return dev.Read(make([]float32, p.rows), p.lp)
}

// flops is the arithmetic of an update: three passes over the weights (policy, reference, and back
// to the inputs; the weights have no gradient), four products with a basis for each matrix of the
// MLP, and attention, which is two products forward and five back; and the policy's forward pass
// once more, but for the last layer and the head.
func (p *gpuPolicy) flops() float64 {
	n := float64(p.answer)
	pairs := float64(p.batch) * n * (n + 1) / 2
	again := 1 - 1/float64(p.layers)
	basis := float64(len(p.z)) * float64(p.dim) * float64(p.dim)
	head := float64(p.vocab) * float64(p.dim)
	layers := float64(p.weights()) - head
	return float64(p.rows)*2*(3*head+(3+again)*layers+(4+2*again)*basis) +
		(2+2+5+2*again)*2*pairs*float64(p.heads*p.headDim*p.layers)
}
