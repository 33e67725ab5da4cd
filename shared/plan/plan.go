// Package plan answers: how much memory and time will a model take, before any of it is spent?
//
// Bytes come from the code that would take them: it is run on a device that counts and holds
// nothing (count.go), with formulas for what lies beside the model. Seconds are operations and
// bytes over rates that are measured on the machine.
package plan

import (
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/llama"
)

// Rates are what a machine does in a second.
type Rates struct {
	Load    float64 // bytes of a weights' file in bf16 that are read, converted, hashed and packed
	Touch   float64 // bytes of memory that the system gives and that are written for the first time
	Stream  float64 // bytes of weights that products with one row read, of a model as large
	Product float64 // operations of products of many rows, f32, all orientations
	Basis   float64 // operations of a decomposition, f64, as linalg.BasisOps counts them
}

// Model is what is planned for.
type Model struct {
	Config llama.Config
	Stored llama.Stored // how its files hold it
	Held   llama.Held   // how it is held
	File   int64        // bytes of its weights' files
	// Workers are how many of its matrices are decomposed at once; 0 is 1.
	Workers  int
	Training Training
}

// Work is something that is done with the model.
type Work struct {
	Name    string  // load, serve, adapt, decompose, train
	Bytes   int64   // all that is held at once, the model among it
	Seconds float64 // of one Unit
	Unit    string
}

// Of plans loading a model, answering as it, answering as an expert (which folds the expert into
// the weights), decomposing all of its matrices, and training an expert.
func Of(m Model, r Rates) ([]Work, error) {
	model, err := modelBytes(m)
	if err != nil {
		return nil, err
	}
	serve, err := conversationBytes(m)
	if err != nil {
		return nil, err
	}
	training, gradient, err := trains(m)
	if err != nil {
		return nil, err
	}
	load := program + perToken*int64(m.Config.Vocab) + model // rows are packed as they are read
	t := totals(m)
	decompose := program + int64(max(m.Workers, 1))*t.decompose
	return []Work{
		{"load", load, float64(m.File)/r.Load + float64(load)/r.Touch, "model"},
		{"serve", load + serve, t.read / r.Stream, "token"},
		{"adapt", load + serve + t.fold,
			2*t.factor/r.Product + t.moved/(2*r.Load) + float64(t.fold)/r.Touch, "expert"},
		{"decompose", decompose, t.basis / r.Basis, "model"},
		{"train", load + training, gradient / r.Product, "2048 tokens"},
	}, nil
}

// sums are what all matrices of a model take together, or the largest of them.
type sums struct {
	decompose, fold int64
	basis, factor   float64 // operations of decomposing, of one product of a matrix and its basis
	moved           float64 // bytes of f32 that are read or unpacked where an expert is folded in
	read            float64 // bytes that a token reads
}

func totals(m Model) (t sums) {
	c := m.Config
	for _, s := range c.Linears() {
		out, in := float64(s.Rows), float64(s.Cols)
		t.decompose = max(t.decompose, linalg.BasisBytes(s.Rows, s.Cols)+basisBytes(s))
		t.fold += foldBytes(m.Held.Matrices, s)
		t.basis += linalg.BasisOps(s.Rows, s.Cols)
		t.factor += 2 * out * in * min(out, in)
		t.moved += float64(basisBytes(s)) + 4*out*in
		t.read += float64(weightBytes(m.Held.Matrices, s.Rows, s.Cols))
	}
	// Matrices take turns in two f32 of the largest; bases are read one at a time and scaled.
	t.fold += 8*int64(largestLinear(c)) + 8*square(largestRank(c))
	t.read += float64(weightBytes(m.Held.Head, c.Vocab, c.Dim)) +
		8*float64(c.Context)*float64(c.Layers*c.KVHeads*c.HeadDim)
	return t
}

// What the process takes besides a model: itself, and its tokenizer with what reading that took,
// 8 MB for Llama 2's 32,000 tokens.
const (
	program  = 8 << 20
	perToken = 250
)

func largestLinear(c llama.Config) (n int) {
	for _, s := range c.Linears() {
		n = max(n, s.Rows*s.Cols)
	}
	return n
}

func largestRank(c llama.Config) (r int) {
	for _, s := range c.Linears() {
		r = max(r, min(s.Rows, s.Cols))
	}
	return r
}

func square(n int) int64 { return int64(n) * int64(n) }

// basisBytes is a matrix's singular basis in f32 and its σ in f64.
func basisBytes(s llama.TensorSpec) int64 {
	r := min(s.Rows, s.Cols)
	return 4*square(r) + 8*int64(r)
}

// foldBytes is what an expert's matrix takes: W' as W is held, and both factors of W in f32.
func foldBytes(held compute.DType, s llama.TensorSpec) int64 {
	return weightBytes(held, s.Rows, s.Cols) + 4*int64(s.Rows+s.Cols)*int64(min(s.Rows, s.Cols))
}

// modelBytes is the model itself.
func modelBytes(m Model) (int64, error) {
	c := &counter{}
	_, err := llama.NewHeld(c, m.Config, m.Held)
	return c.bytes, err
}

// conversationBytes is what answering one prompt at a time takes beside the model.
func conversationBytes(m Model) (int64, error) {
	n, err := within(m, func(lm *llama.Model) error {
		_, err := lm.NewGenerator(1, m.Config.Context)
		return err
	})
	return n + 4*int64(m.Config.Vocab), err // the logits, read back
}

// within counts what f takes beside the model.
func within(m Model, f func(*llama.Model) error) (int64, error) {
	c := &counter{}
	lm, err := llama.NewHeld(c, m.Config, m.Held)
	if err != nil {
		return 0, err
	}
	model := c.bytes
	err = f(lm)
	return c.bytes - model, err
}
