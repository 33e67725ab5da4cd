package llama

import (
	"fmt"

	"transformer2/shared/compute"
)

// Cache is the kv cache: rows of keys and values of every layer. A sequence takes a run of them:
// where its run begins at row base, its token p is row base+p.
type Cache struct {
	Rows int
	k, v []compute.Tensor // a layer each, [Rows G·D]
	owned
}

// NewCache makes an empty cache with room for so many sequences of up to context tokens.
func (m *Model) NewCache(sequences, context int) (*Cache, error) {
	a := newAllocator(m.Dev)
	c := &Cache{Rows: sequences * context}
	for range m.Blocks {
		c.k = append(c.k, a.tensor(c.Rows, m.KVHeads*m.HeadDim))
		c.v = append(c.v, a.tensor(c.Rows, m.KVHeads*m.HeadDim))
	}
	if c.owned = a.owned; a.err != nil {
		c.Free()
	}
	return c, a.failed("keys and values of %d tokens", c.Rows)
}

// manyBytes bounds the keys and values of many sequences at once: a question and its answer take
// some hundred rows, the context may be a hundred thousand.
const manyBytes = 4 << 30

// cacheRows is how many rows slots sequences of up to context tokens share: all that they could
// take where that is at most manyBytes, otherwise as many as that holds, and no fewer than one of
// them could take.
func (c *Config) cacheRows(slots, context int) int {
	row := int64(2 * 4 * c.Layers * c.KVHeads * c.HeadDim) // keys and values, f32
	return min(slots*context, max(context, int(manyBytes/row)))
}

// store puts a batch's keys and values into their rows and gives the layer's whole cache.
func (c *Cache) store(dev compute.Device, layer int, k, v compute.Tensor, rows compute.Ints) (
	keys, values compute.Tensor) {
	dev.ScatterRows(c.k[layer], k, rows)
	dev.ScatterRows(c.v[layer], v, rows)
	return c.k[layer], c.v[layer]
}

// Append adds tokens of the sequence whose rows begin at base to b; the first has position pos.
func (c *Cache) Append(b *Batch, base, pos int, tokens []int32, seq int) {
	if end := base + pos + len(tokens); base < 0 || pos < 0 || end > c.Rows {
		panic(fmt.Sprintf("llama: rows %d to %d of a cache of %d", base+pos, end, c.Rows))
	}
	for i, id := range tokens {
		p := int32(base + pos + i)
		b.Tokens = append(b.Tokens, id)
		b.Pos = append(b.Pos, int32(pos+i))
		b.Spans = append(b.Spans, int32(base), p+1)
		b.Seq = append(b.Seq, int32(seq))
		b.Rows = append(b.Rows, p)
	}
}
