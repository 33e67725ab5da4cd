package llama

import "transformer2/shared/compute"

// Forward runs the layers over a batch. Without a cache each row sees rows of the batch; with one,
// keys and values go to b.Rows of the cache and the spans speak of its rows. ws.Hidden() is the
// result; Logits or EachLogits turns it into scores.
func (m *Model) Forward(ws *Workspace, b *Batch, kv *Cache) {
	dev, T := m.Dev, len(b.Tokens)
	ws.load(m, b)
	seq := ws.seq.Slice(0, T)

	dev.UnpackRows(ws.layers[0].x.Slice(0, T), m.Embed, ws.tokens.Slice(0, T)) // [T C]
	for i := range m.Blocks {
		a := m.layer(ws, i, kv)
		next := ws.last.Slice(0, T)
		if i+1 < len(m.Blocks) {
			next = ws.layers[i+1].x.Slice(0, T)
		}
		m.Blocks[i].Down.forward(dev, next, a.s, seq)
		dev.Add(next, a.x2) // [T C]
	}
	dev.RMSNorm(ws.Hidden(), ws.last.Slice(0, T), m.Norm.G, m.Eps)
}

// layer computes and gives the activations of layer i from its x, up to what Down reads.
func (m *Model) layer(ws *Workspace, i int, kv *Cache) acts {
	dev, T := m.Dev, ws.rows
	p, a := &m.Blocks[i], ws.layers[i].slice(T)
	pos, seq, spans := ws.pos.Slice(0, T), ws.seq.Slice(0, T), ws.spans.Slice(0, 2*T)

	dev.RMSNorm(a.h, a.x, p.AttnNorm.G, m.Eps)
	p.Q.forward(dev, a.q, a.h, seq) // [T H·D]
	p.K.forward(dev, a.k, a.h, seq) // [T G·D]
	p.V.forward(dev, a.v, a.h, seq) // [T G·D]
	dev.RoPE(a.q, m.cosSin, pos, m.HeadDim, false)
	dev.RoPE(a.k, m.cosSin, pos, m.HeadDim, false)
	k, v := a.k, a.v
	if kv != nil {
		k, v = kv.store(dev, i, k, v, ws.cacheRows.Slice(0, T))
	}
	dev.Attention(a.o, a.lse, a.q, k, v, spans, m.heads) // [T H·D]
	p.O.forward(dev, a.x2, a.o, seq)
	dev.Add(a.x2, a.x) // [T C]

	dev.RMSNorm(a.h2, a.x2, p.MLPNorm.G, m.Eps)
	p.Gate.forward(dev, a.gate, a.h2, seq) // [T F]
	p.Up.forward(dev, a.up, a.h2, seq)     // [T F]
	dev.SwiGLU(a.s, a.gate, a.up)
	return a
}

// slice views the first T rows of every activation.
func (l *acts) slice(T int) acts {
	s := func(t compute.Tensor) compute.Tensor { return t.Slice(0, T) }
	return acts{x: s(l.x), h: s(l.h), q: s(l.q), k: s(l.k), v: s(l.v), o: s(l.o), lse: s(l.lse),
		x2: s(l.x2), h2: s(l.h2), gate: s(l.gate), up: s(l.up), s: s(l.s)}
}

// Logits scores rows of hidden states: logits [T V] from hidden [T C].
func (m *Model) Logits(logits, hidden compute.Tensor) { m.Dev.MatMul(logits, hidden, m.Head.W) }

// EachLogits scores the rows of the last forward pass a chunk at a time: f gets rows [lo, hi) and
// their logits [hi−lo V], which the next chunk overwrites.
func (m *Model) EachLogits(ws *Workspace, f func(lo, hi int, logits compute.Tensor)) {
	for lo := 0; lo < ws.rows; lo += ws.logits.Rows {
		hi := min(lo+ws.logits.Rows, ws.rows)
		logits := ws.logits.Slice(0, hi-lo)
		m.Logits(logits, ws.hidden.Slice(lo, hi))
		f(lo, hi, logits)
	}
}
