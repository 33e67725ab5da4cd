package svf_test

import (
	"slices"
	"strings"
	"testing"

	"transformer2/shared/svf"
)

func TestNamesRoundTrip(t *testing.T) {
	for layer := range 3 {
		for r := svf.Q; r <= svf.Down; r++ {
			l, got, ok := svf.ParseName(svf.Name(layer*40, r))
			if !ok || l != layer*40 || got != r {
				t.Errorf("%s is layer %d, %v, %v", svf.Name(layer*40, r), l, got, ok)
			}
		}
	}
	if got := svf.Name(31, svf.Gate); got != "model.layers.31.mlp.gate_proj.weight" {
		t.Error(got)
	}
	if got := svf.Name(0, svf.O); got != "model.layers.0.self_attn.o_proj.weight" {
		t.Error(got)
	}
	for _, name := range []string{"", "lm_head.weight", "model.layers.", "model.layers.3",
		"model.layers.03.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
		"model.layers.+1.mlp.up_proj.weight", "model.layers.1.mlp.q_proj.weight",
		"model.layers.1.self_attn.q_proj.bias", "model.layers.1.input_layernorm.weight",
		"x.model.layers.1.mlp.up_proj.weight",
		"model.layers.99999999999999999999.mlp.up_proj.weight",
	} {
		if l, r, ok := svf.ParseName(name); ok {
			t.Errorf("%q is layer %d, %v", name, l, r)
		}
	}
}

func TestNamesAreOrderedByLayerThenRole(t *testing.T) {
	want := []string{svf.Name(2, svf.Q), svf.Name(2, svf.Down), svf.Name(10, svf.K),
		svf.Name(10, svf.V), "a", "b"}
	got := slices.Clone(want)
	rng(1).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, svf.CompareNames)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestScopes(t *testing.T) {
	for text, want := range map[string]struct{ canonical, has string }{
		"mlp:0-": {"mlp", "gate0 gate1 gate2 gate3 up0 up1 up2 up3 " +
			"down0 down1 down2 down3"},
		"attention":         {"attention", "q0 q1 q2 q3 v0 v1 v2 v3"},
		"all:1":             {"all:1", "q1 k1 v1 o1 gate1 up1 down1"},
		"mlp:0-1":           {"mlp:0-1", "gate0 gate1 up0 up1 down0 down1"},
		"attention:2-":      {"attention:2-", "q2 q3 v2 v3"},
		"q:0-":              {"q", "q0 q1 q2 q3"},
		"o:1-1, k : 3":      {"", ""},
		" k:3 ,o:1-1":       {"k:3,o:1", "k3 o1"},
		"gate:3,up,gate:3":  {"gate:3,up", "gate3 up0 up1 up2 up3"},
		"down:7-9":          {"down:7-9", ""},
		"mlp:0,attention:3": {"mlp:0,attention:3", "gate0 up0 down0 q3 v3"},
	} {
		s, err := svf.ParseScope(text)
		if want.canonical == "" {
			if err == nil {
				t.Errorf("%q was taken", text)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := svf.ParseScope(s.String())
		if s.String() != want.canonical || err != nil || again.String() != s.String() {
			t.Errorf("%q prints as %q, want %q, %v", text, s, want.canonical, err)
		}
		for layer := range 4 {
			for r := svf.Q; r <= svf.Down; r++ {
				short := r.String() + string(rune('0'+layer))
				has := slices.Contains(strings.Fields(want.has), short)
				if got := s.Has(svf.Name(layer, r)); got != has {
					t.Errorf("%q has %s: %v", text, short, got)
				}
			}
		}
		if s.Has("lm_head.weight") || s.IsZero() {
			t.Errorf("%q has the head, or nothing", text)
		}
	}
	if (svf.Scope{}).Has(svf.Name(0, svf.Q)) || !(svf.Scope{}).IsZero() {
		t.Error("the zero scope has something")
	}
}

func TestScopeErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":              `unknown set ""`,
		"mpl":           `unknown set "mpl", want mlp, attention`,
		"mlp,":          `unknown set ""`,
		"mlp:":          `layer "" is not`,
		"mlp:x":         `layer "x" is not`,
		"mlp:3-1":       "layers 3-1 run backwards",
		"mlp:-3":        `layer "" is not`,
		"mlp:1-2-3":     `layer "2-3" is not`,
		"mlp:5.5":       `layer "5.5" is not`,
		"q:99999999999": "is not a whole number",
	} {
		_, err := svf.ParseScope(text)
		refused(t, err, want)
	}
}

func TestScopeUnion(t *testing.T) {
	parse := func(s string) svf.Scope {
		scope, err := svf.ParseScope(s)
		if err != nil {
			t.Fatal(err)
		}
		return scope
	}
	u := parse("mlp:0-3").Union(parse("q,mlp:0-3"))
	if u.String() != "mlp:0-3,q" || !u.Has(svf.Name(9, svf.Q)) || u.Has(svf.Name(9, svf.Up)) {
		t.Errorf("union is %v", u)
	}
	if got := svf.AllScope().Union(svf.Scope{}); got.String() != "all" {
		t.Errorf("with nothing: %v", got)
	}
}

func TestScopeOf(t *testing.T) {
	names := []string{svf.Name(1, svf.Q), svf.Name(0, svf.Down), svf.Name(11, svf.Q)}
	s := svf.ScopeOf(append(names, "lm_head.weight")...)
	if s.String() != "q:1,q:11,down:0" {
		t.Errorf("the scope of %v is %v", names, s)
	}
	for layer := range 13 {
		for _, r := range []svf.Role{svf.Q, svf.V, svf.Down} {
			if name := svf.Name(layer, r); s.Has(name) != slices.Contains(names, name) {
				t.Errorf("%v has %s: %v", s, name, s.Has(name))
			}
		}
	}
	if !svf.ScopeOf().IsZero() {
		t.Errorf("the scope of no names is %v", svf.ScopeOf())
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"mlp", "all:3-", "q:0-3,gate:4-", "mlp:-", ":,", "k:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := svf.ParseScope(text)
		if err != nil {
			return
		}
		again, err := svf.ParseScope(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q prints as %q, which reads as %q: %v", text, s, again, err)
		}
	})
}
