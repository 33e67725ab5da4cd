package svf_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/svf"
)

func TestRandomIsSeededAndInScope(t *testing.T) {
	d := shapes()
	a := svf.Random(d, scope(t, "mlp:1"), 7, 0.1)
	if err := a.Check(d); err != nil {
		t.Fatal(err)
	}
	b, c := svf.Random(d, scope(t, "mlp:1"), 7, 0.1), svf.Random(d, scope(t, "mlp:1"), 8, 0.1)
	for _, name := range a.Names() {
		same(t, name, b.Z[name], a.Z[name])
		if slices.Equal(c.Z[name], a.Z[name]) {
			t.Errorf("%s: two seeds agree", name)
		}
	}
	if len(a.Names()) != 3 {
		t.Errorf("adapts %q", a.Names())
	}
	big := &svf.Decomposition{Matrices: []svf.Matrix{{Name: svf.Name(0, svf.Q), R: 100_000}}}
	s, err := svf.Random(big, scope(t, "q"), 1, 0.1).Stats()
	if err != nil {
		t.Fatal(err)
	}
	// E|N(0, s²)| = s·√(2/π); five standard errors.
	if want := 0.1 * math.Sqrt(2/math.Pi); math.Abs(s[0].MeanAbs-want) > 5*0.1/math.Sqrt(1e5) {
		t.Errorf("mean |z−1| %v, want %v", s[0].MeanAbs, want)
	}
}

func TestCarryToASibling(t *testing.T) {
	e, to := expert(t, "all", 1), shapes()
	to.Base[0]++
	if e.Check(to) == nil {
		t.Fatal("the sibling takes a foreign expert")
	}
	c, err := e.Carry(to, "sibling")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(to); err != nil || c.Meta.Model != "sibling" {
		t.Errorf("%v, model %q", err, c.Meta.Model)
	}
	for _, name := range e.Names() {
		same(t, name, c.Z[name], e.Z[name])
	}
	if from := c.Meta.Training["carried_from"]; !strings.Contains(from, e.Meta.Base.Short()) {
		t.Errorf("carried from %q", from)
	}
	if _, has := e.Meta.Training["carried_from"]; has || e.Meta.Base == to.Base {
		t.Error("the expert itself was changed")
	}
	to.Matrices[0].R++
	if _, err := e.Carry(to, "other shape"); err == nil {
		t.Error("another shape: want an error")
	}
}

func TestShuffleKeepsTheNumbers(t *testing.T) {
	e := expert(t, "all", 1)
	s := e.Shuffle(5)
	moved := 0
	for _, name := range e.Names() {
		a, b := slices.Sorted(slices.Values(e.Z[name])), slices.Sorted(slices.Values(s.Z[name]))
		if !slices.Equal(a, b) {
			t.Errorf("%s: other numbers", name)
		}
		if !slices.Equal(e.Z[name], s.Z[name]) {
			moved++
		}
		same(t, name, e.Shuffle(5).Z[name], s.Z[name])
	}
	if moved < 12 { // of 14 vectors of 4 to 10 numbers: 1/24 at worst stays by chance
		t.Errorf("%d vectors moved", moved)
	}
	s.Meta.Training["steps"] = "0"
	if e.Meta.Training["steps"] != "72" || s.Meta.Task != "math shuffled" {
		t.Error("the shuffled expert shares its metadata")
	}
	if err := s.Check(shapes()); err != nil {
		t.Error(err)
	}
}

func TestDiff(t *testing.T) {
	up, q := svf.Name(0, svf.Up), svf.Name(0, svf.Q)
	meta := svf.Meta{Parametrisation: svf.Linear}
	a := &svf.Expert{Meta: meta, Z: map[string][]float32{up: {2, 1, 1}}}
	b := &svf.Expert{Meta: meta, Z: map[string][]float32{up: {2, 2, 1}, q: {1, 5}}}
	got, err := svf.Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []svf.Difference{
		{Name: q, Cosine: 0, L2: 4, Max: 4, MaxAt: 1},
		{Name: up, Cosine: 1 / math.Sqrt2, L2: 1, Max: 1, MaxAt: 1},
	}
	for i := range want {
		if math.Abs(got[i].Cosine-want[i].Cosine) < 1e-15 {
			got[i].Cosine = want[i].Cosine
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	self, err := svf.Diff(b, b)
	if err != nil || self[0].L2 != 0 || math.Abs(self[0].Cosine-1) > 1e-15 {
		t.Errorf("with itself: %+v, %v", self, err)
	}
	b.Z[up] = []float32{1}
	_, err = svf.Diff(a, b)
	refused(t, err, "3 numbers in expert")
	if _, err := svf.Diff(a, logits(t, "mlp", 1)); err == nil {
		t.Error("logits were compared with z")
	}
}

func TestStats(t *testing.T) {
	down, head := svf.Name(3, svf.Down), "lm_head.weight"
	e := &svf.Expert{Meta: svf.Meta{Parametrisation: svf.Linear},
		Z: map[string][]float32{down: {1, 4, -3}, head: {1}}}
	got, err := e.Stats()
	if err != nil {
		t.Fatal(err)
	}
	want := []svf.Stat{
		{Name: down, Layer: 3, Role: svf.Down, R: 3, MeanAbs: 7.0 / 3, L2: 5, Min: -3, Max: 4},
		{Name: head, Layer: -1, R: 1, Min: 1, Max: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := logits(t, "mlp", 1).Stats(); err == nil {
		t.Error("logits were taken for z")
	}
	e.Z[down] = nil
	if _, err := e.Stats(); err == nil {
		t.Error("an empty vector has no statistics")
	}
}
