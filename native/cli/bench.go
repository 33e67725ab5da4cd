package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// A figure is something that was measured, next to what it is measured against.
type figure struct {
	Name    string   `json:"name"`
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`
	Against string   `json:"against"` // a peer with its value, or a bound; "" where there is none
	Ratio   *float64 `json:"ratio"`   // value over the peer's or the bound; null where there is none
}

// against adds the peer or the bound.
func (f figure) against(what string, value float64) figure {
	ratio := f.Value / value
	f.Against, f.Ratio = fmt.Sprintf("%s %.4g %s", what, value, f.Unit), &ratio
	return f
}

// benchmark measures one or several figures.
type benchmark struct {
	name, about string
	run         func(ctx context.Context, b *bench) ([]figure, error)
}

// benchmarks are all of them, in the order in which they run.
var benchmarks = []benchmark{
	{"decode", "tokens/s of the model, one thread, and where the time goes", benchDecode},
	{"switch", "making the model an expert: projected and folded", benchSwitch},
	{"memory", "resident memory of t2 generate", benchMemory},
}

// bench is what benchmarks need.
type bench struct {
	*app
	model string
	quick bool // a first look: short runs, rough numbers
}

func (a *app) benchCmd() *cobra.Command {
	b := bench{app: a}
	var only []string
	var list []string
	for _, m := range benchmarks {
		list = append(list, fmt.Sprintf("  %-10s %s", m.name, m.about))
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure speed and memory, as ratios against peers and bounds",
		Long: `Measure how fast this build is on this machine, next to what it is measured against:

` + strings.Join(list, "\n") + `

Compare ratios, not absolute numbers: both sides of a ratio were measured in this run, or one of them
is a bound. With --json a line a figure: {"name","value","unit","against","ratio"}; against is "" and
ratio null where a figure stands alone.`,
		Example: "  t2 bench\n  t2 bench --only decode --only switch --json",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range only {
				if err := knownBenchmark(name); err != nil {
					return err
				}
			}
			return b.all(cmd.Context(), only)
		},
	}
	modelFlag(cmd, &b.model)
	cmd.Flags().StringArrayVar(&only, "only", nil, "a benchmark of the list above; may be given several times")
	cmd.Flags().BoolVar(&b.quick, "quick", false, "short runs and rough numbers")
	return cmd
}

func knownBenchmark(name string) error {
	var known []string
	for _, m := range benchmarks {
		known = append(known, m.name)
	}
	if slices.Contains(known, name) {
		return nil
	}
	return fmt.Errorf("unknown benchmark %q%s; want one of: %s", name, meant(name, known),
		strings.Join(known, " "))
}

func (b *bench) all(ctx context.Context, only []string) error {
	out := look(b.out)
	if !b.json {
		out.line("%s", out.faint.Render(fmt.Sprintf("%-44s %12s %-9s %7s  %s", "figure", "value", "", "ratio", "against")))
	}
	for _, m := range benchmarks {
		if len(only) > 0 && !slices.Contains(only, m.name) {
			continue
		}
		figures, err := m.run(ctx, b)
		if err != nil {
			return fmt.Errorf("benchmark %s: %w", m.name, err)
		}
		for _, f := range figures {
			if b.json {
				b.print(f)
				continue
			}
			ratio := ""
			if f.Ratio != nil {
				ratio = fmt.Sprintf("%.3g", *f.Ratio)
			}
			out.line("%-44s %12.5g %-9s %7s  %s", f.Name, f.Value, f.Unit, ratio, f.Against)
		}
	}
	return nil
}
