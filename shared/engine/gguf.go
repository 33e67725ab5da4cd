package engine

import (
	"context"
	"fmt"
	"io"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// WriteGGUF writes the model as a voice has it, z folded into the weights, for programs that read
// GGUF, such as llama.cpp. Matrices are held as t and gains as f32.
func (s *Session) WriteGGUF(ctx context.Context, w io.Writer, v Voice,
	t checkpoint.GGUFType) error {
	m, err := s.weightsOf(ctx, v)
	if err != nil {
		return err
	}
	meta, err := ggufMeta(s.Model, v, t)
	if err != nil {
		return err
	}
	return checkpoint.WriteGGUF(w, meta, ggufTensors(m, t))
}

// ggufFileTypes are llama.cpp's numbers for a file that is mostly of a type.
var ggufFileTypes = map[checkpoint.GGUFType]uint32{checkpoint.GGUFF32: 0, checkpoint.GGUFF16: 1,
	checkpoint.GGUFQ8: 7, checkpoint.GGUFBF16: 32}

func ggufMeta(m *Model, v Voice, t checkpoint.GGUFType) ([]checkpoint.GGUFValue, error) {
	c := m.LM.Config
	name := m.Name
	if v.Expert != nil {
		name += " as " + v.Name
	}
	meta := []checkpoint.GGUFValue{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.name", Value: name},
		{Key: "general.file_type", Value: ggufFileTypes[t]},
		{Key: "llama.context_length", Value: uint32(c.Context)},
		{Key: "llama.embedding_length", Value: uint32(c.Dim)},
		{Key: "llama.feed_forward_length", Value: uint32(c.Hidden)},
		{Key: "llama.block_count", Value: uint32(c.Layers)},
		{Key: "llama.attention.head_count", Value: uint32(c.Heads)},
		{Key: "llama.attention.head_count_kv", Value: uint32(c.KVHeads)},
		{Key: "llama.attention.key_length", Value: uint32(c.HeadDim)},
		{Key: "llama.attention.value_length", Value: uint32(c.HeadDim)},
		{Key: "llama.rope.dimension_count", Value: uint32(c.HeadDim)},
		{Key: "llama.rope.freq_base", Value: float32(c.RopeTheta)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: c.Eps},
		{Key: "llama.vocab_size", Value: uint32(c.Vocab)},
	}
	if c.Window > 0 {
		meta = append(meta, checkpoint.GGUFValue{Key: "llama.attention.sliding_window",
			Value: uint32(c.Window)})
	}
	vocabulary, err := ggufVocabulary(m.Tok, c.Vocab)
	return append(meta, vocabulary...), err
}

// ggufVocabulary is the tokenizer under the names that llama.cpp reads. Rows of the embedding that
// have no token are named [unused N].
func ggufVocabulary(tok *tokenizer.Tokenizer, vocab int) ([]checkpoint.GGUFValue, error) {
	tokens, kinds, scores := make([]string, vocab), make([]int32, vocab), make([]float32, vocab)
	entries := tok.Entries()
	for id := range vocab {
		if id >= len(entries) || entries[id].Kind == tokenizer.EntryUnused {
			tokens[id], kinds[id] = fmt.Sprintf("[unused %d]", id), int32(tokenizer.EntryUnused)
			continue
		}
		e := entries[id]
		tokens[id], kinds[id], scores[id] = e.Text, int32(e.Kind), e.Score
	}
	values, err := ggufModel(tok, scores)
	if err != nil {
		return nil, err
	}
	values = append(values,
		checkpoint.GGUFValue{Key: "tokenizer.ggml.tokens", Value: tokens},
		checkpoint.GGUFValue{Key: "tokenizer.ggml.token_type", Value: kinds},
		// A prompt's template brings it.
		checkpoint.GGUFValue{Key: "tokenizer.ggml.add_bos_token", Value: false})
	special := func(key string, id int32) {
		values = append(values, checkpoint.GGUFValue{Key: "tokenizer.ggml." + key + "_token_id",
			Value: uint32(id)})
	}
	if id, ok := tok.Begins(); ok {
		special("bos", id)
	}
	if stops := tok.Stops(); len(stops) > 0 {
		special("eos", stops[0])
	}
	if id, ok := tok.Special(tokenizer.Pad); ok {
		special("padding", id)
	}
	if jinja := tok.Jinja(); jinja != "" {
		values = append(values, checkpoint.GGUFValue{Key: "tokenizer.chat_template", Value: jinja})
	}
	return values, nil
}

// ggufModel is what tells how the tokens merge: scores, or merges and a pattern.
func ggufModel(tok *tokenizer.Tokenizer, scores []float32) ([]checkpoint.GGUFValue, error) {
	if pieces, prefix := tok.SentencePiece(); pieces {
		return []checkpoint.GGUFValue{
			{Key: "tokenizer.ggml.model", Value: "llama"},
			{Key: "tokenizer.ggml.pre", Value: "default"},
			{Key: "tokenizer.ggml.scores", Value: scores},
			{Key: "tokenizer.ggml.add_space_prefix", Value: prefix},
		}, nil
	}
	pre, ok := map[string]string{tokenizer.PatternLlama3: "llama-bpe",
		tokenizer.PatternSingleDigit: "qwen2"}[tok.Pattern()]
	if !ok {
		return nil, fmt.Errorf("the tokenizer splits by the pattern %q, for which GGUF has no name",
			tok.Pattern())
	}
	return []checkpoint.GGUFValue{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: pre},
		{Key: "tokenizer.ggml.merges", Value: tok.Merges()},
	}, nil
}

