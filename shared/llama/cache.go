package llama

import "transformer2/shared/compute"

// Cache is the kv cache: slots sequences of up to context tokens, keys and values of every layer.
// Token p of the sequence in slot s is row s·context + p.
type Cache struct {
	Slots, Context int
	k, v           []compute.Tensor // a layer each, [slots·context G·D]
	owned
}

// NewCache makes an empty cache.
func (m *Model) NewCache(slots, context int) (*Cache, error) {
	a := newAllocator(m.Dev)
	c := &Cache{Slots: slots, Context: context}
	for range m.Blocks {
		c.k = append(c.k, a.tensor(slots*context, m.KVHeads*m.HeadDim))
		c.v = append(c.v, a.tensor(slots*context, m.KVHeads*m.HeadDim))
	}
	if c.owned = a.owned; a.err != nil {
		c.Free()
	}
	return c, a.failed("keys and values of %d sequences of %d tokens", slots, context)
}

// store puts a batch's keys and values into their rows and gives the layer's whole cache.
func (c *Cache) store(dev compute.Device, layer int, k, v compute.Tensor, rows compute.Ints) (
	keys, values compute.Tensor) {
	dev.ScatterRows(c.k[layer], k, rows)
	dev.ScatterRows(c.v[layer], v, rows)
	return c.k[layer], c.v[layer]
}

// Append adds tokens of one slot's sequence to b; the first has position pos.
func (c *Cache) Append(b *Batch, slot, pos int, tokens []int32, seq int) {
	base := int32(slot * c.Context)
	for i, id := range tokens {
		p := int32(pos + i)
		b.Tokens = append(b.Tokens, id)
		b.Pos = append(b.Pos, p)
		b.Spans = append(b.Spans, base, base+p+1)
		b.Seq = append(b.Seq, int32(seq))
		b.Rows = append(b.Rows, base+p)
	}
}
