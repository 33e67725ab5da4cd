package cli

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/spf13/cobra"

	"transformer2/shared/engine"
)

func (a *app) compareCmd() *cobra.Command {
	var model string
	var ask askFlags
	var who voiceFlags
	var form string
	cmd := &cobra.Command{
		Use:   "compare [PROMPT]",
		Short: "answer a prompt as the base model and as experts, and mark where they part",
		Long: `Answer one prompt as the base model and as each expert that is named, or as all
of the model's experts, and mark the first token in which an answer differs from the base's.

With --json a line an answer, the base's first: {"expert","prompt","text","tokens","reason",
"first_difference"}; tokens is how many were generated, first_difference the index of the first
token that is not the base's, from 0 (the length of the shorter answer where one ends early),
or -1 where both answers are the same.`,
		Example: `  t2 compare --expert math "Tom has 12 apples. Tom buys 7. How many has Tom?"
  t2 compare --expert shout --expert french "Where does the dorfin live?"
  t2 compare --mix math=0.5,code=0.5 --expert math --json "Define f(xs). It should sort the list."`,
		RunE: func(cmd *cobra.Command, words []string) error {
			r, err := a.request(cmd, ask, words)
			if err == nil {
				err = a.adapting(form, r.MaxTokens)
			}
			if err != nil {
				return err
			}
			return a.withModel(model, func(s *session) error { return a.compare(cmd, s, who, r) })
		},
	}
	modelFlag(cmd, &model)
	cmd.Flags().StringArrayVar(&who.experts, "expert", nil,
		expertUsage+"; may be given several times")
	cmd.Flags().StringVar(&who.mix, "mix", "", mixUsage)
	formFlag(cmd, &form)
	ask.add(cmd, true)
	return cmd
}

func (a *app) compare(cmd *cobra.Command, s *session, who voiceFlags, r engine.Request) error {
	ctx := cmd.Context()
	voices, err := who.voices(ctx, cmd, s)
	if err != nil {
		return err
	}
	if len(voices) == 0 {
		for _, name := range s.Model.ExpertNames() {
			v, err := s.Voice(name)
			if err != nil {
				return err
			}
			voices = append(voices, v)
		}
	}
	if len(voices) == 0 {
		return fmt.Errorf("model %s came without experts: name one with --expert FILE, or train "+
			"one (t2 train)",
			s.Model.Name)
	}
	if a.json {
		_, err := s.Compare(ctx, voices, r, func(c engine.Compared) {
			l := lineOf(r.Prompt, c.Answer)
			l.FirstDifference = &c.FirstDifference
			a.print(l)
		})
		return err
	}
	all, err := s.Compare(ctx, voices, r, nil)
	look(a.out).compared(all)
	return err
}

// leastColumn is the width below which two answers are easier to read one above the other.
const leastColumn = 36

// compared shows answers, next to each other where there are two and the terminal is wide.
func (u *ui) compared(all []engine.Compared) {
	if half := u.width/2 - 1; u.tty && len(all) == 2 && half >= leastColumn {
		column := func(c engine.Compared) string {
			return lipgloss.NewStyle().Width(half).PaddingRight(2).Render(
				u.heading(c) + "\n" + fold(u.marked(c), half-2))
		}
		u.line("%s", lipgloss.JoinHorizontal(lipgloss.Top, column(all[0]), column(all[1])))
		return
	}
	for i, c := range all {
		if i > 0 {
			u.line("")
		}
		u.line("%s", u.heading(c))
		u.line("%s", u.indent(u.marked(c), 2))
	}
}

func (u *ui) heading(c engine.Compared) string {
	note := ""
	switch {
	case c.Voice == engine.BaseName:
	case c.FirstDifference < 0:
		note = "  same as the base"
	default:
		note = fmt.Sprintf("  differs from the base at token %d", c.FirstDifference+1)
	}
	return u.title.Render(u.name.Render(c.Voice)) + u.faint.Render(note)
}

// The marks around the first token that differs; they show without colour, too.
const (
	markLeft  = "⟪"
	markRight = "⟫"
	markEnd   = "end" // the answer ended where the base's goes on
)

// marked is an answer's text with its first difference marked.
func (u *ui) marked(c engine.Compared) string {
	if c.FirstDifference < 0 {
		return u.text(c.Text)
	}
	from, to := tokenSpan(c.Tokens, c.FirstDifference, len(c.Text))
	before, token, after := c.Text[:from], c.Text[from:to], c.Text[to:]
	word := strings.TrimLeft(token, " \n")
	switch {
	case token == "":
		word = markEnd
	case word == "": // white space alone: show what it is, and then do it
		after = strings.Repeat("\n", strings.Count(token, "\n")) + after
		word = strings.NewReplacer("\n", "↵", " ", "␣").Replace(token)
	default:
		before += token[:len(token)-len(word)]
	}
	return u.text(before) + u.mark.Render(markLeft+u.text(word)+markRight) + u.text(after)
}

// tokenSpan is where token at is in the text of an answer, of size bytes. A token that completes no
// character stands for the next that does.
func tokenSpan(tokens []engine.Token, at, size int) (from, to int) {
	for _, t := range tokens[:at] {
		from += len(t.Text)
	}
	to = from
	for _, t := range tokens[at:] {
		if to += len(t.Text); to > from {
			break
		}
	}
	return min(from, size), min(to, size)
}
