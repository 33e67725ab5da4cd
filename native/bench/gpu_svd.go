package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

// The targets: the fold of a model's MLP in seconds, and the errors of singular vectors in f32.
const (
	wantFold     = 3
	mostErrorF32 = 1e-5
)

// svd measures the decomposition of a square matrix on the device, next to PyTorch's on the same
// GPU, and how good it is.
func (g *gpuBench) svd() error {
	n, runs := 4096, 2
	if g.env.Quick {
		n, runs = 96, 1
	}
	name := fmt.Sprintf("gpu svd %dx%d", n, n)
	g.say("%s", name)
	m := &gpuModel{dev: g.dev}
	defer m.free()
	a := &allocs{m: m}
	w, sigma, basis := a.tensor(n, n), a.tensor(1, n), a.tensor(n, n)
	if a.err != nil {
		return a.err
	}
	g.dev.Write(w, normals(rand.New(rand.NewPCG(1, uint64(n))), n*n))
	best, sweeps := time.Duration(1<<63-1), 0
	for i := range runs + 1 { // the first compiles
		start := time.Now()
		report, err := g.dev.SVD(g.ctx, sigma, basis, w)
		if err == nil {
			err = g.dev.Read(make([]float32, n), sigma)
		}
		if err != nil {
			return err
		}
		if d := time.Since(start); i > 0 {
			best = min(best, d)
		}
		sweeps = report.Sweeps
	}
	f := Figure{Name: name, Unit: "s"}
	theirs := g.torchSVD(n, &f)
	g.figure(lessIsMore(f, series{seconds: []float64{best.Seconds()}}, theirs))
	g.figure(Figure{Name: name + ", sweeps", Value: float64(sweeps)})
	return g.svdErrors(name, sigma, basis, w)
}

// torchSVD asks PyTorch, which must see a GPU too, and completes whom f is against.
func (g *gpuBench) torchSVD(n int, f *Figure) series {
	f.Against = "torch.linalg.svd"
	if g.void {
		return series{err: fmt.Errorf("there is no GPU for PyTorch")}
	}
	s := newSession(g.ctx, Env{Python: "python3"})
	defer s.close()
	answer, err := s.ask(g.ctx, "torch_svd %d", n)
	if err != nil {
		return series{err: err}
	}
	f.Against += ", " + answer.text
	seconds, err := answer.seconds()
	return series{seconds: []float64{seconds}, err: err}
}

// svdErrors measures a decomposition in f64 on the CPU.
func (g *gpuBench) svdErrors(name string, sigma, basis, w compute.Tensor) error {
	g.say("%s: its errors, in f64 on the CPU", name)
	n := sigma.Cols
	host, err := cpu.New(cpu.Options{})
	if err != nil {
		return err
	}
	defer host.Close()
	numbers, vectors, values := make([]float32, n*n), make([]float32, n*n), make([]float32, n)
	for _, x := range []struct {
		to   []float32
		from compute.Tensor
	}{{values, sigma}, {vectors, basis}, {numbers, w}} {
		if err := g.dev.Read(x.to, x.from); err != nil {
			return err
		}
	}
	d := linalg.Decomposition{Out: n, In: n, R: n, Left: true, Sigma: make([]float64, n),
		Basis: make([]float64, n*n)}
	for i, v := range values {
		d.Sigma[i] = float64(v)
	}
	for i, v := range vectors {
		d.Basis[i] = float64(v)
	}
	g.figure(bound(name+", residual", "of |W|", d.Residual(host, numbers), mostErrorF32))
	g.figure(bound(name+", orthogonality", "max |BᵀB − I|", d.Orthogonality(host), mostErrorF32))
	return nil
}

// fold measures how long it takes to adapt all of a model's MLP matrices to an expert, with bases
// of both types. The weights are bf16, and all of them are there: none is read twice.
func (g *gpuBench) fold() error {
	s := g.shape
	m := &gpuModel{gpuShape: s, dev: g.dev}
	defer m.free()
	a := &allocs{m: m}
	src := a.randomTensor(s.hidden*s.dim, s.dim)
	z1 := a.tensor(1, s.dim)
	wide, tall := a.weight(compute.BF16, s.hidden, s.dim, src), a.weight(compute.BF16, s.dim,
		s.hidden, src)
	type matrix struct {
		w, to compute.Weight
		left  bool
	}
	var all []matrix
	for range s.layers {
		for j := range 3 { // gate, up, down
			if j < 2 {
				all = append(all, matrix{a.weight(compute.BF16, s.hidden, s.dim, src), wide, false})
			} else {
				all = append(all, matrix{a.weight(compute.BF16, s.dim, s.hidden, src), tall, true})
			}
		}
	}
	scratch := svf.NewScratch(g.dev)
	defer scratch.Free()
	for _, t := range []compute.DType{compute.BF16, compute.F32} {
		g.say("%s: the fold of %d matrices, bases in %v", s.name, len(all), t)
		bases := make([]compute.Weight, len(all))
		for i := range bases {
			bases[i] = a.weight(t, s.dim, s.dim, src)
		}
		if a.err != nil {
			return a.err
		}
		g.dev.Fill(z1, 0.01)
		var err error
		d, waited := g.timed(1, func() {
			for i, x := range all {
				if err == nil {
					err = scratch.Refold(x.to, x.w, bases[i], x.left, z1)
				}
			}
		})
		if err != nil || waited != nil {
			return fmt.Errorf("fold: %w", errors.Join(err, waited))
		}
		g.figure(bound(fmt.Sprintf("gpu fold %s, %d MLP matrices, bases %v", s.name, len(all), t),
			"s", d.Seconds(), wantFold))
	}
	return nil
}
