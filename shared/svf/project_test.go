package svf_test

import (
	"fmt"
	"strings"
	"testing"

	"transformer2/shared/compute"
	"transformer2/shared/svf"
)

// projectTol bounds projected activations and gradients in f32 against f64, relative to the
// largest number. Measured at most 2.0e-7 over the cases.
const projectTol = 1e-6

// batch is a projected layer with three sequences over seven rows, each with a z of its own.
type batch struct {
	dev      compute.Device
	d        svd
	w        []float32 // [out in]
	p        *svf.Projector
	weight   compute.Weight
	seq      []int32   // [T] sequence of each row
	z1, x, g []float32 // [S r], [T in], [T out]
}

const batchRows, batchSeqs = 7, 3

func newBatch(t *testing.T, dev compute.Device, out, in int, seed uint64) *batch {
	t.Helper()
	r := rng(seed)
	b := &batch{dev: dev, w: normal(r, out*in, 0, 1), seq: []int32{2, 0, 0, 1, 2, 2, 0}}
	b.d = decompose(out, in, b.w)
	b.z1 = normal(r, batchSeqs*b.d.r, 0, 0.5)
	b.x, b.g = normal(r, batchRows*in, 0, 1), normal(r, batchRows*out, 0, 1)
	b.weight = pack(t, dev, compute.F32, out, in, b.w)
	var err error
	b.p, err = svf.NewProjector(svf.NewScratch(dev), b.d.matrix("w"), compute.F32, batchRows)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(t *testing.T, dev compute.Device, dt compute.DType, out, in int,
	x []float32) compute.Weight {
	t.Helper()
	w, err := dev.NewWeight(dt, out, in)
	if err != nil {
		t.Fatal(err)
	}
	dev.Pack(w, upload(t, dev, out, in, x))
	return w
}

func (b *batch) ints(t *testing.T) compute.Ints {
	t.Helper()
	rows, err := b.dev.NewInts(batchRows)
	if err != nil {
		t.Fatal(err)
	}
	b.dev.WriteInts(rows, b.seq)
	return rows
}

// forward is y[t] = W'(z of the row's sequence) x[t] in f64, by the definition of W'.
func (b *batch) forward(z1 []float64, x []float64) []float64 {
	d := b.d
	var y []float64
	for t, s := range b.seq {
		z := make([]float64, d.r)
		for i := range z {
			z[i] = 1 + z1[int(s)*d.r+i]
		}
		w := d.adapted(z)
		for i := range d.out {
			y = append(y, dot(w[i*d.in:(i+1)*d.in], x[t*d.in:(t+1)*d.in]))
		}
	}
	return y
}

func TestProjectedEqualsDefinition(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		b := newBatch(t, dev, out, in, 10)
		y := upload(t, dev, batchRows, out, nil)
		x := upload(t, dev, batchRows, in, b.x)
		b.p.Forward(y, x, b.weight, upload(t, dev, batchSeqs, b.d.r, b.z1), b.ints(t),
			compute.Tensor{})
		near(t, "y", download(t, dev, y), b.forward(widen(b.z1), widen(b.x)), projectTol)
		same(t, "x afterwards", download(t, dev, x), b.x)
	})
}

func TestProjectedAtOneIsTheBaseToTheBit(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		b := newBatch(t, dev, out, in, 11)
		want, y := upload(t, dev, batchRows, out, nil), upload(t, dev, batchRows, out, nil)
		x := upload(t, dev, batchRows, in, b.x)
		zero := upload(t, dev, batchSeqs, b.d.r, nil)
		dev.MatMul(want, x, b.weight)
		b.p.Forward(y, x, b.weight, zero, b.ints(t), compute.Tensor{})
		same(t, "y", download(t, dev, y), download(t, dev, want))

		dx, dxWant := upload(t, dev, batchRows, in, nil), upload(t, dev, batchRows, in, nil)
		dy := upload(t, dev, batchRows, out, b.g)
		dev.MatMulT(dxWant, dy, b.weight, false)
		b.p.Backward(dx, compute.Tensor{}, dy, b.weight, zero, b.ints(t), compute.Tensor{}, false)
		same(t, "dx", download(t, dev, dx), download(t, dev, dxWant))
	})
}

