package adapt

import (
	"context"
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// VoicesOptions say how a model takes its experts on; the zero value is usual for a small one whose
// decomposition is whole.
type VoicesOptions struct {
	FoldedOptions
	// Form of the experts; FormAuto is folded where the model is small or Fast, and else where that
	// takes less time for Tokens, or where the bases that projected holds do not fit; else projected.
	Form Form
	Fast bool // the device folds a large model in seconds, as a GPU does
	// Tokens is how many an expert is likely to say, one at a time; a token of a batch of many
	// counts as a tenth. 0: few.
	Tokens int
	Fits   func(bytes int64) bool // there is room for so much more; nil: always
	// Need, if set, is called before matrices of the decomposition are used and has it hold them.
	Need func(ctx context.Context, names map[string]bool) error
}

// Voices is a base model that answers as any of its experts: one at a time, or several side by side
// in a batch. It settles in which form, and keeps what that took, in both forms for a small model and
// in one at a time for a larger one. The models that it gives are good until its next call, the base
// among them.
type Voices struct {
	Base          *llama.Model
	Decomposition *svf.Decomposition

	o         VoicesOptions
	folded    *Folded    // nil until it is needed,
	projected *Projected // and so is this
}

// NewVoices makes voices of a base; d tells which matrices can be adapted.
func NewVoices(base *llama.Model, d *svf.Decomposition, o VoicesOptions) (*Voices, error) {
	return &Voices{Base: base, Decomposition: d, o: o}, o.Form.check()
}

// As is the model as one expert has it, for sequence 0; nil is the base. Where it fails there is no
// model until a call succeeds.
func (v *Voices) As(ctx context.Context, e *svf.Expert) (*llama.Model, error) {
	if e == nil {
		return v.Base, v.restore(ctx)
	}
	names, err := v.ready(ctx, e)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 { // of ones
		return v.Base, v.restore(ctx)
	}
	if v.form(names) == FormProjected {
		return v.side(ctx, []*svf.Expert{e})
	}
	return v.fold(ctx, e)
}

// Folded is As in folded form whatever the options say: the model's weights are the expert's own, for
// whoever reads them.
func (v *Voices) Folded(ctx context.Context, e *svf.Expert) (*llama.Model, error) {
	if e == nil {
		return v.Base, v.restore(ctx)
	}
	if _, err := v.ready(ctx, e); err != nil {
		return nil, err
	}
	return v.fold(ctx, e)
}

func (v *Voices) fold(ctx context.Context, e *svf.Expert) (*llama.Model, error) {
	if v.folded == nil {
		if v.projected != nil && !v.small() {
			v.projected.Close()
			v.projected = nil
		}
		var err error
		if v.folded, err = NewFolded(v.Base, v.Decomposition, v.o.FoldedOptions); err != nil {
			return nil, err
		}
	}
	return v.folded.Model(), v.folded.Use(ctx, e)
}

// SideBySide is a model whose sequence i is es[i]'s, the Seq of a llama.Request or
// answer.Question; nil is the base.
func (v *Voices) SideBySide(ctx context.Context, es []*svf.Expert) (*llama.Model, error) {
	if _, err := v.ready(ctx, es...); err != nil {
		return nil, err
	}
	return v.side(ctx, es)
}

func (v *Voices) side(ctx context.Context, es []*svf.Expert) (*llama.Model, error) {
	if err := v.restore(ctx); err != nil {
		return nil, err
	}
	if v.folded != nil && !v.small() {
		v.folded.Close()
		v.folded = nil
	}
	if v.projected == nil {
		var err error
		v.projected, err = NewProjected(v.Base, v.Decomposition, len(es),
			ProjectedOptions{Type: svf.BasisType(v.held()), Progress: v.progress()})
		if err != nil {
			return nil, err
		}
	}
	if err := v.projected.Grow(len(es)); err != nil {
		return nil, err
	}
	return v.projected.Model(), v.projected.SetAll(ctx, es)
}

// restore makes the base the base again.
func (v *Voices) restore(ctx context.Context) error {
	if v.folded == nil {
		return nil
	}
	return v.folded.Use(ctx, nil)
}

// ready checks experts and has the decomposition hold what they change.
func (v *Voices) ready(ctx context.Context, es ...*svf.Expert) (map[string]bool, error) {
	for _, e := range es {
		if err := check(e, v.Decomposition); err != nil {
			return nil, err
		}
	}
	names := touched(es...)
	if v.o.Need == nil || len(names) == 0 {
		return names, ctx.Err()
	}
	return names, v.o.Need(ctx, names)
}

func (v *Voices) small() bool { return IsSmall(v.Base.Config, v.o.Small) }

// progress is told of what takes long: nothing of a small model does.
func (v *Voices) progress() func(Progress) {
	if v.small() {
		return nil
	}
	return v.o.Progress
}

// held is the type of the base's matrices.
func (v *Voices) held() compute.DType { return v.Base.Linears()[0].W.Type() }

// besides reports whether several experts are better asked side by side; few says that they would be
// if the model were small. One after another, a large model is loaded again for each.
func (v *Voices) besides(es []*svf.Expert, few bool) bool {
	switch {
	case v.o.Form != FormAuto:
		return v.o.Form == FormProjected
	case v.small():
		return few
	}
	return v.fits(touched(es...))
}

// fits reports whether the bases of matrices have room that are not on the device yet.
func (v *Voices) fits(names map[string]bool) bool {
	var bytes int64
	for _, m := range v.Decomposition.Matrices {
		if names[m.Name] && (v.projected == nil || !v.projected.holds(m.Name)) {
			bytes += ProjectedBytes(v.held(), m.R)
		}
	}
	return bytes == 0 || v.o.Fits == nil || v.o.Fits(bytes)
}

// form settles the form of an expert of some matrices.
func (v *Voices) form(names map[string]bool) Form {
	if v.o.Form != FormAuto {
		return v.o.Form
	}
	if v.small() || v.o.Fast {
		return FormFolded
	}
	var fold, token float64
	for _, m := range v.Decomposition.Matrices {
		if names[m.Name] {
			fold += RefoldOps(m.Out, m.In)
			token += projectedOps(m.R)
		}
	}
	if float64(v.o.Tokens)*token > fold || !v.fits(names) {
		return FormFolded
	}
	return FormProjected
}

// RefoldOps are the operations of folding a matrix of a model that keeps no factors.
func RefoldOps(out, in int) float64 {
	r := float64(min(out, in))
	return 2*r*r*r + 2*float64(out)*float64(in)*r
}

// ProjectedBytes is what a matrix of rank r takes on the device in projected form: its basis, and
// the same transposed.
func ProjectedBytes(held compute.DType, r int) int64 {
	n := 2 * int64(r) * int64(r)
	if svf.BasisType(held) == compute.F32 {
		return 4 * n
	}
	return 2 * n
}

// opsPerByte is how many operations of a product of many rows a processor does while it reads a
// byte of a weight for a product of one: 161 GFLOP/s beside 15 GB/s on a core (README, Speed). Seven
// were seen on a busy machine, with a model of 1.2 billion parameters.
const opsPerByte = 10

// projectedOps is what a token costs more in projected form, in operations of a product.
func projectedOps(r int) float64 {
	return opsPerByte * float64(ProjectedBytes(compute.BF16, r))
}

// Close gives back all that the experts took. The base stays as the last call left it.
func (v *Voices) Close() {
	if v.folded != nil {
		v.folded.Close()
	}
	if v.projected != nil {
		v.projected.Close()
	}
	v.folded, v.projected = nil, nil
}

// ParseForm reads a form's name; "auto" is FormAuto.
func ParseForm(name string) (Form, error) {
	if name == "auto" {
		return FormAuto, nil
	}
	if f := Form(name); f == FormFolded || f == FormProjected {
		return f, nil
	}
	return FormAuto, fmt.Errorf("form %q, want auto, %s or %s", name, FormFolded, FormProjected)
}
