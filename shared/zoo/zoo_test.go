package zoo_test

import (
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/zoo"
)

// maxBytes is what a browser may load first: a base model with all its experts.
const maxBytes = 12 << 20

// Every model that ships loads, every expert fits it, and the lot is small.
func TestEveryModelLoadsWithItsExperts(t *testing.T) {
	if !slices.Contains(zoo.Names(), zoo.Default) {
		t.Fatalf("the zoo has %v, want %s among them", zoo.Names(), zoo.Default)
	}
	for _, name := range zoo.Names() {
		t.Run(name, func(t *testing.T) { checkModel(t, name) })
	}
}

func checkModel(t *testing.T, name string) {
	files, err := zoo.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil || size > maxBytes {
		t.Errorf("%d bytes (%v), want at most %d", size, err, maxBytes)
	}
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: name, Files: files}, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	names := m.ExpertNames()
	for _, want := range strings.Fields("math code reasoning classify shout brief french polite") {
		if !slices.Contains(names, want) {
			t.Errorf("no expert %s among %v", want, names)
		}
	}
	print, err := m.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		e, err := m.Expert(n)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Meta.Task != n || e.Meta.Base != print {
			t.Errorf("expert %s is for task %s of base %s, want %s of %s", n, e.Meta.Task,
				e.Meta.Base.Short(), n, print.Short())
		}
	}
}

// Every expert that ships says the same, token for token, however it acts: folded with factors kept,
// folded into the place of the base, projected.
func TestFormsSayTheSame(t *testing.T) {
	files, err := zoo.Open(zoo.Default)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	large := adapt.FoldedOptions{Small: 1}
	var store checkpoint.Memory
	var want [][]engine.Token
	for _, o := range []adapt.VoicesOptions{{}, {FoldedOptions: large, Form: adapt.FormFolded},
		{FoldedOptions: large, Form: adapt.FormProjected}} {
		m, err := engine.Open(t.Context(), dev, engine.Source{Name: zoo.Default, Files: files},
			compute.F32)
		if err != nil {
			t.Fatal(err)
		}
		s := engine.NewSession(dev, m, &store)
		s.Adapting = o
		var all [][]engine.Token
		for _, name := range append(m.ExpertNames(), engine.BaseName) {
			all = append(all, answer(t, s, name))
		}
		if want == nil {
			want = all
		}
		if !reflect.DeepEqual(all, want) {
			t.Errorf("%+v says %v, want %v", o, all, want)
		}
		s.Free()
	}
}

func answer(t *testing.T, s *engine.Session, name string) []engine.Token {
	t.Helper()
	v, err := s.Voice(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Generate(t.Context(), v, engine.Request{MaxTokens: 48,
		Prompt: "Tom has 12 apples. Tom buys 7. How many apples has Tom?"})
	if err != nil || len(a.Tokens) == 0 {
		t.Fatalf("%s says nothing: %v", name, err)
	}
	return a.Tokens
}
