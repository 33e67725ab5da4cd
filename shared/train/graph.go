package train

import (
	"context"
	"math/rand/v2"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// newRand is the generator of one step of one run.
func newRand(seed, step uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, step)) }

// graph is a model with the memory of a training step over at most rows rows.
type graph struct {
	m       *llama.Model
	ws      *llama.Workspace
	targets compute.Ints   // [T]
	weights compute.Tensor // [T 1]
	lp      compute.Tensor // [T 1]
	host    []float32

	// The reference of the KL penalty; none without one.
	ref       *llama.Model
	refWS     *llama.Workspace
	refLogits compute.Tensor // [chunk V]
	dLogits   compute.Tensor // [chunk V]
	klWeights compute.Tensor // [T 1]
	kl        compute.Tensor // [T 1]
}

// newGraph keeps every layer's activations, or recomputes them.
func newGraph(m *llama.Model, rows int, recompute bool) (*graph, error) {
	g := &graph{m: m, host: make([]float32, rows)}
	var err error
	if recompute {
		g.ws, err = m.NewRecomputing(rows)
	} else {
		g.ws, err = m.NewWorkspace(rows, true)
	}
	if err != nil {
		return nil, err
	}
	if g.targets, err = m.Dev.NewInts(rows); err != nil {
		return nil, err
	}
	if g.weights, err = m.Dev.NewTensor(rows, 1); err != nil {
		return nil, err
	}
	g.lp, err = m.Dev.NewTensor(rows, 1)
	return g, err
}

// load runs the model over a batch and puts targets and weights·scale on the device.
func (g *graph) load(b *micro, scale float32) {
	T := len(b.Tokens)
	g.m.Dev.WriteInts(g.targets.Slice(0, T), b.targets)
	for i, w := range b.weights {
		g.host[i] = w * scale
	}
	g.m.Dev.Write(g.weights.Slice(0, T), g.host[:T])
	g.m.Forward(g.ws, &b.Batch, nil)
}

// forward gives −Σ weight·log p(target).
func (g *graph) forward(b *micro) (nll float64, err error) {
	g.load(b, 1)
	g.m.EachLogits(g.ws, func(lo, hi int, logits compute.Tensor) {
		g.m.Dev.LogProbs(g.lp.Slice(lo, hi), logits, g.targets.Slice(lo, hi))
	})
	return g.nll(b)
}

// backward adds the gradient of scale·nll to the model's and gives nll = −Σ weight·log p(target).
func (g *graph) backward(b *micro, scale float32) (nll float64, err error) {
	g.load(b, scale)
	g.m.Backward(g.ws, func(lo, hi int, logits compute.Tensor) {
		targets := g.targets.Slice(lo, hi)
		g.m.Dev.LogProbs(g.lp.Slice(lo, hi), logits, targets)
		g.m.Dev.LogProbsGrad(logits, logits, targets, g.weights.Slice(lo, hi))
	})
	return g.nll(b)
}

// backwardMean adds the gradient of the mean loss over batches of the given total weight, and gives
// that mean.
func (g *graph) backwardMean(ctx context.Context, batches []*micro, weight float64) (float64, error) {
	loss := 0.0
	for _, b := range batches {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		nll, err := g.backward(b, float32(1/weight))
		if err != nil {
			return 0, err
		}
		loss += nll / weight
	}
	return loss, nil
}

func (g *graph) nll(b *micro) (float64, error) {
	lp := g.host[:len(b.Tokens)]
	if err := g.m.Dev.Read(lp, g.lp.Slice(0, len(lp))); err != nil {
		return 0, err
	}
	sum := 0.0
	for i, w := range b.weights {
		sum -= float64(w) * float64(lp[i])
	}
	return sum, nil
}

// withReference adds the model that the KL penalty holds the policy to.
func (g *graph) withReference(ref *llama.Model, rows int) error {
	g.ref = ref
	var err error
	if g.refWS, err = ref.NewWorkspace(rows, false); err != nil {
		return err
	}
	for _, t := range []struct {
		dst        *compute.Tensor
		rows, cols int
	}{
		{&g.refLogits, llama.HeadChunk, ref.Vocab}, {&g.dLogits, llama.HeadChunk, ref.Vocab},
		{&g.klWeights, rows, 1}, {&g.kl, rows, 1},
	} {
		if *t.dst, err = ref.Dev.NewTensor(t.rows, t.cols); err != nil {
			return err
		}
	}
	return nil
}

// backwardKL is backward for Σ weight·−log p(target) + Σ klWeight·KL, the KL being
// D(reference ‖ policy) if forwardKL, else D(policy ‖ reference). It also gives Σ KL(policy ‖ reference) over the rows that have a weight.
func (g *graph) backwardKL(b *micro, forwardKL bool) (nll, kl float64, err error) {
	dev, T := g.m.Dev, len(b.Tokens)
	g.ref.Forward(g.refWS, &b.Batch, nil)
	dev.Write(g.klWeights.Slice(0, T), b.kl)
	g.load(b, 1)
	g.m.Backward(g.ws, func(lo, hi int, logits compute.Tensor) {
		targets, ref, d := g.targets.Slice(lo, hi), g.refLogits.Slice(0, hi-lo), g.dLogits.Slice(0, hi-lo)
		g.ref.Logits(ref, g.refWS.Hidden().Slice(lo, hi))
		dev.LogProbs(g.lp.Slice(lo, hi), logits, targets)
		dev.KL(g.kl.Slice(lo, hi), logits, ref)
		dev.LogProbsGrad(d, logits, targets, g.weights.Slice(lo, hi))
		if forwardKL {
			dev.KLForwardGrad(d, logits, ref, g.klWeights.Slice(lo, hi))
		} else {
			dev.KLGrad(d, logits, ref, g.klWeights.Slice(lo, hi))
		}
		dev.Copy(logits, d)
	})
	if nll, err = g.nll(b); err != nil {
		return 0, 0, err
	}
	rows := g.host[:T]
	if err := dev.Read(rows, g.kl.Slice(0, T)); err != nil {
		return 0, 0, err
	}
	for i, w := range b.kl {
		if w != 0 {
			kl += float64(rows[i])
		}
	}
	return nll, kl, nil
}
