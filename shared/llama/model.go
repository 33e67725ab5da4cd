// Package llama is the Llama architecture (Touvron et al. 2023; Llama 3 and Mistral share it):
// RMSNorm, rotary positions, grouped-query attention and SwiGLU around a residual stream.
//
//	x ← embed(token)
//	each layer:  x ← x + O·attention(rope(Q·n), rope(K·n), V·n),  n = rmsNorm(x)
//	             x ← x + Down·(silu(Gate·n)∘Up·n),                n = rmsNorm(x)
//	logits = Head·rmsNorm(x)
//
// The forward pass is one function (forward.go), the backward pass its mirror (backward.go).
// Shapes in comments: T rows of a batch, C = Dim, F = Hidden, H, G and D as in Config.
package llama

import (
	"fmt"
	"math"
	"math/rand/v2"

	"transformer2/shared/compute"
)

// Adapter is a linear layer's behaviour where a plain product is not enough: SVF in its projected
// form, LoRA. It must leave w as it is.
type Adapter interface {
	// Forward: y [T out] from x [T in]; seq[t] is the sequence that row t belongs to.
	Forward(y, x compute.Tensor, w compute.Weight, seq compute.Ints)
}

// Differentiable is an Adapter that a training goes through.
type Differentiable interface {
	Adapter
	// Backward: dx [T in] from dy [T out] of the last Forward, plus dx where acc. Gradients of what
	// the adapter itself has are added to its own.
	Backward(dx, dy compute.Tensor, w compute.Weight, seq compute.Ints, acc bool)
}

// Linear is y = W x, however W is held.
type Linear struct {
	Name    string
	Out, In int
	W       compute.Weight // what the products read
	Master  compute.Tensor // [out in] f32, what training updates; none in a frozen model
	Grad    compute.Tensor // [out in], summed by Backward; none where it is not wanted
	Adapter Adapter        // nil: y = W x
}

func (l *Linear) forward(dev compute.Device, y, x compute.Tensor, seq compute.Ints) {
	if l.Adapter != nil {
		l.Adapter.Forward(y, x, l.W, seq)
		return
	}
	dev.MatMul(y, x, l.W)
}

// backward sums the weight's gradient and gives dx = dy W, plus dx where acc.
func (l *Linear) backward(dev compute.Device, dx, dy, x compute.Tensor, seq compute.Ints,
	acc bool) {
	if l.Adapter != nil {
		a, ok := l.Adapter.(Differentiable)
		if !ok {
			panic(fmt.Sprintf("llama: %s: its adapter has no gradient", l.Name))
		}
		a.Backward(dx, dy, l.W, seq, acc)
		return
	}
	if !l.Grad.IsZero() {
		dev.Gemm(compute.TN, l.Grad, dy, x, true)
	}
	dev.MatMulT(dx, dy, l.W, acc)
}

// Norm is the gain of an RMSNorm, [1 C].
type Norm struct {
	Name string
	G    compute.Tensor
	Grad compute.Tensor // none where it is not wanted
}

// Layer is one transformer block.
type Layer struct {
	AttnNorm   Norm
	Q, K, V, O Linear // [H·D C], [G·D C], [G·D C], [C H·D]
	MLPNorm    Norm
	Gate, Up   Linear // [F C]
	Down       Linear // [C F]
}

// Linears are the matrices of the layer in the order of the checkpoint's names.
func (l *Layer) Linears() []*Linear {
	return []*Linear{&l.Q, &l.K, &l.V, &l.O, &l.Gate, &l.Up, &l.Down}
}

// Model is a set of weights on a device.
type Model struct {
	Config
	Dev         compute.Device
	Embed       compute.Weight // [V C]; tied, and held as the head is: the head's
	EmbedMaster compute.Tensor // [V C] f32, what training updates; none in a frozen model
	EmbedGrad   compute.Tensor // none where it is not wanted
	Blocks      []Layer
	Norm        Norm
	Head        Linear // [V C]; tied: its Master and Grad are the table's

	heads  compute.Heads
	cosSin compute.Tensor // [Context D]
	owned                 // not of a clone
}

// New makes a model with every weight zero, frozen (no masters, no gradients), each matrix held
// as dtype.
func New(dev compute.Device, c Config, dtype compute.DType) (*Model, error) {
	return NewHeld(dev, c, All(dtype))
}

