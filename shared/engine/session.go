package engine

import (
	"context"
	"fmt"

	"transformer2/shared/adapt"
	"transformer2/shared/answer"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// Device is what a session computes on: f32 for the model, f64 for its decomposition.
type Device interface {
	compute.Device
	compute.Dense64
}

// Session is a model that answers as its base, as any of its experts and as their mixtures. One
// goroutine uses it at a time. What it needs besides the model (the singular bases, the memory of
// a conversation or of an evaluation) is made when it is first asked for, and kept.
type Session struct {
	Model *Model
	Dev   Device
	Store checkpoint.Store // of decompositions

	// Own are experts that lie in memory, by name. A name that one of the model's has is the model's.
	Own map[string]*svf.Expert
	// OpenFile opens an expert's file by its path; nil where there are no files.
	OpenFile func(path string) (checkpoint.Blob, error)
	// Decomposing, if set, hears of every matrix that is decomposed or found in the store.
	Decomposing func(svf.Progress)

	bases  *svf.Decomposition
	folded *adapt.Folded
	one    *llama.Generator // one slot, for conversations
	many   *answer.Answerer // many slots, for evaluations
	reader *reader          // for Logits
}

// NewSession makes a session of a model that lies on dev.
func NewSession(dev Device, m *Model, store checkpoint.Store) *Session {
	return &Session{Model: m, Dev: dev, Store: store}
}

// Free gives back the model and all that the session made beside it, so that another model has the
// room. The session must not be used any more.
func (s *Session) Free() {
	if s.folded != nil {
		s.folded.Close()
	}
	if s.one != nil {
		s.one.Free()
	}
	if s.many != nil {
		s.many.Free()
	}
	if s.reader != nil {
		s.reader.free(s.Dev)
	}
	s.Model.LM.Free()
	s.folded, s.one, s.many, s.reader, s.bases = nil, nil, nil, nil, nil
}

// Bases are the singular bases of all of the model's linear weights.
func (s *Session) Bases(ctx context.Context) (*svf.Decomposition, error) {
	if s.bases != nil {
		return s.bases, nil
	}
	d, err := s.Model.Decompose(ctx, s.Dev, s.Store, svf.AllScope(), s.Decomposing)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", s.Model.Name, err)
	}
	s.bases = d
	return d, nil
}

// Decomposed reports whether Bases has them already.
func (s *Session) Decomposed() bool { return s.bases != nil }

// As is the model as a voice has it, at full speed: an expert's z is folded into the weights,
// W' = U diag(σ∘z) Vᵀ. The model is good until the next call.
func (s *Session) As(ctx context.Context, v Voice) (*llama.Model, error) {
	if v.Expert == nil {
		return s.Model.LM, nil
	}
	if s.folded == nil {
		bases, err := s.Bases(ctx)
		if err != nil {
			return nil, err
		}
		if s.folded, err = adapt.NewFolded(s.Model.LM, bases); err != nil {
			return nil, err
		}
	}
	if err := s.folded.Use(v.Expert); err != nil {
		return nil, err
	}
	return s.folded.Model(), nil
}

// conversation is the generator that answers one prompt at a time.
func (s *Session) conversation() (g *llama.Generator, err error) {
	if s.one == nil {
		s.one, err = s.Model.LM.NewGenerator(1, s.Model.LM.Context)
	}
	return s.one, err
}

// evaluationSlots is how many questions an evaluation answers at once: enough that a product over
// all of them costs little more than over one, and few enough to stay within a small machine.
const evaluationSlots = 128

// answerer answers many questions at once.
func (s *Session) answerer() (a *answer.Answerer, err error) {
	if s.many == nil {
		s.many, err = answer.New(s.Model.LM, s.Model.Tok, evaluationSlots)
	}
	return s.many, err
}
