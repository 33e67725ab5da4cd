package svf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

// The one basis of linalg must give the W' of the other, full decomposition: σ agree, and so does
// the fold for a z, where each σ is alone.
func TestDecomposeFoldsAsTheDefinition(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		r := rng(20)
		w := normal(r, out*in, 0, 1)
		d := decompose(out, in, w)
		m, err := svf.Decompose(linalg.Plain{}, "w", out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		if m.Left != (out <= in) || m.R != d.r || m.Weight != checkpoint.HashWeight(out, in, w) {
			t.Errorf("matrix is %d×%d, rank %d, left %v", m.Out, m.In, m.R, m.Left)
		}
		for i := range d.s {
			if math.Abs(m.Sigma[i]-d.s[i]) > 1e-13*d.s[0] {
				t.Errorf("σ[%d] = %v, want %v", i, m.Sigma[i], d.s[i])
			}
		}
		f, err := svf.NewFolder(dev, m, upload(t, dev, out, in, w))
		if err != nil {
			t.Fatal(err)
		}
		z1 := normal(r, d.r, 0, 0.5)
		z := widen(z1)
		for i := range z {
			z[i]++
		}
		dst := upload(t, dev, out, in, nil)
		f.Fold(dst, upload(t, dev, 1, d.r, z1))
		near(t, "W'", download(t, dev, dst), d.adapted(z), foldTol)
	})
}

// A tiny model in the checkpoint format: two layers of four weights, a head and a norm.
func model(t testing.TB, seed uint64) *checkpoint.File {
	t.Helper()
	r := rng(seed)
	tensors := []checkpoint.Tensor{
		checkpoint.FromFloat32("lm_head.weight", checkpoint.F32, normal(r, 6, 0, 1), 3, 2),
		checkpoint.FromFloat32("model.norm.weight", checkpoint.F32, []float32{1, 1}, 2),
	}
	for layer := range 2 {
		for role, shape := range map[svf.Role][2]int{
			svf.Q: {6, 6}, svf.K: {3, 6}, svf.Gate: {9, 6}, svf.Down: {6, 9},
		} {
			x := normal(rng(seed+uint64(10*layer)+uint64(role)), shape[0]*shape[1], 0, 1)
			tensors = append(tensors, checkpoint.FromFloat32(svf.Name(layer, role),
				checkpoint.BF16, x, shape[0], shape[1]))
		}
	}
	var b bytes.Buffer
	if err := checkpoint.Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// facts are all of a matrix but its basis.
func facts(m svf.Matrix) string {
	return fmt.Sprint(m.Name, m.Weight, m.Out, m.In, m.R, m.Left, m.Sigma, m.Arithmetic)
}

func decomposeModel(t testing.TB, c *svf.Cache, f *checkpoint.File, sc string) (*svf.Decomposition,
	[]svf.Progress) {
	t.Helper()
	var log []svf.Progress
	d, err := c.Model(context.Background(), linalg.Plain{}, f, scope(t, sc),
		func(p svf.Progress) { log = append(log, p) })
	if err != nil {
		t.Fatal(err)
	}
	return d, log
}

func TestModelIsDecomposedOnceAndKept(t *testing.T) {
	for name, store := range map[string]checkpoint.Store{
		"Memory": &checkpoint.Memory{}, "Dir": checkpoint.Dir(t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) {
			c := &svf.Cache{Store: store}
			f := model(t, 1)
			want, log := decomposeModel(t, c, f, "all")
			if len(want.Matrices) != 8 || log[7].Done != 8 || log[7].Total != 8 || log[7].Cached {
				t.Errorf("log %+v", log)
			}
			base, err := svf.Base(f)
			if err != nil || base != want.Base || base.IsZero() {
				t.Errorf("base %v, want %v, %v", base, want.Base, err)
			}
			got, log := decomposeModel(t, c, f, "all")
			if !reflect.DeepEqual(got, want) {
				t.Error("the cached decomposition differs")
			}
			for _, p := range log {
				if !p.Cached {
					t.Errorf("%s was computed again", p.Name)
				}
			}
			part, log := decomposeModel(t, c, f, "mlp:1")
			if part.Base != want.Base || len(log) != 2 ||
				!reflect.DeepEqual(part.Matrices, want.Matrices[6:]) {
				t.Error("a part of the model has another base or other matrices")
			}
			other, log := decomposeModel(t, c, model(t, 2), "all")
			if other.Base == want.Base || log[0].Cached {
				t.Error("another model was taken for this one")
			}
		})
	}
}

