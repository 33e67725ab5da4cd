package svf_test

import (
	"math"
	"slices"
	"testing"

	"transformer2/shared/svf"
)

// hard is an expert whose z are hostile to arithmetic: tiny, huge, 0, negative.
func hard(t *testing.T) *svf.Expert {
	e := expert(t, "mlp", 9)
	copy(e.Z[svf.Name(0, svf.Down)], []float32{1e-38, -1e-10, 0, 3e38, -7, 1, 1 + 1.0/(1<<23), 0.1})
	return e
}

func TestMixOneHotIsTheExpertToTheBit(t *testing.T) {
	experts := []*svf.Expert{expert(t, "mlp", 1), hard(t), expert(t, "mlp", 3)}
	for k, want := range experts {
		alpha := make([]float32, 3)
		alpha[k] = 1
		got, err := svf.Mix(experts, svf.PerExpert(alpha...))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range want.Names() {
			same(t, name, got.Z[name], want.Z[name])
		}
		if err := got.Check(shapes()); err != nil {
			t.Error(err)
		}
	}
}

func TestMixOfNothingIsTheBaseToTheBit(t *testing.T) {
	got, err := svf.Mix([]*svf.Expert{hard(t), expert(t, "all", 2)}, svf.PerExpert(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range got.Names() {
		for i, v := range got.Z[name] {
			if v != 1 {
				t.Fatalf("%s: z[%d] = %v", name, i, v)
			}
		}
	}
}

func TestMixIsTheFormula(t *testing.T) {
	a, b := expert(t, "mlp", 1), expert(t, "gate,q:1", 2)
	got, err := svf.Mix([]*svf.Expert{a, b}, svf.PerExpert(0.75, 0.5))
	if err != nil {
		t.Fatal(err)
	}
	if names := got.Names(); len(names) != 7 || !slices.Equal(names, svf.Names(b, a)) {
		t.Errorf("mixture of %q", names)
	}
	for _, name := range got.Names() {
		want := make([]float64, len(got.Z[name]))
		for i := range want {
			want[i] = 1
			if z := a.Z[name]; z != nil {
				want[i] += 0.75 * (float64(z[i]) - 1)
			}
			if z := b.Z[name]; z != nil {
				want[i] += 0.5 * (float64(z[i]) - 1)
			}
		}
		near(t, name, got.Z[name], want, 6e-8) // one rounding to f32
	}
	if got.Meta.Scope.String() != "mlp,q:1,gate" || got.Meta.Task != "math=0.75,math=0.5" ||
		got.Meta.Base != a.Meta.Base {
		t.Errorf("mixture is %+v", got.Meta)
	}
	if err := got.Check(shapes()); err != nil {
		t.Error(err)
	}
}

func TestMixPerMatrix(t *testing.T) {
	a, b := expert(t, "mlp", 1), expert(t, "mlp", 2)
	alpha := [][]float32{{1, 0, 1, 0, 1, 0}, {0, 1, 0, 1, 0, 1}}
	got, err := svf.Mix([]*svf.Expert{a, b}, alpha)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range got.Names() {
		want := a
		if i%2 == 1 {
			want = b
		}
		same(t, name, got.Z[name], want.Z[name])
	}
	// One α an expert may stand beside one a matrix.
	if _, err := svf.Mix([]*svf.Expert{a, b}, [][]float32{{0.5}, alpha[1]}); err != nil {
		t.Error(err)
	}
}

func TestMixIgnoresTheOrderOfExperts(t *testing.T) {
	a, b := expert(t, "mlp", 1), expert(t, "mlp", 2)
	x, err := svf.Mix([]*svf.Expert{a, b}, svf.PerExpert(0.3, 0.7))
	if err != nil {
		t.Fatal(err)
	}
	y, err := svf.Mix([]*svf.Expert{b, a}, svf.PerExpert(0.7, 0.3))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range x.Names() {
		near(t, name, x.Z[name], widen(y.Z[name]), 1e-7) // f64 in another order
	}
}

func TestMixErrors(t *testing.T) {
	a, b := expert(t, "mlp", 1), expert(t, "mlp", 2)
	other := expert(t, "mlp", 3)
	other.Meta.Base = baseB
	short := expert(t, "mlp", 4)
	short.Z[svf.Name(0, svf.Gate)] = []float32{1, 2}
	huge := hard(t)
	for _, c := range []struct {
		want    string
		experts []*svf.Expert
		alpha   [][]float32
	}{
		{"0 experts", nil, nil},
		{"2 experts with 1 rows", []*svf.Expert{a, b}, svf.PerExpert(1)},
		{"base " + baseB.Short() + ", expert", []*svf.Expert{a, other}, svf.PerExpert(1, 1)},
		{"has 2 α, want 1 or 6", []*svf.Expert{a, b}, [][]float32{{1}, {1, 2}}},
		{"α 0 is NaN", []*svf.Expert{a}, svf.PerExpert(float32(math.NaN()))},
		{"has 2 numbers, another expert's has 8", []*svf.Expert{a, short}, svf.PerExpert(1, 1)},
		{"holds sigmoid-nuclear parameters", []*svf.Expert{a, logits(t, "mlp", 1)},
			svf.PerExpert(1, 1)},
		{"number 3 is +Inf", []*svf.Expert{huge}, svf.PerExpert(2)},
	} {
		_, err := svf.Mix(c.experts, c.alpha)
		refused(t, err, c.want)
	}
}

// mixed logits as the released code composes them, z = Σ α p with the norm kept, in f64.
func TestMixLogits(t *testing.T) {
	d := shapes()
	a, b := logits(t, "mlp", 1), logits(t, "mlp", 2)
	for _, e := range []*svf.Expert{a, b} { // positive logits, so that no sum is near 0
		for _, name := range e.Names() {
			for i, v := range e.Z[name] {
				e.Z[name][i] = float32(math.Abs(float64(v))) + 0.1
			}
		}
	}
	got, err := svf.MixLogits([]*svf.Expert{a, b}, svf.PerExpert(0.25, 0.5), d)
	if err != nil {
		t.Fatal(err)
	}
	double, err := svf.MixLogits([]*svf.Expert{a, b}, svf.PerExpert(0.5, 1), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range got.Names() {
		m, _ := d.Matrix(name)
		want := make([]float64, m.R)
		var sum, kept float64
		for i, s := range m.Sigma {
			want[i] = 0.25*float64(a.Z[name][i]) + 0.5*float64(b.Z[name][i])
			sum += s
			kept += s * want[i]
		}
		for i := range want {
			want[i] *= sum / kept
		}
		near(t, name, got.Z[name], want, 1e-7)
		near(t, "only ratios matter: "+name, double.Z[name], want, 1e-7)
	}
	if got.Meta.Parametrisation != svf.Linear {
		t.Error("the mixture is not effective")
	}
	if err := got.Check(d); err != nil {
		t.Error(err)
	}
}

func TestMixLogitsErrors(t *testing.T) {
	d := shapes()
	a := logits(t, "mlp", 1)
	for _, c := range []struct {
		want  string
		e     *svf.Expert
		alpha float32
		d     *svf.Decomposition
	}{
		{"cannot be kept (model.layers.0.mlp.gate_proj.weight", a, 0, d},
		{"holds linear parameters", expert(t, "mlp", 1), 1, d},
		{"no decomposed weight", a, 1, &svf.Decomposition{}},
	} {
		_, err := svf.MixLogits([]*svf.Expert{c.e}, svf.PerExpert(c.alpha), c.d)
		refused(t, err, c.want)
	}
}

func TestParseMix(t *testing.T) {
	for text, want := range map[string][]svf.Share{
		"math=0.7,code=0.3": {{Name: "math", Alpha: 0.7}, {Name: "code", Alpha: 0.3}},
		" a b = 1 , c=0":    {{Name: "a b", Alpha: 1}, {Name: "c", Alpha: 0}},
		"x=1e-3":            {{Name: "x", Alpha: 1e-3}},
	} {
		if got, err := svf.ParseMix(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":            "mixture is empty",
		"  ":          "mixture is empty",
		"math":        `"math" is not NAME=NUMBER`,
		"=1":          `"=1" is not NAME=NUMBER`,
		"a=1,":        `"" is not NAME=NUMBER`,
		"a=x":         `a's share "x" is not a number`,
		"a=":          `a's share "" is not a number`,
		"a=NaN":       `share "NaN" is not a number`,
		"a=Inf":       `share "Inf" is not a number`,
		"a=1e99":      `share "1e99" is not a number`,
		"a=1,b=-0.5":  `b's share -0.5 is negative`,
		"a=1,b=0,a=1": `a appears twice`,
		"a=1=2":       `share "1=2" is not a number`,
	} {
		_, err := svf.ParseMix(text)
		refused(t, err, want)
	}
}
