package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"transformer2/shared/adapt"
	"transformer2/shared/engine"
)

// adaptFlags say how the model finds an expert for a prompt by itself.
type adaptFlags struct {
	strategy string
}

// adaptUsage is the text of --adapt.
const adaptUsage = "let the model pick the expert: none, prompt (the base is asked what kind of question it is) " +
	"or classifier (an expert for that is asked)"

func (f *adaptFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.strategy, "adapt", "", adaptUsage)
}

// adapts reports whether the flags let the model choose.
func (f *adaptFlags) adapts() bool {
	return f.strategy != "" && f.strategy != string(adapt.StrategyNone)
}

// adaptive is the voice that the flags describe; auto stands for the best strategy that the model
// has the experts for.
func (f *adaptFlags) adaptive(s *session) (*engine.Adaptive, error) {
	if f.strategy == "" {
		a, err := s.Adaptive(adapt.StrategyClassifier)
		if err == nil {
			return a, nil
		}
		return s.Adaptive(adapt.StrategyPrompt)
	}
	return s.Adaptive(adapt.Strategy(f.strategy))
}

// check refuses an unknown strategy before a model is loaded for it.
func (f *adaptFlags) check(more ...string) error {
	known := more
	for _, s := range adapt.Strategies() {
		known = append(known, string(s))
	}
	if f.strategy == "" || slices.Contains(known, f.strategy) {
		return nil
	}
	return fmt.Errorf("unknown strategy --adapt %q%s; want one of: %s", f.strategy, meant(f.strategy, known),
		strings.Join(known, " "))
}

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
	Probabilities map[string]float64 `json:"probabilities"` // of each task; null where there was no first pass
}

func (a *app) adaptCmd() *cobra.Command {
	var model string
	var ask askFlags
	var f adaptFlags
	cmd := &cobra.Command{
		Use:   "adapt [PROMPT]",
		Short: "let the model read the prompt, pick its expert, and answer",
		Long: `Answer in two passes. In the first the model reads the prompt and says what kind of question it is:
math, code, reasoning or other. In the second the expert for that kind answers; other is the base,
always. Strategies (--adapt):

  prompt       the base model itself is asked
  classifier   an expert that was trained to tell is asked (the default, where the model has one)
  none         no first pass: the base answers

With --json {"task","expert","pass1_ms","pass2_ms","text","prompt","tokens","strategy","alpha",
"probabilities"}: what the first pass found, who answered, the time of each pass (with what it takes to
make the expert's weights), the answer, the share of each expert in z, and the probability of each kind.`,
		Example: `  t2 adapt --prompt "Tom has 12 apples. Tom buys 7. How many apples does Tom have?"
  t2 adapt --adapt prompt "Write a function f(xs) to sort the list." --json`,
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := f.check(); err != nil {
				return err
			}
			r, err := a.request(cmd, ask, words)
			if err != nil {
				return err
			}
			return a.withModel(model, func(s *session) error { return a.adapt(cmd, s, f, r) })
		},
	}
	modelFlag(cmd, &model)
	f.add(cmd)
	ask.add(cmd, true)
	return cmd
}

func (a *app) adapt(cmd *cobra.Command, s *session, f adaptFlags, r engine.Request) error {
	who, err := f.adaptive(s)
	if err != nil {
		return err
	}
	defer who.Close()
	found, err := who.Answer(cmd.Context(), r)
	if err != nil {
		return err
	}
	if a.json {
		a.print(adaptLine{Task: found.Task, Expert: found.Voice, Pass1: milliseconds(found.Pass1),
			Pass2: milliseconds(found.Pass2), Text: found.Text, Prompt: r.Prompt, Tokens: len(found.Tokens),
			Strategy: string(who.Strategy), Alpha: orEmpty(found.Alpha), Probabilities: found.Probabilities})
		return nil
	}
	look(a.out).adapted(found)
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
			"what kind of question is it? %s (%.1f ms)", u.text(found.Classification), milliseconds(found.Pass1))))
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
		u.line("  %s %6s %s", style.Render(fmt.Sprintf("%-10s", label)), percent(p), style.Render(bar(p, 1, probabilityBar)))
	}
}

// describeFound says in a line what an adaptive answer was adapted to.
func describeFound(found engine.Adapted) string {
	if found.Task == "" {
		return "answered by " + found.Voice
	}
	return fmt.Sprintf("taken for %s (%s), answered by %s", found.Task, percent(found.Probabilities[found.Task]),
		found.Voice)
}

// errTwoChoices: who answers is said twice.
var errTwoChoices = errors.New("--adapt lets the model choose who answers: want no --expert and no --mix with it")
