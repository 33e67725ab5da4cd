package svf

import (
	"context"
	"fmt"

	"transformer2/shared/compute"
	"transformer2/shared/linalg"
)

// Solver finds singular values and the basis of a weight's smaller side, with the order and the
// signs of linalg.Basis.
type Solver interface {
	// Arithmetic is what the solver computes in: "f32". It is kept with what it found, and a part of
	// the names of a cache's files, so that what two solvers found is never taken for each other.
	Arithmetic() string
	// Solve decomposes w [out in]: sigma [r] descending, basis [r r], column j the vector of
	// sigma[j]. It ends early where ctx does.
	Solve(ctx context.Context, out, in int, w []float32) (sigma []float64, basis []float32, err error)
}

// ArithmeticF64 is that of linalg, which a decomposition is by if it names none: the reference, and
// what bases that are exchanged are made in.
const ArithmeticF64 = "f64"

// NewF64 is the solver of linalg.
func NewF64(p compute.Dense64) Solver { return f64Solver{p} }

type f64Solver struct{ p compute.Dense64 }

func (s f64Solver) Arithmetic() string { return ArithmeticF64 }

func (s f64Solver) Solve(ctx context.Context, out, in int, w []float32) (sigma []float64,
	basis []float32, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case ended:
			sigma, basis, err = nil, nil, e.error
		default:
			panic(e)
		}
	}()
	d, err := linalg.Basis(patient{s.p, ctx}, out, in, w)
	if err != nil {
		return nil, nil, err
	}
	basis = make([]float32, len(d.Basis))
	for i, v := range d.Basis {
		basis[i] = float32(v)
	}
	return d.Sigma, basis, nil
}

// patient is a Dense64 whose ops end by a panic of ended once ctx has: a large matrix takes a
// minute, in thousands of them.
type patient struct {
	compute.Dense64
	ctx context.Context
}

type ended struct{ error }

func (p patient) check() {
	if err := p.ctx.Err(); err != nil {
		panic(ended{err})
	}
}

func (p patient) Gemm64(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64,
	brs, bcs int, c []float64, ldc int) {
	p.check()
	p.Dense64.Gemm64(m, n, k, alpha, a, ars, acs, b, brs, bcs, c, ldc)
}

func (p patient) Symv64(n int, a []float64, lda int, x, y []float64) {
	p.check()
	p.Dense64.Symv64(n, a, lda, x, y)
}

// NewDeviceSolver is the solver that a device brings, in f32: singular vectors of a large gap are
// within some roundings of f64's, σ₁ over the gap times that in general. A device that brings none
// is an error.
func NewDeviceSolver(dev compute.Device) (Solver, error) {
	d, ok := dev.(compute.Decomposer)
	if !ok {
		return nil, fmt.Errorf("svf: %s has no singular value decomposition of its own", dev.Name())
	}
	return deviceSolver{dev, d}, nil
}

type deviceSolver struct {
	dev compute.Device
	d   compute.Decomposer
}

func (s deviceSolver) Arithmetic() string { return "f32" }

func (s deviceSolver) Solve(ctx context.Context, out, in int, w []float32) ([]float64, []float32,
	error) {
	r := min(out, in)
	var tensors [3]compute.Tensor // σ, basis, W
	for i, shape := range [...][2]int{{1, r}, {r, r}, {out, in}} {
		t, err := s.dev.NewTensor(shape[0], shape[1])
		if err != nil {
			return nil, nil, err
		}
		defer s.dev.Free(t.Buf)
		tensors[i] = t
	}
	s.dev.Write(tensors[2], w)
	if _, err := s.d.SVD(ctx, tensors[0], tensors[1], tensors[2]); err != nil {
		return nil, nil, err
	}
	single, basis := make([]float32, r), make([]float32, r*r)
	if err := s.dev.Read(single, tensors[0]); err != nil {
		return nil, nil, err
	}
	if err := s.dev.Read(basis, tensors[1]); err != nil {
		return nil, nil, err
	}
	sigma := make([]float64, r)
	for i, v := range single {
		sigma[i] = float64(v)
	}
	return sigma, basis, nil
}
