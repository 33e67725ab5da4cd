package svf_test

import (
	"fmt"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
	"transformer2/shared/svf"
)

// identity is a matrix with unit vectors for a basis: as good as any for time.
func identity(out, in int) svf.Matrix {
	r := min(out, in)
	m := svf.Matrix{Name: "w", Out: out, In: in, R: r, Left: out <= in, Sigma: make([]float64, r),
		Basis: make([]float32, r*r)}
	for i := range r {
		m.Basis[i*r+i] = 1
	}
	return m
}

// What z costs on top of the product that it adapts, at the shapes of a 110 M model.
func BenchmarkForward(b *testing.B) {
	for _, shape := range [][2]int{{768, 768}, {2048, 768}, {768, 2048}} {
		out, in := shape[0], shape[1]
		dev, err := cpu.New(cpu.Options{Threads: 1})
		if err != nil {
			b.Fatal(err)
		}
		for _, rows := range []int{1, 256} {
			x, _ := dev.NewTensor(rows, in)
			y, _ := dev.NewTensor(rows, out)
			z, _ := dev.NewTensor(1, min(out, in))
			w, err := dev.NewWeight(compute.BF16, out, in)
			if err != nil {
				b.Fatal(err)
			}
			p, err := svf.NewProjector(svf.NewScratch(dev), identity(out, in), compute.BF16, rows)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("base/%dx%d/%d", out, in, rows), func(b *testing.B) {
				for b.Loop() {
					dev.MatMul(y, x, w)
				}
			})
			b.Run(fmt.Sprintf("projected/%dx%d/%d", out, in, rows), func(b *testing.B) {
				for b.Loop() {
					p.Forward(y, x, w, z, compute.Ints{}, compute.Tensor{})
				}
			})
		}
	}
}

func BenchmarkFold(b *testing.B) {
	for _, shape := range [][2]int{{768, 768}, {2048, 768}, {768, 2048}} {
		out, in := shape[0], shape[1]
		dev, err := cpu.New(cpu.Options{Threads: 1})
		if err != nil {
			b.Fatal(err)
		}
		w, _ := dev.NewTensor(out, in)
		dst, _ := dev.NewTensor(out, in)
		z, _ := dev.NewTensor(1, min(out, in))
		f, err := svf.NewFolder(dev, identity(out, in), w)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("fold/%dx%d", out, in), func(b *testing.B) {
			for b.Loop() {
				f.Fold(dst, z)
			}
		})
		b.Run(fmt.Sprintf("grad/%dx%d", out, in), func(b *testing.B) {
			for b.Loop() {
				f.Grad(z, w)
			}
		})
	}
}
