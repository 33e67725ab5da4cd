// Package answer puts questions to a model: text in, text out, many at once.
//
// It joins the tokenizer's chat template with the batched generator; who the model is (the base,
// an expert's folded weights) is said with every call.
package answer

import (
	"context"
	"fmt"
	"slices"

	"transformer2/shared/llama"
	"transformer2/shared/sample"
	"transformer2/shared/tokenizer"
)

// Question is a prompt and how to answer it.
type Question struct {
	System    string // none if empty
	Prompt    string
	MaxTokens int
	Sampling  sample.Params // zero: greedy
	Seed      uint64
	Seq       int // which z of the model's adapters
	// OnToken, if set, hears every token as it comes; false ends the answer there.
	OnToken func(id int32, logits []float32) bool
	// NoLogits says that OnToken does without logits.
	NoLogits bool
}

// Answer is what a model said.
type Answer struct {
	Text   string
	Tokens []int32 // without the closing token
	Closed bool    // the model ended the answer itself
	Reason llama.Reason
}

// Answerer owns the memory that answering takes: a generator of some slots.
type Answerer struct {
	Tok  *tokenizer.Tokenizer
	gen  *llama.Generator
	ends []int32
}

// New makes an Answerer for models of m's shape that answers up to slots questions at once.
func New(m *llama.Model, tok *tokenizer.Tokenizer, slots int) (*Answerer, error) {
	if len(tok.Stops()) == 0 {
		return nil, fmt.Errorf("answer: no token of the tokenizer ends an answer, want %s or a "+
			"model's own", tokenizer.End)
	}
	if tok.VocabSize() > m.Vocab {
		return nil, fmt.Errorf("answer: the tokenizer has %d tokens, the model embeds %d",
			tok.VocabSize(), m.Vocab)
	}
	gen, err := m.NewGenerator(slots, m.Context)
	if err != nil {
		return nil, err
	}
	return &Answerer{Tok: tok, gen: gen, ends: tok.Stops()}, nil
}

// Free gives the memory back; the Answerer must not answer any more.
func (a *Answerer) Free() { a.gen.Free() }

// Tokens is a question as the model reads it, up to where its answer begins.
func (a *Answerer) Tokens(q Question) ([]int32, error) {
	var msgs []tokenizer.Message
	if q.System != "" {
		msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleSystem, Content: q.System})
	}
	msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleUser, Content: q.Prompt})
	return a.Tok.Chat(nil, msgs, true)
}

// Answer puts questions to m. When ctx ends, the answers so far come back with its error.
func (a *Answerer) Answer(ctx context.Context, m *llama.Model, questions []Question) ([]Answer, error) {
	reqs := make([]llama.Request, len(questions))
	for i, q := range questions {
		prompt, err := a.Tokens(q)
		if err != nil {
			return nil, err
		}
		reqs[i] = llama.Request{Prompt: prompt, MaxTokens: q.MaxTokens, Sampling: q.Sampling,
			Seed: q.Seed, Seq: q.Seq, Stop: a.ends, OnToken: q.OnToken,
			NoLogits: q.NoLogits}
	}
	a.gen.Use(m)
	results, err := a.gen.Run(ctx, reqs)
	answers := make([]Answer, len(results))
	for i, r := range results {
		n := len(r.Tokens)
		closed := n > 0 && slices.Contains(a.ends, r.Tokens[n-1])
		if closed {
			n--
		}
		answers[i] = Answer{Text: a.Tok.Decode(r.Tokens[:n]), Tokens: r.Tokens[:n],
			Closed: closed, Reason: r.Reason}
	}
	return answers, err
}

// End is the id that closes an answer.
func (a *Answerer) End() int32 { return a.ends[0] }
