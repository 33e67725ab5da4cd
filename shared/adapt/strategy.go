package adapt

import (
	"fmt"
	"strings"
	"time"

	"transformer2/shared/answer"
	"transformer2/shared/task"
)

// Strategy is how a prompt finds its z (paper, section 3.2).
type Strategy string

const (
	// StrategyNone: the base model answers everything.
	StrategyNone Strategy = "none"
	// StrategyPrompt: the base model is asked which kind of question it is, and that kind's expert
	// answers.
	StrategyPrompt Strategy = "prompt"
	// StrategyClassifier: the same, asked of an expert that was trained to tell.
	StrategyClassifier Strategy = "classifier"
	// StrategyFewShot: one mixture of experts answers everything, as FewShot.Run found it; there is
	// no first pass.
	StrategyFewShot Strategy = "few-shot"
)

// Strategies lists them all.
func Strategies() []Strategy {
	return []Strategy{StrategyNone, StrategyPrompt, StrategyClassifier, StrategyFewShot}
}

// ParseStrategy reads a strategy's name.
func ParseStrategy(name string) (Strategy, error) {
	var names []string
	for _, s := range Strategies() {
		if string(s) == name {
			return s, nil
		}
		names = append(names, string(s))
	}
	return "", fmt.Errorf("adapt: strategy %q, want one of %s", name, strings.Join(names, ", "))
}

// twoPasses reports whether the strategy looks at the question first.
func (s Strategy) twoPasses() bool { return s == StrategyPrompt || s == StrategyClassifier }

// Labels are what a first pass may find, in the order of reports. The last, other, means the base
// model, always; so does every answer that is none of them.
func Labels() []string {
	return []string{task.LabelMath, task.LabelCode, task.LabelReasoning, task.LabelOther}
}

// Form is how z acts on the weights of an answer's model.
type Form string

const (
	// FormAuto is projected for batches of few questions an expert and folded for others, by what
	// was measured on processors (BenchmarkAnswers). Where a batch costs what one question costs,
	// as on a GPU, projected is worth naming for larger ones.
	FormAuto      Form = ""
	FormFolded    Form = "folded"    // W' is computed, an expert at a time answers
	FormProjected Form = "projected" // the activations are turned, experts answer side by side
)

func (f Form) check() error {
	if f != FormAuto && f != FormFolded && f != FormProjected {
		return fmt.Errorf("adapt: form %q, want %s or %s", f, FormFolded, FormProjected)
	}
	return nil
}

// BaseName is what a Result calls the base model.
const BaseName = "base"

// Result is an adapted answer.
type Result struct {
	Label          string             // what the first pass found; "" where there was none
	Classification string             // the words that it found it in
	Probabilities  map[string]float64 // of the labels in the first pass; nil unless asked for
	Expert         string             // who answered: an expert's name or BaseName
	Alpha          map[string]float64 // z = 1 + Σ α (z − 1), by expert's name; empty for the base
	Answer         answer.Answer
	// Pass1 and Pass2 are this question's equal share of the time that its batch took, so that
	// sums over a batch are wall times. To make the expert's weights is part of them.
	Pass1, Pass2 time.Duration
}

// Confusion counts what first passes found against what they should have found.
type Confusion struct {
	counts map[[2]string]int // gold, found
	total  int
}

// Add counts a question of the domain gold that was found to be found. Anything that is not one of
// Labels counts as other, as it does in dispatch.
func (c *Confusion) Add(gold, found string) {
	if c.counts == nil {
		c.counts = make(map[[2]string]int)
	}
	c.counts[[2]string{known(gold), known(found)}]++
	c.total++
}

func known(label string) string {
	for _, l := range Labels() {
		if l == label {
			return l
		}
	}
	return task.LabelOther
}

// Count is how many questions of the domain gold were found to be found.
func (c *Confusion) Count(gold, found string) int { return c.counts[[2]string{gold, found}] }

// Total is the number of questions.
func (c *Confusion) Total() int { return c.total }

// Accuracy is the share of questions whose domain was found; 0 of none.
func (c *Confusion) Accuracy() float64 {
	right := 0
	for _, l := range Labels() {
		right += c.Count(l, l)
	}
	return float64(right) / float64(max(c.total, 1))
}

// Rows is the matrix as a table: a header, then a row a gold label with a column a found label and
// the share that was right.
func (c *Confusion) Rows() [][]string {
	rows := [][]string{append(append([]string{"gold \\ found"}, Labels()...), "right")}
	for _, gold := range Labels() {
		row, all := []string{gold}, 0
		for _, found := range Labels() {
			row = append(row, fmt.Sprint(c.Count(gold, found)))
			all += c.Count(gold, found)
		}
		right := "–"
		if all > 0 {
			right = fmt.Sprintf("%.1f%%", 100*float64(c.Count(gold, gold))/float64(all))
		}
		rows = append(rows, append(row, right))
	}
	return rows
}

// String is the table in aligned columns and the overall accuracy.
func (c *Confusion) String() string {
	var b strings.Builder
	for _, row := range c.Rows() {
		fmt.Fprintf(&b, "%-12s", row[0])
		for _, cell := range row[1:] {
			fmt.Fprintf(&b, " %9s", cell)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%.1f%% of %d\n", 100*c.Accuracy(), c.total)
	return b.String()
}
