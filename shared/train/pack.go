package train

import "transformer2/shared/llama"

// Example is a sequence to learn from. Weights[i] says how much predicting Tokens[i+1] from what
// precedes it counts; it has one number less than Tokens.
type Example struct {
	Tokens  []int32
	Weights []float32
	// KL is what the divergence from the reference counts, at each token from Tokens[Start] on.
	KL    float32
	Start int
}

// micro is as many whole examples as a workspace has rows for. Rows that predict nothing have
// target −1.
type micro struct {
	llama.Batch
	targets []int32   // [T]
	weights []float32 // [T]
	kl      []float32 // [T] weight of the row's divergence
}

// add appends an example if it fits into rows.
func (m *micro) add(e Example, seq, rows int) bool {
	// The last token is only ever a target: it needs no row of its own.
	n := len(e.Tokens) - 1
	if len(m.Tokens)+n > rows {
		return false
	}
	m.Append(e.Tokens[:n], seq)
	for i, w := range e.Weights[:n] {
		target := e.Tokens[i+1]
		if w == 0 {
			target = -1
		}
		m.targets = append(m.targets, target)
		m.weights = append(m.weights, w)
		kl := e.KL
		if i+1 < e.Start {
			kl = 0
		}
		m.kl = append(m.kl, kl)
	}
	return true
}

// pack puts examples, in order, into batches of at most rows rows.
func pack(examples []Example, rows int) []*micro {
	var out []*micro
	for i, e := range examples {
		if len(e.Tokens) < 2 || len(e.Tokens)-1 > rows {
			continue
		}
		if len(out) == 0 || !out[len(out)-1].add(e, i, rows) {
			m := &micro{}
			m.add(e, i, rows)
			out = append(out, m)
		}
	}
	return out
}

// totalWeight is the sum of all weights, in f64.
func totalWeight(batches []*micro) float64 {
	sum := 0.0
	for _, m := range batches {
		for _, w := range m.weights {
			sum += float64(w)
		}
	}
	return sum
}
