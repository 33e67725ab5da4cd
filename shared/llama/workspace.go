package llama

import (
	"fmt"

	"transformer2/shared/compute"
)

// Batch is T rows of tokens from one or more sequences, packed one after another.
type Batch struct {
	Tokens []int32 // [T]
	Pos    []int32 // [T] position of each token in its own sequence
	Spans  []int32 // [2T] key rows [lo, hi) that each row sees: rows of the batch, or of the cache
	Seq    []int32 // [T] sequence of each row, for adapters that hold a z a sequence; nil: all 0
	Rows   []int32 // [T] cache row that each token's key and value go to; nil without a cache
}

// Append adds a whole sequence, causal, that sees nothing but itself.
func (b *Batch) Append(tokens []int32, seq int) {
	lo := int32(len(b.Tokens))
	for i, id := range tokens {
		b.Tokens = append(b.Tokens, id)
		b.Pos = append(b.Pos, int32(i))
		b.Spans = append(b.Spans, lo, lo+int32(i)+1)
		b.Seq = append(b.Seq, int32(seq))
	}
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Tokens, b.Pos, b.Spans = b.Tokens[:0], b.Pos[:0], b.Spans[:0]
	b.Seq, b.Rows = b.Seq[:0], b.Rows[:0]
}

// acts are one layer's activations.
type acts struct {
	x    compute.Tensor // [T C] the residual stream that enters
	h    compute.Tensor // [T C] normed
	q    compute.Tensor // [T H·D]
	k, v compute.Tensor // [T G·D]
	o    compute.Tensor // [T H·D] attention's output
	lse  compute.Tensor // [T H]
	x2   compute.Tensor // [T C] the stream between attention and MLP
	h2   compute.Tensor // [T C]
	gate compute.Tensor // [T F]
	up   compute.Tensor // [T F]
	s    compute.Tensor // [T F] silu(gate)∘up
}

// Workspace is the memory of a forward pass over at most T rows, and of the backward pass if it
// was made for training: then every layer keeps its activations, or its x alone where the others
// are recomputed; otherwise all share one set.
type Workspace struct {
	maxRows    int
	rows       int // of the last forward pass
	layers     []acts
	recomputes bool
	last       compute.Tensor // [T C] the stream that leaves the last layer
	hidden     compute.Tensor // [T C] last, normed: what the head reads
	logits     compute.Tensor // [chunk V]

	tokens, pos, spans, seq, cacheRows compute.Ints
	zeros                              []int32
	windows                            []int32 // spans, cut to the model's sliding window

	// backward only
	dx, dh   compute.Tensor // [T C]
	dq       compute.Tensor // [T H·D]
	dk, dv   compute.Tensor // [T G·D]
	dOut, dS compute.Tensor // [T H·D], [T F]

	owned
}

// HeadChunk is how many rows of logits exist at once: [HeadChunk V] stays in cache for small
// vocabularies and stays small for large ones.
const HeadChunk = 256

// NewWorkspace makes memory for forward passes of up to maxRows rows.
func (m *Model) NewWorkspace(maxRows int, training bool) (*Workspace, error) {
	return m.newWorkspace(maxRows, min(maxRows, HeadChunk), training)
}

// NewRecomputing is NewWorkspace for training in little memory: a layer keeps the stream that
// enters it, [maxRows C], and Backward computes its other activations once more, for which all
// layers have one set (Chen et al. 2016, "Training deep nets with sublinear memory cost").
func (m *Model) NewRecomputing(maxRows int) (*Workspace, error) {
	ws, err := m.NewWorkspace(maxRows, false)
	if err != nil {
		return nil, err
	}
	ws.recomputes = true
	a := &allocator{owned: ws.owned}
	for i := 1; i < len(ws.layers); i++ {
		ws.layers[i].x = a.tensor(maxRows, m.Dim)
	}
	ws.allocateBackward(a, m)
	return ws, ws.own(a)
}

