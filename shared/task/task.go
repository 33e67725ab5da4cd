package task

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// Split names a disjoint part of a task's questions.
type Split int

// Train feeds the corpus and the training of experts, Valid selects, Test is reported.
const (
	Train Split = iota
	Valid
	Test
)

// String returns "train", "valid" or "test".
func (s Split) String() string {
	switch s {
	case Train:
		return "train"
	case Valid:
		return "valid"
	case Test:
		return "test"
	}
	return fmt.Sprintf("Split(%d)", int(s))
}

// ParseSplit is the inverse of String.
func ParseSplit(name string) (Split, error) {
	for _, s := range []Split{Train, Valid, Test} {
		if s.String() == name {
			return s, nil
		}
	}
	return Train, fmt.Errorf("task: split: want train, valid or test, got %q", name)
}

// The four domains of the first pass. LabelOther means the base model, always.
const (
	LabelMath      = "math"
	LabelCode      = "code"
	LabelReasoning = "reasoning"
	LabelOther     = "other"
)

// Case is one hidden check of a program: a call and the value it must return, both written as
// Starlark literals, e.g. {"f([3, 1])", "[1, 3]"}.
type Case struct {
	Call, Want string
}

// Item is one question with its answer.
type Item struct {
	Task   string
	Split  Split
	Index  int
	System string // instruction that goes before the question; usually empty
	Prompt string
	Answer string // gold, canonical: a number, an option, a program, a label, a fact's value
	Worked string // a full answer that scores 1
	Cases  []Case // code only: hidden calls and wanted results
	Label  string // domain: math, code, reasoning or other
	// Of a user's own data: how the answer is judged, how many options there are to choose from, and
	// the item as it lies in the file.
	Check   Check
	Options int
	Source  json.RawMessage
}

// Task is a generator of questions and the checker of their answers.
type Task interface {
	Name() string
	Doc() string
	// Label is the domain that the first pass should find.
	Label() string
	// Size is the number of items of a split. Valid and Test hold distinct prompts; Train is
	// drawn with replacement, since it only has to be large.
	Size(Split) int
	// Item is a pure function of (task, split, index). It panics unless 0 <= index < Size.
	Item(split Split, index int) Item
	// Score is 1 for a right answer and 0 for a wrong one; style tasks may give a fraction.
	// Output is hostile: any bytes of any length.
	Score(it Item, output string) float64
	// MaxTokens bounds the length of an answer that could still be right: the longest worked one in
	// a vocabulary of 1,024 tokens with single digits (39, for code), and some room.
	MaxTokens() int
}

// Lookup returns the task of that name.
func Lookup(name string) (Task, error) {
	if t, ok := byName[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("task: lookup: want one of %s, got %q", strings.Join(Names(), " "), name)
}

// Names lists all tasks: training, unseen, classify, styles.
func Names() []string {
	names := make([]string, len(registry))
	for i, t := range registry {
		names[i] = t.Name()
	}
	return names
}

// Training lists the tasks that experts are trained on (paper: GSM8K, MBPP-Pro, ARC-Easy).
func Training() []Task { return tasks("math", "code", "reasoning") }

// Unseen lists the tasks that no expert is trained on (paper: MATH, HumanEval, ARC-Challenge).
func Unseen() []Task { return tasks("math-hard", "code-complete", "reasoning-hard") }

// Styles lists the tasks whose experts are plain to see.
func Styles() []Task { return tasks(styleNames...) }

var registry = buildRegistry()

var byName = func() map[string]*suiteTask {
	m := make(map[string]*suiteTask, len(registry))
	for _, t := range registry {
		m[t.name] = t
	}
	return m
}()

// buildRegistry fixes the order in which tasks are listed.
func buildRegistry() []*suiteTask {
	ts := []*suiteTask{
		newMath(), newCode(), newReasoning(),
		newMathHard(), newCodeComplete(), newReasoningHard(),
		newClassify(),
	}
	for _, name := range styleNames {
		ts = append(ts, newStyle(name))
	}
	return ts
}

func tasks(names ...string) []Task {
	ts := make([]Task, len(names))
	for i, name := range names {
		ts[i] = byName[name]
	}
	return ts
}

// Stat reports how much of a split is distinct.
type Stat struct {
	Task     string
	Split    Split
	Items    int // items counted
	Distinct int // distinct prompts among them
}

// Stats counts the distinct prompts in each split of each named task (all tasks when none is
// named), looking at no more than limit items a split; limit <= 0 means all of them.
func Stats(limit int, names ...string) ([]Stat, error) {
	if len(names) == 0 {
		names = Names()
	}
	var out []Stat
	for _, name := range names {
		t, err := Lookup(name)
		if err != nil {
			return nil, err
		}
		for _, s := range []Split{Train, Valid, Test} {
			n := t.Size(s)
			if limit > 0 && n > limit {
				n = limit
			}
			out = append(out, Stat{name, s, n, countDistinct(t, s, n)})
		}
	}
	return out, nil
}

// countDistinct sorts hashes instead of keeping every prompt in a map.
func countDistinct(t Task, s Split, n int) int {
	hashes := make([]uint64, n)
	for i := range hashes {
		it := t.Item(s, i)
		hashes[i] = hashString(0, it.System+"\x00"+it.Prompt)
	}
	sort.Slice(hashes, func(a, b int) bool { return hashes[a] < hashes[b] })
	distinct := 0
	for i, h := range hashes {
		if i == 0 || h != hashes[i-1] {
			distinct++
		}
	}
	return distinct
}
