package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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
	// What few-shot found for the task, and what that took.
	Alpha  map[string]float64 `json:"alpha,omitempty"`
	Search *searchLine        `json:"search,omitempty"`
	SHA256 string             `json:"sha256,omitempty"` // of the user's own questions
	// InStyle is, for a style, the share of answers in it.
	InStyle *float64 `json:"in_style,omitempty"`
}

// evalTable gathers measured accuracies: a table at the end, or lines of JSON at once.
type evalTable struct {
	*app
	model  string
	sum    string // of the questions, where they are the user's own
	names  []*candidate
	rows   [][]string
	pooled []engine.Report // all tasks together, a candidate each
	notes  []string        // below the table
}

// add notes the accuracy of a candidate, next to the first one's on the same questions.
func (t *evalTable) add(c *candidate, r, first engine.Report, compare bool) {
	l := evalLine{Model: t.model, Task: r.Task, Split: r.Split.String(), Expert: c.name, N: r.N,
		Seed: r.Seed, Accuracy: r.Accuracy, CI95: r.CI95, SHA256: t.sum}
	row := []string{r.Task, l.Split, c.name, fmt.Sprint(r.N), percent(r.Accuracy), interval(r.CI95),
		""}
	if compare {
		gain, ci := engine.Gain(r, first)
		l.Gain, l.GainCI95, l.Against = &gain, &ci, t.names[0].name
		row[len(row)-1] = fmt.Sprintf("%+.1f %s", 100*gain, interval(ci))
	}
	if c.found != nil {
		l.Alpha, l.Search = c.found.Shares, searchOf(c.found)
		t.notes = append(t.notes, fmt.Sprintf("%s on %s: %s; %v", c.name, r.Task,
			shares(l.Alpha), l.Search))
	}
	if isStyle(r.Task) {
		share := inStyle(r.Scores)
		l.InStyle = &share
		t.notes = append(t.notes, fmt.Sprintf("%s on %s: %s of the answers in that style", c.name,
			r.Task, percent(share)))
	}
	if t.json {
		t.print(l)
	}
	t.rows = append(t.rows, row)
}

func isStyle(name string) bool {
	return slices.ContainsFunc(task.Styles(), func(t task.Task) bool { return t.Name() == name })
}

// inStyle is the share of answers that have the form asked for, whether or not they are right: a
// style's score is form·(1 + content)/2, with a content of 0 to 1.
func inStyle(scores []float64) float64 {
	n := 0
	for _, s := range scores {
		if s >= 0.5 {
			n++
		}
	}
	return float64(n) / float64(len(scores))
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
	Right     float64                   `json:"right"`     // share that was taken for what it is
	Confusion map[string]map[string]int `json:"confusion"` // true kind, found kind
}

func (t *evalTable) flush() {
	if t.json {
		for _, c := range t.names {
			if c.confusion.Total() > 0 {
				t.print(t.confusionOf(c))
			}
		}
		return
	}
	out := look(t.out)
	if len(t.rows) > 0 {
		out.table([]string{"task", "split", "expert", ">n", ">accuracy", "95%",
			"points above " + t.names[0].name}, t.rows)
	}
	for _, line := range t.notes {
		out.line("%s", out.faint.Render(line))
	}
	for _, c := range t.names {
		if c.confusion.Total() > 0 {
			out.line("\n%s %s of %d questions taken for what they are",
				out.title.Render(c.name+":"),
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

func (t *evalTable) confusionOf(c *candidate) confusionLine {
	l := confusionLine{Model: t.model, Expert: c.name, N: c.confusion.Total(),
		Right:     c.confusion.Accuracy(),
		Confusion: map[string]map[string]int{}}
	for _, gold := range adapt.Labels() {
		l.Confusion[gold] = map[string]int{}
		for _, found := range adapt.Labels() {
			l.Confusion[gold][found] = c.confusion.Count(gold, found)
		}
	}
	return l
}

// shares writes α by expert: "code 0.10, math 0.72".
func shares(alpha map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(alpha)) {
		parts = append(parts, fmt.Sprintf("%s %.2f", name, alpha[name]))
	}
	return strings.Join(parts, ", ")
}

func interval(ci [2]float64) string { return fmt.Sprintf("[%.1f, %.1f]", 100*ci[0], 100*ci[1]) }
