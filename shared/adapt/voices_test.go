package adapt_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// projects reports whether any matrix of a model turns activations.
func projects(m *llama.Model) bool {
	return slices.ContainsFunc(m.Linears(), func(l *llama.Linear) bool { return l.Adapter != nil })
}

// Which form an expert has is a matter of size, device, length of the answer and memory.
func TestFormOfAnExpert(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 1)
	large := adapt.FoldedOptions{Small: 1}
	none, plenty := func(int64) bool { return false }, func(int64) bool { return true }
	for name, c := range map[string]struct {
		o         adapt.VoicesOptions
		projected bool
	}{
		"small":            {adapt.VoicesOptions{Fits: plenty}, false},
		"small, projected": {adapt.VoicesOptions{Form: adapt.FormProjected}, true},
		"large":            {adapt.VoicesOptions{FoldedOptions: large, Fits: plenty, Tokens: 1}, true},
		"large, long":      {adapt.VoicesOptions{FoldedOptions: large, Fits: plenty, Tokens: 1e6}, false},
		"large, no room":   {adapt.VoicesOptions{FoldedOptions: large, Fits: none}, false},
		"large, on a GPU":  {adapt.VoicesOptions{FoldedOptions: large, Fast: true}, false},
		"large, folded":    {adapt.VoicesOptions{FoldedOptions: large, Form: adapt.FormFolded}, false},
	} {
		m, err := voices(t, base, d, c.o).As(t.Context(), expert(t, d, "all", 1, 0.3))
		if err != nil || projects(m) != c.projected {
			t.Errorf("%s: projected %v, want %v (%v)", name, projects(m), c.projected, err)
		}
	}
	if _, err := adapt.NewVoices(base, d, adapt.VoicesOptions{Form: "sideways"}); err == nil {
		t.Error("a form that is none was taken")
	}
}

func TestParseForm(t *testing.T) {
	for text, want := range map[string]adapt.Form{"auto": adapt.FormAuto,
		"folded": adapt.FormFolded, "projected": adapt.FormProjected} {
		if f, err := adapt.ParseForm(text); f != want || err != nil {
			t.Errorf("%q is %q, %v", text, f, err)
		}
	}
	for _, text := range []string{"", "Folded", "sideways"} {
		if _, err := adapt.ParseForm(text); err == nil || !strings.Contains(err.Error(), "projected") {
			t.Errorf("%q: %v, want an error with what there is", text, err)
		}
	}
}

