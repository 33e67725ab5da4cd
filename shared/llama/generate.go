package llama

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"transformer2/shared/compute"
	"transformer2/shared/sample"
)

// Request is one sequence to continue.
type Request struct {
	Prompt    []int32
	MaxTokens int           // tokens to generate at most; the context may end it earlier
	Sampling  sample.Params // zero: greedy
	Seed      uint64        // of this sequence's sampler
	Seq       int           // which z of the model's adapters
	Stop      []int32       // ids that end it; the stopping id is kept as the last token
	// OnToken, if set, is called with every token and the logits [V] it came from (valid only
	// during the call); false ends the sequence after this token. Those of different requests
	// may be called at the same time.
	OnToken func(id int32, logits []float32) bool
	// NoLogits says that OnToken does without logits, which may then be nil: they need not leave the
	// device where the likeliest tokens are enough to pick from.
	NoLogits bool
}

// Reason says why a sequence ended.
type Reason string

const (
	Stopped   Reason = "stop"    // a stop id, kept as the last token
	Length    Reason = "length"  // MaxTokens
	Full      Reason = "context" // the context is full
	Cancelled Reason = "cancelled"
)

// Result is what was generated for a request.
type Result struct {
	Tokens []int32
	Reason Reason
}

// Generator continues many sequences at once, prompts and single tokens mixed in one batch. Each
// has a slot and as many consecutive rows of the cache as it may need, which the next request takes
// as soon as it ends. A sequence's tokens depend on its own request alone, up to the rounding of
// differently batched sums.
type Generator struct {
	m       *Model
	context int
	cache   *Cache
	pool    pool // the cache's rows
	ws      *Workspace
	slots   []slot
	batch   Batch
	rows    compute.Ints   // last row of each active sequence in the batch
	hidden  compute.Tensor // [slots C]
	logits  compute.Tensor // [slots V]
	host    []float32      // logits read back, whole rows or the largest
	top     compute.Ints   // [slots 2k] the largest, where the device ranks
	topHost []int32
	active  []int // slots whose next token the step picks
	own     owned
	lastRow []int32
}

// slot is the state of one running sequence.
type slot struct {
	req     int     // index of its request, −1 when free
	rows    run     // of the cache
	pos     int     // tokens in the cache
	next    []int32 // those to come: of its prompt, or the one picked last
	sampler *sample.Sampler
	tokens  []int32
	done    Reason
}

// prefillRows is how many prompt tokens a step takes besides one token of every slot.
const prefillRows = 1024

// NewGenerator makes a generator of up to slots sequences at once, each of up to context tokens. Of
// a large model's many sequences fewer run at once where their prompts and answers are long: their
// keys and values share 4 GiB, or what one full context takes.
func (m *Model) NewGenerator(slots, context int) (*Generator, error) {
	context = min(context, m.Context)
	return m.newGenerator(slots, context, m.cacheRows(slots, context), prefillRows)
}

// newGenerator is NewGenerator with so many rows in the cache, and of prompts in a step.
func (m *Model) newGenerator(slots, context, rows, prefill int) (*Generator, error) {
	g := &Generator{m: m, context: min(context, rows), slots: make([]slot, slots)}
	var err error
	if g.cache, err = m.NewCache(1, rows); err != nil {
		return nil, err
	}
	if g.ws, err = m.newWorkspace(slots+min(prefill, rows), 0, false); err != nil {
		g.cache.Free()
		return nil, err
	}
	a := newAllocator(m.Dev)
	g.rows, g.hidden, g.logits = a.ints(slots), a.tensor(slots, m.Dim), a.tensor(slots, m.Vocab)
	g.host = make([]float32, slots*m.Vocab)
	if g.own = a.owned; a.err != nil {
		g.Free()
	}
	return g, a.failed("scores of %d sequences", slots)
}

// Free gives the generator's memory back; it must not run any more.
func (g *Generator) Free() {
	g.cache.Free()
	g.ws.Free()
	g.own.Free()
	if !g.top.IsZero() {
		g.m.Dev.Free(g.top.Buf)
		g.top = compute.Ints{}
	}
}

// Use makes the generator run m, which must have the shape that it was made for: an expert's
// folded weights, say.
func (g *Generator) Use(m *Model) { g.m = m }