// newWorkspace is NewWorkspace with logits of so many rows at once; a generator has its own.
func (m *Model) newWorkspace(maxRows, chunk int, training bool) (*Workspace, error) {
	a := newAllocator(m.Dev)
	ws := &Workspace{maxRows: maxRows, layers: make([]acts, m.Config.Layers),
		zeros: make([]int32, maxRows)}
	q, kv := m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	for i := range ws.layers {
		if i > 0 && !training {
			ws.layers[i] = ws.layers[0]
			continue
		}
		l := &ws.layers[i]
		l.x, l.x2 = a.tensor(maxRows, m.Dim), a.tensor(maxRows, m.Dim)
		l.h, l.h2 = a.tensor(maxRows, m.Dim), a.tensor(maxRows, m.Dim)
		l.q, l.o = a.tensor(maxRows, q), a.tensor(maxRows, q)
		l.k, l.v = a.tensor(maxRows, kv), a.tensor(maxRows, kv)
		l.lse = a.tensor(maxRows, m.Heads)
		l.gate, l.up, l.s = a.tensor(maxRows, m.Hidden), a.tensor(maxRows, m.Hidden),
			a.tensor(maxRows, m.Hidden)
	}
	ws.last, ws.hidden = a.tensor(maxRows, m.Dim), a.tensor(maxRows, m.Dim)
	ws.logits = a.tensor(chunk, m.Vocab)
	ws.tokens, ws.pos = a.ints(maxRows), a.ints(maxRows)
	ws.spans, ws.seq, ws.cacheRows = a.ints(2*maxRows), a.ints(maxRows), a.ints(maxRows)
	if training {
		ws.allocateBackward(a, m)
	}
	return ws, ws.own(a)
}

func (ws *Workspace) allocateBackward(a *allocator, m *Model) {
	rows, q, kv := ws.maxRows, m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	ws.dx, ws.dh = a.tensor(rows, m.Dim), a.tensor(rows, m.Dim)
	ws.dq, ws.dOut = a.tensor(rows, q), a.tensor(rows, q)
	ws.dk, ws.dv = a.tensor(rows, kv), a.tensor(rows, kv)
	ws.dS = a.tensor(rows, m.Hidden)
}

// own takes over what was allocated, or gives it back if that failed.
func (ws *Workspace) own(a *allocator) error {
	if ws.owned = a.owned; a.err != nil {
		ws.Free()
	}
	return a.failed("activations and scores of %d tokens", ws.maxRows)
}

// load writes the batch's numbers to the device.
func (ws *Workspace) load(m *Model, b *Batch) {
	n := len(b.Tokens)
	if n == 0 || n > ws.maxRows || len(b.Pos) != n || len(b.Spans) != 2*n {
		panic(fmt.Sprintf("llama: batch of %d tokens, %d positions, %d span ends; workspace holds %d",
			n, len(b.Pos), len(b.Spans), ws.maxRows))
	}
	ws.rows = n
	m.Dev.WriteInts(ws.tokens.Slice(0, n), b.Tokens)
	m.Dev.WriteInts(ws.pos.Slice(0, n), b.Pos)
	m.Dev.WriteInts(ws.spans.Slice(0, 2*n), ws.windowed(b.Spans, m.Window))
	seq := b.Seq
	if seq == nil {
		seq = ws.zeros[:n]
	}
	m.Dev.WriteInts(ws.seq.Slice(0, n), seq)
	if len(b.Rows) > 0 {
		m.Dev.WriteInts(ws.cacheRows.Slice(0, n), b.Rows)
	}
}

// windowed is spans without what lies further back than the window.
func (ws *Workspace) windowed(spans []int32, window int) []int32 {
	if window == 0 {
		return spans
	}
	ws.windows = append(ws.windows[:0], spans...)
	for i := 0; i < len(spans); i += 2 {
		ws.windows[i] = max(spans[i], spans[i+1]-int32(window))
	}
	return ws.windows
}

// Hidden is what the head reads, [T C], of the last forward pass.
func (ws *Workspace) Hidden() compute.Tensor { return ws.hidden.Slice(0, ws.rows) }
