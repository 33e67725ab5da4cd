package svf_test

import (
	"math"
	"slices"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/svf"
)

// foldTol bounds a folded weight in f32 against U diag(σ∘z) Vᵀ in f64, relative to the largest
// number. Measured at most 7.1e-7 over the cases.
const foldTol = 2e-6

func TestFoldEqualsDefinition(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		r := rng(2)
		w := normal(r, out*in, 0, 1)
		d := decompose(out, in, w)
		base := upload(t, dev, out, in, w)
		f, err := svf.NewFolder(dev, d.matrix("w"), base)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Free()
		z1 := normal(r, d.r, 0, 0.5)
		z := widen(z1)
		for i := range z {
			z[i]++
		}
		dst := upload(t, dev, out, in, nil)
		f.Fold(dst, upload(t, dev, 1, d.r, z1))
		near(t, "W'", download(t, dev, dst), d.adapted(z), foldTol)
		same(t, "W afterwards", download(t, dev, base), w)
	})
}

func TestFoldAtOneIsTheBaseToTheBit(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		w := normal(rng(3), out*in, 0, 1)
		f, err := svf.NewFolder(dev, decompose(out, in, w).matrix("w"), upload(t, dev, out, in, w))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Free()
		dst := upload(t, dev, out, in, nil)
		f.Fold(dst, upload(t, dev, 1, min(out, in), nil))
		same(t, "W'", download(t, dev, dst), w)
	})
}

// The loss is Σ C∘W'(z) for a fixed C, so dW = C and the gradient of z is exact by differences in
// f64 of the definition.
func TestFoldGradient(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		r := rng(4)
		w, c := normal(r, out*in, 0, 1), normal(r, out*in, 0, 1)
		d := decompose(out, in, w)
		f, err := svf.NewFolder(dev, d.matrix("w"), upload(t, dev, out, in, w))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Free()
		start := normal(r, d.r, 0, 1) // Grad adds
		dz := upload(t, dev, 1, d.r, start)
		f.Grad(dz, upload(t, dev, out, in, c))

		z := widen(normal(r, d.r, 1, 0.3))
		want := differences(z, 1e-3, func(z []float64) float64 {
			return dot(d.adapted(z), widen(c))
		})
		for i := range want {
			want[i] += float64(start[i])
		}
		near(t, "dz", download(t, dev, dz), want, foldTol)
	})
}

// differences is the gradient of f at x by central differences.
func differences(x []float64, h float64, f func([]float64) float64) []float64 {
	g := make([]float64, len(x))
	for i := range x {
		y := slices.Clone(x)
		y[i] = x[i] + h
		up := f(y)
		y[i] = x[i] - h
		g[i] = (up - f(y)) / (2 * h)
	}
	return g
}

func TestFoldersShareScratch(t *testing.T) {
	eachDevice(t, func(t *testing.T, dev compute.Device) {
		r := rng(5)
		weights := map[string]compute.Tensor{}
		var ms []svf.Matrix
		var ds []svd
		for i, c := range cases {
			w := normal(r, c.out*c.in, 0, 1)
			d := decompose(c.out, c.in, w)
			m := d.matrix(svf.Name(i, svf.Up))
			weights[m.Name] = upload(t, dev, c.out, c.in, w)
			ms, ds = append(ms, m), append(ds, d)
		}
		folders, scratch, err := svf.NewFolders(dev, ms,
			func(name string) (compute.Tensor, error) { return weights[name], nil })
		if err != nil {
			t.Fatal(err)
		}
		defer scratch.Free()
		for i, f := range folders {
			z1 := normal(r, ms[i].R, 0, 0.5)
			z := widen(z1)
			for i := range z {
				z[i]++
			}
			dst := upload(t, dev, ms[i].Out, ms[i].In, nil)
			f.Fold(dst, upload(t, dev, 1, ms[i].R, z1))
			near(t, ms[i].Name, download(t, dev, dst), ds[i].adapted(z), foldTol)
			f.Free()
		}
	})
}

func TestFolderRefusesBrokenMatrices(t *testing.T) {
	eachDevice(t, func(t *testing.T, dev compute.Device) {
		w := normal(rng(6), 12, 0, 1)
		good := decompose(3, 4, w).matrix("w")
		for want, spoil := range map[string]func(*svf.Matrix){
			"right side":          func(m *svf.Matrix) { m.Left = false },
			"rank 4":              func(m *svf.Matrix) { m.R = 4 },
			"weight is [0 4]":     func(m *svf.Matrix) { m.Out = 0 },
			"2 singular values":   func(m *svf.Matrix) { m.Sigma = m.Sigma[:2] },
			"basis of 8":          func(m *svf.Matrix) { m.Basis = m.Basis[:8] },
			"singular value 1 is": func(m *svf.Matrix) { m.Sigma = []float64{1, 2, 0} },
			"value 2 is -1":       func(m *svf.Matrix) { m.Sigma = []float64{1, 1, -1} },
			"value 0 is NaN":      func(m *svf.Matrix) { m.Sigma = []float64{math.NaN(), 1, 0} },
			"number 5 of the":     func(m *svf.Matrix) { m.Basis[5] = float32(math.Inf(1)) },
			"weight is [3 4], wa": func(m *svf.Matrix) { m.In, m.Out, m.Left = 3, 4, false },
		} {
			m := good
			m.Sigma, m.Basis = slices.Clone(good.Sigma), slices.Clone(good.Basis)
			spoil(&m)
			_, err := svf.NewFolder(dev, m, upload(t, dev, 3, 4, w))
			refused(t, err, want)
		}
	})
}
