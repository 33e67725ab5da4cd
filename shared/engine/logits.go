package engine

import (
	"context"
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// reader is the memory of Logits: a forward pass over a context.
type reader struct {
	ws    *llama.Workspace
	batch llama.Batch
	chunk compute.Tensor // [HeadChunk V]
	host  []float32
}

func (s *Session) newReader() (*reader, error) {
	m := s.Model.LM
	r := &reader{host: make([]float32, llama.HeadChunk*m.Vocab)}
	var err error
	if r.ws, err = m.NewWorkspace(m.Context, false); err != nil {
		return nil, err
	}
	r.chunk, err = m.Dev.NewTensor(llama.HeadChunk, m.Vocab)
	return r, err
}

func (r *reader) free(dev compute.Device) {
	r.ws.Free()
	dev.Free(r.chunk.Buf)
}

// Logits reads tokens as a voice, in one forward pass, and gives each the scores [V] of the token
// that follows tokens[:i], for i from from to len(tokens). They are good during the call only.
func (s *Session) Logits(ctx context.Context, v Voice, tokens []int32, from int,
	each func(i int, logits []float32)) error {
	m, err := s.As(ctx, v)
	if err != nil {
		return err
	}
	if from < 1 || from > len(tokens) || len(tokens) > m.Context {
		return fmt.Errorf("scores of %d tokens from %d on: want 1 … %d tokens and a place among them",
			len(tokens), from, m.Context)
	}
	if s.reader == nil {
		if s.reader, err = s.newReader(); err != nil {
			return err
		}
	}
	r := s.reader
	r.batch.Reset()
	r.batch.Append(tokens, 0)
	m.Forward(r.ws, &r.batch, nil)
	for lo := from - 1; lo < len(tokens); lo += llama.HeadChunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(lo+llama.HeadChunk, len(tokens))
		logits, host := r.chunk.Slice(0, hi-lo), r.host[:(hi-lo)*m.Vocab]
		m.Logits(logits, r.ws.Hidden().Slice(lo, hi))
		if err := m.Dev.Read(host, logits); err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			each(i+1, host[(i-lo)*m.Vocab:(i-lo+1)*m.Vocab])
		}
	}
	return nil
}

// PromptTokens is a request's prompt as the model reads it, with its template, up to where the
// answer begins. dropped is how many messages of the history did not fit.
func (s *Session) PromptTokens(r Request) (ids []int32, dropped int, err error) { return s.fit(r) }
