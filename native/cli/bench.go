package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/kernels/cpu"
	"transformer2/native/adapter"
	"transformer2/native/bench"
	"transformer2/shared/zoo"
)

// benchFlags are `t2 bench`'s.
type benchFlags struct {
	model string
	only  []string
	quick bool
}

func (a *app) benchCmd() *cobra.Command {
	var f benchFlags
	var list []string
	for _, b := range bench.All() {
		list = append(list, fmt.Sprintf("  %-10s %s", b.Name, b.Doc))
		if b.Needs != "" {
			list = append(list, fmt.Sprintf("  %-10s   against Debian's %s", "", b.Needs))
		}
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure speed and memory, as ratios against peers and bounds",
		Long: `Measure how fast this build is on this machine, next to what it is measured against:

` + strings.Join(list, "\n") + `

Read the ratios: both sides of one were measured in this run, in turns, or one of them is a bound. A
peer that is not installed leaves its figure without a ratio.

With --device gpu, a GPU instead: a copy, the cost of recording, and a model of Llama-3-8B's shape
with random weights, decoding, prefill, the fold of an expert into its MLP, a step of REINFORCE,
the singular values of a matrix of 4096, against PyTorch where it has the same GPU, and what a
loading of such a model takes of the host's memory; --only then takes
` + strings.Join(bench.GPUParts(), ", ") + `.

With --json a line a figure: {"name","value","unit","against","ratio"}, where it applies with
"least" and "most" of the turns' ratios, "want", what the ratio should be, and "note"; against is "" and ratio null where a figure stands
alone.`,
		Example: "  t2 bench\n  t2 bench --only decode --only switch --json\n  t2 bench --quick\n" +
			"  t2 bench --device gpu --json",
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.bench(cmd, f)
		},
	}
	modelFlag(cmd, &f.model)
	cmd.Flags().StringArrayVar(&f.only, "only", nil, "a benchmark of the list above; may be given "+
		"several times")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "short runs and rough numbers")
	return cmd
}

// benchGPU measures a GPU, on its own: its figures have nothing to do with the CPU's.
func (a *app) benchGPU(ctx context.Context, f benchFlags, name string) error {
	out := look(a.out)
	return bench.GPU(ctx, bench.GPUEnv{Adapter: name, Only: f.only, Quick: f.quick,
		Progress: func(what string) { a.note("measuring %s", what) }}, func(g bench.Figure) {
		if a.json {
			a.print(g)
			return
		}
		out.figure(g)
	})
}

func (a *app) bench(cmd *cobra.Command, f benchFlags) error {
	choice, err := adapter.Parse(a.devices)
	if err != nil {
		return err
	}
	names := bench.Names()
	if choice.Kind == adapter.GPU {
		names = bench.GPUParts()
	}
	for _, name := range f.only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown benchmark %q%s; want one of: %s", name, meant(name, names),
				strings.Join(names, " "))
		}
	}
	if choice.Kind == adapter.GPU {
		return a.benchGPU(cmd.Context(), f, choice.Name)
	}
	env := bench.Env{Device: cpu.Options{Threads: a.threads, Form: a.form()}, Ref: f.model,
		Quick:    f.quick,
		Progress: func(what string) { a.note("measuring %s", what) }}
	// A build that ships no model measures random weights of the usual shape.
	if cmd.Flags().Changed("model") || slices.Contains(zoo.Names(), zoo.Default) {
		var err error
		if env.Model, err = a.modelSource(f.model); err != nil {
			return err
		}
	}
	out := look(a.out)
	missed, first := 0, true
	err = bench.Run(cmd.Context(), env, f.only, func(g bench.Figure) {
		if met, judged := g.Met(); judged && !met {
			missed++
		}
		if a.json {
			a.print(g)
			return
		}
		if first {
			out.line("%s", out.faint.Render(fmt.Sprintf(bench.Row, "figure", "value", "", "ratio",
				"want", "against")))
			first = false
		}
		out.figure(g)
	})
	if err == nil && !a.json && missed > 0 {
		out.line("\n%d figures are not what they should be", missed)
	}
	return errors.Join(err, cmd.Context().Err())
}

func (u *ui) figure(g bench.Figure) {
	c := g.Cells()
	c[3] = fmt.Sprintf("%-18s", c[3]) // a style's own characters have no width
	if met, judged := g.Met(); judged {
		style := u.bad
		if met {
			style = u.good
		}
		c[3] = style.Render(c[3])
	}
	u.line(bench.Row, c[0], c[1], c[2], c[3], c[4], c[5])
}
