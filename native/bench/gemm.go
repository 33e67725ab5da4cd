package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
)

// What the products should reach, as parts of OpenBLAS with its AVX-512 kernels, and of each other.
const (
	wantGemm    = 0.75
	wantSimd    = 0.5
	wantScaling = 1.8
)

// simdForm is the name of the portable form.
const simdForm = "simd"

// product is C [m n] = A [m k] Bᵀ on one device, with B [n k] as it lies (OpenBLAS's task, packing
// included) or held as a weight (what a forward pass does).
type product struct {
	dev     *cpu.Device
	m, n, k int
	a, b, c compute.Tensor
	w       compute.Weight
}

func newProduct(o cpu.Options, size [3]int) (*product, error) {
	dev, err := cpu.New(o)
	if err != nil {
		return nil, err
	}
	p := &product{dev: dev, m: size[0], n: size[1], k: size[2]}
	rng := rand.New(rand.NewPCG(1, 2))
	tensor := func(rows, cols int) (t compute.Tensor) {
		if err != nil {
			return t
		}
		if t, err = dev.NewTensor(rows, cols); err == nil {
			dev.Write(t, normals(rng, rows*cols))
		}
		return t
	}
	p.a, p.b, p.c = tensor(p.m, p.k), tensor(p.n, p.k), tensor(p.m, p.n)
	if err == nil {
		p.w, err = dev.NewWeight(compute.F32, p.n, p.k)
	}
	if err != nil {
		dev.Close()
		return nil, err
	}
	dev.Pack(p.w, p.b)
	return p, nil
}

func normals(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func (p *product) plain()  { p.dev.Gemm(compute.NT, p.c, p.a, p.b, false) }
func (p *product) packed() { p.dev.MatMul(p.c, p.a, p.w) }

// gigaflops is the work of a product.
func gigaflops(size [3]int) float64 {
	return 2 * float64(size[0]) * float64(size[1]) * float64(size[2]) / 1e9
}

// gemm measures the product in every way against OpenBLAS in the same turns.
func gemm(ctx context.Context, env Env) ([]Figure, error) {
	size, two := env.size().gemm, min(2, env.threads())
	name := fmt.Sprintf("gemm f32 %dx%dx%d", size[0], size[1], size[2])
	env.say("%s", name)
	one, err := newProduct(cpu.Options{Threads: 1, Form: env.Device.Form}, size)
	if err != nil {
		return nil, err
	}
	defer one.dev.Close()
	both, err := newProduct(cpu.Options{Threads: two, Form: env.Device.Form}, size)
	if err != nil {
		return nil, err
	}
	defer both.dev.Close()
	blas := func(threads int) side {
		return env.session.peerSide("gemm %d %d %d %d %g", size[0], size[1], size[2], threads,
			env.burst().Seconds())
	}
	who := env.session.openBLAS(ctx)
	sides := []side{env.burstSide(one.plain), env.burstSide(both.plain), env.burstSide(one.packed),
		blas(1), blas(two)}
	portable := slices.Contains(cpu.Forms(), simdForm)
	if portable {
		p, err := newProduct(cpu.Options{Threads: 1, Form: simdForm}, size)
		if err != nil {
			return nil, err
		}
		defer p.dev.Close()
		sides = append(sides, env.burstSide(p.plain))
	}
	s, err := plan{budget: env.short(5 * time.Second), least: 3, warm: true}.turns(ctx, sides...)
	if err != nil {
		return nil, err
	}
	const unit = "GFLOP/s"
	work := gigaflops(size)
	figure := func(name, want string, ours, theirs series, threads int) Figure {
		return Figure{Name: name, Unit: unit, Want: want}.
			versus(who+", "+threadsWord(threads), ours, theirs, work)
	}
	figures := []Figure{
		figure(name+", 1 thread", want512(atLeast(wantGemm)), s[0], s[3], 1),
		figure(name+", weight packed before, 1 thread", "", s[2], s[3], 1),
	}
	simd := Figure{Name: name + ", portable simd form, 1 thread", Unit: unit, Against: who,
		Note: "not measured: this build has no simd form, it needs GOEXPERIMENT=simd"}
	if portable {
		simd = figure(simd.Name, want512(atLeast(wantSimd)), s[5], s[3], 1)
	}
	figures = append(figures, simd)
	if two < 2 {
		return append(figures, Figure{Name: name + ", 2 threads", Unit: unit, Against: who,
			Note: "not measured: there is one processor, or --threads is 1"}), nil
	}
	return append(figures, figure(name+", 2 threads", "", s[1], s[4], 2),
		Figure{Name: name + ", 2 threads over 1", Unit: unit, Want: atLeast(wantScaling)}.
			versus("1 thread", s[1], s[0], work)), nil
}

// want512 is what is asked of a ratio where both sides have AVX-512.
func want512(want string) string {
	if slices.Contains(cpu.Forms(), "avx512") {
		return want
	}
	return ""
}
