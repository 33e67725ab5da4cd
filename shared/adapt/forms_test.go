package adapt_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// adapted is W' = U diag(σ∘z) Vᵀ in float64, by the definition: σ and the other side's vectors come
// from W and the basis. [out in]
func adapted(m *svf.Matrix, w, z []float32) []float64 {
	// Left: row i of UᵀW is σ[i]·V[:,i]ᵀ. Right: column j of WV is σ[j]·U[:,j].
	out, in, r := m.Out, m.In, m.R
	y := make([]float64, out*in)
	at := func(x []float32, cols, i, j int) float64 { return float64(x[i*cols+j]) }
	for j := range r {
		if m.Left {
			row := make([]float64, in)
			for i := range out {
				for k := range in {
					row[k] += at(m.Basis, r, i, j) * at(w, in, i, k)
				}
			}
			for i := range out {
				for k := range in {
					y[i*in+k] += at(m.Basis, r, i, j) * float64(z[j]) * row[k]
				}
			}
			continue
		}
		for i := range out {
			dot := 0.0
			for k := range in {
				dot += at(w, in, i, k) * at(m.Basis, r, k, j)
			}
			for k := range in {
				y[i*in+k] += dot * float64(z[j]) * at(m.Basis, r, k, j)
			}
		}
	}
	return y
}

