package engine

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// DecomposeOptions say what Decompose does.
type DecomposeOptions struct {
	Scope svf.Scope
	// Workers compute, a matrix each at a time. Matrices side by side are faster than one on all
	// processors, as half of a decomposition's steps are too small to share; each worker takes
	// linalg.BasisBytes of memory.
	Workers []compute.Dense64
	// Exact computes every matrix anew and measures its f64 factors in all directions, which takes
	// as long again; otherwise what the store has, or gets now, is probed as it is kept.
	Exact bool
	// Solver finds what the store has not; nil: linalg's, in f64, which is also what Exact takes. One
	// of a device is for one worker.
	Solver svf.Solver
	Type   checkpoint.DType // of the bases in new files; "" is F32
}

// Decomposed says how far Decompose is.
type Decomposed struct {
	Done, Total int
	Left        time.Duration // for the rest, by the time that operations took so far; 0: unknown
}

// Decompose decomposes the matrices of a model within a scope, keeps them in the store and hands
// each with its measures to report, in the order in which they are done. The model is not loaded:
// matrices are read from its files one by one. Each is in the store, whole and checked, before its
// worker takes the next, so what was stopped goes on where it was.
func Decompose(ctx context.Context, src Source, store checkpoint.Store, o DecomposeOptions,
	report func(Spectrum, Decomposed)) error {
	format := src.format()
	config, err := format.Config()
	if err != nil {
		return fmt.Errorf("model %s: %w", src.Name, err)
	}
	d := &decomposing{o: o, cache: svf.Cache{Store: store, Solver: o.Solver, Type: o.Type},
		report: report}
	for _, spec := range config.Linears() {
		if o.Scope.Has(spec.Name) {
			d.specs = append(d.specs, spec)
			d.ops += linalg.BasisOps(spec.Rows, spec.Cols)
		}
	}
	if len(d.specs) == 0 {
		return fmt.Errorf("model %s has no matrix in the scope %v", src.Name, o.Scope)
	}
	err = format.Weights(func(weights checkpoint.Source) error {
		if err := config.CheckTensors(weights); err != nil {
			return err
		}
		d.weights = weights
		return d.run(ctx)
	})
	if err != nil {
		return fmt.Errorf("model %s: %w", src.Name, err)
	}
	return nil
}

// decomposing is a Decompose that runs. Workers share it under its lock.
type decomposing struct {
	o       DecomposeOptions
	cache   svf.Cache
	weights checkpoint.Source
	report  func(Spectrum, Decomposed)

	sync.Mutex
	specs         []llama.TensorSpec
	next, done    int
	ops           float64 // of the matrices that are not done
	spent, worked float64 // seconds of workers, and the operations that these computed
}

// run lets the workers work until nothing is left or one of them fails.
func (d *decomposing) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for _, p := range d.o.Workers {
		all.Go(func() {
			if err := d.work(ctx, p); err != nil {
				stop(err) // the first counts: the others were ended by it
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// take gives the next matrix.
func (d *decomposing) take() (spec llama.TensorSpec, ok bool) {
	d.Lock()
	defer d.Unlock()
	if d.next == len(d.specs) {
		return spec, false
	}
	d.next++
	return d.specs[d.next-1], true
}

func (d *decomposing) work(ctx context.Context, p compute.Dense64) error {
	var room []float32 // one matrix's memory serves all of the worker's
	for {
		spec, ok := d.take()
		if !ok {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n := spec.Rows * spec.Cols
		if cap(room) < n {
			room = make([]float32, n)
		}
		if err := d.weights.ReadInto(spec.Name, room[:n], checkpoint.Finite); err != nil {
			return err
		}
		s, err := d.spectrum(ctx, p, spec, room[:n])
		if err != nil {
			return fmt.Errorf("%s: %w", spec.Name, err)
		}
		d.finish(s)
	}
}

// finish counts a matrix and reports it.
func (d *decomposing) finish(s Spectrum) {
	d.Lock()
	defer d.Unlock()
	ops := linalg.BasisOps(s.Out, s.In)
	d.done++
	d.ops -= ops
	if !s.Cached {
		d.spent += s.Seconds
		d.worked += ops
	}
	at := Decomposed{Done: d.done, Total: len(d.specs)}
	if d.worked > 0 {
		seconds := d.ops * d.spent / d.worked / float64(len(d.o.Workers))
		at.Left = time.Duration(seconds * float64(time.Second))
	}
	d.report(s, at)
}

// spectrum decomposes and measures one weight w [Rows Cols].
func (d *decomposing) spectrum(ctx context.Context, p compute.Dense64, spec llama.TensorSpec,
	w []float32) (Spectrum, error) {
	begin := time.Now()
	s := Spectrum{Name: spec.Name, Out: spec.Rows, In: spec.Cols, R: min(spec.Rows, spec.Cols),
		Left: spec.Rows <= spec.Cols, Arithmetic: svf.ArithmeticF64}
	if d.o.Exact {
		found, err := linalg.Basis(p, s.Out, s.In, w)
		if err != nil {
			return s, err
		}
		s.Quality = linalg.Quality{Residual: found.Residual(p, w),
			Orthogonality: found.Orthogonality(p)}
		s.Sigma = found.Sigma
	} else {
		m, found, err := d.cache.Matrix(ctx, p, s.Name, s.Out, s.In, w)
		if err != nil {
			return s, err
		}
		if s.Quality = found.Quality; found.Cached {
			s.Quality = m.Quality(p, w)
		}
		s.Sigma, s.Cached, s.Arithmetic = m.Sigma, found.Cached, cmp.Or(m.Arithmetic, s.Arithmetic)
	}
	s.EffectiveRank = EffectiveRank(s.Sigma)
	s.Seconds = time.Since(begin).Seconds()
	return s, nil
}
