package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"transformer2/shared/task"
)

// The JSON of t2 info --task, a line a task.
type (
	dataLine struct {
		Kind      string         `json:"kind"` // "data"
		Task      string         `json:"task"`
		Format    string         `json:"format,omitempty"` // of the user's own data
		About     string         `json:"about"`            // how an answer is judged
		Label     string         `json:"label"`
		SHA256    string         `json:"sha256,omitempty"`
		Files     []string       `json:"files,omitempty"`
		Items     map[string]int `json:"items"` // of each split
		MaxTokens int            `json:"max_tokens"`
		LeftOut   []task.LeftOut `json:"left_out,omitempty"`
		// With a judge: how many worked answers there are, and the sum of their scores.
		Worked      int           `json:"worked,omitempty"`
		WorkedRight *float64      `json:"worked_right,omitempty"`
		Examples    []exampleLine `json:"examples"` // the first of each split
	}
	exampleLine struct {
		Split  string `json:"split"`
		System string `json:"system"`
		Prompt string `json:"prompt"`
		Answer string `json:"answer"`
		Worked string `json:"worked"`
		Check  string `json:"check,omitempty"` // of a user's question that no judge judges
	}
)

// infoTasks shows tasks, without a model.
func (a *app) infoTasks(cmd *cobra.Command, refs []string, command string) error {
	j, err := a.judgeBy(cmd, command)
	if err != nil {
		return err
	}
	if len(refs) == 0 {
		return errors.New("--judge wants a file of questions: --task FILE")
	}
	return j.end(a.showTasks(cmd.Context(), refs, j))
}

func (a *app) showTasks(ctx context.Context, refs []string, j *judge) error {
	for i, ref := range refs {
		t, err := findTask(ref, j)
		if err != nil {
			return err
		}
		l := dataLineOf(t)
		if j != nil {
			l.Worked, l.WorkedRight = judged(t)
			for i := range l.Examples {
				l.Examples[i].Check = ""
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if a.json {
			a.print(l)
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		look(a.out).data(l)
	}
	return nil
}

func dataLineOf(t task.Task) dataLine {
	l := dataLine{Kind: "data", Task: t.Name(), About: t.Doc(), Label: t.Label(),
		Items: map[string]int{}, MaxTokens: t.MaxTokens()}
	if d, ok := t.(*task.Data); ok {
		l.Format, l.SHA256, l.Files, l.LeftOut = d.Format(), d.Sum(), d.Files(), d.LeftOut()
	}
	for _, s := range []task.Split{task.Train, task.Valid, task.Test} {
		l.Items[s.String()] = t.Size(s)
		if t.Size(s) > 0 {
			it := t.Item(s, 0)
			l.Examples = append(l.Examples, exampleLine{Split: s.String(), System: it.System,
				Prompt: it.Prompt, Answer: it.Answer, Worked: it.Worked, Check: string(it.Check)})
		}
	}
	return l
}

// judged scores all worked answers of a task.
func judged(t task.Task) (worked int, right *float64) {
	right = new(float64)
	for _, s := range []task.Split{task.Train, task.Valid, task.Test} {
		for i := range t.Size(s) {
			if it := t.Item(s, i); it.Worked != "" {
				worked++
				*right += t.Score(it, it.Worked)
			}
		}
	}
	return worked, right
}

// mostFiles is how many files are listed.
const mostFiles = 5

func (u *ui) data(l dataLine) {
	u.line("%s", u.title.Render(l.Task))
	u.line("judged   %s", l.About)
	u.line("label    %s (what a first pass should find)", l.Label)
	u.line("answers  up to %d tokens", l.MaxTokens)
	u.line("items    train %d, valid %d, test %d", l.Items["train"], l.Items["valid"], l.Items["test"])
	for i, name := range l.Files {
		if i == mostFiles {
			u.line("         and %d files more", len(l.Files)-i)
			break
		}
		u.line("%-8s %s", []string{"file", ""}[min(i, 1)], u.text(name))
	}
	if l.SHA256 != "" {
		u.line("sha256   %s", l.SHA256)
	}
	if l.WorkedRight != nil {
		u.line("worked   the judge gives %g points to %d worked answers", *l.WorkedRight, l.Worked)
	}
	for _, left := range l.LeftOut {
		u.line("         %s", u.text(left.String()))
	}
	for _, e := range l.Examples {
		u.line("\n%s %s", u.name.Render(e.Split), u.faint.Render("the first question"))
		for _, part := range [][2]string{{"system", e.System}, {"prompt", e.Prompt},
			{"worked", e.Worked}, {"answer", e.Answer}, {"judged", e.Check}} {
			if part[1] != "" {
				u.line("%s\n%s", u.faint.Render("  "+part[0]), u.indent(u.text(part[1]), 4))
			}
		}
	}
}