// explicit is a new model with the weights that the definition gives, and it compares the folded
// model's weights with them.
func explicit(t *testing.T, dev compute.Device, base, folded *llama.Model, d *svf.Decomposition,
	e *svf.Expert) *llama.Model {
	t.Helper()
	m, err := llama.New(dev, base.Config, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string][]float32{}
	err = base.Export(func(s llama.TensorSpec, x []float32) error {
		numbers[s.Name] = x
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Matrices {
		mat := &d.Matrices[i]
		z := e.Z[mat.Name]
		if z == nil {
			continue
		}
		want := adapted(mat, numbers[mat.Name], z)
		near(t, mat.Name, weights(t, folded, mat.Name), want, weightTol)
		for j, v := range want {
			numbers[mat.Name][j] = float32(v)
		}
	}
	if err := m.Load(func(name string) ([]float32, error) { return numbers[name], nil }); err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	// weightTol bounds a folded f32 weight against float64: measured 4e-7 on weights up to 1.
	weightTol = 2e-6
	// logitsTol bounds logits in both forms against a model with the weights of the definition:
	// measured 1e-6 on logits of size 3.
	logitsTol = 2e-5
)

func TestFormsEqualDefinition(t *testing.T) {
	for _, form := range cpu.Forms() {
		for _, scope := range []string{"all", "mlp", "attention:1"} {
			t.Run(form+" "+scope, func(t *testing.T) {
				dev, err := cpu.New(cpu.Options{Form: form, Threads: 1})
				if err != nil {
					t.Skip(err)
				}
				defer dev.Close()
				base, d := fresh(t, dev, tiny, compute.F32, 1)
				b := batch(tiny, 9, 1, 30)
				f, p := forms(t, base, d, 3, adapt.ProjectedOptions{Rows: 16})
				var each []float32 // of all sequences, each under its own expert
				es := []*svf.Expert{expert(t, d, scope, 5, 0.3), nil, expert(t, d, scope, 6, 0.3)}
				row := 0
				for seq, n := range []int{9, 1, 30} {
					use(t, f, es[seq])
					got := logits(t, f.Model(), b)
					want := logits(t, base, b)
					if es[seq] != nil {
						want = logits(t, explicit(t, dev, base, f.Model(), d, es[seq]), b)
					}
					near(t, fmt.Sprintf("folded, expert %d", seq), got, want, logitsTol)
					each = append(each, want[row*tiny.Vocab:(row+n)*tiny.Vocab]...)
					row += n
				}
				if err := p.SetAll(t.Context(), es); err != nil {
					t.Fatal(err)
				}
				near(t, "projected", logits(t, p.Model(), b), each, logitsTol)
				if farthest(t, each, logits(t, base, b)) < 100*logitsTol {
					t.Error("the experts change nothing that this test could see")
				}
			})
		}
	}
}

func forms(t testing.TB, base *llama.Model, d *svf.Decomposition, seqs int,
	o adapt.ProjectedOptions) (*adapt.Folded, *adapt.Projected) {
	t.Helper()
	f, err := adapt.NewFolded(base, d, adapt.FoldedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	p, err := adapt.NewProjected(base, d, seqs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return f, p
}

func use(t testing.TB, f *adapt.Folded, e *svf.Expert) {
	t.Helper()
	if err := f.Use(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func set(t testing.TB, p *adapt.Projected, seq int, e *svf.Expert) {
	t.Helper()
	if err := p.Set(t.Context(), seq, e); err != nil {
		t.Fatal(err)
	}
}

// In any type of weight: no expert, an expert of ones, and a way back from one leave base's bits.
func TestOnesAreTheBaseToTheBit(t *testing.T) {
	for _, dtype := range []compute.DType{compute.F32, compute.F16, compute.BF16, compute.Q8} {
		t.Run(dtype.String(), func(t *testing.T) {
			c := tiny
			c.Dim, c.Hidden = 32, 64 // whole blocks of Q8
			dev := open(t)
			base, d := fresh(t, dev, c, dtype, 2)
			b := batch(c, 20, 3)
			want := logits(t, base, b)
			f, p := forms(t, base, d, 2, adapt.ProjectedOptions{})
			other, ones := expert(t, d, "all", 1, 0.2), expert(t, d, "all", 1, 0)
			for _, e := range []*svf.Expert{nil, ones, other, ones, other, nil} {
				use(t, f, e)
				set(t, p, 0, e)
				set(t, p, 1, e)
				for form, m := range map[string]*llama.Model{"folded": f.Model(),
					"projected": p.Model()} {
					d := farthest(t, logits(t, m, b), want)
					if e != other && d != 0 {
						t.Errorf("%s: base is off by %g, want its bits", form, d)
					}
					if e == other && d == 0 {
						t.Errorf("%s: the expert does nothing", form)
					}
				}
			}
			if d := farthest(t, logits(t, base, b), want); d != 0 {
				t.Errorf("base itself moved by %g", d)
			}
		})
	}
}

// Of what an expert changes in a Q4 model nearly all is there when it is folded, in either way: the
// projected form, which leaves W alone, is what it is compared with.
func TestFoldedIntoQ4(t *testing.T) {
	c := tiny
	c.Dim, c.Hidden = 32, 64 // whole blocks
	dev := open(t)
	base, d := fresh(t, dev, c, compute.Q4, 2)
	k := keep(t, base)
	b := batch(c, 20, 3)
	plain := logits(t, base, b)
	for name, scope := range map[string]string{"all": "all", "some": "mlp:0-0"} {
		small := expert(t, d, scope, 1, 0.03)
		p, err := adapt.NewProjected(base, d, 1, adapt.ProjectedOptions{})
		if err != nil {
			t.Fatal(err)
		}
		set(t, p, 0, small)
		want := logits(t, p.Model(), b)
		for _, o := range []adapt.FoldedOptions{{}, {Small: 1}, k.large()} {
			f, err := adapt.NewFolded(base, d, o)
			if err != nil {
				t.Fatal(err)
			}
			use(t, f, small)
			off := farthest(t, logits(t, f.Model(), b), want) / farthest(t, plain, want)
			t.Logf("%s: off by %.3f of what the expert changes", name, off)
			if off > 0.2 {
				t.Errorf("%s: folded is off by %.2f of what the expert changes, want less than 0.2", name, off)
			}
			use(t, f, nil)
			if d := farthest(t, logits(t, f.Model(), b), plain); d != 0 || len(k.loaded) > 0 {
				t.Errorf("%s: the base is off by %g, %d matrices were loaded again", name, d, len(k.loaded))
			}
			f.Close()
		}
		p.Close()
	}
}

// Matrices that no sequence adapts carry no adapter; one that some sequence does, does.
func TestUntouchedMatricesArePlain(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 3)
	f, p := forms(t, base, d, 2, adapt.ProjectedOptions{})
	e := expert(t, d, "gate:1", 1, 0.2)
	use(t, f, e)
	set(t, p, 1, e)
	for i, l := range p.Model().Linears() {
		in := l.Name == svf.Name(1, svf.Gate)
		if (l.Adapter != nil) != in {
			t.Errorf("projected: %s has adapter %v, in scope %v", l.Name, l.Adapter, in)
		}
		if (f.Model().Linears()[i].W != base.Linears()[i].W) != in {
			t.Errorf("folded: %s has its own weight, in scope %v", l.Name, in)
		}
	}
	set(t, p, 1, nil)
	for _, l := range p.Model().Linears() {
		if l.Adapter != nil {
			t.Errorf("projected: %s still has an adapter", l.Name)
		}
	}
}

// One matrix's z changes: one fold. The same expert again, or the base between: none.
func TestFoldsOnlyWhatChanged(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 4)
	f, _ := forms(t, base, d, 1, adapt.ProjectedOptions{})
	e := expert(t, d, "all", 1, 0.2)
	all := len(d.Matrices)
	for i, step := range []struct {
		e    *svf.Expert
		want int
	}{{e, all}, {e, all}, {nil, all}, {e, all}, {changed(e, svf.Name(0, svf.V)), all + 1}} {
		use(t, f, step.e)
		if f.Folds() != step.want {
			t.Errorf("step %d: %d folds, want %d", i, f.Folds(), step.want)
		}
	}
}

// changed is e with another number in one vector.
func changed(e *svf.Expert, name string) *svf.Expert {
	c := &svf.Expert{Meta: e.Meta, Z: map[string][]float32{}}
	for n, z := range e.Z {
		c.Z[n] = append([]float32(nil), z...)
	}
	c.Z[name][1] += 0.5
	return c
}

// Many switches keep the logits exact, which an in-place update of W would not, and take no memory.
func TestManySwitchesLeaveNothingBehind(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 5)
	f, p := forms(t, base, d, 2, adapt.ProjectedOptions{})
	b := batch(tiny, 12)
	es := []*svf.Expert{expert(t, d, "all", 1, 0.3), nil, expert(t, d, "mlp", 2, 0.3)}
	use(t, f, es[0])
	set(t, p, 0, es[0])
	wantF, wantP := logits(t, f.Model(), b), logits(t, p.Model(), b)
	rounds := func(n int) {
		for i := range n {
			use(t, f, es[i%3])
			set(t, p, 0, es[i%3])
			set(t, p, 1, es[(i+1)%3])
		}
	}
	rounds(30)
	before := heap()
	rounds(300)
	if grown := int64(heap()) - int64(before); grown > 64<<10 {
		t.Errorf("300 switches keep %d bytes", grown)
	}
	use(t, f, es[0])
	set(t, p, 0, es[0])
	if d := farthest(t, logits(t, f.Model(), b), wantF); d != 0 {
		t.Errorf("folded: off by %g after many switches", d)
	}
	if d := farthest(t, logits(t, p.Model(), b), wantP); d != 0 {
		t.Errorf("projected: off by %g after many switches", d)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Logit experts act as svf.Effective says.
func TestLogitExpertsActAsTheirZ(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 6)
	e := expert(t, d, "mlp", 1, 0.3)
	e.Meta.Parametrisation = svf.SigmoidNuclear // the same numbers are logits now
	linear, err := e.Effective(d)
	if err != nil {
		t.Fatal(err)
	}
	f, p := forms(t, base, d, 1, adapt.ProjectedOptions{})
	b := batch(tiny, 12)
	use(t, f, linear)
	want := logits(t, f.Model(), b)
	use(t, f, e)
	if d := farthest(t, logits(t, f.Model(), b), want); d != 0 {
		t.Errorf("folded: off by %g", d)
	}
	set(t, p, 0, e)
	near(t, "projected", logits(t, p.Model(), b), want, logitsTol)
}

// A refused expert is named, and nothing has changed.
func TestRefusals(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 7)
	good := expert(t, d, "all", 1, 0.2)
	f, p := forms(t, base, d, 2, adapt.ProjectedOptions{})
	use(t, f, good)
	set(t, p, 0, good)
	b := batch(tiny, 12)
	wantF, wantP := logits(t, f.Model(), b), logits(t, p.Model(), b)
	name := svf.Name(0, svf.Down)
	bad := func(edit func(*svf.Expert)) *svf.Expert {
		e := changed(good, name)
		edit(e)
		return e
	}
	for want, e := range map[string]*svf.Expert{
		"was trained on base":   bad(func(e *svf.Expert) { e.Meta.Base[0]++ }),
		"numbers, want 24":      bad(func(e *svf.Expert) { e.Z[name] = e.Z[name][1:] }),
		"is NaN":                bad(func(e *svf.Expert) { e.Z[name][3] = float32(math.NaN()) }),
		"no decomposed weight ": bad(func(e *svf.Expert) { e.Z["lm_head.weight"] = e.Z[name] }),
	} {
		for form, err := range map[string]error{"folded": f.Use(t.Context(), e), "projected": p.Set(t.Context(), 0, e),
			"projected all": p.SetAll(t.Context(), []*svf.Expert{nil, e})} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", form, err, want)
			}
		}
	}
	for _, err := range []error{p.Set(t.Context(), 2, good), p.Set(t.Context(), -1, good), p.SetAll(t.Context(), make([]*svf.Expert, 3))} {
		if err == nil {
			t.Error("a sequence that is not there was taken")
		}
	}
	if farthest(t, logits(t, f.Model(), b), wantF) != 0 ||
		farthest(t, logits(t, p.Model(), b), wantP) != 0 {
		t.Error("a refused expert left a trace")
	}
}

func TestMismatchedModels(t *testing.T) {
	dev := open(t)
	base, d := fresh(t, dev, tiny, compute.F32, 8)
	wide := tiny
	wide.Hidden = 48
	other, _ := fresh(t, dev, wide, compute.F32, 8)
	shallow := tiny
	shallow.Layers = 1
	few, _ := fresh(t, dev, shallow, compute.F32, 8)
	_, p := forms(t, base, d, 1, adapt.ProjectedOptions{})
	set(t, p, 0, expert(t, d, "all", 1, 0.1))
	for want, m := range map[string]*llama.Model{"its decomposition is of": other,
		"no linear weight": few, "has an adapter": p.Model()} {
		if _, err := adapt.NewFolded(m, d, adapt.FoldedOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("folded: error %v, want %q", err, want)
		}
		_, err := adapt.NewProjected(m, d, 1, adapt.ProjectedOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("projected: error %v, want %q", err, want)
		}
	}
	for _, o := range []adapt.ProjectedOptions{{Rows: -1}} {
		if _, err := adapt.NewProjected(base, d, 1, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := adapt.NewProjected(base, d, 0, adapt.ProjectedOptions{}); err == nil {
		t.Error("no sequences were taken")
	}
}
