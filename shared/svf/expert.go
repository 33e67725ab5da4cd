package svf

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"transformer2/shared/checkpoint"
)

// Meta is what an expert says of itself.
type Meta struct {
	Parametrisation Parametrisation
	Scope           Scope                  // the weights that it adapts
	Base            checkpoint.Fingerprint // the model that it was trained on
	Model           string                 // that model's name, for people
	Task            string                 // what it is an expert in
	Seed            uint64                 // of its training
	CreatedBy       string                 // the program, for people
	Training        map[string]string      // summary of its training: any keys
}

// Expert is one vector a weight, under the weight's name: [R] each.
//
// Z holds what the file holds: z for Linear, the logits p for SigmoidNuclear. Effective turns
// either into z.
type Expert struct {
	Meta Meta
	Z    map[string][]float32
}

// Names lists the expert's weights in the order of CompareNames.
func (e *Expert) Names() []string { return Names(e) }

// The metadata of an expert file, format 1. Keys under trainingPrefix hold Meta.Training.
const (
	expertKind     = "transformer2 svf expert"
	expertVersion  = "1"
	trainingPrefix = "train."
)

// suffix ends the tensors' names, so that logits cannot be taken for z.
func (p Parametrisation) suffix() string {
	if p == SigmoidNuclear {
		return ".p"
	}
	return ".z"
}

// WriteExpert writes an expert as a safetensors file of one F32 tensor a weight, named after it:
// model.layers.3.mlp.gate_proj.z (.p where it holds logits). The bytes depend on e only.
func WriteExpert(w io.Writer, e *Expert) error {
	if err := e.checkNumbers(); err != nil {
		return err
	}
	meta := map[string]string{
		"kind":            expertKind,
		"format_version":  expertVersion,
		"parametrisation": string(e.Meta.Parametrisation),
		"scope":           e.Meta.Scope.String(),
		"base":            e.Meta.Base.String(),
		"model":           e.Meta.Model,
		"task":            e.Meta.Task,
		"seed":            strconv.FormatUint(e.Meta.Seed, 10),
		"created_by":      e.Meta.CreatedBy,
	}
	for k, v := range e.Meta.Training {
		meta[trainingPrefix+k] = v
	}
	var tensors []checkpoint.Tensor
	for _, name := range e.Names() {
		tensors = append(tensors, checkpoint.FromFloat32(
			stem(name)+e.Meta.Parametrisation.suffix(), checkpoint.F32, e.Z[name], len(e.Z[name])))
	}
	return checkpoint.Write(w, tensors, meta)
}

// ReadExpert reads what WriteExpert writes, from a file of size bytes, and refuses anything else
// with a sentence. Whether the expert fits a model is for Check to say.
func ReadExpert(r io.ReaderAt, size int64) (*Expert, error) {
	f, err := checkpoint.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("svf: reading an expert: %w", err)
	}
	meta, err := readMeta(f.Metadata())
	if err != nil {
		return nil, err
	}
	e := &Expert{Meta: meta, Z: map[string][]float32{}}
	for _, tensor := range f.Names() {
		name, ok := strings.CutSuffix(tensor, meta.Parametrisation.suffix())
		info, _ := f.Tensor(tensor)
		if !ok || name == "" || info.DType != checkpoint.F32 || len(info.Shape) != 1 {
			return nil, fmt.Errorf("svf: expert's tensor %q is %v, want NAME%s, one row of F32",
				tensor, info, meta.Parametrisation.suffix())
		}
		if e.Z[name+".weight"], err = f.Float32(tensor); err != nil {
			return nil, fmt.Errorf("svf: reading an expert: %w", err)
		}
	}
	return e, e.checkNumbers()
}

func readMeta(text map[string]string) (Meta, error) {
	if text["kind"] != expertKind {
		return Meta{}, fmt.Errorf("svf: not an expert file: kind is %q, want %q",
			text["kind"], expertKind)
	}
	if text["format_version"] != expertVersion {
		return Meta{}, fmt.Errorf("svf: expert file of format %q, want %q",
			text["format_version"], expertVersion)
	}
	m := Meta{
		Parametrisation: Parametrisation(text["parametrisation"]),
		Model:           text["model"],
		Task:            text["task"],
		CreatedBy:       text["created_by"],
	}
	err := m.Parametrisation.check()
	if err == nil {
		m.Scope, err = ParseScope(text["scope"])
	}
	if err == nil {
		m.Base, err = checkpoint.ParseFingerprint(text["base"])
	}
	if err == nil {
		m.Seed, err = strconv.ParseUint(text["seed"], 10, 64)
	}
	if err != nil {
		return Meta{}, fmt.Errorf("svf: expert file: %w", err)
	}
	for k, v := range text {
		if key, ok := strings.CutPrefix(k, trainingPrefix); ok {
			if m.Training == nil {
				m.Training = map[string]string{}
			}
			m.Training[key] = v
		}
	}
	return m, nil
}

