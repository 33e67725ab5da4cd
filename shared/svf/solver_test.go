package svf_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

// single is linalg's solver with σ in f32, which counts its work and can be told to fail.
type single struct {
	svf.Solver
	solved *int
	err    error
}

func newSingle() single { return single{Solver: svf.NewF64(linalg.Plain{}), solved: new(int)} }

func (s single) Arithmetic() string { return "f32" }

func (s single) Solve(ctx context.Context, out, in int, w []float32) ([]float64, []float32, error) {
	if s.err != nil {
		return nil, nil, s.err
	}
	*s.solved++
	sigma, basis, err := s.Solver.Solve(ctx, out, in, w)
	for i, v := range sigma {
		sigma[i] = float64(float32(v))
	}
	return sigma, basis, err
}

// TestSolversAreKeptApart: in one store what each found is what it is given again.
func TestSolversAreKeptApart(t *testing.T) {
	f, store := model(t, 1), &checkpoint.Memory{}
	solver := newSingle()
	double, half := &svf.Cache{Store: store}, &svf.Cache{Store: store, Solver: solver}
	exact, _ := decomposeModel(t, double, f, "all")
	rough, log := decomposeModel(t, half, f, "all")
	if log[0].Cached || *solver.solved != len(rough.Matrices) {
		t.Errorf("%d matrices of %d solved in f32, want all: %+v", *solver.solved,
			len(rough.Matrices), log)
	}
	if reflect.DeepEqual(exact, rough) || rough.Matrices[0].Arithmetic != "f32" {
		t.Errorf("the arithmetic is %q, want f32", rough.Matrices[0].Arithmetic)
	}
	for _, c := range []struct {
		cache *svf.Cache
		want  *svf.Decomposition
	}{{double, exact}, {half, rough}, {&svf.Cache{Store: store,
		Solver: svf.NewF64(linalg.Plain{})}, exact}} {
		got, log := decomposeModel(t, c.cache, f, "all")
		if !reflect.DeepEqual(got, c.want) || !log[7].Cached {
			t.Errorf("the store gave something else: %+v", log)
		}
	}
}

// TestSolverFilesAreNotMixed: a file under the other's name is refused.
func TestSolverFilesAreNotMixed(t *testing.T) {
	w := normal(rng(5), 12, 0, 1)
	m, err := svf.DecomposeBy(context.Background(), newSingle(), svf.Name(0, svf.Up), 3, 4, w)
	if err != nil {
		t.Fatal(err)
	}
	store := &checkpoint.Memory{}
	double, half := &svf.Cache{Store: store}, &svf.Cache{Store: store, Solver: newSingle()}
	for _, c := range []struct {
		cache            *svf.Cache
		infix, is, wants string
	}{{double, "", "f32", "f64"}, {half, ".f32", "f64", "f32"}} {
		stored := m
		if c.is == "f64" {
			stored.Arithmetic = ""
		}
		b := contentsOf(t, stored)
		name := fmt.Sprintf("model.layers.0.mlp.up_proj.%s%s.svf.safetensors", m.Weight.Short(), c.infix)
		err := store.Create(name, func(w io.Writer) error { _, err := w.Write(b); return err })
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.cache.Load(m.Name, 3, 4, m.Weight)
		refused(t, err, "was decomposed in "+c.is+", want "+c.wants)
	}
	m.Arithmetic = "../f32"
	refused(t, half.Save(&m), "cannot be a file's")
}

// TestSolverFails: its error names the matrix, and what was done before is kept.
func TestSolverFails(t *testing.T) {
	f, store := model(t, 3), &checkpoint.Memory{}
	solver := newSingle()
	decomposeModel(t, &svf.Cache{Store: store, Solver: solver}, f, "mlp:0")
	broken := solver
	broken.err = errors.New("out of order")
	_, err := (&svf.Cache{Store: store, Solver: broken}).Model(context.Background(), linalg.Plain{}, f,
		svf.AllScope(), nil)
	if !errors.Is(err, broken.err) {
		t.Errorf("%v, want %v in it", err, broken.err)
	}
	refused(t, err, svf.Name(0, svf.Q))
	*solver.solved = 0
	decomposeModel(t, &svf.Cache{Store: store, Solver: solver}, f, "all")
	if *solver.solved != 6 {
		t.Errorf("%d matrices solved, want the 6 that were not there", *solver.solved)
	}
}

// TestDeviceSolverWantsOne: the CPU device brings no solver in f32.
func TestDeviceSolverWantsOne(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	_, err = svf.NewDeviceSolver(dev)
	refused(t, err, dev.Name()+" has no singular value decomposition")
}
