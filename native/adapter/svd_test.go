package adapter

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/svf"
	"transformer2/shared/zoo"
)

// deltaTol is how far what an expert adds to a weight, ΔW = U diag(z−1) UᵀW or the V side's, may
// lie apart for the bases of the two solvers, relative to |ΔW|: vectors of close σ are turned into
// each other, by a roundoff of σ₁ over their distance. Measured 2.1e-5 over two layers.
const deltaTol = 2e-4

// TestSVDAgrees: an expert that ships does to the weights on the GPU's bases what it does on f64's.
func TestSVDAgrees(t *testing.T) {
	host, gpu := devices(t)
	files, err := zoo.Open(zoo.Default)
	if err != nil {
		t.Fatal(err)
	}
	m, err := engine.Open(t.Context(), host, engine.Source{Name: zoo.Default, Files: files},
		compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	expert, err := m.Expert(m.ExpertNames()[0])
	if err != nil {
		t.Fatal(err)
	}
	scope, err := svf.ParseScope("all:0")
	if err != nil {
		t.Fatal(err)
	}
	solver, err := svf.NewDeviceSolver(gpu.Device)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for _, l := range m.LM.Linears() {
		z := expert.Z[l.Name]
		if !scope.Has(l.Name) || z == nil {
			continue
		}
		w := make([]float32, l.Out*l.In)
		weight, err := host.NewTensor(l.Out, l.In)
		if err != nil {
			t.Fatal(err)
		}
		host.Unpack(weight, l.W)
		if err := host.Read(w, weight); err != nil {
			t.Fatal(err)
		}
		exact, err := svf.Decompose(host, l.Name, l.Out, l.In, w)
		if err != nil {
			t.Fatal(err)
		}
		rough, err := svf.DecomposeBy(context.Background(), solver, l.Name, l.Out, l.In, w)
		if err != nil {
			t.Fatal(err)
		}
		a, b := delta(t, host, exact, weight, z), delta(t, host, rough, weight, z)
		var size, apart float64
		for i := range a {
			size += a[i] * a[i]
			apart += (a[i] - b[i]) * (a[i] - b[i])
		}
		off := math.Sqrt(apart / size)
		worst = max(worst, off)
		if !(off <= deltaTol) {
			t.Errorf("%s: ΔW is off by %.2g of it, want %.2g or less", l.Name, off, deltaTol)
		}
	}
	t.Logf("ΔW at most %.2g apart", worst)
	if worst == 0 {
		t.Error("the two solvers gave the same bits, or the expert has no z: nothing was compared")
	}
}

// delta is W' − W of an expert's z.
func delta(t *testing.T, dev *Device, m svf.Matrix, w compute.Tensor, z []float32) []float64 {
	t.Helper()
	f, err := svf.NewFolder(dev, m, w)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Free()
	z1 := slices.Clone(z)
	for i := range z1 {
		z1[i]--
	}
	zt, err := dev.NewTensor(1, len(z1))
	if err != nil {
		t.Fatal(err)
	}
	dst, err := dev.NewTensor(w.Rows, w.Cols)
	if err != nil {
		t.Fatal(err)
	}
	dev.Write(zt, z1)
	f.Fold(dst, zt)
	after, before := make([]float32, w.Len()), make([]float32, w.Len())
	if err := dev.Read(after, dst); err != nil {
		t.Fatal(err)
	}
	if err := dev.Read(before, w); err != nil {
		t.Fatal(err)
	}
	d := make([]float64, len(after))
	for i := range d {
		d[i] = float64(after[i]) - float64(before[i])
	}
	return d
}

// TestSVDModel: a model is decomposed on the GPU once, and found in the store again.
func TestSVDModel(t *testing.T) {
	_, gpu := devices(t)
	files, err := zoo.Open(zoo.Default)
	if err != nil {
		t.Fatal(err)
	}
	src, store := engine.Source{Name: zoo.Default, Files: files}, &checkpoint.Memory{}
	o := engine.DecomposeOptions{Workers: []compute.Dense64{gpu}}
	if o.Scope, err = svf.ParseScope("k:0-1"); err != nil {
		t.Fatal(err)
	}
	if o.Solver, err = svf.NewDeviceSolver(gpu.Device); err != nil {
		t.Fatal(err)
	}
	for pass := range 2 {
		n := 0
		err := engine.Decompose(context.Background(), src, store, o, func(x engine.Spectrum,
			_ engine.Decomposed) {
			n++
			// Measured 6e-7 and 5e-7.
			if x.Arithmetic != "f32" || x.Cached != (pass == 1) || x.Residual > 5e-6 ||
				x.Orthogonality > 5e-6 {
				t.Errorf("pass %d, %s in %s: cached %v, residual %.2g, orthogonality %.2g", pass, x.Name,
					x.Arithmetic, x.Cached, x.Residual, x.Orthogonality)
			}
		})
		if err != nil || n != 2 {
			t.Fatalf("%d matrices, want 2: %v", n, err)
		}
	}
}

// refoldTol is how far a weight that is folded into f32 may be off, against the largest number.
// Measured 5.6e-7.
const refoldTol = 5e-6

// TestRefoldAgrees: a weight that is folded as it is packed is the CPU's, of both sides.
func TestRefoldAgrees(t *testing.T) {
	host, gpu := devices(t)
	for _, shape := range [][2]int{{96, 161}, {161, 96}, {130, 130}} {
		out, in := shape[0], shape[1]
		a, b := refolded(t, host, out, in), refolded(t, gpu, out, in)
		var top, off float64
		for i := range a {
			top = max(top, math.Abs(float64(a[i])))
			off = max(off, math.Abs(float64(a[i])-float64(b[i])))
		}
		t.Logf("%dx%d: %.1e of the largest", out, in, off/top)
		if !(off <= refoldTol*top) || top < 1 {
			t.Errorf("[%d %d]: off by %.2g, the largest is %.2g", out, in, off, top)
		}
	}
}

// refolded folds made-up numbers: the basis need not be one.
func refolded(t *testing.T, dev *Device, out, in int) []float32 {
	t.Helper()
	r := min(out, in)
	rng := rand.New(rand.NewPCG(uint64(out), uint64(in)))
	weight := func(typ compute.DType, rows, cols int, size float64) compute.Weight {
		w, err := dev.NewWeight(typ, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		x, err := dev.NewTensor(rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		host := make([]float32, rows*cols)
		for i := range host {
			host[i] = float32(size * rng.NormFloat64())
		}
		dev.Write(x, host)
		dev.Pack(w, x)
		return w
	}
	w, basis := weight(compute.BF16, out, in, 1), weight(compute.BF16, r, r, 0.1)
	to, z1 := weight(compute.F32, out, in, 0), weight(compute.F32, 1, r, 0.5)
	z, err := dev.NewTensor(1, r)
	if err != nil {
		t.Fatal(err)
	}
	dev.Unpack(z, z1)
	s := svf.NewScratch(dev)
	defer s.Free()
	if err := s.Refold(to, w, basis, out <= in, z); err != nil {
		t.Fatal(err)
	}
	x, err := dev.NewTensor(out, in)
	if err != nil {
		t.Fatal(err)
	}
	dev.Unpack(x, to)
	result := make([]float32, x.Len())
	if err := dev.Read(result, x); err != nil {
		t.Fatal(err)
	}
	return result
}