// Run continues every request; results come in the requests' order. When ctx ends, what there is
// so far comes back with ctx's error.
func (g *Generator) Run(ctx context.Context, reqs []Request) ([]Result, error) {
	for i, r := range reqs {
		if err := g.check(r); err != nil {
			return nil, fmt.Errorf("llama: request %d: %w", i, err)
		}
	}
	results := make([]Result, len(reqs))
	g.pool.reset(g.cache.Rows)
	for i := range g.slots {
		g.slots[i] = slot{req: -1, tokens: g.slots[i].tokens[:0], sampler: g.slots[i].sampler}
	}
	for next := 0; ; {
		if err := ctx.Err(); err != nil {
			g.retire(reqs, results, Cancelled)
			return results, err
		}
		next = g.fill(reqs, next)
		if len(g.batch.Tokens) == 0 {
			return results, nil
		}
		if err := g.step(reqs); err != nil {
			return results, err
		}
		g.retire(reqs, results, "")
	}
}

func (g *Generator) check(r Request) error {
	switch {
	case len(r.Prompt) == 0:
		return fmt.Errorf("the prompt has no tokens")
	case len(r.Prompt) >= g.context:
		return fmt.Errorf("the prompt has %d tokens, the context holds %d and needs room for one more",
			len(r.Prompt), g.context)
	case r.MaxTokens < 1:
		return fmt.Errorf("%d tokens asked for, want 1 or more", r.MaxTokens)
	}
	return r.Sampling.Validate()
}

// room is how many rows of the cache a request may need: the token picked last is never read.
func (g *Generator) room(r *Request) int {
	return min(len(r.Prompt)+min(r.MaxTokens, g.context)-1, g.context)
}

// fill builds the step's batch: the next token of every running sequence, the rest of a prompt that
// was too long for the last step, then waiting prompts, for as long as there are slots, rows of
// the cache and rows of the batch. It gives the index of the first request left waiting.
func (g *Generator) fill(reqs []Request, next int) int {
	g.batch.Reset()
	g.active, g.lastRow = g.active[:0], g.lastRow[:0]
	for i := range g.slots {
		if s := &g.slots[i]; s.req >= 0 && len(s.next) == 1 {
			g.add(i, reqs[s.req].Seq)
		}
	}
	for i := range g.slots { // those above have nothing left
		if s := &g.slots[i]; s.req >= 0 && len(s.next) > 1 {
			g.add(i, reqs[s.req].Seq)
		}
	}
	for i := range g.slots {
		s := &g.slots[i]
		if s.req >= 0 {
			continue
		}
		if next == len(reqs) || len(g.batch.Tokens) == g.ws.maxRows {
			break
		}
		r := &reqs[next]
		rows, ok := g.pool.take(g.room(r))
		if !ok {
			break
		}
		*s = slot{req: next, rows: rows, next: r.Prompt, tokens: s.tokens[:0], sampler: s.sampler}
		s.sampler = resetSampler(s.sampler, r)
		g.add(i, r.Seq)
		next++
	}
	return next
}

func resetSampler(s *sample.Sampler, r *Request) *sample.Sampler {
	rng := rand.New(rand.NewPCG(r.Seed, 0x7a_65_64_61)) // the stream is arbitrary but fixed
	if s == nil {
		return sample.New(r.Sampling, rng)
	}
	s.Reset(r.Sampling, rng)
	return s
}

// add puts a sequence's next tokens into the batch, as many as it has rows for. The last of them
// makes it active: its next token is picked from that one's scores.
func (g *Generator) add(i, seq int) {
	s := &g.slots[i]
	n := min(len(s.next), g.ws.maxRows-len(g.batch.Tokens))
	g.cache.Append(&g.batch, s.rows.lo, s.pos, s.next[:n], seq)
	s.pos += n
	if s.next = s.next[n:]; len(s.next) > 0 {
		return
	}
	g.active = append(g.active, i)
	g.lastRow = append(g.lastRow, int32(len(g.batch.Tokens)-1))
}

// step runs the batch and picks every active sequence's next token.
func (g *Generator) step(reqs []Request) error {
	m, n := g.m, len(g.active)
	m.Forward(g.ws, &g.batch, g.cache)
	if n == 0 {
		return m.Dev.Submit()
	}
	m.Dev.WriteInts(g.rows.Slice(0, n), g.lastRow)
	m.Dev.GatherRows(g.hidden.Slice(0, n), g.ws.Hidden(), g.rows.Slice(0, n))
	m.Logits(g.logits.Slice(0, n), g.hidden.Slice(0, n))
	k := g.enough(reqs)
	if err := g.read(k); err != nil {
		return err
	}
	if n < parallelFrom {
		g.pick(reqs, k, 0, 1)
		return nil
	}
	var wg sync.WaitGroup
	for i := range pickers {
		wg.Go(func() { g.pick(reqs, k, i, pickers) })
	}
	wg.Wait()
	return nil
}

