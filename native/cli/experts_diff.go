package cli

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"transformer2/shared/svf"
)

func (a *app) expertsDiffCmd() *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use:   "diff EXPERT EXPERT",
		Short: "compare two experts matrix by matrix",
		Long: `Compare two experts matrix by matrix, θ = z − 1 in each: the cosine between them
(1: the same direction, 0: nothing in common), the distance |z_a − z_b| and its largest part.

With --json a line a matrix: {"name","cosine","l2","max","max_at"}, and a last one named "all".`,
		Example: "  t2 experts diff math code\n  t2 experts diff math runs/math/best.safetensors " +
			"--json",
		Args: wants("two experts", 2, 2),
		RunE: func(cmd *cobra.Command, words []string) error {
			return a.withModel(model, func(s *session) error {
				return a.expertsDiff(cmd, s, words[0], words[1])
			})
		},
	}
	modelFlag(cmd, &model)
	return cmd
}

// differenceLine is the JSON of a compared matrix.
type differenceLine struct {
	Name   string  `json:"name"`
	Cosine float64 `json:"cosine"`
	L2     float64 `json:"l2"`
	Max    float64 `json:"max"`
	MaxAt  int     `json:"max_at"`
}

func (a *app) expertsDiff(cmd *cobra.Command, s *session, first, second string) error {
	var pair [2]*svf.Expert
	for i, name := range []string{first, second} {
		v, err := s.Voice(name)
		if err != nil {
			return err
		}
		if v.Expert == nil {
			return fmt.Errorf("%q is the base model, which has no z to compare", name)
		}
		if pair[i], err = s.Effective(cmd.Context(), v.Expert); err != nil {
			return err
		}
	}
	list, err := svf.Diff(pair[0], pair[1])
	if err != nil {
		return err
	}
	lines := []differenceLine{}
	for _, d := range list {
		lines = append(lines, differenceLine{d.Name, d.Cosine, d.L2, d.Max, d.MaxAt})
	}
	all, err := overall(pair[0], pair[1], list)
	if err != nil {
		return err
	}
	lines = append(lines, all)
	var rows [][]string
	for _, l := range lines {
		if a.json {
			a.print(l)
		}
		rows = append(rows, []string{shortName(l.Name), fmt.Sprintf("%+.3f", l.Cosine),
			fmt.Sprintf("%.4f", l.L2), fmt.Sprintf("%.4f", l.Max), fmt.Sprint(l.MaxAt)})
	}
	if !a.json {
		look(a.out).table([]string{"matrix", ">cosine", ">|z_a − z_b|", ">largest", ">at σ"}, rows)
	}
	return nil
}

// overall compares the experts as one long θ = z − 1 each. From the matrices' distances and
// lengths,
// 2 θ_a·θ_b = |θ_a|² + |θ_b|² − |θ_a − θ_b|².
func overall(x, y *svf.Expert, list []svf.Difference) (differenceLine, error) {
	total := differenceLine{Name: "all"}
	var apart float64
	for _, d := range list {
		apart += d.L2 * d.L2
		if d.Max > total.Max {
			total.Max, total.MaxAt = d.Max, d.MaxAt
		}
	}
	var squares [2]float64
	for i, e := range []*svf.Expert{x, y} {
		stats, err := e.Stats()
		if err != nil {
			return total, err
		}
		for _, m := range stats {
			squares[i] += m.L2 * m.L2
		}
	}
	total.L2 = math.Sqrt(apart)
	if squares[0] > 0 && squares[1] > 0 {
		total.Cosine = (squares[0] + squares[1] - apart) / 2 / math.Sqrt(squares[0]*squares[1])
	}
	return total, nil
}