// NewHeld is New with types of their own for the head and the table.
func NewHeld(dev compute.Device, c Config, held Held) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Model{Config: c, Dev: dev, Blocks: make([]Layer, c.Layers)}
	m.heads = compute.Heads{Q: c.Heads, KV: c.KVHeads, Dim: c.HeadDim,
		Scale: float32(1 / math.Sqrt(float64(c.HeadDim)))}
	a := newAllocator(dev)
	norm := func(name string) Norm { return Norm{Name: name, G: a.tensor(1, c.Dim)} }
	typed := func(name string, t compute.DType, out, in int) Linear {
		return Linear{Name: name, Out: out, In: in, W: a.weight(t, out, in)}
	}
	linear := func(name string, out, in int) Linear { return typed(name, held.Matrices, out, in) }
	for i := range m.Blocks {
		p := fmt.Sprintf("model.layers.%d.", i)
		q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		m.Blocks[i] = Layer{
			AttnNorm: norm(p + "input_layernorm.weight"),
			Q:        linear(p+"self_attn.q_proj.weight", q, c.Dim),
			K:        linear(p+"self_attn.k_proj.weight", kv, c.Dim),
			V:        linear(p+"self_attn.v_proj.weight", kv, c.Dim),
			O:        linear(p+"self_attn.o_proj.weight", c.Dim, q),
			MLPNorm:  norm(p + "post_attention_layernorm.weight"),
			Gate:     linear(p+"mlp.gate_proj.weight", c.Hidden, c.Dim),
			Up:       linear(p+"mlp.up_proj.weight", c.Hidden, c.Dim),
			Down:     linear(p+"mlp.down_proj.weight", c.Dim, c.Hidden),
		}
	}
	m.Norm = norm("model.norm.weight")
	head := headName
	if c.Tied {
		head = EmbedName
	}
	m.Head = typed(head, held.Head, c.Vocab, c.Dim)
	if m.Embed = m.Head.W; !c.Tied || held.Table != held.Head {
		m.Embed = a.weight(held.Table, c.Vocab, c.Dim)
	}
	if a.err == nil {
		m.cosSin = a.tensor(c.Context, c.HeadDim)
		a.err = a.failed("rotations of %d positions", c.Context)
	}
	if m.owned = a.owned; a.err != nil {
		m.Free()
		return nil, a.err
	}
	dev.Write(m.cosSin, ropeTable(c))
	return m, nil
}

// owned is device memory with one owner.
type owned struct {
	dev  compute.Device
	bufs []compute.Buffer
}

// Free gives the memory back. What it was of, and views of that, must not be used any more.
func (o *owned) Free() {
	for _, b := range o.bufs {
		o.dev.Free(b)
	}
	o.bufs = nil
}

func (o *owned) keep(b compute.Buffer, err error) {
	if err == nil {
		o.bufs = append(o.bufs, b)
	}
}

// allocator keeps the first error of a row of allocations, and what was allocated.
type allocator struct {
	owned
	err error
}

// failed is the error, with what it was all for.
func (a *allocator) failed(what string, args ...any) error {
	if a.err == nil {
		return nil
	}
	return fmt.Errorf("llama: "+what+": %w", append(args, a.err)...)
}

func newAllocator(dev compute.Device) *allocator { return &allocator{owned: owned{dev: dev}} }

func (a *allocator) tensor(rows, cols int) (t compute.Tensor) {
	if a.err == nil {
		t, a.err = a.dev.NewTensor(rows, cols)
		a.keep(t.Buf, a.err)
	}
	return t
}

func (a *allocator) ints(n int) (x compute.Ints) {
	if a.err == nil {
		x, a.err = a.dev.NewInts(n)
		a.keep(x.Buf, a.err)
	}
	return x
}

func (a *allocator) weight(t compute.DType, out, in int) (w compute.Weight) {
	if a.err == nil {
		w, a.err = a.dev.NewWeight(t, out, in)
		a.keep(w, a.err)
	}
	return w
}

// Linears are the matrices of all layers, in order; the head and the table are not among them.
func (m *Model) Linears() []*Linear {
	var all []*Linear
	for i := range m.Blocks {
		all = append(all, m.Blocks[i].Linears()...)
	}
	return all
}

