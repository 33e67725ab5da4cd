package engine

import (
	"context"
	"fmt"
	"slices"

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
	// Adapting says how experts are taken on, but for where weights and bases come from, which is the
	// model's files and Store.
	Adapting adapt.VoicesOptions

	voices *adapt.Voices
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
	if s.voices != nil {
		s.voices.Close()
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
	s.voices, s.one, s.many, s.reader = nil, nil, nil, nil
}

// Bases are the singular bases of the model's linear weights within a scope; there may be others
// among them, whole or without σ and basis. The bases themselves are left in the store.
func (s *Session) Bases(ctx context.Context, scope svf.Scope) (*svf.Decomposition, error) {
	v, err := s.ofModel()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, m := range v.Decomposition.Matrices {
		names[m.Name] = scope.Has(m.Name)
	}
	return v.Decomposition, s.need(ctx, names)
}

// Decomposed reports whether Bases has all of them already.
func (s *Session) Decomposed() bool {
	return s.voices != nil && !slices.ContainsFunc(s.voices.Decomposition.Matrices,
		func(m svf.Matrix) bool { return m.Sigma == nil })
}

// ofModel are the voices that the model can have.
func (s *Session) ofModel() (*adapt.Voices, error) {
	if s.voices != nil {
		return s.voices, nil
	}
	d, err := s.Model.Shapes()
	if err != nil {
		return nil, err
	}
	o := s.Adapting
	o.Need, o.Reload = s.need, s.Model.reload
	s.voices, err = adapt.NewVoices(s.Model.LM, d, o)
	return s.voices, err
}

// need decomposes those of the named matrices that have not been yet, or finds them in the store.
func (s *Session) need(ctx context.Context, names map[string]bool) error {
	d := s.voices.Decomposition
	var missing []string
	for _, m := range d.Matrices {
		if names[m.Name] && m.Sigma == nil {
			missing = append(missing, m.Name)
		}
	}
	if len(missing) == 0 {
		return ctx.Err()
	}
	found, err := s.Model.Decompose(ctx, s.Dev, s.Store, svf.ScopeOf(missing...), s.Decomposing)
	if err != nil {
		return fmt.Errorf("model %s: %w", s.Model.Name, err)
	}
	for _, m := range found.Matrices {
		if to, ok := d.Matrix(m.Name); ok {
			*to = m
		}
	}
	return nil
}

// As is the model as a voice has it, in the form that Adapting settles; W' = U diag(σ∘z) Vᵀ. The
// model is good until the next call, and so is Model.LM as the base: only a voice without an expert
// leaves it that.
func (s *Session) As(ctx context.Context, v Voice) (*llama.Model, error) {
	if v.Expert == nil && s.voices == nil {
		return s.Model.LM, nil
	}
	voices, err := s.ofModel()
	if err != nil {
		return nil, err
	}
	return voices.As(ctx, v.Expert)
}

// weightsOf is As with weights that are the voice's own, for whoever reads them.
func (s *Session) weightsOf(ctx context.Context, v Voice) (*llama.Model, error) {
	voices, err := s.ofModel()
	if err != nil {
		return nil, err
	}
	return voices.Folded(ctx, v.Expert)
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
