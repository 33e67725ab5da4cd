package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"transformer2/shared/adapt"
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
	adapt []string // strategies
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
a mixture, strategies) meet the same questions; the interval is Wilson's, 95%. Where several are
named, each is also compared with the first, question by question; where there are several tasks, all
their questions together come last.

--adapt has the expert picked for each question by a strategy of t2 adapt, and prints what the first
passes took the questions for; the strategy oracle always picks the right expert.

Tasks: math code reasoning (experts are trained on these), math-hard code-complete reasoning-hard
(on these never), classify, and the styles shout brief french polite. Without --task: the first six.

With --json a line a task and voice: {"model","task","split","expert","n","seed","accuracy",
"ci95":[lo,hi]}, and from the second voice on "gain", "gain_ci95":[lo,hi], "against"; the task of all
together is "all", a strategy's expert is "adapt:NAME". A strategy's first passes come last:
{"model","expert","n","right","confusion":{TRUE:{FOUND:count}}}.`,
		Example: `  t2 eval --task math --expert math --n 1000 --seed 7 --json
  t2 eval --task math --expert base --expert math
  t2 eval --task math --task code --task reasoning --adapt oracle --adapt prompt --adapt classifier
  t2 eval --task math-hard --task code-complete --mix math=0.7,code=0.3 --split valid`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, strategy := range f.adapt {
				if err := (&adaptFlags{strategy}).check(string(engine.Oracle)); err != nil {
					return err
				}
			}
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
	fl.StringArrayVar(&f.adapt, "adapt", nil, "a strategy: none, prompt, classifier or oracle; may be given several times")
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

// candidate is who is measured: a voice, or a strategy that picks one.
type candidate struct {
	name      string
	evaluate  func(q engine.Quiz, show func(done, total int)) (engine.Report, error)
	confusion *adapt.Confusion // of a strategy
	close     func()
}

// candidates are those that the flags name; the base where they name none.
func (f evalFlags) candidates(cmd *cobra.Command, s *session) ([]candidate, error) {
	ctx := cmd.Context()
	voices, err := f.voices(ctx, cmd, s)
	if err != nil {
		return nil, err
	}
	if len(voices) == 0 && len(f.adapt) == 0 {
		voices = []engine.Voice{engine.Base()}
	}
	var all []candidate
	for _, v := range voices {
		all = append(all, candidate{name: v.Name, close: func() {},
			evaluate: func(q engine.Quiz, show func(done, total int)) (engine.Report, error) {
				return s.Evaluate(ctx, v, q, show)
			}})
	}
	for _, strategy := range f.adapt {
		who, err := s.Adaptive(adapt.Strategy(strategy))
		if err != nil {
			return nil, err
		}
		confusion := &adapt.Confusion{}
		all = append(all, candidate{name: who.Name(), confusion: confusion, close: who.Close,
			evaluate: func(q engine.Quiz, show func(done, total int)) (engine.Report, error) {
				return who.Evaluate(ctx, q, confusion, show)
			}})
	}
	return all, nil
}

func (a *app) eval(cmd *cobra.Command, s *session, f evalFlags, quizzes []engine.Quiz) error {
	all, err := f.candidates(cmd, s)
	if err != nil {
		return err
	}
	t := &evalTable{app: a, model: s.Model.Name, names: all}
	defer t.flush() // what was measured before an error is worth its minutes
	for _, c := range all {
		defer c.close()
	}
	for _, q := range quizzes {
		var reports []engine.Report
		for _, c := range all {
			show, end := a.counter(q.Task.Name() + " as " + c.name)
			r, err := c.evaluate(q, show)
			end()
			if err != nil {
				return err
			}
			reports = append(reports, r)
			t.add(c.name, r, reports[0], len(reports) > 1)
		}
		t.pool(reports)
	}
	if len(quizzes) > 1 {
		for i, r := range t.pooled {
			t.add(all[i].name, r, t.pooled[0], i > 0)
		}
	}
	return nil
}

// evalTable gathers measured accuracies: a table at the end, or lines of JSON at once.
type evalTable struct {
	*app
	model  string
	names  []candidate
	rows   [][]string
	pooled []engine.Report // all tasks together, a candidate each
}

// add notes the accuracy of a candidate, next to the first one's on the same questions.
func (t *evalTable) add(name string, r, first engine.Report, compare bool) {
	l := evalLine{Model: t.model, Task: r.Task, Split: r.Split.String(), Expert: name, N: r.N,
		Seed: r.Seed, Accuracy: r.Accuracy, CI95: r.CI95}
	row := []string{r.Task, l.Split, name, fmt.Sprint(r.N), percent(r.Accuracy), interval(r.CI95), ""}
	if compare {
		gain, ci := engine.Gain(r, first)
		l.Gain, l.GainCI95, l.Against = &gain, &ci, t.names[0].name
		row[len(row)-1] = fmt.Sprintf("%+.1f %s", 100*gain, interval(ci))
	}
	if t.json {
		t.print(l)
	}
	t.rows = append(t.rows, row)
}

// pool joins a task's reports with those of the tasks before.
func (t *evalTable) pool(reports []engine.Report) {
	for i, r := range reports {
		if len(t.pooled) <= i {
			t.pooled = append(t.pooled, engine.Report{})
		}
		t.pooled[i] = engine.Pool(t.pooled[i], r)
	}
}

// confusionLine is the JSON of a strategy's first passes.
type confusionLine struct {
	Model     string                    `json:"model"`
	Expert    string                    `json:"expert"`
	N         int                       `json:"n"`
	Right     float64                   `json:"right"`     // share of questions taken for what they are
	Confusion map[string]map[string]int `json:"confusion"` // true kind, found kind
}

func (t *evalTable) flush() {
	if t.json {
		for _, c := range t.names {
			if c.confusion != nil && c.confusion.Total() > 0 {
				t.print(t.confusionOf(c))
			}
		}
		return
	}
	out := look(t.out)
	if len(t.rows) > 0 {
		out.table([]string{"task", "split", "expert", ">n", ">accuracy", "95%", "points above " + t.names[0].name}, t.rows)
	}
	for _, c := range t.names {
		if c.confusion != nil && c.confusion.Total() > 0 {
			out.line("\n%s %s of %d questions taken for what they are", out.title.Render(c.name+":"),
				percent(c.confusion.Accuracy()), c.confusion.Total())
			rows := c.confusion.Rows()
			for i := range rows[0] {
				if i > 0 {
					rows[0][i] = ">" + rows[0][i]
				}
			}
			out.table(rows[0], rows[1:])
		}
	}
}

func (t *evalTable) confusionOf(c candidate) confusionLine {
	l := confusionLine{Model: t.model, Expert: c.name, N: c.confusion.Total(), Right: c.confusion.Accuracy(),
		Confusion: map[string]map[string]int{}}
	for _, gold := range adapt.Labels() {
		l.Confusion[gold] = map[string]int{}
		for _, found := range adapt.Labels() {
			l.Confusion[gold][found] = c.confusion.Count(gold, found)
		}
	}
	return l
}

func interval(ci [2]float64) string { return fmt.Sprintf("[%.1f, %.1f]", 100*ci[0], 100*ci[1]) }
