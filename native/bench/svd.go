package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/linalg"
)

// Bounds on decompositions: the time of LAPACK's gesdd in f64, and the errors.
const (
	mostLapack = 1.2
	mostError  = 1e-12
)

// svd decomposes square matrices: one singular basis and σ from f32 weights on our side, U, σ and
// Vᵀ of an f64 matrix of the same size on LAPACK's.
func svd(ctx context.Context, env Env) ([]Figure, error) {
	var figures []Figure
	for _, n := range env.size().svd {
		w := normals(rand.New(rand.NewPCG(1, uint64(n))), n*n)
		counts := []int{1}
		if t := env.threads(); t > 1 {
			counts = append(counts, t)
		}
		for i, threads := range counts {
			dev, err := env.device(threads)
			if err != nil {
				return figures, err
			}
			more, err := decomposition(ctx, env, dev, n, threads, w, i == len(counts)-1)
			dev.Close()
			figures = append(figures, more...)
			if err != nil {
				return figures, err
			}
		}
	}
	return figures, nil
}

// decomposition measures W [n n] on one device, and its errors where asked.
func decomposition(ctx context.Context, env Env, dev *cpu.Device, n, threads int, w []float32,
	errors bool) ([]Figure, error) {
	name := fmt.Sprintf("svd %dx%d", n, n)
	env.say("%s, %s", name, threadsWord(threads))
	var d linalg.Decomposition
	s, err := plan{budget: env.short(6 * time.Second), least: 1}.turns(ctx,
		side{run: func(context.Context) (float64, error) {
			var err error
			seconds := timed(func() { d, err = linalg.Basis(dev, n, n, w) })
			return seconds, err
		}},
		env.session.peerSide("svd %d %d", n, threads))
	if err != nil {
		return nil, err
	}
	time := Figure{Name: name + ", " + threadsWord(threads), Unit: "s", Want: atMost(mostLapack),
		Against: "LAPACK gesdd f64, " + env.session.openBLAS(ctx)}
	figures := []Figure{lessIsMore(time, s[0], s[1])}
	if errors {
		figures = append(figures,
			bound(name+", residual", "of |W|", d.Residual(dev, w), mostError),
			bound(name+", orthogonality", "max |BᵀB − I|", d.Orthogonality(dev), mostError))
	}
	return figures, nil
}

// lessIsMore completes a figure whose value is a time.
func lessIsMore(f Figure, ours, theirs series) Figure {
	f.Value = ours.median()
	if theirs.err != nil {
		f.Note = noRatio(theirs.err)
		return f
	}
	f.Peer = theirs.median()
	f.Ratio, f.Least, f.Most = ratio(ours, theirs)
	return f
}
