package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
)

// answerLine is the JSON of an answer.
type answerLine struct {
	Expert string `json:"expert"`
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
	Tokens int    `json:"tokens"` // generated
	Reason string `json:"reason"` // why it ended: stop, length, context, cancelled
	// FirstDifference is the first token that is not the base's, from 0; compare only.
	FirstDifference *int `json:"first_difference,omitempty"`
}

func lineOf(prompt string, a engine.Answer) answerLine {
	return answerLine{Expert: a.Voice, Prompt: prompt, Text: a.Text, Tokens: len(a.Tokens),
		Reason: string(a.Reason)}
}

func (a *app) generateCmd() *cobra.Command {
	var model string
	var ask askFlags
	var who voiceFlags
	var f adaptFlags
	var form string
	cmd := &cobra.Command{
		Use:   "generate [PROMPT]",
		Short: "answer a prompt, as the base model or an expert",
		Long: `Answer one prompt: as the base model, as an expert, as a mixture of experts, or as
the expert that the model picks for the prompt (--adapt). Greedy unless --temp says otherwise.
` + formHelp + `

With --json a line for the answer: {"expert","prompt","text","tokens","reason"}; tokens is how many
were generated, reason why it ended: stop (the model closed it, or a --stop text), length
(--max-tokens), context (full) or cancelled.`,
		Example: `  t2 generate --prompt "Tom has 12 apples. Tom buys 7. How many has Tom?"
  t2 generate --expert math --prompt "Tom has 12 apples. Tom buys 7. How many has Tom?"
  t2 generate --mix shout=0.5,french=0.5 "Where does the dorfin live?"
  t2 generate --adapt prompt "Write a function f(xs) to sort the list."
  echo "What does the kafin eat?" | t2 generate --prompt - --temp 0.8 --seed 3 --json`,
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := f.check(); err != nil {
				return err
			}
			r, err := a.request(cmd, ask, words)
			if err != nil {
				return err
			}
			if err := a.adapting(form, r.MaxTokens); err != nil {
				return err
			}
			f.seed = ask.seed
			return a.withModel(model, func(s *session) error {
				return a.generate(cmd, s, who, f, r)
			})
		},
	}
	modelFlag(cmd, &model)
	who.add(cmd)
	f.add(cmd)
	formFlag(cmd, &form)
	ask.add(cmd, true)
	return cmd
}

func (a *app) generate(cmd *cobra.Command, s *session, who voiceFlags, f adaptFlags,
	r engine.Request) error {
	v, err := who.only(cmd.Context(), cmd, s)
	if err != nil {
		return err
	}
	out := look(a.out)
	if !a.json {
		r.OnText = func(text string) { fmt.Fprint(a.out, out.text(text)) }
	}
	var answer engine.Answer
	if f.adapts() {
		if v.Expert != nil {
			return errTwoChoices
		}
		answer, err = a.generateAdapted(cmd, s, f, r)
	} else {
		answer, err = s.Generate(cmd.Context(), v, r)
	}
	if a.json && (err == nil || len(answer.Tokens) > 0) {
		a.print(lineOf(r.Prompt, answer))
	}
	if !a.json && answer.Text != "" && !strings.HasSuffix(answer.Text, "\n") {
		fmt.Fprintln(a.out)
	}
	if err == nil && !a.json {
		a.note("%s", describeAnswer(answer))
	}
	return err
}

func (a *app) generateAdapted(cmd *cobra.Command, s *session, f adaptFlags, r engine.Request) (
	engine.Answer, error) {
	who, err := f.adaptive(cmd.Context(), a, s)
	if err != nil {
		return engine.Answer{}, err
	}
	defer who.Close()
	found, err := who.Answer(cmd.Context(), r)
	return found.Answer, err
}

// describeAnswer says how an answer came about.
func describeAnswer(answer engine.Answer) string {
	s := fmt.Sprintf("%s: %d tokens in %.2f s", answer.Voice, len(answer.Tokens), answer.Seconds)
	switch answer.Reason {
	case "length":
		s += ", cut at --max-tokens"
	case "context":
		s += ", cut where the context was full"
	}
	return s
}
