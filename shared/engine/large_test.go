package engine_test

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/answer"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/enginetest"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

// sized is a session of a tiny model that takes experts on as o says, with the model's files.
func sized(t *testing.T, dtype compute.DType, o adapt.VoicesOptions) (*engine.Session, fstest.MapFS) {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	files := enginetest.Files(t, dev, 1, "math", "code")
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: "tiny", Files: files}, dtype)
	if err != nil {
		t.Fatal(err)
	}
	s := engine.NewSession(dev, m, &checkpoint.Memory{})
	s.Adapting = o
	return s, files
}

// large has a tiny model treated as a large one.
func large(form adapt.Form) adapt.VoicesOptions {
	return adapt.VoicesOptions{FoldedOptions: adapt.FoldedOptions{Small: 1}, Form: form}
}

func voice(t *testing.T, s *engine.Session, name string) engine.Voice {
	t.Helper()
	v, err := s.Voice(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// said is all that a session's use cases say of a model's voices, one after another.
func said(t *testing.T, s *engine.Session) []any {
	t.Helper()
	ctx, r := t.Context(), engine.Request{Prompt: "What is it?", MaxTokens: 12}
	var all []any
	for _, name := range []string{"base", "math", "code", "base", "math", "math=0.5,code=0.5"} {
		v, err := s.Mixture(ctx, name)
		if !strings.Contains(name, "=") {
			v, err = s.Voice(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ids(generate(t, s, v, r)))
	}
	two := []engine.Voice{voice(t, s, "code"), voice(t, s, "math")}
	compared, err := s.Compare(ctx, two, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range compared {
		all = append(all, ids(c.Answer), c.FirstDifference)
	}
	polite, err := task.Lookup("polite")
	if err != nil {
		t.Fatal(err)
	}
	quiz := engine.Quiz{Task: polite, Split: task.Valid, N: 3, Seed: 3}
	for _, v := range append(two, engine.Base()) {
		scored, err := s.Answers(ctx, v, quiz)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range scored {
			all = append(all, x.Text)
		}
	}
	return append(all, adaptively(t, s, r)...)
}

// adaptively is what the two passes and the search come to, after an expert was the model's.
func adaptively(t *testing.T, s *engine.Session, r engine.Request) (all []any) {
	a, err := s.Adaptive(adapt.StrategyPrompt)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	found, err := a.Answer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, found.Classification, found.Voice, ids(found.Answer))
	shot := adapt.Shot{Question: answer.Question{Prompt: "a", MaxTokens: 4}, Worked: "b",
		Score: func(string) float64 { return 1 }}
	b, err := s.FewShot(t.Context(), engine.FewShot{Shots: []adapt.Shot{shot}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, m := range b.Found.Search.Generations[0].Members {
		all = append(all, m)
	}
	return append(all, ids(generate(t, s, engine.Base(), r)))
}

// Whatever form a model's size gives its experts, every use case says the same.
func TestFormsSayTheSame(t *testing.T) {
	s, _ := sized(t, compute.F32, adapt.VoicesOptions{})
	want := said(t, s)
	for _, o := range []adapt.VoicesOptions{large(adapt.FormFolded), large(adapt.FormProjected),
		large(adapt.FormAuto), {Form: adapt.FormProjected}} {
		s, _ := sized(t, compute.F32, o)
		got := said(t, s)
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("form %q, small up to %d: answer %d is %v, want %v", o.Form, o.Small, i, got[i],
					want[i])
			}
		}
	}
}

// A base whose file is gone while an expert has its place is a clear error for whoever wants it, and
// comes back with the file.
func TestWeightsVanish(t *testing.T) {
	s, files := sized(t, compute.BF16, large(adapt.FormFolded))
	const name = "model.safetensors"
	r := engine.Request{Prompt: "What is it?", MaxTokens: 8}
	base := ids(generate(t, s, engine.Base(), r))
	math, code := voice(t, s, "math"), voice(t, s, "code")
	first := ids(generate(t, s, math, r))
	file := files[name]
	delete(files, name)
	if again := ids(generate(t, s, math, r)); !slices.Equal(again, first) {
		t.Error("math, which is in the model already, wants the file")
	}
	for _, v := range []engine.Voice{engine.Base(), code, math} {
		_, err := s.Generate(t.Context(), v, r)
		if err == nil || !strings.Contains(err.Error(), "cannot be loaded again") ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want an error that names the file", v.Name, err)
		}
	}
	other := enginetest.Files(t, s.Dev, 2)
	files[name] = other[name]
	if _, err := s.Generate(t.Context(), engine.Base(), r); err == nil ||
		!strings.Contains(err.Error(), "another one now") {
		t.Errorf("%v, want an error for the file of another model", err)
	}
	files[name] = file
	if again := ids(generate(t, s, engine.Base(), r)); !slices.Equal(again, base) {
		t.Error("the base is another one")
	}
	if again := ids(generate(t, s, math, r)); !slices.Equal(again, first) {
		t.Error("math is another one")
	}
}

// What is written for other programs has the expert in its weights, however it answers here.
func TestWrittenWeightsAreTheExperts(t *testing.T) {
	var want []byte
	for _, form := range []adapt.Form{adapt.FormFolded, adapt.FormProjected, adapt.FormAuto} {
		s, _ := sized(t, compute.F32, large(form))
		r := engine.Request{Prompt: "What is it?", MaxTokens: 8}
		before := ids(generate(t, s, voice(t, s, "math"), r))
		var file, base bytes.Buffer
		for to, v := range map[*bytes.Buffer]engine.Voice{&file: voice(t, s, "math"),
			&base: engine.Base()} {
			if err := s.WriteGGUF(t.Context(), to, v, checkpoint.GGUFF32); err != nil {
				t.Fatal(err)
			}
		}
		if want == nil {
			want = file.Bytes()
		}
		const layer = 30 << 10 // bytes at the end of a file are matrices of the last layer
		plain := base.Bytes()
		if !bytes.Equal(file.Bytes(), want) ||
			bytes.Equal(plain[len(plain)-layer:], want[len(want)-layer:]) {
			t.Errorf("form %q: what is written is not the expert's", form)
		}
		if after := ids(generate(t, s, voice(t, s, "math"), r)); !slices.Equal(after, before) {
			t.Errorf("form %q: the expert is another one after it was written", form)
		}
	}
}

// An expert of some matrices has these decomposed and no others, once.
func TestOnlyTheScopeIsDecomposed(t *testing.T) {
	s, _ := sized(t, compute.F32, adapt.VoicesOptions{})
	dir := t.TempDir()
	s.Store = checkpoint.Dir(dir)
	var names []string
	s.Decomposing = func(p svf.Progress) { names = append(names, p.Name) }
	shapes, err := s.Model.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	e := svf.Random(shapes, svf.ScopeOf(svf.Name(1, svf.Up), svf.Name(0, svf.Q)), 1, 0.3)
	for range 2 {
		generate(t, s, engine.Voice{Name: "e", Expert: e}, engine.Request{Prompt: "x", MaxTokens: 2})
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 ||
		!slices.Equal(names, []string{svf.Name(0, svf.Q), svf.Name(1, svf.Up)}) || s.Decomposed() {
		t.Errorf("%v were decomposed, %d files are kept (%v)", names, len(files), err)
	}
	if _, err := s.Bases(t.Context(), svf.AllScope()); err != nil || !s.Decomposed() || len(names) != 14 {
		t.Errorf("%d matrices were decomposed in all (%v), want 14", len(names), err)
	}
}