// A run that is stopped after three matrices goes on with the fourth, and ends as one that was not.
func TestDecompositionResumes(t *testing.T) {
	f := model(t, 3)
	want, _ := decomposeModel(t, &svf.Cache{Store: &checkpoint.Memory{}}, f, "all")
	c := &svf.Cache{Store: &checkpoint.Memory{}}
	ctx, stop := context.WithCancel(context.Background())
	_, err := c.Model(ctx, linalg.Plain{}, f, svf.AllScope(), func(p svf.Progress) {
		if p.Done == 3 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	got, log := decomposeModel(t, c, f, "all")
	for _, p := range log {
		if p.Cached != (p.Done <= 3) {
			t.Errorf("matrix %d: cached %v", p.Done, p.Cached)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("resumed decomposition differs")
	}
}

func TestCacheRefusesOtherFiles(t *testing.T) {
	w := normal(rng(5), 12, 0, 1)
	m, err := svf.Decompose(linalg.Plain{}, svf.Name(0, svf.Up), 3, 4, w)
	if err != nil {
		t.Fatal(err)
	}
	store := &checkpoint.Memory{}
	c := &svf.Cache{Store: store}
	if _, err := c.Load(m.Name, 3, 4, m.Weight); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty cache: %v", err)
	}
	if err := c.Save(&m); err != nil {
		t.Fatal(err)
	}
	file := "model.layers.0.mlp.up_proj." + m.Weight.Short() + ".svf.safetensors"
	good := contents(t, store, file)
	if got, err := c.Load(m.Name, 3, 4, m.Weight); err != nil || !reflect.DeepEqual(*got, m) {
		t.Errorf("%+v: %v", got, err)
	}
	collision := m // an other weight whose hash begins with the same digits
	collision.Weight[31] ^= 1
	named, two := m, m
	named.Name, two.Name = svf.Name(1, svf.Up), svf.Name(2, svf.Up)
	for want, b := range map[string][]byte{
		"not a safetensors file":                              good[:len(good)/2],
		"its numbers are not those":                           flip(good, len(good)-1),
		"decomposed from weight " + collision.Weight.String(): contentsOf(t, collision),
		"it does not hold " + m.Name + " alone":               contentsOf(t, named),
		"does not hold " + m.Name + " alone":                  contentsOf(t, m, two),
		"not a decomposition file":                            encodeExpert(t, expert(t, "q", 1)),
	} {
		err := store.Create(file, func(w io.Writer) error { _, err := w.Write(b); return err })
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Matrix(context.Background(), linalg.Plain{}, m.Name, 3, 4, w)
		refused(t, err, want)
		refused(t, err, "cache file "+file)
	}
	if _, err := c.Load(m.Name, 4, 3, m.Weight); err == nil {
		t.Error("another shape was taken")
	}
	m.Name = "../../etc/passwd"
	err = c.Save(&m)
	refused(t, err, "cannot be a file's")
	if _, _, err := c.Matrix(context.Background(), linalg.Plain{}, "w", 3, 5, w); err == nil {
		t.Error("12 numbers were taken for 3×5")
	}
}

func flip(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 1
	return b
}

func contents(t *testing.T, s checkpoint.Store, name string) []byte {
	t.Helper()
	blob, err := s.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, blob.Size())
	if _, err := blob.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func contentsOf(t testing.TB, ms ...svf.Matrix) []byte {
	t.Helper()
	var b bytes.Buffer
	d := &svf.Decomposition{Matrices: ms}
	if err := svf.WriteDecomposition(&b, d, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestModelErrors(t *testing.T) {
	c := &svf.Cache{Store: &checkpoint.Memory{}}
	write := func(x []float32, shape ...int) *checkpoint.File {
		var b bytes.Buffer
		err := checkpoint.Write(&b, []checkpoint.Tensor{
			checkpoint.FromFloat32(svf.Name(0, svf.Up), checkpoint.F32, x, shape...)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := checkpoint.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for want, f := range map[string]*checkpoint.File{
		"is F32 [4], want a matrix": write(make([]float32, 4), 4),
		"number 1 is NaN":           write([]float32{1, float32(math.NaN())}, 1, 2),
		"is [0 2]":                  write(nil, 0, 2),
	} {
		_, err := c.Model(context.Background(), linalg.Plain{}, f, scope(t, "mlp"), nil)
		refused(t, err, want)
	}
	_, err := c.Model(context.Background(), linalg.Plain{}, model(t, 1), scope(t, "mlp:5"), nil)
	refused(t, err, "no weight in the scope mlp:5")
}

func TestDecompositionRoundTrip(t *testing.T) {
	d, _ := decomposeModel(t, &svf.Cache{Store: &checkpoint.Memory{}}, model(t, 6), "all")
	for dt, tol := range map[checkpoint.DType]float64{
		checkpoint.F32: 0, checkpoint.F16: 0x1p-11, checkpoint.BF16: 0x1p-8,
	} {
		var b bytes.Buffer
		if err := svf.WriteDecomposition(&b, d, dt); err != nil {
			t.Fatal(err)
		}
		got, err := svf.ReadDecomposition(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if got.Base != d.Base || len(got.Matrices) != len(d.Matrices) {
			t.Fatalf("%s: %d matrices of base %v", dt, len(got.Matrices), got.Base)
		}
		for i := range d.Matrices {
			want, m := d.Matrices[i], got.Matrices[i]
			basis, err := want.Vectors()
			if err != nil || want.Basis != nil {
				t.Fatalf("%s is held in memory (%v), want it in the store", want.Name, err)
			}
			near(t, fmt.Sprint(dt, " basis of ", m.Name), m.Basis, widen(basis), tol)
			if facts(m) != facts(want) {
				t.Errorf("%s: got %s, want %s", dt, facts(m), facts(want))
			}
		}
	}
	if _, ok := d.Matrix("lm_head.weight"); ok {
		t.Error("the head was decomposed")
	}
	d.Matrices[0].Sigma = nil
	if err := svf.WriteDecomposition(io.Discard, d, checkpoint.F32); err == nil {
		t.Error("a broken matrix was written")
	}
}

func TestReadDecompositionRefusesForeignFiles(t *testing.T) {
	m, err := svf.Decompose(linalg.Plain{}, svf.Name(0, svf.Up), 2, 3, []float32{1, 2, 3, 4, 5, 7})
	if err != nil {
		t.Fatal(err)
	}
	b := contentsOf(t, m)
	f, err := checkpoint.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	stem := "model.layers.0.mlp.up_proj"
	sigma := checkpoint.FromFloat64(stem+".sigma", m.Sigma, 2)
	basis := checkpoint.FromFloat32(stem+".basis", checkpoint.F32, m.Basis, 2, 2)
	whole := []checkpoint.Tensor{sigma, basis}
	for _, c := range []struct {
		want, key, value string
		tensors          []checkpoint.Tensor
	}{
		{`format "0", want`, "format_version", "0", whole},
		{`fingerprint ""`, "base", "", whole},
		{`side "up", want left`, stem + ".side", "up", whole},
		{`side "", want left`, stem + ".side", "", whole},
		{"rank 2 on the right side", stem + ".side", "right", whole},
		{`shape "2", want OUT IN`, stem + ".shape", "2", whole},
		{`shape "2 3 4", want`, stem + ".shape", "2 3 4", whole},
		{"want [-2] and [-2 -2]", stem + ".shape", "-2 3", whole},
		{"want [3] and [3 3]", stem + ".shape", "4 3", whole},
		{`fingerprint "x"`, stem + ".weight", "x", whole},
		{"not those that were written", stem + ".digest", "0", whole},
		{"and basis is  []", "", "", whole[:1]},
		{`unknown tensor "` + stem + `.basis"`, "", "", whole[1:]},
		{`unknown tensor "x"`, "", "", []checkpoint.Tensor{sigma, basis,
			checkpoint.FromInt8("x", nil, 0)}},
		{"not those that were written", "", "", []checkpoint.Tensor{sigma,
			checkpoint.FromFloat32(stem+".basis", checkpoint.F32, make([]float32, 4), 2, 2)}},
	} {
		meta := f.Metadata()
		if c.key != "" {
			meta = maps.Clone(meta)
			meta[c.key] = c.value
		}
		var out bytes.Buffer
		if err := checkpoint.Write(&out, c.tensors, meta); err != nil {
			t.Fatal(err)
		}
		_, err := svf.ReadDecomposition(bytes.NewReader(out.Bytes()), int64(out.Len()))
		refused(t, err, c.want)
	}
}

func FuzzReadDecomposition(f *testing.F) {
	m, err := svf.Decompose(linalg.Plain{}, svf.Name(0, svf.Up), 1, 2, []float32{3, 4})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(contentsOf(f, m))
	f.Add(contentsOf(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := svf.ReadDecomposition(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := svf.WriteDecomposition(&again, d, checkpoint.F32); err != nil {
			t.Fatal(err)
		}
	})
}
