package train_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/train"
)

// in is b in a form.
func in(b train.Base, f train.Form) train.Base {
	b.Form = f
	return b
}

// state is the trained numbers of a run and their moments.
func state(t *testing.T, s checkpoint.Store) map[string][]float32 {
	t.Helper()
	blob, err := s.Open(train.StateFile)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	f, err := checkpoint.Open(blob, blob.Size())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for _, name := range f.Names() {
		if all[name], err = f.Float32(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// thetaTol bounds θ after some steps in one form against the other's: AdamW divides a gradient by
// its own size, so that the rounding of one near 0 counts. Measured 4e-5 after six steps, most of
// them of 1e-2.
const thetaTol = 1e-3

// Both forms take the same steps, and a run goes on in either.
func TestFormsTrainAlike(t *testing.T) {
	b := base(t)
	run := func(s checkpoint.Store, steps int, b train.Base, kind svf.Parametrisation) {
		t.Helper()
		n := nextToken(t, b, func(c *train.NextTokenConfig) { c.Parametrisation = kind })
		if _, err := train.Run(context.Background(), n, s, train.Options{Steps: steps}); err != nil {
			t.Fatal(err)
		}
	}
	const steps = 6
	for _, kind := range []svf.Parametrisation{svf.Linear, svf.SigmoidNuclear} {
		folded := &checkpoint.Memory{}
		run(folded, steps, in(b, train.Folded), kind)
		want := state(t, folded)
		for first, then := range map[train.Form]train.Form{train.Folded: train.Projected,
			train.Projected: train.Projected, train.Auto: train.Auto} {
			s := &checkpoint.Memory{}
			run(s, steps/2, in(b, first), kind)
			run(s, steps, in(b, then), kind)
			got, worst := state(t, s), 0.0
			for name, x := range want {
				for i, v := range x {
					if !strings.HasSuffix(name, ".weight") {
						continue // moments
					}
					worst = max(worst, math.Abs(float64(v-got[name][i])))
				}
			}
			t.Logf("%s, %s then %s: θ off by at most %.1g", kind, first, then, worst)
			if exact := first == train.Auto; !(worst <= thetaTol) || exact && worst != 0 {
				t.Errorf("%s, %s then %s: θ off by %g", kind, first, then, worst)
			}
		}
	}
}

// A base that is held in few bits is trained as it is held.
func TestProjectedTrainsRoundedBases(t *testing.T) {
	for _, b := range baseAs(t, compute.BF16, compute.Q8, compute.Q4) {
		n := nextToken(t, in(b, train.Projected), func(c *train.NextTokenConfig) {
			c.Batch, c.Schedule.Peak = 8, 0.3
		})
		loss := func(step int) float64 {
			m, err := n.Step(context.Background(), step)
			if err != nil {
				t.Fatal(err)
			}
			return m["loss"]
		}
		first := loss(1)
		for step := 2; step < 12; step++ {
			loss(step)
		}
		again := loss(1) // of the same examples
		held := b.Model.Blocks[0].Gate.W.Type()
		t.Logf("%v: loss %.3f to %.3f", held, first, again)
		// Of a model that was hardly trained z finds little to rescale.
		if !(again < first-0.05) {
			t.Errorf("%v: loss goes from %.3f to %.3f, want it down by 0.05", held, first, again)
		}
		if n.Model().Blocks[0].Gate.W != b.Model.Blocks[0].Gate.W {
			t.Errorf("%v: the policy's weights are not the base's", held)
		}
	}
}

// By default few numbers are folded, and of many the answers at once are bounded by bytes.
func TestSizes(t *testing.T) {
	large := llama.Config{Vocab: 128256, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32, KVHeads: 8,
		HeadDim: 128, Context: 1024}
	long := tiny
	long.Context = 3000
	for _, c := range []struct {
		form    train.Form
		config  llama.Config
		rows, n int
		want    train.Sizes
	}{
		{"", tiny, 0, 6, train.Sizes{Form: train.Folded, Rows: 2048, Slots: 6}},
		{train.Auto, long, 0, 1000, train.Sizes{Form: train.Folded, Rows: 3000, Slots: 256}},
		{train.Projected, tiny, 200, 6, train.Sizes{Form: train.Projected, Rows: 200, Slots: 6}},
		{train.Auto, large, 0, 256, train.Sizes{Form: train.Projected, Rows: 1024, Slots: 256}},
		{train.Folded, large, 0, 256, train.Sizes{Form: train.Folded, Rows: 2048, Slots: 256}},
	} {
		if got, err := c.form.Sizes(c.config, c.rows, c.n); err != nil || got != c.want {
			t.Errorf("%q for %d: %+v (%v), want %+v", c.form, c.n, got, err, c.want)
		}
	}
	_, err := train.Form("both").Sizes(tiny, 0, 1)
	if err == nil || !strings.Contains(err.Error(), "projected") {
		t.Errorf("form both: %v", err)
	}
}

// counting counts what is allocated on a device.
type counting struct {
	compute.Device
	live    map[compute.Buffer]int64
	largest int64 // of what was allocated
}

func (c *counting) add(b compute.Buffer, bytes int64, err error) {
	if err == nil {
		c.live[b] = bytes
		c.largest = max(c.largest, bytes)
	}
}

func (c *counting) NewTensor(rows, cols int) (compute.Tensor, error) {
	t, err := c.Device.NewTensor(rows, cols)
	c.add(t.Buf, 4*int64(rows)*int64(cols), err)
	return t, err
}

func (c *counting) NewInts(n int) (compute.Ints, error) {
	x, err := c.Device.NewInts(n)
	c.add(x.Buf, 4*int64(n), err)
	return x, err
}

func (c *counting) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	w, err := c.Device.NewWeight(t, out, in)
	if err == nil {
		c.add(w, w.Bytes(), nil)
	}
	return w, err
}

func (c *counting) Free(b compute.Buffer) {
	delete(c.live, b)
	c.Device.Free(b)
}

func (c *counting) bytes() (sum int64) {
	for _, n := range c.live {
		sum += n
	}
	return sum
}

// A projected policy takes the bases, what enters each layer, one layer's activations and nothing
// of the size of a weight.
func TestProjectedMemory(t *testing.T) {
	const C, F, L, V, rows, answers = 192, 1536, 3, 300, 16, 2
	dev := &counting{Device: device(t), live: map[compute.Buffer]int64{}}
	m, err := llama.New(dev, llama.Config{Vocab: V, Dim: C, Hidden: F, Layers: L, Heads: 2, KVHeads: 2,
		HeadDim: 16, Context: rows, RopeTheta: 1e4, Eps: 1e-5}, compute.BF16)
	if err != nil {
		t.Fatal(err)
	}
	d := &svf.Decomposition{}
	for _, l := range m.Linears() {
		r := min(l.Out, l.In)
		one := svf.Matrix{Name: l.Name, Out: l.Out, In: l.In, R: r, Left: l.Out <= l.In,
			Sigma: slices.Repeat([]float64{1}, r), Basis: make([]float32, r*r)}
		for i := range r {
			one.Basis[i*r+i] = 1
		}
		d.Matrices = append(d.Matrices, one)
	}
	before := dev.bytes()
	if _, err := m.NewGenerator(answers, rows); err != nil {
		t.Fatal(err)
	}
	generator := dev.bytes() - before
	before, dev.largest = dev.bytes(), 0
	cfg, _ := train.Preset("default")
	cfg.Task, cfg.Scope, cfg.Prompts, cfg.Samples = "brief", "mlp", 1, answers
	if _, err := train.NewReinforcer(cfg, train.Base{Model: m, Tok: vocabulary(t), Decomposition: d,
		Rows: rows, Form: train.Projected}); err != nil {
		t.Fatal(err)
	}
	const (
		A       = 2 * 16                // numbers of a query, a key or a value
		bases   = L * 3 * 2 * 2 * C * C // B and Bᵀ of each matrix in f16
		z       = L * 3 * 4 * 4 * C     // θ, its gradient and moments
		layer   = 4*C + 4*A + 2 + 3*F   // of one row
		ends    = 2 * C                 // what leaves the last layer, and that normed
		back    = 2*C + 4*A + F         // gradients
		turned  = 4*C + 3*C             // in a basis, and the coefficients of three roles
		streams = (L - 1) * C           // what enters the other layers
		acts    = 4 * rows * (2*(layer+ends) + back + turned + streams)
		losses  = 4 * (2*rows*V + 2*256*V)
		lists   = 4 * rows * 32 // tokens, positions, targets, ...: at most
	)
	least := generator + bases + z + acts + losses
	if got := dev.bytes() - before; got < least || got > least+lists {
		t.Errorf("%d bytes, want %d and up to %d for lists: bases %d, activations %d", got, least, lists,
			bases, acts)
	}
	if weight := int64(2 * C * F); dev.largest >= weight {
		t.Errorf("%d bytes were allocated at once, a weight takes %d", dev.largest, weight)
	}
}