// z = 1 must leave even a base in few bits alone, and with a basis in few bits.
func TestProjectedAtOneInEveryPrecision(t *testing.T) {
	const out, in = 64, 96
	eachDevice(t, func(t *testing.T, dev compute.Device) {
		w := normal(rng(12), out*in, 0, 1)
		m := decompose(out, in, w).matrix("w")
		for _, dt := range []compute.DType{compute.F32, compute.F16, compute.BF16, compute.Q8} {
			t.Run(dt.String(), func(t *testing.T) {
				weight := pack(t, dev, dt, out, in, w)
				p, err := svf.NewProjector(svf.NewScratch(dev), m, dt, 5)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Free()
				for _, rows := range []int{1, 5} {
					x := upload(t, dev, rows, in, normal(rng(13), rows*in, 0, 1))
					y, want := upload(t, dev, rows, out, nil), upload(t, dev, rows, out, nil)
					p.Forward(y, x, weight, upload(t, dev, 1, m.R, nil), compute.Ints{},
						compute.Tensor{})
					dev.MatMul(want, x, weight)
					same(t, fmt.Sprint(rows, " rows"), download(t, dev, y), download(t, dev, want))
				}
			})
		}
	})
}

// foldedVsProjected bounds one form in f32 against the other. Measured at most 4.6e-6, where the
// seven terms of a single number cancel.
const foldedVsProjected = 2e-5

func TestProjectedEqualsFolded(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		b := newBatch(t, dev, out, in, 14)
		f, err := svf.NewFolder(dev, b.d.matrix("w"), upload(t, dev, out, in, b.w))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Free()
		z1 := upload(t, dev, batchSeqs, b.d.r, b.z1).Slice(0, 1) // one z for all rows
		x, dy := upload(t, dev, batchRows, in, b.x), upload(t, dev, batchRows, out, b.g)
		y, coef := upload(t, dev, batchRows, out, nil), upload(t, dev, batchRows, b.d.r, nil)
		dx, dz := upload(t, dev, batchRows, in, nil), upload(t, dev, 1, b.d.r, nil)
		b.p.Forward(y, x, b.weight, z1, compute.Ints{}, coef)
		b.p.Backward(dx, dz, dy, b.weight, z1, compute.Ints{}, coef, false)

		folded, dW := upload(t, dev, out, in, nil), upload(t, dev, out, in, nil)
		yf, dxf := upload(t, dev, batchRows, out, nil), upload(t, dev, batchRows, in, nil)
		dzf := upload(t, dev, 1, b.d.r, nil)
		f.Fold(folded, z1)
		dev.Gemm(compute.NT, yf, x, folded, false)
		dev.Gemm(compute.NN, dxf, dy, folded, false)
		dev.Gemm(compute.TN, dW, dy, x, false)
		f.Grad(dzf, dW)
		near(t, "y", download(t, dev, y), widen(download(t, dev, yf)), foldedVsProjected)
		near(t, "dx", download(t, dev, dx), widen(download(t, dev, dxf)), foldedVsProjected)
		near(t, "dz", download(t, dev, dz), widen(download(t, dev, dzf)), foldedVsProjected)
	})
}

