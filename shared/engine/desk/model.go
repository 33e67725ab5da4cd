package desk

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

// load opens a model. One that was open stays where the new one cannot be opened, and where it is
// the one that is wanted, with the experts that it was given: a page that is loaded anew need not wait.
func (j *job) load(l protocol.Load) (protocol.Loaded, error) {
	var result protocol.Loaded
	d := j.d
	if known := d.cfg.Models(); !slices.Contains(known, l.Model) {
		return result, fmt.Errorf("no model is called %q, there is: %s", l.Model,
			strings.Join(known, ", "))
	}
	if d.s != nil && d.asked == l {
		return d.loaded()
	}
	src, err := d.cfg.Open(l.Model)
	if err != nil {
		return result, fmt.Errorf("model %s: %w", l.Model, err)
	}
	if l.Weights != "" {
		dtype, err := compute.ParseDType(l.Weights)
		if err != nil {
			return result, fmt.Errorf("weights %q: want f32, f16, bf16, q8 or q4", l.Weights)
		}
		src.Hold = func(s llama.Stored) llama.Held { return s.As(dtype) }
	}
	if d.cfg.Fits != nil {
		if err := d.cfg.Fits(src); err != nil {
			return result, err
		}
	}
	src.Loading = func(done, total int) { d.progress("load", "tensors", done, total) }
	m, err := engine.Open(j.ctx, d.cfg.Dev, src, compute.F32)
	if err != nil {
		return result, err
	}
	s := engine.NewSession(d.cfg.Dev, m, d.cfg.Store)
	s.Own = d.own(s)
	s.Decomposing = func(p svf.Progress) { d.progress("decompose", "matrices", p.Done, p.Total) }
	s.Adapting = d.cfg.Adapting
	s.Adapting.Progress = func(p adapt.Progress) { d.progress("adapt", "matrices", p.Done, p.Total) }
	d.shut()
	d.s, d.asked = s, l
	if d.cfg.Opened != nil {
		d.cfg.Opened()
	}
	return d.loaded()
}

// own are the experts of the configuration that are the session's model's.
func (d *Desk) own(s *engine.Session) map[string]*svf.Expert {
	own := map[string]*svf.Expert{}
	for name, e := range d.cfg.Own {
		err := s.Check(name, e)
		if err == nil {
			own[name] = e
		} else if d.cfg.Stranger != nil {
			d.cfg.Stranger(err)
		}
	}
	return own
}

// progress tells whoever waits now how much of a stage is done.
func (d *Desk) progress(stage, unit string, done, total int) {
	if d.working == nil {
		return // ahead: nobody waits
	}
	d.working.tell(protocol.EventProgress, protocol.Progress{Stage: stage, Unit: unit,
		Done: int64(done), Total: int64(total)})
}

// loaded describes the model that is open.
func (d *Desk) loaded() (protocol.Loaded, error) {
	m := d.s.Model
	c := m.LM.Config
	print, err := m.Fingerprint()
	if err != nil {
		return protocol.Loaded{}, err
	}
	l := protocol.Loaded{Model: m.Name, Fingerprint: print.String(), Params: c.NumParams(),
		Layers: c.Layers, Dim: c.Dim, Hidden: c.Hidden, Heads: c.Heads, KVHeads: c.KVHeads,
		Vocab: c.Vocab, Context: c.Context, Weights: m.LM.Head.W.Type().String(),
		Rewards: task.RewardNames(), Experts: []protocol.Expert{}}
	for _, x := range m.Matrices() {
		l.Matrices = append(l.Matrices, matrixOf(x))
	}
	for _, name := range m.ExpertNames() {
		v, err := d.s.Voice(name)
		if err != nil {
			return l, err
		}
		l.Experts = append(l.Experts, expertOf(name, v.Expert, true))
	}
	for _, name := range slices.Sorted(maps.Keys(d.s.Own)) {
		l.Experts = append(l.Experts, expertOf(name, d.s.Own[name], false))
	}
	unseen := task.Unseen()
	for _, name := range task.Names() {
		t, err := task.Lookup(name)
		if err != nil {
			return l, err
		}
		l.Tasks = append(l.Tasks, protocol.Task{Name: name, Label: t.Label(), Doc: t.Doc(),
			Unseen: slices.ContainsFunc(unseen, func(u task.Task) bool { return u.Name() == name })})
	}
	return l, nil
}