// checkNumbers refuses what no model could take: nothing, NaN, Inf, weights out of scope.
func (e *Expert) checkNumbers() error {
	if err := e.Meta.Parametrisation.check(); err != nil {
		return err
	}
	if len(e.Z) == 0 {
		return fmt.Errorf("svf: expert %q has no vectors", e.Meta.Task)
	}
	for _, name := range e.Names() {
		if !e.Meta.Scope.Has(name) {
			return fmt.Errorf("svf: expert %q: %s is outside its scope %v",
				e.Meta.Task, name, e.Meta.Scope)
		}
		if len(e.Z[name]) == 0 {
			return fmt.Errorf("svf: expert %q: %s has no numbers", e.Meta.Task, name)
		}
		if i := firstNonFinite(e.Z[name]); i >= 0 {
			return fmt.Errorf("svf: expert %q: %s: number %d is %v",
				e.Meta.Task, name, i, e.Z[name][i])
		}
	}
	return nil
}

// Check says whether the expert belongs to a base model: the same fingerprint, a vector of the
// right length for each weight of its scope, none for any other, all numbers finite.
func (e *Expert) Check(d *Decomposition) error {
	if e.Meta.Base != d.Base {
		return fmt.Errorf("svf: expert %q was trained on base %s (%s), this model is base %s",
			e.Meta.Task, e.Meta.Base.Short(), e.Meta.Model, d.Base.Short())
	}
	return e.CheckShapes(d)
}

// CheckShapes is Check for another base of the same shapes, as when an expert is carried from one
// model to its sibling.
func (e *Expert) CheckShapes(d *Decomposition) error {
	if err := e.checkNumbers(); err != nil {
		return err
	}
	known := make(map[string]bool, len(d.Matrices))
	for _, m := range d.Matrices {
		known[m.Name] = true
		z, has := e.Z[m.Name]
		switch {
		case has && len(z) != m.R:
			return fmt.Errorf("svf: expert %q: %s has %d numbers, want %d",
				e.Meta.Task, m.Name, len(z), m.R)
		case !has && e.Meta.Scope.Has(m.Name):
			return fmt.Errorf("svf: expert %q: no vector for %s, which is in its scope %v",
				e.Meta.Task, m.Name, e.Meta.Scope)
		}
	}
	for _, name := range e.Names() {
		if !known[name] {
			return fmt.Errorf("svf: expert %q: the model has no decomposed weight %s",
				e.Meta.Task, name)
		}
	}
	return nil
}

// Effective is the expert as plain z-vectors (Linear): itself, or a new one with z̃ of its logits.
// d gives the singular values; a base of other fingerprint is not refused here.
func (e *Expert) Effective(d *Decomposition) (*Expert, error) {
	if e.Meta.Parametrisation == Linear {
		return e, nil
	}
	if err := e.CheckShapes(d); err != nil {
		return nil, err
	}
	out := &Expert{Meta: e.Meta.clone(), Z: make(map[string][]float32, len(e.Z))}
	out.Meta.Parametrisation = Linear
	for _, name := range e.Names() {
		m, _ := d.Matrix(name) // CheckShapes found it
		z := make([]float32, m.R)
		if err := e.Meta.Parametrisation.Scale(z, e.Z[name], m.Sigma); err != nil {
			return nil, fmt.Errorf("%w (%s of expert %q)", err, name, e.Meta.Task)
		}
		for i := range z {
			z[i]++
		}
		out.Z[name] = z
	}
	return out, nil
}

// Delta is z − 1 of a weight, what Folder and Projector take: [R], or nil where the expert leaves
// the weight alone. The expert must be Linear.
func (e *Expert) Delta(name string) []float32 {
	d := slices.Clone(e.Z[name])
	for i := range d {
		d[i]--
	}
	return d
}

func (m Meta) clone() Meta {
	m.Training = maps.Clone(m.Training)
	return m
}

// needLinear refuses experts whose numbers are not yet z.
func needLinear(experts ...*Expert) error {
	for _, e := range experts {
		if e.Meta.Parametrisation != Linear {
			return fmt.Errorf("svf: expert %q holds %s parameters, want z (see Effective)",
				e.Meta.Task, e.Meta.Parametrisation)
		}
	}
	return nil
}