// Clone shares every weight with m; its linears can be given other weights, adapters or gradients
// without touching m's.
func (m *Model) Clone() *Model {
	c := *m
	c.owned = owned{}
	c.Blocks = append([]Layer(nil), m.Blocks...)
	return &c
}

// Trainable gives every weight of m a master copy and a gradient, both on the device.
func (m *Model) Trainable() error {
	a := newAllocator(m.Dev)
	defer func() { m.bufs = append(m.bufs, a.bufs...) }()
	for _, l := range m.Linears() {
		l.Master, l.Grad = a.tensor(l.Out, l.In), a.tensor(l.Out, l.In)
	}
	m.EmbedMaster, m.EmbedGrad = a.tensor(m.Vocab, m.Dim), a.tensor(m.Vocab, m.Dim)
	for _, n := range m.norms() {
		n.Grad = a.tensor(1, m.Dim)
	}
	if m.Tied {
		m.Head.Master, m.Head.Grad = m.EmbedMaster, m.EmbedGrad
	} else {
		m.Head.Master, m.Head.Grad = a.tensor(m.Vocab, m.Dim), a.tensor(m.Vocab, m.Dim)
	}
	if a.err != nil {
		return a.err
	}
	m.Dev.Unpack(m.EmbedMaster, m.Embed)
	for _, l := range append(m.Linears(), &m.Head) {
		if l != &m.Head || !m.Tied {
			m.Dev.Unpack(l.Master, l.W)
		}
	}
	return nil
}

func (m *Model) norms() []*Norm {
	var all []*Norm
	for i := range m.Blocks {
		all = append(all, &m.Blocks[i].AttnNorm, &m.Blocks[i].MLPNorm)
	}
	return append(all, &m.Norm)
}

// Sync packs every master into the weight that the products read.
func (m *Model) Sync() {
	if !m.EmbedMaster.IsZero() && m.Embed != m.Head.W {
		m.Dev.Pack(m.Embed, m.EmbedMaster)
	}
	for _, l := range append(m.Linears(), &m.Head) {
		if !l.Master.IsZero() {
			m.Dev.Pack(l.W, l.Master)
		}
	}
}

// Param is one trained tensor and its gradient.
type Param struct {
	Name    string
	P, Grad compute.Tensor
	Decay   bool // weight decay is for matrices, not for gains
}

// Params lists what a trainable model trains, each tensor once, in the checkpoint's order.
func (m *Model) Params() []Param {
	ps := []Param{{EmbedName, m.EmbedMaster, m.EmbedGrad, true}}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		for _, l := range b.Linears() {
			ps = append(ps, Param{l.Name, l.Master, l.Grad, true})
		}
		for _, n := range []*Norm{&b.AttnNorm, &b.MLPNorm} {
			ps = append(ps, Param{n.Name, n.G, n.Grad, false})
		}
	}
	ps = append(ps, Param{m.Norm.Name, m.Norm.G, m.Norm.Grad, false})
	if !m.Tied {
		ps = append(ps, Param{m.Head.Name, m.Head.Master, m.Head.Grad, true})
	}
	return ps
}

// initStd is the standard deviation of fresh matrices (GPT-2's); the two that write to the
// residual stream are divided by √(2·Layers) so that its variance does not grow with depth. Queries
// and keys begin at 1/√Dim, so that scores have a variance of about 1 from the first step on:
// at 0.02 a narrow model attends evenly to everything, and what it looks up is learnt late.
const initStd = 0.02

// Init fills a trainable model with fresh weights.
func (m *Model) Init(rng *rand.Rand) {
	for _, p := range m.Params() {
		std := initStd
		buf := make([]float32, p.P.Len())
		switch {
		case !p.Decay:
			for i := range buf {
				buf[i] = 1
			}
			m.Dev.Write(p.P, buf)
			continue
		case isResidual(p.Name):
			std /= math.Sqrt(2 * float64(m.Config.Layers))
		case isScore(p.Name):
			std = 1 / math.Sqrt(float64(m.Dim))
		}
		for i := range buf {
			buf[i] = float32(rng.NormFloat64() * std)
		}
		m.Dev.Write(p.P, buf)
	}
	m.Sync()
}
