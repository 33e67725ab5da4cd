package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"transformer2/native/adapter"
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
}

func (a *app) decomposeCmd() *cobra.Command {
	var model, scope, solver string
	var exact bool
	cmd := &cobra.Command{
		Use:   "decompose",
		Short: "compute the singular values and bases of a model, and check them",
		Long: `Compute W = U diag(σ) Vᵀ of every linear weight of a model, keep σ and the basis of
the smaller side in the cache (see t2 info), and measure how good they are:

  residual        |W − U diag(σ) Vᵀ| / |W|, and how far the vectors are from singular ones
  orthogonality   the largest entry of |BᵀB − I|
  eff. rank       exp of the entropy of σ/Σσ: how many directions share the weight's strength

What is kept is rounded to f32, so about 1e-7 is right; --exact measures the f64 factors before they
are rounded, anew, where 1e-12 is the bound.

The CPU finds the factors in f64. --svd gpu lets the GPU find them, in f32: of use for big models,
whose matrices take the CPU minutes each. Their errors are about 1e-6, the vectors of close σ may be
others of the same plane, and they are kept in files of their own, marked f32: the other verbs, and
experts that are exchanged, go on with f64's.

A run that is stopped goes on with the first matrix that is not in the cache.

With --json a line a matrix: {"name","out","in","rank","side","arithmetic","sigma_max",
"sigma_median","sigma_min","effective_rank","residual","orthogonality","cached","ms"}.`,
		Example: `  t2 decompose
  t2 decompose --device gpu --svd gpu --model ./llama-3-8b --scope mlp
  t2 decompose --model zoo:tako-b --scope attention:0-2
  t2 decompose --exact --json`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			within, err := svf.ParseScope(scope)
			if err != nil {
				return err
			}
			if err := a.checkSVD(solver, exact); err != nil {
				return err
			}
			return a.withModel(model, func(s *session) error {
				o := engine.DecomposeOptions{Scope: within, Exact: exact}
				if solver == adapter.GPU {
					if o.Solver, err = svf.NewDeviceSolver(s.dev.Device); err != nil {
						return err
					}
				}
				return a.decompose(cmd, s, o)
			})
		},
	}
	modelFlag(cmd, &model)
	cmd.Flags().StringVar(&scope, "scope", "all",
		"matrices: mlp, attention, all, q, k, v, o, gate, up, down, with :FIRST-LAST for a range "+
			"of layers")
	cmd.Flags().BoolVar(&exact, "exact", false, "measure the f64 factors, computed anew")
	cmd.Flags().StringVar(&solver, "svd", adapter.CPU,
		"what decomposes: cpu, in f64, or gpu, in f32 (with --device gpu)")
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

func (a *app) decompose(cmd *cobra.Command, s *session, o engine.DecomposeOptions) error {
	out := look(a.out)
	var cached, done int
	var worst float64
	err := s.Decompose(cmd.Context(), o, func(m engine.Spectrum, total int) {
		done++
		if m.Cached {
			cached++
		}
		worst = max(worst, m.Residual, m.Orthogonality)
		if a.json {
			a.print(spectrumOf(m))
			return
		}
		if done == 1 {
			out.line("%s", out.faint.Render(fmt.Sprintf("%7s  %-18s %11s %5s  %9s %9s %9s %9s  "+
				"%8s  %8s  %7s",
				"", "matrix", "out×in", "rank", "σ max", "median", "min", "eff. rank", "residual",
				"orthog.", "ms")))
		}
		time := fmt.Sprintf("%.1f", m.Seconds*1e3)
		if m.Cached {
			time = "cached"
		}
		out.line("%7s  %-18s %11s %5d  %9.3g %9.3g %9.3g %9.1f  %8.1e  %8.1e  %7s",
			fmt.Sprintf("%d/%d", done, total),
			shortName(m.Name), fmt.Sprintf("%d×%d", m.Out, m.In), m.R, m.Sigma[0], median(m.Sigma),
			m.Sigma[len(m.Sigma)-1], m.EffectiveRank, m.Residual, m.Orthogonality, time)
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
	return err
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
