package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
	"transformer2/shared/task"
)

// evalLine is the JSON of a measured accuracy.
type evalLine struct {
	Model    string     `json:"model"`
	Task     string     `json:"task"`
	Split    string     `json:"split"`
	Expert   string     `json:"expert"`
	N        int        `json:"n"`
	Seed     uint64     `json:"seed"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"` // Wilson's interval
	// Gain is the accuracy above the first voice's on the same questions; not on its own line.
	Gain     *float64    `json:"gain,omitempty"`
	GainCI95 *[2]float64 `json:"gain_ci95,omitempty"` // of the mean of the paired differences
	Against  string      `json:"against,omitempty"`   // whose accuracy the gain is above
}

// evalFlags are `t2 eval`'s.
type evalFlags struct {
	voiceFlags
	model string
	tasks []string
	split string
	n     int
	seed  uint64
}

func (a *app) evalCmd() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "measure accuracy on tasks, as the base and as experts",
		Long: `Ask the questions of a task's split, greedily, and check the answers. All voices (the base, experts,
a mixture) meet the same questions; the interval is Wilson's, 95%. Where several are named, each is
also compared with the first, question by question.

Tasks: math code reasoning (experts are trained on these), math-hard code-complete reasoning-hard
(on these never), classify, and the styles shout brief french polite. Without --task: the first six.

With --json a line a task and voice: {"model","task","split","expert","n","seed","accuracy",
"ci95":[lo,hi]}, and from the second voice on {"gain","gain_ci95":[lo,hi],"against"}.`,
		Example: `  t2 eval --task math --expert math --n 1000 --seed 7 --json
  t2 eval --task math --expert base --expert math
  t2 eval --task math-hard --task code-complete --mix math=0.7,code=0.3 --split valid`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			quizzes, err := f.quizzes()
			if err != nil {
				return err
			}
			return a.withModel(f.model, func(s *session) error { return a.eval(cmd, s, f, quizzes) })
		},
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringArrayVar(&f.tasks, "task", nil, "a task; may be given several times")
	fl.StringArrayVar(&f.experts, "expert", nil, expertUsage+"; base is the base; may be given several times")
	fl.StringVar(&f.mix, "mix", "", mixUsage)
	fl.StringVar(&f.split, "split", "test", "train, valid or test")
	fl.IntVar(&f.n, "n", 1000, "questions of each task at most")
	fl.Uint64Var(&f.seed, "seed", 1, "picks the questions where the split has more")
	return cmd
}

// quizzes are the questions that the flags ask for.
func (f evalFlags) quizzes() ([]engine.Quiz, error) {
	split, err := task.ParseSplit(f.split)
	if err != nil {
		return nil, fmt.Errorf("--split: %w", err)
	}
	if f.n < 1 {
		return nil, fmt.Errorf("--n is %d, want 1 or more", f.n)
	}
	tasks := append(task.Training(), task.Unseen()...)
	if len(f.tasks) > 0 {
		tasks = nil
	}
	for _, name := range f.tasks {
		t, err := findTask(name)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	var all []engine.Quiz
	for _, t := range tasks {
		all = append(all, engine.Quiz{Task: t, Split: split, N: f.n, Seed: f.seed})
	}
	return all, nil
}

func (a *app) eval(cmd *cobra.Command, s *session, f evalFlags, quizzes []engine.Quiz) error {
	voices, err := f.voices(cmd.Context(), cmd, s)
	if err != nil {
		return err
	}
	if len(voices) == 0 {
		voices = []engine.Voice{engine.Base()}
	}
	t := a.evalTable(s.Model.Name, voices[0].Name)
	for _, q := range quizzes {
		var first engine.Report
		for i, v := range voices {
			show, end := a.counter(q.Task.Name() + " as " + v.Name)
			r, err := s.Evaluate(cmd.Context(), v, q, show)
			end()
			if err != nil {
				return errors.Join(err, t.flush())
			}
			if i == 0 {
				first = r
			}
			t.add(v.Name, r, first, i > 0)
		}
	}
	return t.flush()
}

// evalTable gathers measured accuracies: a table at the end, or a line of JSON at once.
type evalTable struct {
	a     *app
	model string
	first string // the voice that the others are compared with
	rows  [][]string
}

func (a *app) evalTable(model, first string) *evalTable {
	return &evalTable{a: a, model: model, first: first}
}

func (t *evalTable) add(voice string, r, first engine.Report, compare bool) {
	l := evalLine{Model: t.model, Task: r.Task, Split: r.Split.String(), Expert: voice, N: r.N,
		Seed: r.Seed, Accuracy: r.Accuracy, CI95: r.CI95}
	row := []string{r.Task, l.Split, voice, fmt.Sprint(r.N), percent(r.Accuracy), interval(r.CI95), ""}
	if compare {
		gain, ci := engine.Gain(r, first)
		l.Gain, l.GainCI95, l.Against = &gain, &ci, t.first
		row[len(row)-1] = fmt.Sprintf("%+.1f points %s", 100*gain, interval(ci))
	}
	if t.a.json {
		t.a.print(l)
		return
	}
	t.rows = append(t.rows, row)
}

func interval(ci [2]float64) string { return fmt.Sprintf("[%.1f, %.1f]", 100*ci[0], 100*ci[1]) }

func (t *evalTable) flush() error {
	if len(t.rows) > 0 {
		look(t.a.out).table([]string{"task", "split", "expert", ">n", ">accuracy", "95%",
			"against " + t.first}, t.rows)
	}
	t.rows = nil
	return nil
}
