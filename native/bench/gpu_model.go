package bench

import (
	"math"
	"math/rand/v2"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// gpuShape is a model, and how it is measured.
type gpuShape struct {
	name                    string
	dim, hidden, layers     int
	heads, kvHeads, headDim int
	vocab, context, prefill int
	batch, answer           int // sequences at once, and their tokens in a step of training
}

var (
	llama8B = gpuShape{"Llama-3-8B", 4096, 14336, 32, 32, 8, 128, 128256, 1024, 2048, 16, 256}
	// tinyShape has the same parts and takes no time.
	tinyShape = gpuShape{"tiny", 256, 512, 2, 8, 2, 32, 1024, 64, 96, 16, 8}
)

// config is the shape as a model of so many tokens has it.
func (s gpuShape) config(context int) llama.Config {
	return llama.Config{Vocab: s.vocab, Dim: s.dim, Hidden: s.hidden, Layers: s.layers,
		Heads: s.heads, KVHeads: s.kvHeads, HeadDim: s.headDim, Context: context, RopeTheta: 500000,
		Eps: 1e-5}
}

// weights is how many numbers the model's matrices have.
func (s gpuShape) weights() int64 {
	q, kv := s.heads*s.headDim, s.kvHeads*s.headDim
	layer := 2*q*s.dim + 2*kv*s.dim + 3*s.hidden*s.dim
	return int64(s.layers*layer + s.vocab*s.dim)
}

// gpuModel is a model of random weights, op for op what shared/llama runs.
type gpuModel struct {
	gpuShape
	dev    compute.Device
	blocks []gpuLayer
	embed  compute.Weight // of the first tokens alone
	head   compute.Weight
	z      bool // whether the MLP's matrices are rescaled, each row by its own z
	rows   int  // of the activations

	norm, turn, zs                   compute.Tensor
	x, h, q, o, gate, up, s, t, p, l compute.Tensor
	k, v                             compute.Tensor
	tokens, pos, spans, at, seq, ids compute.Ints
	host                             []int32
	owned                            []compute.Buffer
}

// gpuLayer is a layer's weights, the bases of its MLP's smaller sides, and its cache.
type gpuLayer struct {
	q, k, v, o, gate, up, down compute.Weight
	basis                      [3]compute.Weight
	keys, values               compute.Tensor
}

// allocs makes tensors until one fails.
type allocs struct {
	m   *gpuModel
	err error
}

func (a *allocs) tensor(rows, cols int) compute.Tensor {
	if a.err != nil {
		return compute.Tensor{}
	}
	t, err := a.m.dev.NewTensor(rows, cols)
	if a.err = err; err == nil {
		a.m.owned = append(a.m.owned, t.Buf)
	}
	return t
}

func (a *allocs) ints(n int) compute.Ints {
	if a.err != nil {
		return compute.Ints{}
	}
	x, err := a.m.dev.NewInts(n)
	if a.err = err; err == nil {
		a.m.owned = append(a.m.owned, x.Buf)
	}
	return x
}

// weight makes a weight out of the first numbers of src.
func (a *allocs) weight(t compute.DType, out, in int, src compute.Tensor) compute.Weight {
	if a.err != nil {
		return nil
	}
	w, err := a.m.dev.NewWeight(t, out, in)
	if a.err = err; err != nil {
		return nil
	}
	a.m.owned = append(a.m.owned, w)
	a.m.dev.Pack(w, src.Reshape(out, in))
	return w
}

// randomTensor is normal numbers of size 1/√dim, a part of them made on the host and repeated on
// the device.
func (a *allocs) randomTensor(n, dim int) compute.Tensor {
	t := a.tensor(1, n)
	if a.err != nil {
		return t
	}
	rng := rand.New(rand.NewPCG(1, 2))
	part := make([]float32, min(n, 1<<20-1)) // odd, so that rows differ
	for i := range part {
		part[i] = float32(rng.NormFloat64() / math.Sqrt(float64(dim)))
	}
	line := t.Reshape(n, 1)
	a.m.dev.Write(line.Slice(0, len(part)), part)
	for done := len(part); done < n; {
		more := min(done, n-done)
		a.m.dev.Copy(line.Slice(done, done+more), line.Slice(0, more))
		done += more
	}
	return t
}

// newGPUModel makes the model with room for batch sequences; bases says whether with z.
func newGPUModel(dev compute.Device, s gpuShape, t compute.DType, batch int, bases bool) (
	*gpuModel, error) {
	m := &gpuModel{gpuShape: s, dev: dev, blocks: make([]gpuLayer, s.layers)}
	a := &allocs{m: m}
	src := a.randomTensor(max(s.vocab, s.hidden)*s.dim, s.dim)
	q, kv := s.heads*s.headDim, s.kvHeads*s.headDim
	for i := range m.blocks {
		l := &m.blocks[i]
		l.q, l.o = a.weight(t, q, s.dim, src), a.weight(t, s.dim, q, src)
		l.k, l.v = a.weight(t, kv, s.dim, src), a.weight(t, kv, s.dim, src)
		l.gate, l.up = a.weight(t, s.hidden, s.dim, src), a.weight(t, s.hidden, s.dim, src)
		l.down = a.weight(t, s.dim, s.hidden, src)
		for j := range l.basis {
			if bases {
				l.basis[j] = a.weight(t, s.dim, s.dim, src)
			}
		}
		l.keys, l.values = a.tensor(batch*s.context, kv), a.tensor(batch*s.context, kv)
	}
	m.embed = a.weight(t, m.embedded(), s.dim, src)
	m.head = a.weight(t, s.vocab, s.dim, src)
	m.activations(a, batch)
	if a.err != nil {
		m.free()
		return nil, a.err
	}
	dev.Free(src.Buf)
	m.owned = m.owned[1:]
	return m, dev.Submit()
}

// embedded is how many tokens of the vocabulary are embedded.
func (s gpuShape) embedded() int { return min(s.vocab, 1024) }

func (m *gpuModel) activations(a *allocs, batch int) {
	rows := max(m.prefill, batch)
	m.rows = rows
	m.norm, m.turn, m.zs = a.tensor(1, m.dim), a.tensor(max(m.context, m.prefill), m.headDim),
		a.tensor(batch, m.dim)
	m.x, m.h, m.t, m.p = a.tensor(rows, m.dim), a.tensor(rows, m.dim), a.tensor(rows, m.dim),
		a.tensor(rows, m.dim)
	m.q, m.o = a.tensor(rows, m.heads*m.headDim), a.tensor(rows, m.heads*m.headDim)
	m.k, m.v = a.tensor(rows, m.kvHeads*m.headDim), a.tensor(rows, m.kvHeads*m.headDim)
	m.gate, m.up, m.s = a.tensor(rows, m.hidden), a.tensor(rows, m.hidden), a.tensor(rows, m.hidden)
	m.l = a.tensor(batch, m.vocab)
	m.tokens, m.pos, m.spans, m.at = a.ints(rows), a.ints(rows), a.ints(2*rows), a.ints(rows)
	m.seq, m.ids = a.ints(rows), a.ints(rows)
	m.host = make([]int32, 2*rows)
	if a.err == nil {
		m.dev.Fill(m.norm, 1)
		m.dev.Fill(m.turn, 0.7)
		m.dev.Fill(m.zs, 0.01)
	}
}

func (m *gpuModel) free() {
	for _, b := range m.owned {
		m.dev.Free(b)
	}
	m.owned = nil
	if t, ok := m.dev.(interface{ Trim() }); ok {
		t.Trim()
	}
}

// ints writes n numbers f(i) to x.
func (m *gpuModel) ints(x compute.Ints, n int, f func(i int) int) {
	for i := range n {
		m.host[i] = int32(f(i))
	}
	m.dev.WriteInts(x.Slice(0, n), m.host[:n])
}

// step decodes one token of each of rows sequences at the end of their contexts.
func (m *gpuModel) step(rows int) error {
	m.forward(rows, 1, true)
	return m.dev.ReadInts(m.host[:rows], m.ids.Slice(0, rows))
}

// forward records a pass over T rows, in sequences of `length` rows each: whole prompts, or, with
// the cache, the last tokens of full contexts, with their scores and the best of them.
func (m *gpuModel) forward(T, length int, cached bool) {
	dev, c := m.dev, m.context
	m.ints(m.tokens, T, func(i int) int { return i % m.embedded() })
	m.ints(m.seq, T, func(i int) int { return i / length })
	if cached {
		m.ints(m.pos, T, func(int) int { return c - 1 })
		m.ints(m.at, T, func(i int) int { return (i+1)*c - 1 })
		m.ints(m.spans, 2*T, func(i int) int { return (i/2 + i%2) * c })
	} else {
		m.ints(m.pos, T, func(i int) int { return i % length })
		m.ints(m.spans, 2*T, func(i int) int { return (i%2)*(i/2+1) + (1-i%2)*(i/2/length*length) })
	}
	spans, pos := m.spans.Slice(0, 2*T), m.pos.Slice(0, T)
	v := func(t compute.Tensor) compute.Tensor { return t.Slice(0, T) }
	heads := compute.Heads{Q: m.heads, KV: m.kvHeads, Dim: m.headDim,
		Scale: float32(1 / math.Sqrt(float64(m.headDim)))}
	dev.UnpackRows(v(m.x), m.embed, m.tokens.Slice(0, T))
	for i := range m.blocks {
		l := &m.blocks[i]
		dev.RMSNorm(v(m.h), v(m.x), m.norm, 1e-5)
		dev.MatMul(v(m.q), v(m.h), l.q)
		dev.MatMul(v(m.k), v(m.h), l.k)
		dev.MatMul(v(m.v), v(m.h), l.v)
		dev.RoPE(v(m.q), m.turn, pos, m.headDim, false)
		dev.RoPE(v(m.k), m.turn, pos, m.headDim, false)
		keys, values := v(m.k), v(m.v)
		if cached {
			dev.ScatterRows(l.keys, keys, m.at.Slice(0, T))
			dev.ScatterRows(l.values, values, m.at.Slice(0, T))
			keys, values = l.keys, l.values
		}
		dev.Attention(v(m.o), compute.Tensor{}, v(m.q), keys, values, spans, heads)
		dev.MatMul(v(m.h), v(m.o), l.o)
		dev.Add(v(m.x), v(m.h))

		dev.RMSNorm(v(m.h), v(m.x), m.norm, 1e-5)
		dev.MatMul(v(m.gate), m.scaled(v(m.h), l.basis[0], T), l.gate)
		dev.MatMul(v(m.up), m.scaled(v(m.h), l.basis[1], T), l.up)
		dev.SwiGLU(v(m.s), v(m.gate), v(m.up))
		dev.MatMul(v(m.h), v(m.s), l.down)
		dev.Add(v(m.x), m.scaled(v(m.h), l.basis[2], T))
	}
	if cached {
		dev.RMSNorm(v(m.h), v(m.x), m.norm, 1e-5)
		dev.MatMul(v(m.l), v(m.h), m.head)
		dev.ArgMax(m.ids.Slice(0, T), v(m.l))
	}
}

// scaled is x + V((z−1)∘(Vᵀx)), each row with the z of its sequence, or x itself without z.
func (m *gpuModel) scaled(x compute.Tensor, basis compute.Weight, T int) compute.Tensor {
	if !m.z || basis == nil {
		return x
	}
	t, p := m.t.Slice(0, T), m.p.Slice(0, T)
	m.dev.MatMul(t, x, basis)
	m.dev.ScaleCols(t, t, m.zs, m.seq.Slice(0, T))
	m.dev.Copy(p, x)
	m.dev.MatMulT(p, t, basis, true)
	return p
}

// bytes is what a step reads at least: every weight, and the caches of rows sequences.
func (m *gpuModel) bytes(rows int) int64 {
	n := m.head.Bytes()
	for _, l := range m.blocks {
		for _, w := range []compute.Weight{l.q, l.k, l.v, l.o, l.gate, l.up, l.down} {
			n += w.Bytes()
		}
		n += int64(rows) * int64(m.context) * int64(l.keys.Cols) * 8
	}
	return n
}

// flops is the arithmetic of a prefill of one prompt: two for every weight of the layers and row,
// and four for every number of a query and visible key.
func (m *gpuModel) flops(rows int) float64 {
	weights := 0
	for _, l := range m.blocks {
		for _, w := range []compute.Weight{l.q, l.k, l.v, l.o, l.gate, l.up, l.down} {
			out, in := w.Dims()
			weights += out * in
		}
	}
	pairs := float64(rows) * float64(rows+1) / 2
	return 2*float64(weights)*float64(rows) +
		4*pairs*float64(m.heads*m.headDim)*float64(len(m.blocks))
}
