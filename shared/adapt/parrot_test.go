package adapt_test

import (
	"slices"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/answer"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/tokenizer"
)

// parrot is a model made by hand that knows a few texts and answers every question with one of
// them. Embeddings are one-hot and the head is a table of which token follows which. Where an
// answer begins, the MLP adds one feature a text to the stream, and the largest wins. Text k is
// singular direction k of the MLP's last matrix, so z says which text is heard, and the base, z = 1,
// says text 0.
type parrot struct {
	dev   *cpu.Device
	model *llama.Model
	d     *svf.Decomposition
	tok   *tokenizer.Tokenizer
	texts []string
	loud  []float32 // [texts] singular value of each, falling
}

// speechless is the weight that z acts on.
var speechless = svf.Name(0, svf.Down)

func newParrot(t testing.TB, texts ...string) *parrot {
	t.Helper()
	loud := make([]float32, len(texts))
	for k := range loud {
		loud[k] = 1 - 0.1*float32(k)
	}
	return newParrotAs(t, loud, texts...)
}

func newParrotAs(t testing.TB, loud []float32, texts ...string) *parrot {
	t.Helper()
	dev := open(t)
	// Words of several letters become tokens, so that few letters are followed by two others.
	corpus := slices.Repeat(append(slices.Clone(texts), `\boxed{code}`, `\boxed{other}`), 5)
	tok, err := tokenizer.Train(slices.Values(corpus), tokenizer.TrainOptions{
		VocabSize: 256 + 6 + 12, Specials: tokenizer.HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	v := tok.VocabSize()
	c := llama.Config{Vocab: v, Dim: v, Hidden: len(texts), Layers: 1, Heads: 1, KVHeads: 1,
		HeadDim: 2, Context: 128, RopeTheta: 10000, Eps: 1e-5}
	p := &parrot{dev: dev, tok: tok, texts: texts, loud: loud}
	if p.model, err = llama.New(dev, c, compute.F32); err != nil {
		t.Fatal(err)
	}
	numbers := p.weights(t, c)
	err = p.model.Load(func(name string) ([]float32, error) { return numbers[name], nil })
	if err != nil {
		t.Fatal(err)
	}
	one, err := svf.Decompose(dev, speechless, c.Dim, c.Hidden, numbers[speechless])
	if err != nil {
		t.Fatal(err)
	}
	p.d = &svf.Decomposition{Matrices: []svf.Matrix{one},
		Base: checkpoint.HashModel(map[string]checkpoint.Fingerprint{speechless: one.Weight})}
	return p
}

func (p *parrot) special(t testing.TB, name string) int {
	t.Helper()
	id, ok := p.tok.Special(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	return int(id)
}

func (p *parrot) weights(t testing.TB, c llama.Config) map[string][]float32 {
	x := map[string][]float32{}
	for _, s := range c.Tensors() {
		x[s.Name] = make([]float32, s.Rows*s.Cols)
		for i := range x[s.Name] {
			if s.Rows == 1 {
				x[s.Name][i] = 1
			}
		}
	}
	start, end := p.special(t, tokenizer.Assistant), p.special(t, tokenizer.End)
	next := make([]int, c.Vocab)
	for i := range next {
		next[i] = end
	}
	follow := func(a, b int) {
		if next[a] != end && next[a] != b {
			t.Fatalf("%q: token %d is followed by %d and %d", p.texts, a, next[a], b)
		}
		next[a] = b
	}
	first := p.tok.Encode("\x00")[0] // bytes that no text has stand for "text k begins"
	for k, text := range p.texts {
		ids := p.tok.Encode(text)
		follow(int(first)+k, int(ids[0]))
		for i := 1; i < len(ids); i++ {
			follow(int(ids[i-1]), int(ids[i]))
		}
		x[svf.Name(0, svf.Gate)][k*c.Dim+start] = 1
		x[svf.Name(0, svf.Up)][k*c.Dim+start] = 1
		x[speechless][(int(first)+k)*c.Hidden+k] = p.loud[k]
	}
	for i := range c.Vocab {
		x["model.embed_tokens.weight"][i*c.Dim+i] = 1
		x["lm_head.weight"][next[i]*c.Dim+i] = 1
	}
	return x
}

// says is the expert that leaves text k alone and silences the others.
func (p *parrot) says(k int, name string) *svf.Expert {
	z := make([]float32, len(p.texts))
	z[k] = 1
	return p.expert(name, z...)
}

// expert of a z with one number a text.
func (p *parrot) expert(name string, z ...float32) *svf.Expert {
	scope, err := svf.ParseScope("down:0")
	if err != nil {
		panic(err)
	}
	return &svf.Expert{Z: map[string][]float32{speechless: z}, Meta: svf.Meta{
		Parametrisation: svf.Linear, Scope: scope, Base: p.d.Base, Task: name}}
}

func (p *parrot) answerer(t testing.TB) *answer.Answerer {
	t.Helper()
	a, err := answer.New(p.model, p.tok, 8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (p *parrot) dispatcher(t testing.TB, c adapt.Config) *adapt.Dispatcher {
	t.Helper()
	d, err := adapt.NewDispatcher(p.answerer(t), voices(t, p.model, p.d, adapt.VoicesOptions{}), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func voices(t testing.TB, base *llama.Model, d *svf.Decomposition,
	o adapt.VoicesOptions) *adapt.Voices {
	t.Helper()
	v, err := adapt.NewVoices(base, d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestParrot(t *testing.T) {
	p := newParrot(t, `\boxed{math}`, "uvw", "QRS")
	f, err := adapt.NewFolded(p.model, p.d, adapt.FoldedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := p.answerer(t)
	for k, want := range append([]string{p.texts[0]}, p.texts...) {
		use(t, f, nil)
		if k > 0 {
			use(t, f, p.says(k-1, "x"))
		}
		got, err := a.Answer(t.Context(), f.Model(), questions(1))
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Text != want || !got[0].Closed {
			t.Errorf("expert %d says %+v, want %q", k-1, got[0], want)
		}
	}
}

func questions(n int) []answer.Question {
	qs := make([]answer.Question, n)
	for i := range qs {
		qs[i] = answer.Question{Prompt: string(rune('a' + i)), MaxTokens: 20}
	}
	return qs
}
