package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
	"transformer2/shared/task"
)

// evalFlags are `t2 eval`'s.
type evalFlags struct {
	voiceFlags
	model string
	tasks []string
	adapt []string // strategies
	few   adaptFlags
	split string
	n     int
	most  int // tokens of an answer
	judge string
	seed  uint64
}

const evalLong = `Ask the questions of a task's split, greedily, and check the answers. All voices (the
base, experts, a mixture, strategies) meet the same questions; the interval is Wilson's, 95%. Where
several are named, each is also compared with the first, question by question; where there are
several tasks, all their questions together come last.

--adapt has the expert picked for each question by a strategy of t2 adapt, and prints what the first
passes took the questions for; the strategy oracle always picks the right expert. few-shot searches
anew for each task, on --shots COUNT of its validation items, or on a file of examples.

Tasks: math code reasoning (experts are trained on these), math-hard code-complete reasoning-hard
(on these never), classify, and the styles shout brief french polite. Without --task: the first six.
Or a file of questions of your own: t2 info --task FILE shows how it is read.

With --json a line a task and voice: {"model","task","split","expert","n","seed","accuracy",
"ci95":[lo,hi]}, for a file of questions its "sha256", and from the second voice on "gain",
"gain_ci95":[lo,hi], "against"; the task of all together is "all", a strategy's expert is
"adapt:NAME"; few-shot's lines have "alpha" and "search", a style's "in_style": the share of answers
that have its form. A strategy's first passes come last:
{"model","expert","n","right","confusion":{TRUE:{FOUND:count}}}.`

func (a *app) evalCmd() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "measure accuracy on tasks, as the base and as experts",
		Long:  evalLong,
		Example: `  t2 eval --task math --expert math --n 1000 --seed 7 --json
  t2 eval --task math --expert base --expert math
  t2 eval --task math --task code --task reasoning --adapt oracle --adapt prompt --adapt classifier
  t2 eval --task math-hard --expert base --adapt few-shot --shots 10 --seed 1
  t2 eval --task math-hard --task code-complete --mix math=0.7,code=0.3 --split valid
  t2 eval --model llama-3-8b --task gsm8k/test.jsonl --expert runs/gsm8k/best.safetensors`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, strategy := range f.adapt {
				one := adaptFlags{strategy: strategy}
				if err := one.check(string(engine.Oracle)); err != nil {
					return err
				}
			}
			f.few.seed = f.seed
			j, err := a.judgeBy(cmd, f.judge)
			if err != nil {
				return err
			}
			quizzes, err := f.quizzes(j)
			if err != nil {
				return err
			}
			return j.end(a.withModel(f.model, func(s *session) error {
				for _, q := range quizzes {
					if err := a.fit(s, q.Task, false, q.Split); err != nil {
						return err
					}
				}
				return a.eval(cmd, s, f, quizzes)
			}))
		},
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringArrayVar(&f.tasks, "task", nil, taskUsage+"; may be given several times")
	fl.StringArrayVar(&f.experts, "expert", nil, expertUsage+"; base is the base; may be given "+
		"several times")
	fl.StringVar(&f.mix, "mix", "", mixUsage)
	fl.StringArrayVar(&f.adapt, "adapt", nil, "a strategy: none, prompt, classifier, few-shot or "+
		"oracle; may be given several times")
	fl.StringVar(&f.few.shots, "shots", "10", "examples for few-shot: how many of each task's "+
		"validation split, or a file")
	fl.StringVar(&f.few.search, "search", "default", searchUsage)
	fl.StringVar(&f.split, "split", "test", "train, valid or test")
	fl.IntVar(&f.most, "max-tokens", 0, limitUsage)
	fl.StringVar(&f.judge, "judge", "", judgeUsage)
	fl.IntVar(&f.n, "n", 1000, "questions of each task at most")
	fl.Uint64Var(&f.seed, "seed", 1, "picks the questions where the split has more")
	return cmd
}

// quizzes are the questions that the flags ask for.
func (f evalFlags) quizzes(j *judge) ([]engine.Quiz, error) {
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
	} else if j != nil {
		return nil, errors.New("--judge wants a file of questions: --task FILE")
	}
	for _, name := range f.tasks {
		t, err := findTask(name, j)
		if err != nil {
			return nil, err
		}
		if err := filled(t, split); err != nil {
			return nil, err
		}
		if err := limit(t, f.most); err != nil {
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
	all, err := a.candidates(cmd, s, f)
	if err != nil {
		return err
	}
	t := &evalTable{app: a, model: s.Model.Name, names: all}
	defer t.flush() // what was measured before an error is worth its minutes
	for _, c := range all {
		defer c.close()
	}
	for _, q := range quizzes {
		t.sum = sumOf(q.Task)
		var reports []engine.Report
		for _, c := range all {
			show, end := a.counter(q.Task.Name() + " as " + c.name)
			r, err := c.evaluate(q, show)
			end()
			if err != nil {
				return err
			}
			reports = append(reports, r)
			t.add(c, r, reports[0], len(reports) > 1)
			c.found = nil
		}
		t.pool(reports)
	}
	t.sum = ""
	if len(quizzes) > 1 {
		for i, r := range t.pooled {
			t.add(all[i], r, t.pooled[0], i > 0)
		}
	}
	return nil
}
