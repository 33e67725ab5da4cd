package svf_test

import (
	"bytes"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

func scope(t testing.TB, s string) svf.Scope {
	t.Helper()
	sc, err := svf.ParseScope(s)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

var baseA = checkpoint.HashWeight(1, 1, []float32{1})
var baseB = checkpoint.HashWeight(1, 1, []float32{2})

// shapes is a model of two layers: names, ranks and spectra, no bases.
func shapes() *svf.Decomposition {
	d := &svf.Decomposition{Base: baseA}
	for layer := range 2 {
		for r := svf.Q; r <= svf.Down; r++ {
			rank := 4 + int(r)
			d.Matrices = append(d.Matrices, svf.Matrix{Name: svf.Name(layer, r), Out: rank, In: 16,
				R: rank, Left: true, Sigma: sigmas(rank)})
		}
	}
	return d
}

func expert(t testing.TB, sc string, seed uint64) *svf.Expert {
	t.Helper()
	e := svf.Random(shapes(), scope(t, sc), seed, 0.2)
	e.Meta.Model, e.Meta.Task, e.Meta.CreatedBy = "tiny", "math", "t2 0.1"
	e.Meta.Training = map[string]string{"steps": "72", "lr": "0.01"}
	return e
}

func logits(t testing.TB, sc string, seed uint64) *svf.Expert {
	t.Helper()
	e := expert(t, sc, seed)
	e.Meta.Parametrisation = svf.SigmoidNuclear
	r := rng(seed)
	for _, name := range e.Names() {
		e.Z[name] = normal(r, len(e.Z[name]), 0.1, 1)
	}
	return e
}

func encodeExpert(t testing.TB, e *svf.Expert) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := svf.WriteExpert(&b, e); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readExpert(b []byte) (*svf.Expert, error) {
	return svf.ReadExpert(bytes.NewReader(b), int64(len(b)))
}

func TestExpertRoundTrip(t *testing.T) {
	for _, e := range []*svf.Expert{
		expert(t, "mlp", 1), expert(t, "attention:1,up:0", math.MaxUint64), logits(t, "all", 3),
	} {
		b := encodeExpert(t, e)
		if again := encodeExpert(t, e); !bytes.Equal(again, b) {
			t.Error("two writes differ")
		}
		got, err := readExpert(b)
		if err != nil {
			t.Fatal(err)
		}
		// Random's training summary was replaced; all else must come back to the bit.
		if !reflect.DeepEqual(got, e) {
			t.Errorf("got  %+v\nwant %+v", got, e)
		}
		if err := got.Check(shapes()); err != nil {
			t.Error(err)
		}
	}
}

func TestExpertFileIsTheDocumentedOne(t *testing.T) {
	for want, e := range map[string]*svf.Expert{
		"model.layers.1.mlp.gate_proj.z": expert(t, "gate:1", 1),
		"model.layers.1.mlp.gate_proj.p": logits(t, "gate:1", 1),
	} {
		b := encodeExpert(t, e)
		f, err := checkpoint.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Names(); !slices.Equal(got, []string{want}) {
			t.Errorf("tensors %q, want %q", got, want)
		}
		if info, _ := f.Tensor(want); info.String() != "F32 [8]" {
			t.Errorf("%s is %v", want, info)
		}
		meta := map[string]string{"kind": "transformer2 svf expert", "format_version": "1",
			"parametrisation": string(e.Meta.Parametrisation), "scope": "gate:1",
			"base": baseA.String(), "model": "tiny", "task": "math", "seed": "1",
			"created_by": "t2 0.1", "train.steps": "72", "train.lr": "0.01"}
		if !maps.Equal(f.Metadata(), meta) {
			t.Errorf("metadata %q, want %q", f.Metadata(), meta)
		}
	}
}

func TestExpertCheck(t *testing.T) {
	gate, up := svf.Name(1, svf.Gate), svf.Name(0, svf.Up)
	wrongBase := "base " + baseB.Short() + " (tiny), this model is base " + baseA.Short()
	for want, spoil := range map[string]func(*svf.Expert, *svf.Decomposition){
		"": func(*svf.Expert, *svf.Decomposition) {},
		wrongBase: func(e *svf.Expert, _ *svf.Decomposition) {
			e.Meta.Base = baseB
		},
		gate + " has 7 numbers, want 8": func(e *svf.Expert, _ *svf.Decomposition) {
			e.Z[gate] = e.Z[gate][:7]
		},
		"no vector for " + up + ", which is in": func(e *svf.Expert, _ *svf.Decomposition) {
			delete(e.Z, up)
		},
		"no decomposed weight " + gate: func(_ *svf.Expert, d *svf.Decomposition) {
			d.Matrices = slices.DeleteFunc(d.Matrices,
				func(m svf.Matrix) bool { return m.Name == gate })
		},
		"q_proj.weight is outside its scope mlp": func(e *svf.Expert, _ *svf.Decomposition) {
			e.Z[svf.Name(0, svf.Q)] = []float32{1}
		},
		up + ": number 3 is NaN": func(e *svf.Expert, _ *svf.Decomposition) {
			e.Z[up][3] = float32(math.NaN())
		},
		gate + ": number 0 is -Inf": func(e *svf.Expert, _ *svf.Decomposition) {
			e.Z[gate][0] = float32(math.Inf(-1))
		},
		"has no numbers": func(e *svf.Expert, _ *svf.Decomposition) { e.Z[gate] = nil },
		"has no vectors": func(e *svf.Expert, _ *svf.Decomposition) { e.Z = nil },
		`parametrisation "cubic"`: func(e *svf.Expert, _ *svf.Decomposition) {
			e.Meta.Parametrisation = "cubic"
		},
	} {
		e, d := expert(t, "mlp", 1), shapes()
		spoil(e, d)
		err := e.Check(d)
		if want != "" {
			refused(t, err, want)
		} else if err != nil {
			t.Error(err)
		}
	}
	e := expert(t, "mlp", 1)
	e.Meta.Base = baseB
	if err := e.CheckShapes(shapes()); err != nil {
		t.Errorf("carried to a sibling: %v", err)
	}
}

// rewrite is an expert file with other tensors or metadata.
func rewrite(t testing.TB, tensors []checkpoint.Tensor, change map[string]string) []byte {
	t.Helper()
	e := expert(t, "gate:1", 1)
	b := encodeExpert(t, e)
	f, err := checkpoint.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	meta := f.Metadata()
	maps.Copy(meta, change)
	if tensors == nil {
		tensors = []checkpoint.Tensor{checkpoint.FromFloat32("model.layers.1.mlp.gate_proj.z",
			checkpoint.F32, e.Z[svf.Name(1, svf.Gate)], 8)}
	}
	var out bytes.Buffer
	if err := checkpoint.Write(&out, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadExpertRefusesForeignFiles(t *testing.T) {
	z := "model.layers.1.mlp.gate_proj.z"
	one := func(name string, dt checkpoint.DType, data []float32, shape ...int) []byte {
		z := checkpoint.FromFloat32(name, dt, data, shape...)
		return rewrite(t, []checkpoint.Tensor{z}, nil)
	}
	f32, nan := checkpoint.F32, float32(math.NaN())
	good := rewrite(t, nil, nil)
	if _, err := readExpert(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		file []byte
	}{
		{"not a safetensors file", nil},
		{"not a safetensors file", good[:len(good)-1]},
		{"not a safetensors file", append(slices.Clone(good), 0)},
		{`kind is "", want`, rewrite(t, nil, map[string]string{"kind": ""})},
		{`format "2", want "1"`, rewrite(t, nil, map[string]string{"format_version": "2"})},
		{`parametrisation "log"`, rewrite(t, nil, map[string]string{"parametrisation": "log"})},
		{`scope "everything"`, rewrite(t, nil, map[string]string{"scope": "everything"})},
		{`fingerprint "12"`, rewrite(t, nil, map[string]string{"base": "12"})},
		{`"-1": invalid syntax`, rewrite(t, nil, map[string]string{"seed": "-1"})},
		{"want NAME.p", rewrite(t, nil, map[string]string{"parametrisation": "sigmoid-nuclear"})},
		{"outside its scope up:1", rewrite(t, nil, map[string]string{"scope": "up:1"})},
		{"has no vectors", rewrite(t, []checkpoint.Tensor{}, nil)},
		{"is F16 [2], want NAME.z", one(z, checkpoint.F16, []float32{1, 2}, 2)},
		{"is F32 [1 2], want NAME.z", one(z, f32, []float32{1, 2}, 1, 2)},
		{`".z" is F32 [1], want NAME.z`, one(".z", f32, []float32{1}, 1)},
		{`"lm_head.weight" is F32 [1]`, one("lm_head.weight", f32, []float32{1}, 1)},
		{"lm_head.weight is outside", one("lm_head.z", f32, []float32{1}, 1)},
		{"has no numbers", one(z, f32, nil, 0)},
		{"gate_proj.weight: number 1 is NaN", one(z, f32, []float32{1, nan}, 2)},
	} {
		_, err := readExpert(c.file)
		refused(t, err, c.want)
	}
}

func TestWriteExpertRefusesBrokenOnes(t *testing.T) {
	e := expert(t, "mlp", 1)
	e.Z[svf.Name(0, svf.Up)][2] = float32(math.Inf(1))
	err := svf.WriteExpert(io.Discard, e)
	refused(t, err, "up_proj.weight: number 2 is +Inf")
}

func TestEffective(t *testing.T) {
	d := shapes()
	e := logits(t, "mlp:1,q", 5)
	eff, err := e.Effective(d)
	if err != nil {
		t.Fatal(err)
	}
	if eff.Meta.Parametrisation != svf.Linear || eff.Meta.Base != e.Meta.Base ||
		!slices.Equal(eff.Names(), e.Names()) {
		t.Errorf("became %+v", eff.Meta)
	}
	for _, name := range e.Names() {
		m, _ := d.Matrix(name)
		want := released(widen(e.Z[name]), m.Sigma)
		near(t, name, eff.Z[name], want, 1e-6)
		for i := range want {
			want[i]--
		}
		near(t, name, eff.Delta(name), want, 1e-6)
	}
	if same, err := eff.Effective(nil); err != nil || same != eff {
		t.Error("a linear expert is not its own effective form", err)
	}
	if e.Delta(svf.Name(0, svf.Up)) != nil {
		t.Error("a weight outside the scope has a z")
	}
	e.Z[svf.Name(1, svf.Up)] = []float32{1}
	if _, err := e.Effective(d); err == nil {
		t.Error("wrong length was taken")
	}
	bad := logits(t, "q:0", 5)
	for i := range bad.Z[svf.Name(0, svf.Q)] {
		bad.Z[svf.Name(0, svf.Q)][i] = -1e5
	}
	_, err = bad.Effective(d)
	refused(t, err, "cannot be kept (model.layers.0")
}

func FuzzReadExpert(f *testing.F) {
	f.Add(encodeExpert(f, expert(f, "mlp", 1)))
	f.Add(encodeExpert(f, logits(f, "q:0", 2)))
	f.Add(rewrite(f, nil, map[string]string{"scope": "mlp:0-4294967295"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := readExpert(b)
		if err != nil {
			return
		}
		again, err := readExpert(encodeExpert(t, e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("came back as %+v, want %+v: %v", again, e, err)
		}
		_ = e.Check(shapes()) // may refuse, must not panic
	})
}
