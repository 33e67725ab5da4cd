package adapt

import (
	"fmt"
	"io"

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

// Bounds of a file of shots.
const (
	maxShots     = 1024
	maxShotBytes = 1 << 24
	maxShotToken = 1 << 12 // of an answer
)

// ReadShots reads examples in any format of a user's own questions (task.Data), such as one JSON
// object a line:
//
//	{"prompt": "…", "answer": "…"}
//
// An answer to such an example is right where it contains the one that is written down, unless
// "score" says otherwise, and has at most maxTokens tokens.
func ReadShots(r io.Reader, maxTokens int) ([]Shot, error) {
	if maxTokens < 1 || maxTokens > maxShotToken {
		return nil, fmt.Errorf("adapt: answers of %d tokens, want 1 to %d", maxTokens, maxShotToken)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxShotBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("adapt: shots: %w", err)
	case len(data) > maxShotBytes:
		return nil, fmt.Errorf("adapt: shots: more than %d bytes", maxShotBytes)
	}
	d, err := task.ReadData("shots", data, task.Valid, task.CheckContains)
	if err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if left := d.LeftOut(); len(left) > 0 {
		return nil, fmt.Errorf("adapt: shots: %v", left[0])
	}
	if d.Size(task.Valid) > maxShots {
		return nil, fmt.Errorf("adapt: shots: %d of them, want at most %d", d.Size(task.Valid),
			maxShots)
	}
	if d.Format() == task.OwnFormat {
		d.Limit(maxTokens)
	}
	var shots []Shot
	for i := range d.Size(task.Valid) {
		shots = append(shots, TaskShot(d, d.Item(task.Valid, i)))
	}
	return shots, nil
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
