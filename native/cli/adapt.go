package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"transformer2/shared/adapt"
	"transformer2/shared/engine"
)

// adaptLine is the JSON of an adapted answer.
type adaptLine struct {
	Task          string             `json:"task"` // what the first pass took the prompt for
	Expert        string             `json:"expert"`
	Pass1         float64            `json:"pass1_ms"`
	Pass2         float64            `json:"pass2_ms"`
	Text          string             `json:"text"`
	Prompt        string             `json:"prompt"`
	Tokens        int                `json:"tokens"`
	Strategy      string             `json:"strategy"`
	Alpha         map[string]float64 `json:"alpha"`         // share of each expert; {} is the base
	Probabilities map[string]float64 `json:"probabilities"` // of each task; null without one
	Search        *searchLine        `json:"search,omitempty"`
}

// searchLine is what a few-shot search took and found.
type searchLine struct {
	Generations int     `json:"generations"`
	Answers     int     `json:"answers"` // that were generated
	Seconds     float64 `json:"seconds"`
	Right       float64 `json:"right"` // share of the shots
}

func searchOf(found *adapt.Adaptation) *searchLine {
	if found == nil {
		return nil
	}
	return &searchLine{Generations: len(found.Search.Generations), Answers: found.Cost.Answers,
		Seconds: found.Cost.Seconds, Right: found.Score.Value}
}

func (l *searchLine) String() string {
	return fmt.Sprintf("searched %d generations, %d answers in %.1f s; %s of the examples right",
		l.Generations, l.Answers, l.Seconds, percent(l.Right))
}

func (a *app) adaptCmd() *cobra.Command {
	var model string
	var ask askFlags
	var f adaptFlags
	var save, form string
	cmd := &cobra.Command{
		Use:   "adapt [PROMPT]",
		Short: "let the model read the prompt, pick its expert, and answer",
		Long: `Answer in two passes. In the first the model reads the prompt and says what kind of
question it is: math, code, reasoning or other. In the second the expert for that kind answers;
other is the base, always. Strategies (--adapt):

  prompt       the base model itself is asked
  classifier   an expert that was trained to tell is asked (the default, where the model has one)
  few-shot     no first pass: the mixture z = 1 + Σ α(z − 1) that answers a few examples best is
               searched for (cross-entropy method) and answers; an example's answer is right where
               it contains the one that is written down. --save keeps the mixture as an expert.
  none         no first pass: the base answers

With --json {"task","expert","pass1_ms","pass2_ms","text","prompt","tokens","strategy","alpha",
"probabilities"}: what the first pass found, who answered, the time of each pass (with what it takes
to make the expert's weights), the answer, the share of each expert in z, and the probability of
each kind; for few-shot also "search":{"generations","answers","seconds","right"}.`,
		Example: `  t2 adapt --prompt "Tom has 12 apples. Tom buys 7. How many apples has Tom?"
  t2 adapt --adapt prompt "Write a function f(xs) to sort the list." --json
  t2 adapt --adapt few-shot --shots math-hard:10 "Solve 3x + 4 = 19." --save mine.safetensors
  t2 adapt --adapt few-shot --shots examples.jsonl --search paper --seed 3 "..."`,
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := f.check(); err != nil {
				return err
			}
			r, err := a.request(cmd, ask, words)
			if err == nil {
				err = a.adapting(form, r.MaxTokens)
			}
			if err != nil {
				return err
			}
			f.seed = ask.seed
			return a.withModel(model, func(s *session) error { return a.adapt(cmd, s, f, r, save) })
		},
	}
	modelFlag(cmd, &model)
	f.add(cmd)
	cmd.Flags().StringVar(&save, "save", "", "file for the mixture that few-shot finds; it must "+
		"not be there yet")
	formFlag(cmd, &form)
	ask.add(cmd, true)
	return cmd
}

func (a *app) adapt(cmd *cobra.Command, s *session, f adaptFlags, r engine.Request,
	save string) error {
	if save != "" && f.strategy != string(adapt.StrategyFewShot) {
		return errors.New("--save keeps the mixture that --adapt few-shot finds, and nothing else")
	}
	if err := absent(save, false); err != nil {
		return err
	}
	who, err := f.adaptive(cmd.Context(), a, s)
	if err != nil {
		return err
	}
	defer who.Close()
	if save != "" {
		if err := saveExpert(save, who.Found.Expert); err != nil {
			return err
		}
	}
	found, err := who.Answer(cmd.Context(), r)
	if err != nil {
		return err
	}
	if a.json {
		a.print(adaptLine{Task: found.Task, Expert: found.Voice, Pass1: milliseconds(found.Pass1),
			Pass2: milliseconds(found.Pass2), Text: found.Text, Prompt: r.Prompt,
			Tokens: len(found.Tokens), Strategy: string(who.Strategy), Alpha: orEmpty(found.Alpha),
			Probabilities: found.Probabilities, Search: searchOf(who.Found)})
		return nil
	}
	out := look(a.out)
	if who.Found != nil {
		out.line("%s %s\n", out.title.Render("search"),
			out.faint.Render(searchOf(who.Found).String()))
	}
	out.adapted(found)
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func orEmpty(alpha map[string]float64) map[string]float64 {
	if alpha == nil {
		return map[string]float64{}
	}
	return alpha
}

// adapted shows both passes.
func (u *ui) adapted(found engine.Adapted) {
	if found.Task != "" {
		u.line("%s %s", u.title.Render("pass 1"), u.faint.Render(fmt.Sprintf(
			"what kind of question is it? %s (%.1f ms)", u.text(found.Classification),
			milliseconds(found.Pass1))))
		u.probabilities(found)
		u.line("")
	}
	u.line("%s %s %s", u.title.Render("pass 2"), u.name.Render(found.Voice),
		u.faint.Render(fmt.Sprintf("answers (%.1f ms)", milliseconds(found.Pass2))))
	u.line("%s", u.indent(u.text(found.Text), 2))
}

// probabilityBar is the width of the bar of a certainty.
const probabilityBar = 30

func (u *ui) probabilities(found engine.Adapted) {
	for _, label := range adapt.Labels() {
		p, has := found.Probabilities[label]
		if !has {
			continue
		}
		style := u.faint
		if label == found.Task {
			style = u.name
		}
		u.line("  %s %6s %s", style.Render(fmt.Sprintf("%-10s", label)), percent(p),
			style.Render(bar(p, 1, probabilityBar)))
	}
}

// describeFound says in a line what an adaptive answer was adapted to.
func describeFound(found engine.Adapted) string {
	if found.Task == "" {
		return "answered by " + found.Voice
	}
	return fmt.Sprintf("taken for %s (%s), answered by %s", found.Task,
		percent(found.Probabilities[found.Task]), found.Voice)
}