// However a model goes from form to form, each voice is what it is alone: nothing is left in the
// base of an expert that was folded into it.
func TestVoicesOfBothForms(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 2)
	k := keep(t, base)
	a, b := expert(t, d, "all", 1, 0.3), expert(t, d, "mlp:1", 2, 0.3)
	one, three := batch(tiny, 12), batch(tiny, 12, 7, 9)
	long := 0
	v := voices(t, base, d, adapt.VoicesOptions{FoldedOptions: k.large(),
		Fits: func(int64) bool { return long == 0 }})
	as := func(e *svf.Expert) *llama.Model {
		t.Helper()
		m, err := v.As(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := map[*svf.Expert][]float32{nil: logits(t, base, one)}
	for _, e := range []*svf.Expert{a, b} {
		own, d := fresh(t, dev, tiny, compute.F32, 2)
		f, err := adapt.NewFolded(own, d, adapt.FoldedOptions{})
		if err != nil {
			t.Fatal(err)
		}
		use(t, f, e)
		want[e] = logits(t, f.Model(), one)
	}
	ones := expert(t, d, "all", 1, 0)
	want[ones] = want[nil]
	var first []float32
	for i, e := range []*svf.Expert{a, nil, b, a, ones, b, nil, a} {
		long = i / 2 % 2 // two in one form, two in the other
		near(t, "a voice alone", logits(t, as(e), one), want[e], logitsTol)
		side, err := v.SideBySide(t.Context(), []*svf.Expert{b, nil, a})
		if err != nil {
			t.Fatal(err)
		}
		got := logits(t, side, three)
		if first == nil {
			first = got
			near(t, "beside others", got[:len(want[b])], want[b], logitsTol)
		}
		if farthest(t, got, first) != 0 {
			t.Errorf("step %d: voices side by side are others than they were", i)
		}
	}
	if farthest(t, logits(t, as(nil), one), want[nil]) != 0 {
		t.Error("the base is another one")
	}
}

// Several experts of a large model are asked side by side where there is room, whatever the device: one
// after another, the base is loaded again for each.
func TestSeveralExpertsOfALargeModel(t *testing.T) {
	p := newParrot(t, "base", "UVW", "123")
	for _, room := range []bool{true, false} {
		k := keep(t, p.model)
		v := voices(t, p.model, p.d, adapt.VoicesOptions{FoldedOptions: k.large(), Fast: true,
			Fits: func(int64) bool { return room }})
		d, err := adapt.NewDispatcher(p.answerer(t), v, adapt.Config{Strategy: adapt.StrategyPrompt,
			Classify: byFirst(map[byte]string{'a': "math", 'b': "code", 'c': "other"}),
			Experts: map[string]adapt.Named{"math": {"m", p.says(1, "math")},
				"code": {"c", p.says(2, "code")}}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for i, r := range adaptAll(t, d, questions(3)) {
				if want := []string{"UVW", "123", "base"}[i]; r.Answer.Text != want {
					t.Errorf("room %v, question %d: %q, want %q", room, i, r.Answer.Text, want)
				}
			}
		}
		if (len(k.loaded) == 0) != room {
			t.Errorf("room %v: %d matrices were loaded again", room, len(k.loaded))
		}
		if _, err := v.As(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// Sequences that are added leave those that there are alone.
func TestProjectedGrows(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 3)
	a, b := expert(t, d, "all", 1, 0.3), expert(t, d, "mlp", 2, 0.3)
	_, p := forms(t, base, d, 1, adapt.ProjectedOptions{})
	_, q := forms(t, base, d, 3, adapt.ProjectedOptions{})
	set(t, p, 0, a)
	if err := p.Grow(3); err != nil {
		t.Fatal(err)
	}
	set(t, p, 2, b)
	if err := q.SetAll(t.Context(), []*svf.Expert{a, nil, b}); err != nil {
		t.Fatal(err)
	}
	three := batch(tiny, 5, 6, 7)
	if farthest(t, logits(t, p.Model(), three), logits(t, q.Model(), three)) != 0 {
		t.Error("sequences that were added later are not what they are from the start")
	}
	if err := p.Grow(2); err != nil {
		t.Fatal(err)
	}
	set(t, p, 2, nil) // there are still three
}

// Only what an expert changes is asked for, and of logits all that they are of.
func TestVoicesNeed(t *testing.T) {
	dev := open(t)
	base, whole := fresh(t, dev, tiny, compute.F32, 4)
	shapes := &svf.Decomposition{Base: whole.Base}
	for _, m := range whole.Matrices {
		shapes.Matrices = append(shapes.Matrices, svf.Matrix{Name: m.Name, Out: m.Out, In: m.In,
			R: m.R, Left: m.Left})
	}
	var asked []string
	v := voices(t, base, shapes, adapt.VoicesOptions{
		Need: func(_ context.Context, names map[string]bool) error {
			for i, m := range shapes.Matrices {
				if names[m.Name] && m.Sigma == nil {
					asked = append(asked, m.Name)
					shapes.Matrices[i] = whole.Matrices[i]
				}
			}
			return nil
		}})
	silent := expert(t, whole, "mlp:1", 1, 0.3)
	for i := range silent.Z[svf.Name(1, svf.Up)] {
		silent.Z[svf.Name(1, svf.Up)][i] = 1
	}
	logit := expert(t, whole, "q:0", 1, 0.3)
	logit.Meta.Parametrisation = svf.SigmoidNuclear
	for i, e := range []*svf.Expert{silent, nil, silent, logit} {
		if _, err := v.As(t.Context(), e); err != nil {
			t.Fatalf("expert %d: %v", i, err)
		}
	}
	want := []string{svf.Name(1, svf.Gate), svf.Name(1, svf.Down), svf.Name(0, svf.Q)}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
