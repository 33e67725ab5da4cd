package svf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/checkpoint/torch"
	"transformer2/shared/checkpoint/torch/torchtest"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

func torchFile(t testing.TB, tensors ...torchtest.Tensor) *torch.File {
	t.Helper()
	b := torchtest.Save(tensors...)
	f, err := torch.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bf16 is a vector as the released code saves it.
func bf16(name string, x []float32) torchtest.Tensor {
	return torchtest.Tensor{Name: name, DType: checkpoint.BF16, Storage: x, Shape: []int{len(x)},
		Parameter: true}
}

// brain is normal, in numbers that bf16 holds.
func brain(seed uint64, n int) []float32 {
	x := normal(rng(seed), n, 0.1, 0.5)
	for i := range x {
		x[i] = math.Float32frombits(math.Float32bits(x[i]) &^ 0xffff)
	}
	return x
}

// releasedMLP is an expert of shapes() in both layouts.
func releasedMLP() (state, legacy []torchtest.Tensor, want map[string][]float32) {
	want = map[string][]float32{}
	for i := range 6 {
		name := svf.Name(i/3, svf.Gate+svf.Role(i%3))
		p := brain(uint64(i), 8+i%3)
		state = append(state, bf16(fmt.Sprintf("learnable_params_module_list.%d", i), p))
		legacy = append(legacy, bf16(name, p))
		want[name] = p
	}
	return state, legacy, want
}

func TestReleasedExperts(t *testing.T) {
	state, legacy, want := releasedMLP()
	for name, file := range map[string][]torchtest.Tensor{"state": state, "legacy": legacy} {
		e, err := svf.ReadReleased(torchFile(t, file...), shapes())
		if err != nil {
			t.Fatal(err)
		}
		if e.Meta.Parametrisation != svf.SigmoidNuclear || e.Meta.Scope.String() != "mlp" ||
			e.Meta.Base != baseA || len(e.Z) != 6 {
			t.Errorf("%s: %+v with %d vectors", name, e.Meta, len(e.Z))
		}
		for weight, p := range want {
			if !slices.Equal(e.Z[weight], p) {
				t.Errorf("%s: %s is %v, want %v", name, weight, e.Z[weight], p)
			}
		}
	}
	// Forks train other matrices under the names of the older layout.
	var q []torchtest.Tensor
	for layer := range 2 {
		q = append(q, bf16(svf.Name(layer, svf.Q), brain(9, 4)),
			bf16(svf.Name(layer, svf.V), brain(9, 6)))
	}
	if e, err := svf.ReadReleased(torchFile(t, q...), shapes()); err != nil ||
		e.Meta.Scope.String() != "attention" {
		t.Errorf("attention: %v", err)
	}
}

func TestReleasedExpertRefusals(t *testing.T) {
	state, legacy, _ := releasedMLP()
	nan := bf16("learnable_params_module_list.0", slices.Repeat([]float32{float32(math.NaN())}, 8))
	for want, file := range map[string][]torchtest.Tensor{
		"no vector for model.layers.1.mlp.down_proj.weight": state[:5],
		"is for model.layers.2.mlp.gate_proj.weight, which": append(slices.Clone(state),
			bf16("learnable_params_module_list.6", brain(1, 8))),
		"BF16 [9], want [8]": append([]torchtest.Tensor{bf16(state[0].Name, brain(1, 9))}, state[1:]...),
		"is NaN":             append([]torchtest.Tensor{nan}, state[1:]...),
		"two vectors":        append(slices.Clone(state), legacy[0]),
		"has no number":      {bf16("learnable_params_module_list.x", brain(1, 8))},
		"is for lm_head":     {bf16("lm_head", brain(1, 8))},
	} {
		_, err := svf.ReadReleased(torchFile(t, file...), shapes())
		refused(t, err, want)
	}
	_, err := svf.ReadReleased(torchFile(t), shapes())
	refused(t, err, "no vectors")
}

// A mixture of the few-shot search is what MixLogits makes of its experts.
func TestReleasedMixture(t *testing.T) {
	a, b := logits(t, "mlp", 1), logits(t, "mlp", 2)
	perMatrix := []float32{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1}
	for _, alpha := range [][]float32{{0.25, 0.75}, perMatrix} {
		file := []torchtest.Tensor{{Name: "adaptive_weights", DType: checkpoint.F32, Storage: alpha,
			Shape: []int{2, len(alpha) / 2}}}
		for k, e := range []*svf.Expert{a, b} {
			for _, name := range e.Names() {
				file = append(file, torchtest.Tensor{DType: checkpoint.F32, Storage: e.Z[name],
					Shape: []int{len(e.Z[name])},
					Name:  fmt.Sprintf("weights_%d_k_%s", k, strings.ReplaceAll(name, ".", "_"))})
			}
		}
		got, err := svf.ReadReleased(torchFile(t, file...), shapes())
		if err != nil {
			t.Fatal(err)
		}
		want, err := svf.MixLogits([]*svf.Expert{a, b},
			[][]float32{alpha[:len(alpha)/2], alpha[len(alpha)/2:]}, shapes())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range want.Names() {
			if !slices.Equal(got.Z[name], want.Z[name]) {
				t.Errorf("%s: %v, want %v", name, got.Z[name], want.Z[name])
			}
		}
		if got.Meta.Parametrisation != svf.Linear || got.Meta.Scope.String() != "mlp" {
			t.Errorf("%+v", got.Meta)
		}
		file[3].Name = "weights_7_k_x"
		_, err = svf.ReadReleased(torchFile(t, file...), shapes())
		refused(t, err, "model.layers.0.mlp.down_proj.weight")
	}
	_, err := svf.ReadReleased(torchFile(t, bf16("adaptive_weights", brain(1, 2))), shapes())
	refused(t, err, "want a row an expert")
}

// releasedW is W' in f64 as the released code composes it from its own factors and logits:
// (U diag(S∘z) Vᵀ)·ΣS/Σ(S∘z), z = sigmoid(p).
func releasedW(d svd, p []float32) []float64 { return d.adapted(released(widen(p), d.s)) }

// releasedTol bounds W' of an imported expert, folded in f32, against releasedW and against what
// torch composes in f32. Measured 2.9e-7 and 9.3e-7 of the largest number.
const releasedTol = 3e-6

// An imported expert gives the W' that the released code's formula gives, on our own basis and on
// the released code's, whose singular vectors have other signs.
func TestReleasedExpertGivesTheReleasedWeight(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		name := svf.Name(0, svf.Gate)
		w := normal(rng(3), out*in, 0, 1)
		theirs := decompose(out, in, w)
		for j := 0; j < theirs.r; j += 2 { // torch's signs are its own
			for i := range out {
				theirs.u[i*theirs.r+j] *= -1
			}
			for i := range in {
				theirs.v[i*theirs.r+j] *= -1
			}
		}
		ours, err := svf.Decompose(linalg.Plain{}, name, out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		imported, _, _, err := svf.ReadReleasedMatrix(linalg.Plain{},
			torchFile(t, theirs.saved(name)...), name, out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		p := brain(4, theirs.r)
		for i, m := range []svf.Matrix{ours, imported} {
			d := &svf.Decomposition{Matrices: []svf.Matrix{m}}
			e, err := svf.ReadReleased(torchFile(t, bf16("learnable_params_module_list.0", p)), d)
			if err == nil {
				e, err = e.Effective(d)
			}
			if err != nil {
				t.Fatal(err)
			}
			f, err := svf.NewFolder(dev, m, upload(t, dev, out, in, w))
			if err != nil {
				t.Fatal(err)
			}
			dst := upload(t, dev, out, in, nil)
			f.Fold(dst, upload(t, dev, 1, m.R, e.Delta(name)))
			near(t, fmt.Sprint("W' ", i), download(t, dev, dst), releasedW(theirs, p), releasedTol)
		}
	})
}

// saved is the decomposition as the released code keeps it, V as torch.svd gives it: the transposed
// view of Vᵀ.
func (d svd) saved(name string) []torchtest.Tensor {
	narrow := func(x []float64) []float32 {
		y := make([]float32, len(x))
		for i, v := range x {
			y[i] = float32(v)
		}
		return y
	}
	vt := make([]float64, len(d.v))
	for i := range d.in {
		for j := range d.r {
			vt[j*d.in+i] = d.v[i*d.r+j]
		}
	}
	return []torchtest.Tensor{
		{Name: name + ".U", DType: checkpoint.F32, Storage: narrow(d.u), Shape: []int{d.out, d.r}},
		{Name: name + ".S", DType: checkpoint.F32, Storage: narrow(d.s), Shape: []int{d.r}},
		{Name: name + ".V", DType: checkpoint.F32, Storage: narrow(vt), Shape: []int{d.in, d.r},
			Strides: []int{1, d.in}}}
}

func TestReleasedDecompositionRefusals(t *testing.T) {
	const out, in = 5, 9
	name := svf.Name(0, svf.Gate)
	w, other := normal(rng(3), out*in, 0, 1), normal(rng(4), out*in, 0, 1)
	tuned := slices.Clone(w)
	for i := range tuned {
		tuned[i] *= 1 + float32(i%7-3)*1e-4
	}
	read := func(other []float32, change func([]torchtest.Tensor) []torchtest.Tensor) error {
		file := torchFile(t, change(decompose(out, in, w).saved(name))...)
		if !svf.IsReleasedDecomposition(file) {
			t.Error("it is none")
		}
		_, _, _, err := svf.ReadReleasedMatrix(linalg.Plain{}, file, name, out, in, other)
		return err
	}
	for want, change := range map[string]func([]torchtest.Tensor) []torchtest.Tensor{
		"not this model's":      func(f []torchtest.Tensor) []torchtest.Tensor { return f },
		`U" is  [], want [5 5]`: func(f []torchtest.Tensor) []torchtest.Tensor { return f[1:] },
		"is F32 [25], want [5 5]": func(f []torchtest.Tensor) []torchtest.Tensor {
			f[0].Shape = []int{25}
			return f
		},
		"descending": func(f []torchtest.Tensor) []torchtest.Tensor {
			slices.Reverse(f[1].Storage)
			return f
		},
		"is NaN": func(f []torchtest.Tensor) []torchtest.Tensor {
			f[0].Storage[3] = float32(math.NaN())
			return f
		},
	} {
		refused(t, read(other, change), want)
	}
	same := func(f []torchtest.Tensor) []torchtest.Tensor { return f }
	refused(t, read(tuned, same), "not this model's")
	if err := read(w, same); err != nil {
		t.Error(err)
	}
}

// A cache takes an imported decomposition where it has none of its own, and its own where it has.
func TestCacheTakesImportedDecompositions(t *testing.T) {
	const out, in = 5, 9
	name := svf.Name(0, svf.Gate)
	w := normal(rng(3), out*in, 0, 1)
	m, _, _, err := svf.ReadReleasedMatrix(linalg.Plain{},
		torchFile(t, decompose(out, in, w).saved(name)...), name, out, in, w)
	if err != nil {
		t.Fatal(err)
	}
	c := &svf.Cache{Store: &checkpoint.Memory{}}
	if err := c.Save(&m); err != nil {
		t.Fatal(err)
	}
	got, cached, err := c.Matrix(context.Background(), linalg.Plain{}, name, out, in, w)
	if err != nil || !cached || got.Arithmetic != svf.ArithmeticTorch {
		t.Errorf("in %q, cached %v: %v", got.Arithmetic, cached, err)
	}
	own, err := svf.Decompose(linalg.Plain{}, name, out, in, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(&own); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Load(name, out, in, m.Weight); err != nil || got.Arithmetic != "" {
		t.Errorf("in %q: %v", got.Arithmetic, err)
	}
	gpu := &svf.Cache{Store: &checkpoint.Memory{}, Solver: svf.NewF64(linalg.Plain{})}
	if err := gpu.Save(&m); err != nil {
		t.Fatal(err)
	}
	if _, err := gpu.Load(name, out, in, m.Weight); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a solver's cache took an imported one: %v", err)
	}
}

// What the released code would do runs in torch: decompose, draw logits, save, and compose W'. The
// import gives the same weights.
func TestReleasedByTorch(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("/usr/bin/python3", "testdata/released.py", dir).CombinedOutput()
	switch {
	case errors.Is(err, fs.ErrNotExist), strings.Contains(string(out), "No module named 'torch'"):
		t.Skip("there is no torch: Debian's python3-torch brings it")
	case err != nil:
		t.Fatalf("%v: %s", err, out)
	}
	open := func(name string) *torch.File {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := torch.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	adapted := open("adapted.pt")
	d, weights := importedModel(t, open("model.pt"), open("decomposed.pt"))
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, file := range []string{"policy_params.pt", "learnable_params.pt"} {
		e, err := svf.ReadReleased(open(file), d)
		if err == nil {
			e, err = e.Effective(d)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range d.Matrices {
			f, err := svf.NewFolder(dev, m, upload(t, dev, m.Out, m.In, weights[m.Name]))
			if err != nil {
				t.Fatal(err)
			}
			dst := upload(t, dev, m.Out, m.In, nil)
			f.Fold(dst, upload(t, dev, 1, m.R, e.Delta(m.Name)))
			want := make([]float32, m.Out*m.In)
			if err := adapted.ReadInto(m.Name, want); err != nil {
				t.Fatal(err)
			}
			near(t, file+": "+m.Name, download(t, dev, dst), widen(want), releasedTol)
		}
	}
}

// importedModel is the decomposition of a model, by the weights' names, and these.
func importedModel(t *testing.T, model, decomposed *torch.File) (*svf.Decomposition,
	map[string][]float32) {
	d := &svf.Decomposition{}
	weights := map[string][]float32{}
	for _, name := range model.Names() {
		info, _ := model.Tensor(name)
		w := make([]float32, info.Len())
		if err := model.ReadInto(name, w); err != nil {
			t.Fatal(err)
		}
		m, residual, orthogonality, err := svf.ReadReleasedMatrix(linalg.Plain{}, decomposed, name,
			info.Shape[0], info.Shape[1], w)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: residual %.1e, orthogonality %.1e", info, residual, orthogonality)
		d.Matrices = append(d.Matrices, m)
		weights[name] = w
	}
	slices.SortFunc(d.Matrices, func(a, b svf.Matrix) int {
		return svf.CompareNames(a.Name, b.Name)
	})
	return d, weights
}
