package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"transformer2/native/adapter"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/svf"
)

// spectrumLine is the JSON of a decomposed matrix.
type spectrumLine struct {
	Name          string  `json:"name"`
	Out           int     `json:"out"`
	In            int     `json:"in"`
	Rank          int     `json:"rank"`
	Side          string  `json:"side"` // of the basis that is kept: left (U) or right (V)
	Arithmetic    string  `json:"arithmetic"`
	SigmaMax      float64 `json:"sigma_max"`
	SigmaMedian   float64 `json:"sigma_median"`
	SigmaMin      float64 `json:"sigma_min"`
	EffectiveRank float64 `json:"effective_rank"`
	Residual      float64 `json:"residual"`
	Orthogonality float64 `json:"orthogonality"`
	Cached        bool    `json:"cached"`
	Milliseconds  float64 `json:"ms"`
	SecondsLeft   float64 `json:"left_s"`
}

type decomposeFlags struct {
	model, scope, solver, basis string
	exact, estimate             bool
	workers                     int
}

func (a *app) decomposeCmd() *cobra.Command {
	var f decomposeFlags
	cmd := &cobra.Command{
		Use:   "decompose",
		Short: "compute the singular values and bases of a model, and check them",
		Long: `Compute W = U diag(σ) Vᵀ of every linear weight of a model, keep σ and the basis of
the smaller side in the cache (see t2 info), and measure how good they are, as they are kept:

  residual        |G B g − B σ² g| / |G B g| for random vectors g, G the Gram matrix of that side
  orthogonality   |BᵀB g − g| / |g|
  eff. rank       exp of the entropy of σ/Σσ: how many directions share the weight's strength

What is kept is rounded to f32, so about 1e-7 is right; with --basis bf16, which takes half the
room, 1e-3 is. --exact measures the f64 factors before they are rounded, anew and in all directions
(|W − U diag(σ) Vᵀ| / |W| with how far the vectors are from singular ones, and the largest entry of
|BᵀB − I|), where 1e-12 is the bound.

The model is not loaded: matrices are read from its files one at a time by each worker, one a
processor as far as the memory goes. A matrix is in the cache, checked, when its line appears: a run
that is stopped, or killed, goes on with the first that is not there. left is the time for the rest
by what the matrices took so far; --estimate tells it before, from a small one.

The CPU finds the factors in f64. --svd gpu lets the GPU find them, in f32: their errors are about
1e-6, the vectors of close σ may be others of the same plane, and they are kept in files of their
own, marked f32: the other verbs, and experts that are exchanged, go on with f64's.

With --json a line a matrix: {"name","out","in","rank","side","arithmetic","sigma_max",
"sigma_median","sigma_min","effective_rank","residual","orthogonality","cached","ms","left_s"}; with
--estimate a line a shape: {"out","in","count","seconds"}, the seconds of one matrix.`,
		Example: `  t2 decompose
  t2 decompose --estimate --model ./llama-3-8b/config.json
  t2 decompose --device gpu --svd gpu --model ./llama-3-8b --scope mlp
  t2 decompose --model zoo:tako-b --scope attention:0-2
  t2 decompose --exact --json`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.decompose(cmd.Context(), f) },
	}
	modelFlag(cmd, &f.model)
	cmd.Flags().StringVar(&f.scope, "scope", "all",
		"matrices: mlp, attention, all, q, k, v, o, gate, up, down, with :FIRST-LAST for a range "+
			"of layers")
	cmd.Flags().BoolVar(&f.exact, "exact", false, "measure the f64 factors, computed anew")
	cmd.Flags().StringVar(&f.solver, "svd", adapter.CPU,
		"what decomposes: cpu, in f64, or gpu, in f32 (with --device gpu)")
	cmd.Flags().StringVar(&f.basis, "basis", "f32", "how new files hold the bases: f32 or bf16")
	cmd.Flags().IntVar(&f.workers, "workers", 0,
		"matrices that are decomposed at once (0: one a processor, as far as the memory goes)")
	cmd.Flags().BoolVar(&f.estimate, "estimate", false, "tell the time, and decompose nothing")
	return cmd
}

// checkSVD refuses a solver that is not there, or not with the other flags.
func (a *app) checkSVD(solver string, exact bool) error {
	choice, err := adapter.Parse(a.devices)
	switch {
	case err != nil:
		return err
	case solver == adapter.CPU:
		return nil
	case solver != adapter.GPU:
		return fmt.Errorf("--svd is %q, want %s or %s", solver, adapter.CPU, adapter.GPU)
	case choice.Kind != adapter.GPU:
		return fmt.Errorf("--svd gpu wants --device gpu, got --device %s", choice.Kind)
	case exact:
		return fmt.Errorf("--exact measures factors in f64, which --svd gpu does not find: want one of " +
			"them")
	}
	return nil
}

