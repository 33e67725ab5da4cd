package adapt

import (
	"context"
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// likelihood computes how probable given texts are after given prompts, by teacher forcing:
//
//	log π(y|x) = Σₜ log π(y[t] | x, y[<t])
type likelihood struct {
	m       *llama.Model
	ws      *llama.Workspace
	cache   *llama.Cache   // one slot of likelihoodRows tokens, which all sequences share
	rows    compute.Ints   // [n] rows of a batch whose next token is judged
	targets compute.Ints   // [n] these tokens
	hidden  compute.Tensor // [n C]
	logits  compute.Tensor // [n V]
	lp      compute.Tensor // [n 1]
	batch   llama.Batch
}

// The sizes of a likelihood: rows of a forward pass and of the cache, rows of logits at once. They
// bound a prompt, so that a model with a long context does not need the memory of it here.
const (
	likelihoodRows = 1024
	judgedRows     = 256
)

// newLikelihood makes room for models of m's shape.
func newLikelihood(m *llama.Model) (*likelihood, error) {
	l := &likelihood{m: m}
	var err error
	tensor := func(rows, cols int) (t compute.Tensor) {
		if err == nil {
			t, err = m.Dev.NewTensor(rows, cols)
		}
		return t
	}
	ints := func(n int) (x compute.Ints) {
		if err == nil {
			x, err = m.Dev.NewInts(n)
		}
		return x
	}
	if l.cache, err = m.NewCache(1, likelihoodRows); err == nil {
		l.ws, err = m.NewWorkspace(likelihoodRows, false)
	}
	l.rows, l.targets = ints(judgedRows), ints(judgedRows)
	l.hidden, l.logits = tensor(judgedRows, m.Dim), tensor(judgedRows, m.Vocab)
	l.lp = tensor(judgedRows, 1)
	if err != nil {
		return nil, fmt.Errorf("adapt: room for likelihoods: %w", err)
	}
	return l, nil
}

// room is the length that a prompt with its longest ending may have.
func (l *likelihood) room() int { return min(likelihoodRows, l.m.Context) }

// of is log π(ending|prompt) under m, a row a prompt and a column an ending. No ending is empty, and
// each prompt with its longest ending must have room. A prompt is read once: its keys and values
// stay in the cache while one ending after another takes the rows behind them.
func (l *likelihood) of(ctx context.Context, m *llama.Model, prompts, endings [][]int32) (
	[][]float64, error) {
	sums := make([][]float64, len(prompts))
	for i := range sums {
		sums[i] = make([]float64, len(endings))
	}
	longest := 0
	for _, e := range endings {
		longest = max(longest, len(e))
	}
	for lo := 0; lo < len(prompts); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hi, rows := lo, 0
		for hi < len(prompts) && rows+len(prompts[hi])+longest <= likelihoodRows {
			rows += len(prompts[hi]) + longest
			hi++
		}
		if hi == lo {
			panic(fmt.Sprintf("adapt: a prompt of %d tokens and an ending of %d, want at most %d",
				len(prompts[lo]), longest, likelihoodRows))
		}
		if err := l.part(m, sums[lo:hi], prompts[lo:hi], endings, longest); err != nil {
			return nil, err
		}
		lo = hi
	}
	return sums, nil
}

// continuation is a sequence whose tokens from from on are judged, with the z of sequence seq.
type continuation struct {
	tokens    []int32
	from, seq int // from ≥ 1
}

// each is log π(tokens[from:] | tokens[:from]) of every continuation under m. All must have room.
func (l *likelihood) each(ctx context.Context, m *llama.Model, cs []continuation) (
	[]float64, error) {
	sums := make([]float64, len(cs))
	for lo := 0; lo < len(cs); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.batch.Reset()
		var rows, targets []int32
		var owner []int
		hi := lo
		for ; hi < len(cs) && len(l.batch.Tokens)+len(cs[hi].tokens) <= likelihoodRows; hi++ {
			c := cs[hi]
			for j := c.from; j < len(c.tokens); j++ {
				rows = append(rows, int32(len(l.batch.Tokens)+j-1)) // it predicts token j
				targets, owner = append(targets, c.tokens[j]), append(owner, hi)
			}
			l.batch.Append(c.tokens, c.seq)
		}
		if hi == lo {
			panic(fmt.Sprintf("adapt: a sequence of %d tokens, want at most %d",
				len(cs[lo].tokens), likelihoodRows))
		}
		m.Forward(l.ws, &l.batch, nil)
		err := l.judge(m, rows, targets, func(i int, lp float64) { sums[owner[i]] += lp })
		if err != nil {
			return nil, err
		}
		lo = hi
	}
	return sums, nil
}

// part is of, for prompts that fit the cache.
func (l *likelihood) part(m *llama.Model, sums [][]float64, prompts, endings [][]int32,
	longest int) error {
	l.batch.Reset()
	base := make([]int, len(prompts))   // of each sequence's rows in the cache
	last := make([]int32, len(prompts)) // row of each prompt's last token in the batch
	next := 0
	for i, p := range prompts {
		base[i] = next
		l.cache.Append(&l.batch, base[i], 0, p, 0)
		last[i] = int32(len(l.batch.Tokens) - 1)
		next += len(p) + longest
	}
	m.Forward(l.ws, &l.batch, l.cache)
	for k, ending := range endings { // their first tokens, before the next pass takes the rows
		targets := make([]int32, len(prompts))
		for i := range targets {
			targets[i] = ending[0]
		}
		err := l.judge(m, last, targets, func(i int, lp float64) { sums[i][k] += lp })
		if err != nil {
			return err
		}
	}
	for k, ending := range endings {
		if len(ending) == 1 {
			continue
		}
		l.batch.Reset()
		var rows, targets []int32
		for i, p := range prompts {
			l.cache.Append(&l.batch, base[i], len(p), ending[:len(ending)-1], 0)
			for _, next := range ending[1:] {
				rows, targets = append(rows, int32(len(rows))), append(targets, next)
			}
		}
		m.Forward(l.ws, &l.batch, l.cache)
		err := l.judge(m, rows, targets, func(i int, lp float64) {
			sums[i/(len(ending)-1)][k] += lp
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// judge calls emit with log π(targets[i]) at row rows[i] of the last forward pass.
func (l *likelihood) judge(m *llama.Model, rows, targets []int32,
	emit func(i int, lp float64)) error {
	host := make([]float32, judgedRows)
	for lo := 0; lo < len(rows); lo += judgedRows {
		n := min(judgedRows, len(rows)-lo)
		r, t := l.rows.Slice(0, n), l.targets.Slice(0, n)
		hidden, logits, lp := l.hidden.Slice(0, n), l.logits.Slice(0, n), l.lp.Slice(0, n)
		m.Dev.WriteInts(r, rows[lo:lo+n])
		m.Dev.WriteInts(t, targets[lo:lo+n])
		m.Dev.GatherRows(hidden, l.ws.Hidden(), r)
		m.Logits(logits, hidden)
		m.Dev.LogProbs(lp, logits, t)
		if err := m.Dev.Read(host[:n], lp); err != nil {
			return err
		}
		for i, v := range host[:n] {
			emit(lo+i, float64(v))
		}
	}
	return nil
}

// free gives back what the package took itself; workspace and cache stay with the device.
func (l *likelihood) free() {
	dev := l.m.Dev
	for _, t := range []*compute.Tensor{&l.hidden, &l.logits, &l.lp} {
		freeTensor(dev, t)
	}
	for _, x := range []compute.Ints{l.rows, l.targets} {
		if !x.IsZero() {
			dev.Free(x.Buf)
		}
	}
}
