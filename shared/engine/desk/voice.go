package desk

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/svf"
)

// voices makes the voices of a request.
func (j *job) voices(vs []protocol.Voice) ([]engine.Voice, error) {
	if len(vs) < 1 || len(vs) > protocol.MaxVoices {
		return nil, fmt.Errorf("%d voices, want 1 … %d", len(vs), protocol.MaxVoices)
	}
	all := make([]engine.Voice, len(vs))
	for i, v := range vs {
		var err error
		if all[i], err = j.voice(v); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// voice makes the z that a face describes, in the order that protocol.Voice gives.
func (j *job) voice(v protocol.Voice) (engine.Voice, error) {
	out, err := j.named(v)
	if err != nil || v.Control == "" && len(v.Keep) == 0 && len(v.Edits) == 0 {
		return out, err
	}
	print, err := j.d.s.Model.Fingerprint()
	if err != nil {
		return out, err
	}
	e := &svf.Expert{Z: map[string][]float32{}, Meta: svf.Meta{Parametrisation: svf.Linear,
		Scope: svf.AllScope(), Base: print, Model: j.d.s.Model.Name,
		Task: out.Name}}
	if out.Expert != nil {
		plain, err := j.d.s.Effective(j.ctx, out.Expert)
		if err != nil {
			return out, err
		}
		e.Meta.Seed, e.Meta.Training = plain.Meta.Seed, maps.Clone(plain.Meta.Training)
		for name, z := range plain.Z {
			e.Z[name] = slices.Clone(z)
		}
	}
	if e, err = control(e, v); err != nil {
		return out, err
	}
	if err := j.edit(e, v); err != nil {
		return out, err
	}
	e.Meta.Task = out.Name + " edited"
	return engine.Voice{Name: e.Meta.Task, Expert: e}, nil
}

// named is the voice's expert or mixture.
func (j *job) named(v protocol.Voice) (engine.Voice, error) {
	if len(v.Mix) == 0 {
		return j.d.s.Voice(v.Expert)
	}
	if v.Expert != "" {
		return engine.Voice{}, fmt.Errorf("a voice has an expert, %q, and a mixture: want one of them",
			v.Expert)
	}
	var shares []svf.Share
	for _, m := range v.Mix {
		if !finite(m.Alpha) {
			return engine.Voice{}, fmt.Errorf("expert %q's share is %v, want a number", m.Expert, m.Alpha)
		}
		if slices.ContainsFunc(shares, func(s svf.Share) bool { return s.Name == m.Expert }) {
			return engine.Voice{}, fmt.Errorf("expert %q is in the mixture twice", m.Expert)
		}
		shares = append(shares, svf.Share{Name: m.Expert, Alpha: float32(m.Alpha)})
	}
	return j.d.s.Mix(j.ctx, shares)
}

// finite tells a float32 from NaN, infinities and what would become one.
func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat32 }

// control puts a control in the expert's place.
func control(e *svf.Expert, v protocol.Voice) (*svf.Expert, error) {
	switch v.Control {
	case "":
		return e, nil
	case protocol.ControlShuffled:
		return e.Shuffle(v.Seed), nil
	case protocol.ControlRandom:
		return randomLike(e, v.Seed), nil
	}
	return nil, fmt.Errorf("no control is called %q: want %s or %s", v.Control,
		protocol.ControlRandom, protocol.ControlShuffled)
}

// randomLike is z = 1 + s·N(0,1) in each matrix, s such that the expected mean |z − 1| is e's:
// that of a normal distribution is s·√(2/π).
func randomLike(e *svf.Expert, seed uint64) *svf.Expert {
	shapes := &svf.Decomposition{Base: e.Meta.Base}
	for _, name := range e.Names() {
		shapes.Matrices = append(shapes.Matrices, svf.Matrix{Name: name, R: len(e.Z[name])})
	}
	out := svf.Random(shapes, svf.AllScope(), seed, 1)
	out.Meta.Model = e.Meta.Model
	for name, z := range out.Z {
		sum := 0.0
		for _, v := range e.Z[name] {
			sum += math.Abs(float64(v) - 1)
		}
		s := float32(sum / float64(len(z)) * math.Sqrt(math.Pi/2))
		for i := range z {
			z[i] = 1 + s*(z[i]-1)
		}
	}
	return out
}

// edit applies a voice's Keep and Edits to e.
func (j *job) edit(e *svf.Expert, v protocol.Voice) error {
	if n := len(v.Keep) + len(v.Edits); n > protocol.MaxEdits {
		return fmt.Errorf("a voice has %d edits, want at most %d", n, protocol.MaxEdits)
	}
	for _, k := range v.Keep {
		z, err := j.vector(e, k.Matrix)
		if err != nil {
			return err
		}
		if err := within("what to keep of "+k.Matrix, k.Top, 0, len(z)); err != nil {
			return err
		}
		clear(z[k.Top:])
	}
	for _, x := range v.Edits {
		z, err := j.vector(e, x.Matrix)
		if err != nil {
			return err
		}
		if err := within("an index into z of "+x.Matrix, x.Index, 0, len(z)-1); err != nil {
			return err
		}
		if !finite(x.Z) {
			return fmt.Errorf("z %d of %s is %v, want a number", x.Index, x.Matrix, x.Z)
		}
		z[x.Index] = float32(x.Z)
	}
	return nil
}

// vector is e's z of a matrix, of ones where e leaves it alone.
func (j *job) vector(e *svf.Expert, matrix string) ([]float32, error) {
	if z := e.Z[matrix]; z != nil {
		return z, nil
	}
	m, err := j.matrix(matrix)
	if err != nil {
		return nil, err
	}
	e.Z[matrix] = ones(m.R)
	return e.Z[matrix], nil
}

func ones(n int) []float32 {
	z := make([]float32, n)
	for i := range z {
		z[i] = 1
	}
	return z
}

// matrix finds a matrix of the model.
func (j *job) matrix(name string) (svf.Matrix, error) {
	for _, m := range j.d.s.Model.Matrices() {
		if m.Name == name {
			return m, nil
		}
	}
	return svf.Matrix{}, fmt.Errorf("the model has no matrix %q, one of its is %q", name,
		svf.Name(0, svf.Q))
}