// The loss is Σ g∘y: its gradients by differences of the f64 definition, for each sequence's z.
func TestProjectedGradients(t *testing.T) {
	eachCase(t, func(t *testing.T, dev compute.Device, out, in int) {
		if out*in > 1024 {
			t.Skip("differences cost (out·in)² here")
		}
		b := newBatch(t, dev, out, in, 15)
		r := rng(16)
		x, dy := upload(t, dev, batchRows, in, b.x), upload(t, dev, batchRows, out, b.g)
		y, coef := upload(t, dev, batchRows, out, nil), upload(t, dev, batchRows, b.d.r, nil)
		z1, rows := upload(t, dev, batchSeqs, b.d.r, b.z1), b.ints(t)
		startX, startZ := normal(r, batchRows*in, 0, 1), normal(r, batchSeqs*b.d.r, 0, 1)
		b.p.Forward(y, x, b.weight, z1, rows, coef)
		for _, acc := range []bool{false, true} {
			dx := upload(t, dev, batchRows, in, startX)
			dz := upload(t, dev, batchSeqs, b.d.r, startZ)
			b.p.Backward(dx, dz, dy, b.weight, z1, rows, coef, acc)

			wantZ := differences(widen(b.z1), 1e-3, func(z []float64) float64 {
				return dot(b.forward(z, widen(b.x)), widen(b.g))
			})
			wantX := differences(widen(b.x), 1e-3, func(x []float64) float64 {
				return dot(b.forward(widen(b.z1), x), widen(b.g))
			})
			for i := range wantZ {
				wantZ[i] += float64(startZ[i])
			}
			for i := range wantX {
				if acc {
					wantX[i] += float64(startX[i])
				}
			}
			near(t, "dz", download(t, dev, dz), wantZ, projectTol)
			near(t, "dx", download(t, dev, dx), wantX, projectTol)
		}
		same(t, "dy afterwards", download(t, dev, dy), b.g)
	})
}

// Basis in few bits: ΔW is P(z)−I of the rounded basis, so its error is that of the rounding.
// Measured relative to the largest number of y − Wx: f16 4.8e-4, bf16 4.0e-3, q8 6.5e-3.
var basisTol = map[compute.DType]float64{compute.F16: 2e-3, compute.BF16: 1.5e-2, compute.Q8: 3e-2}

func TestProjectedWithRoundedBasis(t *testing.T) {
	const out, in, rows = 64, 96, 5
	eachDevice(t, func(t *testing.T, dev compute.Device) {
		r := rng(17)
		w := normal(r, out*in, 0, 1)
		d := decompose(out, in, w)
		weight := pack(t, dev, compute.F32, out, in, w)
		z1, x := normal(r, d.r, 0, 0.3), normal(r, rows*in, 0, 1)
		delta := make([]float64, rows*out)
		wd := d.adapted(widen(z1)) // U diag(σ∘(z−1)) Vᵀ
		base := upload(t, dev, rows, out, nil)
		xt := upload(t, dev, rows, in, x)
		dev.MatMul(base, xt, weight)
		for i := range delta {
			delta[i] = dot(wd[i%out*in:(i%out+1)*in], widen(x[i/out*in:(i/out+1)*in]))
		}
		for dt, tol := range basisTol {
			p, err := svf.NewProjector(svf.NewScratch(dev), d.matrix("w"), dt, rows)
			if err != nil {
				t.Fatal(err)
			}
			y := upload(t, dev, rows, out, nil)
			p.Forward(y, xt, weight, upload(t, dev, 1, d.r, z1), compute.Ints{}, compute.Tensor{})
			got, wx := download(t, dev, y), download(t, dev, base)
			for i := range got {
				got[i] -= wx[i]
			}
			near(t, dt.String(), got, delta, tol)
		}
	})
}

func TestProjectorNamesWrongShapes(t *testing.T) {
	eachDevice(t, func(t *testing.T, dev compute.Device) {
		b := newBatch(t, dev, 4, 6, 18)
		z1 := upload(t, dev, 1, 4, nil)
		for name, call := range map[string]func(){
			"y [7 5]": func() {
				b.p.Forward(upload(t, dev, 7, 5, nil), upload(t, dev, 7, 6, nil), b.weight, z1,
					compute.Ints{}, compute.Tensor{})
			},
			"8 rows, want at most 7": func() {
				b.p.Forward(upload(t, dev, 8, 4, nil), upload(t, dev, 8, 6, nil), b.weight, z1,
					compute.Ints{}, compute.Tensor{})
			},
			"z [1 3]": func() {
				b.p.Forward(upload(t, dev, 7, 4, nil), upload(t, dev, 7, 6, nil), b.weight,
					upload(t, dev, 1, 3, nil), compute.Ints{}, compute.Tensor{})
			},
		} {
			func() {
				defer func() {
					if s := fmt.Sprint(recover()); !strings.Contains(s, name) {
						t.Errorf("panic %q, want it to name %q", s, name)
					}
				}()
				call()
			}()
		}
	})
}
