package pretrained

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// gguf is a model in one GGUF file.
type gguf struct {
	files fs.FS
	name  string
	o     Options
}

// with opens the file for as long as f runs.
func (g *gguf) with(f func(*checkpoint.GGUF) error) error {
	blob, err := engine.OpenBlob(g.files, g.name)
	if err != nil {
		return err
	}
	defer blob.Close()
	file, err := checkpoint.OpenGGUF(blob, blob.Size())
	if err == nil {
		err = f(file)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	return nil
}

// Config is the shape that the metadata tells.
func (g *gguf) Config() (c llama.Config, err error) {
	err = g.with(func(file *checkpoint.GGUF) (err error) {
		c, err = ggufConfig(file)
		return err
	})
	c.Context = g.o.limited(c.Context)
	return c, err
}

// metadata reads typed values; it keeps the first that is of another type than wanted.
type metadata struct {
	values map[string]any
	err    error
}

// get reads the value of a key into dst and reports whether there is one.
func get[T any](m *metadata, key string, dst *T) bool {
	v, ok := m.values[key]
	if !ok {
		return false
	}
	typed, ok := v.(T)
	if !ok && m.err == nil {
		m.err = fmt.Errorf("metadata %s is of type %T, want %T", key, v, *dst)
	}
	if ok {
		*dst = typed
	}
	return ok
}

// number reads an integer that fits a shape.
func (m *metadata) number(key string, dst *int) bool {
	v := int64(*dst)
	found := get(m, key, &v)
	if found && v != int64(int32(v)) && m.err == nil {
		m.err = fmt.Errorf("metadata %s is %d, want an integer of 32 bits", key, v)
	}
	*dst = int(v)
	return found
}

func ggufConfig(file *checkpoint.GGUF) (llama.Config, error) {
	m := &metadata{values: file.Values()}
	architecture := ""
	get(m, "general.architecture", &architecture)
	if m.err == nil && architecture != "llama" {
		return llama.Config{}, fmt.Errorf("general.architecture is %.40q, want llama", architecture)
	}
	c := llama.Config{RopeTheta: 10000}
	embed, _ := file.Tensor(engine.GGUFName(llama.EmbedName))
	if len(embed.Shape) == 2 {
		c.Vocab = embed.Shape[0]
	}
	eps, experts := 1e-5, 0
	m.number("llama.context_length", &c.Context)
	m.number("llama.embedding_length", &c.Dim)
	m.number("llama.feed_forward_length", &c.Hidden)
	m.number("llama.block_count", &c.Layers)
	m.number("llama.attention.head_count", &c.Heads)
	m.number("llama.attention.sliding_window", &c.Window)
	m.number("llama.expert_count", &experts)
	get(m, "llama.attention.layer_norm_rms_epsilon", &eps)
	get(m, "llama.rope.freq_base", &c.RopeTheta)
	c.Eps = float32(eps)
	if !m.number("llama.attention.head_count_kv", &c.KVHeads) {
		c.KVHeads = c.Heads
	}
	if c.Heads > 0 {
		c.HeadDim = c.Dim / c.Heads
	}
	m.number("llama.attention.key_length", &c.HeadDim)
	value, turned := c.HeadDim, c.HeadDim
	m.number("llama.attention.value_length", &value)
	m.number("llama.rope.dimension_count", &turned)
	if m.err == nil && (value != c.HeadDim || turned != c.HeadDim || experts > 0) {
		m.err = fmt.Errorf("heads of %d with values of %d, of which %d turn, and %d experts; want "+
			"one width for all and no experts", c.HeadDim, value, turned, experts)
	}
	_, untied := file.Tensor("output.weight")
	c.Tied = !untied
	if err := ggufRope(file, m, &c); err != nil {
		return c, err
	}
	if m.err != nil {
		return c, m.err
	}
	return c, c.Validate()
}

// ggufRope reads how positions are stretched: by one factor, or by a tensor of divisors.
func ggufRope(file *checkpoint.GGUF, m *metadata, c *llama.Config) error {
	kind, factor := "none", 1.0
	get(m, "llama.rope.scaling.type", &kind)
	get(m, "llama.rope.scaling.factor", &factor)
	switch kind {
	case "none":
	case "linear":
		c.RopeScaling = llama.RopeScaling{Kind: "linear", Factor: factor}
	default:
		return fmt.Errorf("llama.rope.scaling.type is %.40q, want none or linear", kind)
	}
	info, ok := file.Tensor(engine.RopeDivisors)
	if !ok {
		return nil
	}
	if !slices.Equal(info.Shape, []int{c.HeadDim / 2}) {
		return fmt.Errorf("tensor %q is %v, want [%d]", engine.RopeDivisors, info, c.HeadDim/2)
	}
	c.RopeScaling = llama.RopeScaling{Divisors: make([]float32, c.HeadDim/2)}
	return file.ReadInto(engine.RopeDivisors, c.RopeScaling.Divisors, checkpoint.Finite)
}

// Weights opens the tensors under the names of the program's own checkpoints.
func (g *gguf) Weights(f func(checkpoint.Source) error) error {
	return g.with(func(file *checkpoint.GGUF) error {
		c, err := ggufConfig(file)
		if err != nil {
			return err
		}
		r, err := newRenamed(file, c)
		if err != nil {
			return err
		}
		return f(r)
	})
}

// renamed is a GGUF's tensors as the program's own checkpoints have them.
type renamed struct {
	file  *checkpoint.GGUF
	names map[string]bool
	heads map[string]int // of a matrix whose rows GGUF orders otherwise
	dim   int            // rows of a head
}

// newRenamed refuses a tensor that a model of the config does not have: what it is for is not
// known.
func newRenamed(file *checkpoint.GGUF, c llama.Config) (checkpoint.Source, error) {
	r := renamed{file: file, names: map[string]bool{}, heads: map[string]int{}, dim: c.HeadDim}
	known := map[string]bool{engine.RopeDivisors: true}
	for _, spec := range c.Tensors() {
		r.names[spec.Name] = true
		r.heads[spec.Name] = engine.TurnedHeads(c, spec.Name)
		known[engine.GGUFName(spec.Name)] = true
	}
	for _, name := range file.Names() {
		if !known[name] {
			return nil, fmt.Errorf("tensor %.60q is none of a Llama's", name)
		}
	}
	return r, nil
}

func (r renamed) Names() []string {
	var names []string
	for name := range r.names {
		if _, ok := r.Tensor(name); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (r renamed) Tensor(name string) (checkpoint.Info, bool) {
	if !r.names[name] {
		return checkpoint.Info{}, false
	}
	return r.file.Tensor(engine.GGUFName(name))
}

func (r renamed) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	if !r.names[name] {
		return fmt.Errorf("a Llama has no tensor %q", name)
	}
	if err := r.file.ReadInto(engine.GGUFName(name), dst, opts...); err != nil {
		return err
	}
	info, _ := r.Tensor(name)
	if heads := r.heads[name]; heads > 0 && len(dst) != info.Len() {
		return fmt.Errorf("tensor %q is read whole, as its rows are in another order", name)
	} else if heads > 0 && len(dst)%(heads*r.dim) == 0 {
		engine.Deinterleave(dst, heads, r.dim, len(dst)/(heads*r.dim))
	}
	return nil
}

// ReadRange reads whole rows of queries and of keys, whose pairs are neighbours in the file.
func (r renamed) ReadRange(name string, at int, dst []float32, opts ...checkpoint.Option) error {
	if r.heads[name] == 0 {
		return r.file.ReadRange(engine.GGUFName(name), at, dst, opts...)
	}
	return r.eachRow(name, at, len(dst), func(i, cols, from int) error {
		return r.file.ReadRange(engine.GGUFName(name), from, dst[i:i+cols], opts...)
	})
}

// ReadBytes copies whole rows of queries and of keys, of two bytes a number.
func (r renamed) ReadBytes(name string, at int, dst []byte) error {
	if r.heads[name] == 0 {
		return r.file.ReadBytes(engine.GGUFName(name), at, dst)
	}
	if info, _ := r.Tensor(name); info.DType != checkpoint.BF16 && info.DType != checkpoint.F16 {
		return fmt.Errorf("tensor %q is %v, want two bytes a number", name, info)
	}
	return r.eachRow(name, at, len(dst)/2, func(i, cols, from int) error {
		return r.file.ReadBytes(engine.GGUFName(name), from, dst[2*i:2*(i+cols)])
	})
}

// eachRow calls f for the rows of n numbers from number at on: number i of them begins one of cols
// numbers, which in the file begins with number from.
func (r renamed) eachRow(name string, at, n int, f func(i, cols, from int) error) error {
	info, ok := r.Tensor(name)
	if !ok {
		return fmt.Errorf("a Llama has no tensor %q", name)
	}
	cols := info.Shape[len(info.Shape)-1]
	if cols == 0 || at%cols != 0 || n%cols != 0 || r.heads[name]*r.dim*cols != info.Len() {
		return fmt.Errorf("tensor %q is %v, want whole rows of %d heads", name, info, r.heads[name])
	}
	for i := 0; i < n; i += cols {
		if err := f(i, cols, engine.PairedRow((at+i)/cols, r.dim)*cols); err != nil {
			return err
		}
	}
	return nil
}

func (r renamed) Metadata() map[string]string { return r.file.Metadata() }

// Tokenizer is the embedded vocabulary.
func (g *gguf) Tokenizer() (t *tokenizer.Tokenizer, err error) {
	err = g.with(func(file *checkpoint.GGUF) (err error) {
		t, err = ggufTokenizer(file)
		return err
	})
	return t, err
}

// ggufPatterns are GGUF's names of split patterns. Those of Llama 3 keep whole words.
var ggufPatterns = map[string]struct {
	pattern string
	whole   bool
}{
	"llama-bpe": {tokenizer.PatternLlama3, true}, "llama3": {tokenizer.PatternLlama3, true},
	"llama-v3": {tokenizer.PatternLlama3, true}, "qwen2": {tokenizer.PatternSingleDigit, false},
}

func ggufTokenizer(file *checkpoint.GGUF) (*tokenizer.Tokenizer, error) {
	m := &metadata{values: file.Values()}
	const p = "tokenizer.ggml."
	var kind, pre string
	var texts, merges []string
	var kinds []int32
	var scores []float32
	prefix := true
	get(m, p+"model", &kind)
	get(m, p+"pre", &pre)
	get(m, p+"tokens", &texts)
	get(m, p+"token_type", &kinds)
	get(m, p+"scores", &scores)
	get(m, p+"merges", &merges)
	get(m, p+"add_space_prefix", &prefix)
	var f facts
	get(m, "tokenizer.chat_template", &f.jinja)
	get(m, "general.name", &f.name)
	for _, key := range []string{"eos", "eot", "eom"} {
		id := -1
		if m.number(p+key+"_token_id", &id) && id >= 0 && id < len(texts) {
			f.eos = union(f.eos, []int32{int32(id)})
		}
	}
	switch {
	case m.err != nil:
		return nil, m.err
	case len(texts) == 0:
		return nil, fmt.Errorf("it has no vocabulary (%stokens)", p)
	case len(kinds) != len(texts):
		return nil, fmt.Errorf("%d tokens with %d types", len(texts), len(kinds))
	case kind == "llama" && len(scores) != len(texts):
		return nil, fmt.Errorf("%d tokens with %d scores", len(texts), len(scores))
	}
	entries := make([]tokenizer.Entry, len(texts))
	for i := range entries {
		entries[i] = tokenizer.Entry{Text: texts[i], Kind: tokenizer.EntryKind(kinds[i])}
		if kind == "llama" {
			entries[i].Score = scores[i]
		}
	}
	t, err := ggufVocabulary(kind, pre, entries, merges, prefix)
	if err != nil {
		return nil, err
	}
	return f.style(t), nil
}

func ggufVocabulary(kind, pre string, entries []tokenizer.Entry, merges []string, prefix bool) (
	*tokenizer.Tokenizer, error) {
	switch kind {
	case "llama":
		return tokenizer.NewSentencePiece(entries, prefix)
	case "gpt2":
		split, ok := ggufPatterns[strings.ToLower(pre)]
		if !ok {
			return nil, fmt.Errorf("tokenizer.ggml.pre is %.40q, want llama-bpe or qwen2", pre)
		}
		return tokenizer.NewByteLevel(entries, merges, split.pattern, split.whole)
	}
	return nil, fmt.Errorf("tokenizer.ggml.model is %.40q, want llama or gpt2", kind)
}
