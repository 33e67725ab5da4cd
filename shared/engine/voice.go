package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// BaseName is the name of the base model among the voices; no expert is called so.
const BaseName = "base"

// Voice is someone who can answer: the base model, an expert, a mixture of experts.
type Voice struct {
	Name   string      // as it was asked for: "base", "math", "math=0.7,code=0.3"
	Expert *svf.Expert // its z-vectors; nil: the base
}

// Base is the model as it is.
func Base() Voice { return Voice{Name: BaseName} }

// Voice finds a voice by its name: "base" or "", an expert that came with the model, or the path of
// an expert's file. The expert must be this model's.
func (s *Session) Voice(name string) (Voice, error) {
	if name == "" || name == BaseName {
		return Base(), nil
	}
	e, err := s.expert(name)
	if err != nil {
		return Voice{}, err
	}
	if err := s.Check(name, e); err != nil {
		return Voice{}, err
	}
	return Voice{Name: name, Expert: e}, nil
}

// Check says whether an expert is this model's: its fingerprint, its shapes, its numbers.
func (s *Session) Check(name string, e *svf.Expert) error {
	m := s.Model
	shapes, err := m.Shapes()
	if err != nil {
		return err
	}
	if e.Meta.Base != shapes.Base {
		return fmt.Errorf("expert %q is for another model: it was trained on %s with fingerprint "+
			"%s, "+
			"%s has fingerprint %s", name, e.Meta.Model, e.Meta.Base.Short(), m.Name,
			shapes.Base.Short())
	}
	if err := e.CheckShapes(shapes); err != nil {
		return fmt.Errorf("expert %q does not fit %s: %w", name, m.Name, err)
	}
	return nil
}

// ReadExpert reads an expert by name or path, whichever model it belongs to.
func (s *Session) ReadExpert(name string) (*svf.Expert, error) { return s.expert(name) }

func (s *Session) expert(name string) (*svf.Expert, error) {
	if s.OpenFile != nil && IsPath(name) {
		return OpenExpert(s.OpenFile, name)
	}
	if e, ok := s.Own[name]; ok && !slices.Contains(s.Model.ExpertNames(), name) {
		return e, nil
	}
	return s.Model.Expert(name)
}

// OpenExpert reads an expert's file, which open opens.
func OpenExpert(open func(path string) (checkpoint.Blob, error), path string) (*svf.Expert, error) {
	blob, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("expert %q: %w", path, err)
	}
	defer blob.Close()
	e, err := svf.ReadExpert(blob, blob.Size())
	if err != nil {
		return nil, fmt.Errorf("expert %q: %w", path, err)
	}
	return e, nil
}

// IsPath tells a file's path from an expert's name.
func IsPath(name string) bool {
	return strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, expertSuffix)
}

// Mixture makes a voice of a text such as "math=0.7,code=0.3": z = 1 + Σ αₖ(zₖ − 1). A mixture
// whose α are all 0 is the base.
func (s *Session) Mixture(ctx context.Context, text string) (Voice, error) {
	shares, err := svf.ParseMix(text)
	if err != nil {
		return Voice{}, err
	}
	return s.Mix(ctx, shares)
}

// Mix makes a voice of experts and their shares.
func (s *Session) Mix(ctx context.Context, shares []svf.Share) (Voice, error) {
	var experts []*svf.Expert
	var alpha []float32
	var names []string
	for _, share := range shares {
		names = append(names, fmt.Sprintf("%s=%v", share.Name, share.Alpha))
		v, err := s.Voice(share.Name)
		if err != nil {
			return Voice{}, err
		}
		if v.Expert == nil || share.Alpha == 0 {
			continue // z = 1
		}
		e, err := s.Effective(ctx, v.Expert)
		if err != nil {
			return Voice{}, err
		}
		experts, alpha = append(experts, e), append(alpha, share.Alpha)
	}
	v := Voice{Name: strings.Join(names, ",")}
	if len(experts) == 0 {
		return v, nil
	}
	var err error
	v.Expert, err = svf.Mix(experts, svf.PerExpert(alpha...))
	return v, err
}

// Effective is an expert as plain z-vectors, whatever its file holds.
func (s *Session) Effective(ctx context.Context, e *svf.Expert) (*svf.Expert, error) {
	if e.Meta.Parametrisation == svf.Linear {
		return e, nil
	}
	bases, err := s.Bases(ctx, svf.ScopeOf(e.Names()...))
	if err != nil {
		return nil, err
	}
	return e.Effective(bases)
}