// worthRanking is how many times larger than what is read back a row must be to be ranked.
const worthRanking = 8

// enough is how many of each row's largest logits all running sequences can be picked from; 0 where
// that is not known, or the device does not rank, or they are not much fewer than all.
func (g *Generator) enough(reqs []Request) int {
	k := 1
	for _, i := range g.active {
		r := &reqs[g.slots[i].req]
		if r.OnToken != nil && !r.NoLogits {
			return 0
		}
		if r.Sampling.Temperature > 0 {
			if r.Sampling.TopK == 0 {
				return 0
			}
			k = max(k, min(r.Sampling.TopK, g.m.Vocab)+1)
		}
	}
	if _, ok := compute.As[compute.Ranker](g.m.Dev); !ok || worthRanking*k > g.m.Vocab {
		return 0
	}
	return k
}

// read brings the k largest logits of every row to the host, or all where k is 0.
func (g *Generator) read(k int) error {
	m, n := g.m, len(g.active)
	logits := g.logits.Slice(0, n)
	if k == 0 {
		return m.Dev.Read(g.host[:n*m.Vocab], logits)
	}
	if size := 2 * k * len(g.slots); g.top.N < size {
		if !g.top.IsZero() {
			m.Dev.Free(g.top.Buf)
			g.top = compute.Ints{}
		}
		var err error
		if g.top, err = m.Dev.NewInts(size); err != nil {
			return err
		}
		g.topHost = make([]int32, size)
	}
	ranker, _ := compute.As[compute.Ranker](m.Dev)
	ranker.TopK(g.top.Slice(0, 2*k*n), logits, k)
	if err := m.Dev.ReadInts(g.topHost[:2*k*n], g.top.Slice(0, 2*k*n)); err != nil {
		return err
	}
	for i := range n {
		for j, b := range g.topHost[2*k*i+k : 2*k*(i+1)] {
			g.host[i*k+j] = math.Float32frombits(uint32(b))
		}
	}
	return nil
}

// From parallelFrom rows on, sampling is worth goroutines of its own.
const (
	parallelFrom = 16
	pickers      = 4
)

// pick picks the next token of every stride-th running sequence from first on, out of the k largest
// logits or of all.
func (g *Generator) pick(reqs []Request, k, first, stride int) {
	V := g.m.Vocab
	for i := first; i < len(g.active); i += stride {
		s := &g.slots[g.active[i]]
		if k > 0 {
			places, logits := g.topHost[2*k*i:2*k*i+k], g.host[i*k:(i+1)*k]
			s.take(&reqs[s.req], s.sampler.SampleFrom(places, logits), nil, g.context)
			continue
		}
		logits := g.host[i*V : (i+1)*V]
		s.take(&reqs[s.req], s.sampler.Sample(logits), logits, g.context)
	}
}

// take makes id the sequence's next token.
func (s *slot) take(r *Request, id int32, logits []float32, context int) {
	s.tokens = append(s.tokens, id)
	s.next = s.tokens[len(s.tokens)-1:]
	goOn := r.OnToken == nil || r.OnToken(id, logits)
	for _, stop := range r.Stop {
		if id == stop {
			s.done = Stopped
			return
		}
	}
	switch {
	case !goOn:
		s.done = Stopped
	case len(s.tokens) == r.MaxTokens:
		s.done = Length
	case s.pos >= context:
		s.done = Full
	}
}

// retire hands over what has ended, or everything when all is set.
func (g *Generator) retire(reqs []Request, results []Result, all Reason) {
	for i := range g.slots {
		s := &g.slots[i]
		if s.req < 0 {
			continue
		}
		if s.done == "" {
			s.done = all
		}
		if s.done != "" {
			results[s.req] = Result{Tokens: append([]int32(nil), s.tokens...), Reason: s.done}
			g.pool.give(s.rows)
			s.req = -1
		}
	}
}

// LogProb is log softmax(logits)[id], in f64.
func LogProb(logits []float32, id int32) float64 {
	logZ, _ := sample.LogZ(logits)
	return float64(logits[id]) - logZ
}
