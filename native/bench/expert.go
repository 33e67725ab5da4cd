package bench

import (
	"context"
	"fmt"
	"time"

	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// Bounds on a small model.
const (
	mostSwitch    = 1.0  // ms, projected
	mostFold      = 50.0 // ms
	mostDecompose = 2.0  // s, all matrices
)

// zSpread is about what training moves z by.
const zSpread = 0.1

// switchExpert goes back and forth between two random experts of all matrices.
func switchExpert(ctx context.Context, env Env) ([]Figure, error) {
	dev, err := env.device(env.threads())
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	m, model, err := env.session.open(dev)
	if err != nil {
		return nil, err
	}
	env.say("switch %s", model)
	bases, err := m.Decompose(ctx, dev, &checkpoint.Memory{}, svf.AllScope(), nil)
	if err != nil {
		return nil, err
	}
	pair := [2]*svf.Expert{svf.Random(bases, svf.AllScope(), 1, zSpread),
		svf.Random(bases, svf.AllScope(), 2, zSpread)}
	projected, err := adapt.NewProjected(m.LM, bases, 1, adapt.ProjectedOptions{})
	if err != nil {
		return nil, err
	}
	defer projected.Close()
	folded, err := adapt.NewFolded(m.LM, bases, adapt.FoldedOptions{})
	if err != nil {
		return nil, err
	}
	defer folded.Close()
	s, err := plan{budget: env.short(3 * time.Second), least: 3, warm: true}.turns(ctx,
		thereAndBack(func(i int) error { return projected.Set(ctx, 0, pair[i]) }),
		thereAndBack(func(i int) error { return folded.Use(ctx, pair[i]) }))
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("switch %s, all %d matrices, %s, ", model, len(bases.Matrices),
		threadsWord(env.threads()))
	return []Figure{
		bound(name+"projected", "ms", 1e3*s[0].median(), mostSwitch),
		bound(name+"folded", "ms", 1e3*s[1].median(), mostFold),
	}, nil
}

// thereAndBack is a side that does f(0) and f(1) and gives the mean of both.
func thereAndBack(f func(i int) error) side {
	return side{run: func(context.Context) (float64, error) {
		begin := time.Now()
		for i := range 2 {
			if err := f(i); err != nil {
				return 0, err
			}
		}
		return time.Since(begin).Seconds() / 2, nil
	}}
}

// decompose computes the singular values and bases of all the model's matrices.
func decompose(ctx context.Context, env Env) ([]Figure, error) {
	dev, err := env.device(env.threads())
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	m, model, err := env.session.open(dev)
	if err != nil {
		return nil, err
	}
	matrices := len(m.LM.Linears())
	name := fmt.Sprintf("decompose %s, all %d matrices, %s", model, matrices,
		threadsWord(env.threads()))
	env.say("%s", name)
	s, err := plan{budget: env.short(3 * time.Second), least: 1}.turns(ctx,
		side{run: func(ctx context.Context) (float64, error) {
			begin := time.Now()
			d, err := m.Decompose(ctx, dev, &checkpoint.Memory{}, svf.AllScope(), nil)
			if err == nil && len(d.Matrices) != matrices {
				err = fmt.Errorf("%d matrices were decomposed, want %d", len(d.Matrices), matrices)
			}
			return time.Since(begin).Seconds(), err
		}})
	if err != nil {
		return nil, err
	}
	return []Figure{bound(name, "s", s[0].median(), mostDecompose)}, nil
}
