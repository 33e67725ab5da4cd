package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"transformer2/shared/svf"
)

func (a *app) expertsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "experts",
		Short: "list, inspect, compare, mix, carry and verify experts",
		Long: `An expert is a z-vector for each adapted matrix, W' = U diag(σ∘z) Vᵀ; z = 1 leaves a
matrix as it is. Experts are named as --expert names them: by name where they came with the model,
or by file.`,
		Args: unknownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.expertsListCmd(), a.expertsInspectCmd(), a.expertsDiffCmd(), a.expertsMixCmd(),
		a.expertsCarryCmd(), a.expertsVerifyCmd())
	return cmd
}

// expertLine is the JSON of an expert in a list.
type expertLine struct {
	Expert          string            `json:"expert"`
	Task            string            `json:"task"`
	Model           string            `json:"model"`
	Base            string            `json:"base"` // fingerprint
	Parametrisation string            `json:"parametrisation"`
	Scope           string            `json:"scope"`
	Seed            uint64            `json:"seed"`
	Numbers         int               `json:"numbers"`  // that were trained
	MeanAbs         float64           `json:"mean_abs"` // mean |z − 1|
	Training        map[string]string `json:"training,omitempty"`
	Matrices        []matrixLine      `json:"matrices,omitempty"` // inspect only
}

// matrixLine is the size of one matrix's z.
type matrixLine struct {
	Name    string  `json:"name"`
	Rank    int     `json:"rank"`
	MeanAbs float64 `json:"mean_abs"` // mean |z − 1|
	L2      float64 `json:"l2"`       // |z − 1|
	Min     float32 `json:"min"`      // of z
	Max     float32 `json:"max"`
}

func (a *app) expertsListCmd() *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the experts that came with a model",
		Long: `List the experts that came with a model.

With --json a line an expert: {"expert","task","model","base","parametrisation","scope","seed",
"numbers","mean_abs","training":{...}}; numbers is how many were trained, mean_abs the mean
|z − 1|.`,
		Example: "  t2 experts list\n  t2 experts list --model zoo:tako-b --json",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withModel(model, func(s *session) error { return a.expertsList(cmd, s) })
		},
	}
	modelFlag(cmd, &model)
	return cmd
}

func (a *app) expertsList(cmd *cobra.Command, s *session) error {
	var rows [][]string
	for _, name := range s.Model.ExpertNames() {
		l, err := a.aboutExpert(cmd.Context(), s, name)
		if err != nil {
			return err
		}
		l.Matrices = nil
		if a.json {
			a.print(l)
		}
		rows = append(rows, []string{name, l.Task, l.Scope, fmt.Sprint(l.Numbers),
			fmt.Sprintf("%.4f", l.MeanAbs),
			l.Training["method"], l.Training["step"], l.Training["validAccuracy"]})
	}
	out := look(a.out)
	switch {
	case a.json:
	case len(rows) == 0:
		out.line("model %s came without experts; t2 train makes them", s.Model.Name)
	default:
		out.table([]string{"expert", "task", "scope", ">numbers", ">mean |z−1|", "method", ">step",
			">valid"}, rows)
	}
	return nil
}

// aboutExpert measures an expert of the session's model.
func (a *app) aboutExpert(ctx context.Context, s *session, name string) (expertLine, error) {
	e, err := s.ReadExpert(name)
	if err != nil {
		return expertLine{}, err
	}
	if err := s.Check(name, e); err != nil {
		return expertLine{}, err
	}
	l := expertLine{Expert: name, Task: e.Meta.Task, Model: e.Meta.Model, Base: e.Meta.Base.Short(),
		Parametrisation: string(e.Meta.Parametrisation), Scope: e.Meta.Scope.String(),
		Seed:     e.Meta.Seed,
		Training: e.Meta.Training}
	if e, err = s.Effective(ctx, e); err != nil {
		return l, err
	}
	stats, err := e.Stats()
	if err != nil {
		return l, err
	}
	for _, m := range stats {
		l.Numbers += m.R
		l.MeanAbs += m.MeanAbs * float64(m.R)
		l.Matrices = append(l.Matrices, matrixLine{m.Name, m.R, m.MeanAbs, m.L2, m.Min, m.Max})
	}
	l.MeanAbs /= float64(max(l.Numbers, 1))
	return l, nil
}

func (a *app) expertsInspectCmd() *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use:   "inspect EXPERT",
		Short: "show where an expert changes the model, and how much",
		Long: `Show what an expert says of itself, and the mean |z − 1| of every matrix it adapts, a
row a layer and a column a matrix: where it does its work.

With --json the line of "experts list", and in it
"matrices":[{"name","rank","mean_abs","l2","min","max"}].`,
		Example: "  t2 experts inspect math\n  t2 experts inspect runs/math/best.safetensors " +
			"--json",
		Args: wants("EXPERT", 1, 1),
		RunE: func(cmd *cobra.Command, words []string) error {
			return a.withModel(model, func(s *session) error {
				l, err := a.aboutExpert(cmd.Context(), s, words[0])
				if err != nil {
					return err
				}
				if a.json {
					a.print(l)
					return nil
				}
				look(a.out).inspected(l)
				return nil
			})
		},
	}
	modelFlag(cmd, &model)
	return cmd
}

// wants is the Args of a command with words of its own.
func wants(what string, least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error {
		if len(words) < least || len(words) > most {
			return fmt.Errorf("%s wants %s, got %d words (see %s --help)", cmd.CommandPath(), what,
				len(words), cmd.CommandPath())
		}
		return nil
	}
}

func (u *ui) inspected(l expertLine) {
	u.line("%s", u.title.Render(u.name.Render(l.Expert)))
	u.line("task            %s, seed %d", u.text(l.Task), l.Seed)
	u.line("base            %s (%s)", l.Base, u.text(l.Model))
	u.line("z               %d numbers in scope %s, %s", l.Numbers, l.Scope, l.Parametrisation)
	for _, k := range slices.Sorted(maps.Keys(l.Training)) {
		u.line("%-15s %s", u.text(k), u.text(l.Training[k]))
	}
	u.line("\nmean |z − 1|, overall %.4f", l.MeanAbs)
	u.grid(l.Matrices)
}

// gridBar is the width of the largest bar of the grid.
const gridBar = 4

// grid draws the mean |z − 1| of each matrix, a row a layer and a column a role.
func (u *ui) grid(matrices []matrixLine) {
	values, most := map[int]map[svf.Role]float64{}, 0.0
	for _, m := range matrices {
		layer, role, ok := svf.ParseName(m.Name)
		if !ok {
			continue
		}
		if values[layer] == nil {
			values[layer] = map[svf.Role]float64{}
		}
		values[layer][role] = m.MeanAbs
		most = max(most, m.MeanAbs)
	}
	header := []string{"layer"}
	for r := svf.Q; r <= svf.Down; r++ {
		header = append(header, r.String())
	}
	var rows [][]string
	for _, layer := range slices.Sorted(maps.Keys(values)) {
		row := []string{fmt.Sprint(layer)}
		for r := svf.Q; r <= svf.Down; r++ {
			cell := "·"
			if v, ok := values[layer][r]; ok {
				cell = fmt.Sprintf("%.3f %-*s", v, gridBar, bar(v, most, gridBar))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	u.table(header, rows)
}
