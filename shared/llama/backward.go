package llama

import "transformer2/shared/compute"

// Backward adds the gradients of a loss to every Grad that is there, for the batch of the last
// Forward on ws, which must be a training workspace and have had no cache. loss gets the logits
// of rows [lo, hi) and leaves ∂loss/∂logits in their place. Where ws recomputes, a layer's
// activations are computed once more, the adapters' own by another Forward, right before they are
// needed: the same numbers.
func (m *Model) Backward(ws *Workspace, loss func(lo, hi int, logits compute.Tensor)) {
	dev, T := m.Dev, ws.rows
	pos, spans, seq := ws.pos.Slice(0, T), ws.spans.Slice(0, 2*T), ws.seq.Slice(0, T)
	dx, dh := ws.dx.Slice(0, T), ws.dh.Slice(0, T)
	dq, dk, dv := ws.dq.Slice(0, T), ws.dk.Slice(0, T), ws.dv.Slice(0, T)
	do, ds := ws.dOut.Slice(0, T), ws.dS.Slice(0, T)

	m.EachLogits(ws, func(lo, hi int, logits compute.Tensor) {
		loss(lo, hi, logits)
		m.Head.backward(dev, dh.Slice(lo, hi), logits, ws.hidden.Slice(lo, hi),
			compute.Ints{}, false)
	})
	dev.Fill(dx, 0)
	dev.RMSNormGrad(dx, m.Norm.Grad, dh, ws.last.Slice(0, T), m.Norm.G, m.Eps)

	for i := len(m.Blocks) - 1; i >= 0; i-- {
		p, a := &m.Blocks[i], ws.layers[i].slice(T)
		if ws.recomputes && i+1 < len(m.Blocks) { // the last layer's are there
			m.layer(ws, i, nil)
			if p.Down.Adapter != nil { // which may keep something of its Forward
				p.Down.forward(dev, dh, a.s, seq)
			}
		}

		p.Down.backward(dev, ds, dx, a.s, seq, false)  // [T F]
		dev.SwiGLUGrad(a.gate, a.up, ds, a.gate, a.up) // their gradients take their places
		p.Gate.backward(dev, dh, a.gate, a.h2, seq, false)
		p.Up.backward(dev, dh, a.up, a.h2, seq, true)
		dev.RMSNormGrad(dx, p.MLPNorm.Grad, dh, a.x2, p.MLPNorm.G, m.Eps)

		p.O.backward(dev, do, dx, a.o, seq, false) // [T H·D]
		dev.AttentionGrad(dq, dk, dv, do, a.o, a.lse, a.q, a.k, a.v, spans, m.heads)
		dev.RoPE(dq, m.cosSin, pos, m.HeadDim, true)
		dev.RoPE(dk, m.cosSin, pos, m.HeadDim, true)
		p.Q.backward(dev, dh, dq, a.h, seq, false)
		p.K.backward(dev, dh, dk, a.h, seq, true)
		p.V.backward(dev, dh, dv, a.h, seq, true)
		dev.RMSNormGrad(dx, p.AttnNorm.Grad, dh, a.x, p.AttnNorm.G, m.Eps)
	}
	if !m.EmbedGrad.IsZero() {
		dev.ScatterAddRows(m.EmbedGrad, dx, ws.tokens.Slice(0, T))
	}
}
