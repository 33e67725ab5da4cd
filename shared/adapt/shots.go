package adapt

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"transformer2/shared/answer"
	"transformer2/shared/task"
)

// Shot is an example of what is to be adapted to: a question and the judge of its answer.
type Shot struct {
	Question answer.Question
	Answer   string                      // the right one, for people
	Worked   string                      // a whole answer as a model should give it; "" if unknown
	Score    func(output string) float64 // 1 for a right answer, 0 for a wrong one
}

// FewShots draws k different examples of a task by seed, from its validation split: test items,
// which alone are reported, are never among them.
func FewShots(t task.Task, k int, seed uint64) ([]Shot, error) {
	if n := t.Size(task.Valid); k < 1 || k > n {
		return nil, fmt.Errorf("adapt: %d shots of %s, want 1 to %d", k, t.Name(), n)
	}
	var shots []Shot
	for _, it := range answer.Items(t, task.Valid, k, seed) {
		shots = append(shots, TaskShot(t, it))
	}
	return shots, nil
}

// TaskShot makes an item a shot.
func TaskShot(t task.Task, it task.Item) Shot {
	return Shot{Question: answer.Ask(t, it), Answer: it.Answer, Worked: it.Worked,
		Score: func(output string) float64 { return t.Score(it, output) }}
}

// Match is how an answer is compared with one that is merely written down.
type Match string

const (
	MatchExact    Match = "exact"    // the same, but for surrounding space
	MatchContains Match = "contains" // the right answer is somewhere in it
)

// Bounds of a file of shots.
const (
	maxShots     = 1024
	maxShotLine  = 1 << 16 // bytes
	maxShotToken = 1 << 12 // of an answer
)

// ReadShots reads examples, one JSON object a line:
//
//	{"prompt": "…", "answer": "…"}
//
// "system" may say what goes before the prompt, and "worked" how a whole answer reads; under
// MatchExact the answer is one itself. Other keys are left alone and empty lines skipped.
// maxTokens bounds the answers of the model.
func ReadShots(r io.Reader, match Match, maxTokens int) ([]Shot, error) {
	if match != MatchExact && match != MatchContains {
		return nil, fmt.Errorf("adapt: match %q, want %s or %s", match, MatchExact, MatchContains)
	}
	if maxTokens < 1 || maxTokens > maxShotToken {
		return nil, fmt.Errorf("adapt: answers of %d tokens, want 1 to %d", maxTokens, maxShotToken)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxShotLine)
	var shots []Shot
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		shot, err := parseShot(text, match)
		if err != nil {
			return nil, fmt.Errorf("adapt: shots, line %d: %w", n, err)
		}
		if len(shots) == maxShots {
			return nil, fmt.Errorf("adapt: shots, line %d: more than %d shots", n, maxShots)
		}
		shot.Question.MaxTokens = maxTokens
		shots = append(shots, shot)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("adapt: shots: a line of more than %d bytes", maxShotLine)
	case err != nil:
		return nil, fmt.Errorf("adapt: shots: %w", err)
	case len(shots) == 0:
		return nil, errors.New("adapt: shots: the file has none")
	}
	return shots, Disjoint(shots)
}

// parseShot reads one line. Its errors carry no prefix.
func parseShot(text string, match Match) (Shot, error) {
	var line struct{ System, Prompt, Answer, Worked string }
	if !utf8.ValidString(text) {
		return Shot{}, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		return Shot{}, err
	}
	want := strings.TrimSpace(line.Answer)
	if strings.TrimSpace(line.Prompt) == "" || want == "" {
		return Shot{}, errors.New(`want a "prompt" and an "answer" that are not empty`)
	}
	worked := strings.TrimSpace(line.Worked)
	if worked == "" && match == MatchExact {
		worked = want
	}
	same := func(output string) bool { return strings.TrimSpace(output) == want }
	if match == MatchContains {
		same = func(output string) bool { return strings.Contains(output, want) }
	}
	return Shot{Question: answer.Question{System: line.System, Prompt: line.Prompt},
		Answer: want, Worked: worked, Score: func(output string) float64 {
			if same(output) {
				return 1
			}
			return 0
		}}, nil
}

// Disjoint refuses sets of shots that share a question, within a set or between two.
func Disjoint(sets ...[]Shot) error {
	seen := map[[2]string]bool{}
	for _, set := range sets {
		for _, s := range set {
			key := [2]string{s.Question.System, s.Question.Prompt}
			if seen[key] {
				return fmt.Errorf("adapt: shots: question %.60q appears twice", s.Question.Prompt)
			}
			seen[key] = true
		}
	}
	return nil
}