// ggufTensors are the tensors of m, read from the device one at a time as they are written.
func ggufTensors(m *llama.Model, t checkpoint.GGUFType) []checkpoint.GGUFTensor {
	var tensors []checkpoint.GGUFTensor
	for _, spec := range m.Tensors() {
		g := checkpoint.GGUFTensor{Name: GGUFName(spec.Name), Type: t, Rows: spec.Rows, Cols: spec.Cols}
		if spec.Rows == 1 {
			g.Type = checkpoint.GGUFF32
		}
		heads := TurnedHeads(m.Config, spec.Name)
		g.Data = func() ([]float32, error) {
			data, err := m.ReadTensor(spec.Name)
			if err == nil && heads > 0 {
				data = interleave(data, heads, m.HeadDim, spec.Cols)
			}
			return data, err
		}
		tensors = append(tensors, g)
	}
	if divisors := m.RopeDivisors(); divisors != nil {
		tensors = append(tensors, checkpoint.GGUFTensor{Name: RopeDivisors, Type: checkpoint.GGUFF32,
			Rows: 1, Cols: len(divisors), Data: func() ([]float32, error) {
				data := make([]float32, len(divisors))
				for i, d := range divisors {
					data[i] = float32(d)
				}
				return data, nil
			}})
	}
	return tensors
}

// RopeDivisors is the tensor of a GGUF that holds what each frequency is divided by, [D/2].
const RopeDivisors = "rope_freqs.weight"

// TurnedHeads is the number of heads in a matrix whose rows GGUF has in another order, which are
// the queries' and the keys'; 0 for any other.
func TurnedHeads(c llama.Config, name string) int {
	switch {
	case strings.HasSuffix(name, "q_proj.weight"):
		return c.Heads
	case strings.HasSuffix(name, "k_proj.weight"):
		return c.KVHeads
	}
	return 0
}

// interleave turns each head's rows from (first halves, second halves) to pairs: GGUF's rotary
// embedding turns neighbours, Hugging Face's turns i and i+D/2.
func interleave(w []float32, heads, dim, cols int) []float32 {
	out := make([]float32, len(w))
	for h := range heads {
		for i := range dim {
			from := h*dim + i/2 + i%2*(dim/2)
			copy(out[(h*dim+i)*cols:(h*dim+i+1)*cols], w[from*cols:])
		}
	}
	return out
}

// Deinterleave is the inverse of what WriteGGUF does to the rows of queries and keys, in place:
// w [heads·dim cols].
func Deinterleave(w []float32, heads, dim, cols int) {
	head := make([]float32, dim*cols)
	for h := range heads {
		rows := w[h*dim*cols : (h+1)*dim*cols]
		copy(head, rows)
		for i := range dim {
			to := i/2 + i%2*(dim/2)
			copy(rows[to*cols:(to+1)*cols], head[i*cols:])
		}
	}
}

// PairedRow is where a GGUF has a row of queries or keys whose heads have dim rows: Deinterleave puts
// it to row.
func PairedRow(row, dim int) int {
	h, i := row/dim, row%dim
	return h*dim + i%(dim/2)*2 + i/(dim/2)
}

// GGUFName is a tensor's name in a GGUF.
func GGUFName(name string) string {
	return ggufNames.Replace(name)
}

var ggufNames = strings.NewReplacer("model.embed_tokens", "token_embd", "model.norm", "output_norm",
	"lm_head", "output", "model.layers.", "blk.", "self_attn.q_proj", "attn_q",
	"self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output",
	"mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down",
	"input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm")
