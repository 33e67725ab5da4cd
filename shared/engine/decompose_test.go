package engine_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/enginetest"
	"transformer2/shared/svf"
)

func TestDecompose(t *testing.T) {
	workers := make([]compute.Dense64, 2)
	for i := range workers {
		dev, err := cpu.New(cpu.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		workers[i] = dev
	}
	src := engine.Source{Name: "tiny", Files: enginetest.Files(t, workers[0].(*cpu.Device), 1)}
	scope, err := svf.ParseScope("mlp:1")
	if err != nil {
		t.Fatal(err)
	}
	store := &checkpoint.Memory{}
	for pass, c := range []struct {
		exact, cached bool
		kind          checkpoint.DType
		bound         float64
	}{{true, false, "", 1e-12}, {false, false, "", 1e-6}, {false, true, "", 1e-6},
		{false, false, checkpoint.BF16, 2e-2}, {false, true, "", 2e-2}} {
		if c.kind != "" {
			store = &checkpoint.Memory{}
		}
		n := 0
		err := engine.Decompose(context.Background(), src, store, engine.DecomposeOptions{Scope: scope,
			Exact: c.exact, Workers: workers, Type: c.kind},
			func(m engine.Spectrum, at engine.Decomposed) {
				n++
				if at.Total != 3 || at.Done != n || at.Left < 0 || n < 3 != (at.Left > 0) && !c.cached {
					t.Errorf("pass %d: %+v of matrix %d", pass, at, n)
				}
				if m.R != 32 || !slices.IsSortedFunc(m.Sigma, func(a, b float64) int {
					return -int(math.Copysign(1, a-b))
				}) {
					t.Errorf("pass %d: %+v", pass, m)
				}
				if m.EffectiveRank < 1 || m.EffectiveRank > float64(m.R) {
					t.Errorf("effective rank %g of %d", m.EffectiveRank, m.R)
				}
				if !(m.Worst() <= c.bound) || m.Cached != c.cached {
					t.Errorf("pass %d: residual %g, orthogonality %g, cached %v", pass, m.Residual,
						m.Orthogonality, m.Cached)
				}
			})
		if err != nil || n != 3 {
			t.Errorf("pass %d: %d matrices: %v", pass, n, err)
		}
	}
}

// What was stopped within a matrix ends there, keeps what was done and goes on with the rest.
func TestDecomposeResumes(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	src := engine.Source{Name: "tiny", Files: enginetest.Files(t, dev, 1)}
	o := engine.DecomposeOptions{Scope: svf.AllScope(), Workers: []compute.Dense64{dev}}
	store := &checkpoint.Memory{}
	ctx, stop := context.WithCancel(context.Background())
	done := 0
	stopped := o
	stopped.Workers = []compute.Dense64{stopping{dev, func() {
		if done == 4 {
			stop()
		}
	}}}
	err = engine.Decompose(ctx, src, store, stopped,
		func(engine.Spectrum, engine.Decomposed) { done++ })
	if !errors.Is(err, context.Canceled) || done != 4 {
		t.Fatalf("%d matrices: %v, want 4 and an end", done, err)
	}
	cached := 0
	err = engine.Decompose(context.Background(), src, store, o,
		func(m engine.Spectrum, _ engine.Decomposed) {
			if m.Cached {
				cached++
			}
			done++
		})
	if err != nil || cached != 4 || done-cached != 14 {
		t.Errorf("%d of %d were kept (%v), want 4 of 14", cached, done-cached, err)
	}
}

// stopping calls f before a product.
type stopping struct {
	compute.Dense64
	f func()
}

func (s stopping) Symv64(n int, a []float64, lda int, x, y []float64) {
	s.f()
	s.Dense64.Symv64(n, a, lda, x, y)
}