// decomposeOptions opens what decomposes, and says how. closeAll ends it.
func (a *app) decomposeOptions(f decomposeFlags, src engine.Source) (o engine.DecomposeOptions,
	closeAll func(), err error) {
	if o.Scope, err = svf.ParseScope(f.scope); err != nil {
		return o, nil, err
	}
	if err := a.checkSVD(f.solver, f.exact); err != nil {
		return o, nil, err
	}
	switch o.Exact = f.exact; f.basis {
	case "f32":
		o.Type = checkpoint.F32
	case "bf16":
		o.Type = checkpoint.BF16
	default:
		return o, nil, fmt.Errorf("--basis is %q, want f32 or bf16", f.basis)
	}
	crew, err := a.crew(f, src)
	if err != nil {
		return o, nil, err
	}
	for _, d := range crew {
		o.Workers = append(o.Workers, d)
	}
	if f.solver == adapter.GPU {
		o.Solver, err = svf.NewDeviceSolver(crew[0].Device)
	}
	return o, func() { closeCrew(crew) }, err
}

func (a *app) decompose(ctx context.Context, f decomposeFlags) error {
	src, err := a.modelSource(f.model)
	if err != nil {
		return err
	}
	o, closeAll, err := a.decomposeOptions(f, src)
	if closeAll != nil {
		defer closeAll()
	}
	if err != nil {
		return err
	}
	if f.estimate {
		return a.estimate(ctx, src, o)
	}
	a.sweep()
	out := look(a.out)
	var cached, done int
	var worst float64
	err = engine.Decompose(ctx, src, a.cacheStore(), o,
		func(m engine.Spectrum, at engine.Decomposed) {
			done = at.Done
			if m.Cached {
				cached++
			}
			worst = max(worst, m.Worst())
			if a.json {
				line := spectrumOf(m)
				line.SecondsLeft = at.Left.Seconds()
				a.print(line)
				return
			}
			if done == 1 {
				out.line("%s", out.faint.Render(fmt.Sprintf(spectrumHead, "", "matrix", "out×in", "rank",
					"σ max", "median", "min", "eff. rank", "residual", "orthog.", "took", "left")))
			}
			a.spectrumRow(out, m, at)
		})
	if err == nil && !a.json {
		where := a.cacheDir()
		if where == "" {
			where = "memory only"
		}
		out.line("")
		out.line("%d matrices, %d of them from the cache (%s); worst residual or orthogonality "+
			"%.1e",
			done, cached, where, worst)
	}
	if err != nil && ctx.Err() != nil {
		return &undone{done, err}
	}
	return err
}

// stale is the age from which on a file that is not whole has nobody who writes it.
const stale = time.Hour

// sweep removes what killed runs left half written in the cache.
func (a *app) sweep() {
	half, _ := filepath.Glob(filepath.Join(a.cacheDir(), ".*.svf.safetensors.*.tmp"))
	for _, path := range half {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > stale {
			os.Remove(path)
		}
	}
}

// undone is a decomposition that was interrupted.
type undone struct {
	done int
	error
}

func (u *undone) Error() string {
	return fmt.Sprintf("interrupted after %d matrices, which are kept; the same command goes on from "+
		"there", u.done)
}

func (u *undone) Unwrap() error { return u.error }

const spectrumHead = "%7s  %-18s %11s %5s  %9s %9s %9s %9s  %8s  %8s  %8s %8s"

func (a *app) spectrumRow(out *ui, m engine.Spectrum, at engine.Decomposed) {
	took, left := roughly(m.Seconds), ""
	if m.Cached {
		took = "cached"
	}
	if at.Left > 0 {
		left = roughly(at.Left.Seconds())
	}
	out.line("%7s  %-18s %11s %5d  %9.3g %9.3g %9.3g %9.1f  %8.1e  %8.1e  %8s %8s",
		fmt.Sprintf("%d/%d", at.Done, at.Total),
		shortName(m.Name), fmt.Sprintf("%d×%d", m.Out, m.In), m.R, m.Sigma[0], median(m.Sigma),
		m.Sigma[len(m.Sigma)-1], m.EffectiveRank, m.Residual, m.Orthogonality, took, left)
}

func spectrumOf(m engine.Spectrum) spectrumLine {
	side := "right"
	if m.Left {
		side = "left"
	}
	return spectrumLine{Name: m.Name, Out: m.Out, In: m.In, Rank: m.R, Side: side,
		Arithmetic: m.Arithmetic,
		SigmaMax:   m.Sigma[0], SigmaMedian: median(m.Sigma), SigmaMin: m.Sigma[len(m.Sigma)-1],
		EffectiveRank: m.EffectiveRank, Residual: m.Residual, Orthogonality: m.Orthogonality,
		Cached: m.Cached, Milliseconds: m.Seconds * 1e3}
}

// median of numbers that are sorted.
func median(x []float64) float64 { return (x[(len(x)-1)/2] + x[len(x)/2]) / 2 }

// shortName is a weight's place in a model: "layer 3 gate".
func shortName(name string) string {
	layer, role, ok := svf.ParseName(name)
	if !ok {
		return name
	}
	return fmt.Sprintf("layer %d %v", layer, role)
}