func matrixOf(m svf.Matrix) protocol.Matrix {
	layer, role, _ := svf.ParseName(m.Name)
	return protocol.Matrix{Name: m.Name, Layer: layer, Role: role.String(), Out: m.Out, In: m.In,
		R: m.R}
}

func expertOf(name string, e *svf.Expert, shipped bool) protocol.Expert {
	p := protocol.Expert{Name: name, Task: e.Meta.Task, Seed: e.Meta.Seed, Shipped: shipped,
		Method: e.Meta.Training["method"], Accuracy: -1}
	for _, z := range e.Z {
		p.Numbers += len(z)
	}
	p.Step, _ = strconv.Atoi(e.Meta.Training["step"]) // 0: unknown
	if a, err := strconv.ParseFloat(e.Meta.Training["validAccuracy"], 64); err == nil && finite(a) {
		p.Accuracy = a
	}
	return p
}

// expertName is what an own expert may be called: it must be clear in a mixture and in an address.
var expertName = regexp.MustCompile(`^[\pL\pN][\pL\pN_-]{0,39}$`)

// maxOwn bounds the experts in memory.
const maxOwn = 64

// own adds an expert under a name.
func (j *job) own(name string, e *svf.Expert) (protocol.Expert, error) {
	s := j.d.s
	if err := j.freeName(name); err != nil {
		return protocol.Expert{}, err
	}
	if err := s.Check(name, e); err != nil {
		return protocol.Expert{}, err
	}
	s.Own[name] = e
	return expertOf(name, e, false), nil
}

// CheckName refuses what no expert can be called.
func CheckName(name string) error {
	if !expertName.MatchString(name) || name == engine.BaseName {
		return fmt.Errorf("an expert cannot be called %q: want 1 to 40 letters, digits, _ or -, "+
			"and not %s", name, engine.BaseName)
	}
	return nil
}

// freeName refuses a name that no own expert can have.
func (j *job) freeName(name string) error {
	s := j.d.s
	if err := CheckName(name); err != nil {
		return err
	}
	switch {
	case slices.Contains(s.Model.ExpertNames(), name):
		return fmt.Errorf("%q is an expert that came with %s: want another name", name, s.Model.Name)
	case len(s.Own) >= maxOwn && s.Own[name] == nil:
		return fmt.Errorf("there are %d experts of your own already: forget one first", maxOwn)
	}
	return nil
}

func (j *job) importExpert(i protocol.Import) (protocol.Expert, error) {
	e, err := svf.ReadExpert(bytes.NewReader(i.Data), int64(len(i.Data)))
	if err != nil {
		return protocol.Expert{}, err
	}
	return j.own(i.Name, e)
}

func (j *job) forget(f protocol.Forget) (struct{}, error) {
	if j.d.s.Own[f.Expert] == nil {
		return struct{}{}, fmt.Errorf("no expert of your own is called %q, there is: %v", f.Expert,
			slices.Sorted(maps.Keys(j.d.s.Own)))
	}
	delete(j.d.s.Own, f.Expert)
	return struct{}{}, nil
}

// export writes a voice as an expert's file, with a vector for every matrix of its scope.
func (j *job) export(x protocol.Export) (protocol.File, error) {
	var file protocol.File
	if !expertName.MatchString(x.Name) {
		return file, fmt.Errorf("a file cannot be called %q: want 1 to 40 letters, digits, _ "+
			"or -", x.Name)
	}
	v, err := j.voice(x.Voice)
	if err != nil {
		return file, err
	}
	if v.Expert == nil {
		return file, fmt.Errorf("the base has no z to write: want an expert, a mixture or an edit")
	}
	whole := *v.Expert
	whole.Z = maps.Clone(v.Expert.Z)
	for _, m := range j.d.s.Model.Matrices() {
		if whole.Z[m.Name] == nil && whole.Meta.Scope.Has(m.Name) {
			whole.Z[m.Name] = ones(m.R)
		}
	}
	whole.Meta.CreatedBy = cmp.Or(whole.Meta.CreatedBy, "transformer2")
	var b bytes.Buffer
	if err := svf.WriteExpert(io.Writer(&b), &whole); err != nil {
		return file, err
	}
	return protocol.File{Name: x.Name + ".safetensors", Data: b.Bytes()}, nil
}
