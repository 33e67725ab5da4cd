package adapt

import (
	"context"
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// continuation is a sequence of tokens whose part from from on is to be judged.
type continuation struct {
	tokens []int32
	from   int // ≥ 1
}

// likelihood computes log p(tokens[from:] | tokens[:from]) by teacher forcing, many sequences in a
// batch.
type likelihood struct {
	m       *llama.Model
	ws      *llama.Workspace
	maxRows int
	rows    compute.Ints   // [n] batch rows that predict a judged token
	targets compute.Ints   // [n] these tokens
	hidden  compute.Tensor // [n C]
	logits  compute.Tensor // [n V]
	lp      compute.Tensor // [n 1]
	batch   llama.Batch
}

// The sizes of a likelihood: rows of a forward pass, and rows of logits at once.
const (
	likelihoodRows = 1024
	judgedRows     = 256
)

// newLikelihood makes room for models of m's shape.
func newLikelihood(m *llama.Model) (*likelihood, error) {
	l := &likelihood{m: m, maxRows: max(likelihoodRows, m.Context)}
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
	l.ws, err = m.NewWorkspace(l.maxRows, false)
	l.rows, l.targets = ints(judgedRows), ints(judgedRows)
	l.hidden, l.logits = tensor(judgedRows, m.Dim), tensor(judgedRows, m.Vocab)
	l.lp = tensor(judgedRows, 1)
	if err != nil {
		return nil, fmt.Errorf("adapt: room for likelihoods: %w", err)
	}
	return l, nil
}

// of judges every continuation under m. Each must fit the context.
func (l *likelihood) of(ctx context.Context, m *llama.Model, cs []continuation) ([]float64, error) {
	sums := make([]float64, len(cs))
	for lo := 0; lo < len(cs); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.batch.Reset()
		hi := lo
		for hi < len(cs) && len(l.batch.Tokens)+len(cs[hi].tokens) <= l.maxRows {
			l.batch.Append(cs[hi].tokens, 0)
			hi++
		}
		if hi == lo {
			panic(fmt.Sprintf("adapt: a sequence of %d tokens, want at most %d",
				len(cs[lo].tokens), l.maxRows))
		}
		m.Forward(l.ws, &l.batch, nil)
		if err := l.sum(sums[lo:hi], m, cs[lo:hi]); err != nil {
			return nil, err
		}
		lo = hi
	}
	return sums, nil
}

// sum adds up the log-probabilities of the judged tokens of the last forward pass, which held cs.
func (l *likelihood) sum(sums []float64, m *llama.Model, cs []continuation) error {
	var rows, targets []int32
	var owner []int
	at := 0
	for i, c := range cs {
		for j := c.from; j < len(c.tokens); j++ {
			rows = append(rows, int32(at+j-1)) // the row before predicts the token
			targets = append(targets, c.tokens[j])
			owner = append(owner, i)
		}
		at += len(c.tokens)
	}
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
			sums[owner[lo+i]] += float64(v)
		}
	}
	return nil
}

// free gives back what the package took itself; the workspace stays with the device.
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
