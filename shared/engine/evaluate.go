package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"transformer2/shared/answer"
	"transformer2/shared/task"
)

// Quiz is a set of questions of a task.
type Quiz struct {
	Task  task.Task
	Split task.Split
	N     int    // at most as many as the split has
	Seed  uint64 // picks them where N is less
}

// Items are the quiz's questions.
func (q Quiz) Items() []task.Item { return answer.Items(q.Task, q.Split, q.N, q.Seed) }

// Fit leaves out the items of a user's data that leave the answer less than a quarter of the context,
// and with worked those that have no worked answer, or one that does not fit in.
func (s *Session) Fit(d *task.Data, worked bool) (err error) {
	context := s.Model.LM.Context
	room := min(d.MaxTokens(), context/answerShare)
	if worked {
		d.Keep("there is no worked answer to learn from",
			func(it task.Item) bool { return it.Worked != "" })
	}
	reason := fmt.Sprintf("too long for the %d tokens of the context", context)
	d.Keep(reason, func(it task.Item) bool {
		ids, e := s.template(Request{System: it.System, Prompt: it.Prompt}, nil)
		err = errors.Join(err, e)
		return len(ids)+room <= context &&
			(!worked || len(ids)+len(s.Model.Tok.Encode(it.Worked)) < context)
	})
	return err
}

// Report is a measured accuracy.
type Report = answer.Report

// Scored is an answered question of a task.
type Scored struct {
	Item  task.Item
	Text  string  // the answer
	Score float64 // 1: right, 0: wrong; styles have shares
}

// Evaluate answers a quiz greedily as a voice and scores it. The questions depend on the quiz
// alone, so that voices meet the same ones. progress, if not nil, hears how many answers ended,
// from
// several goroutines; those that the context cut short it does not count.
func (s *Session) Evaluate(ctx context.Context, v Voice, q Quiz, progress func(done, total int)) (
	Report, error) {
	all, err := s.answers(ctx, v, q, progress)
	if err != nil {
		return Report{}, err
	}
	scores := make([]float64, len(all))
	for i := range all {
		scores[i] = all[i].Score
	}
	return answer.NewReport(q.Task.Name(), q.Split, q.Seed, scores), nil
}

// Answers answers a quiz greedily as a voice and gives every answer with its score.
func (s *Session) Answers(ctx context.Context, v Voice, q Quiz) ([]Scored, error) {
	return s.answers(ctx, v, q, nil)
}

func (s *Session) answers(ctx context.Context, v Voice, q Quiz, progress func(done, total int)) (
	[]Scored, error) {
	m, err := s.As(ctx, v)
	if err != nil {
		return nil, err
	}
	a, err := s.answerer()
	if err != nil {
		return nil, err
	}
	items := q.Items()
	answers, err := a.Answer(ctx, m, s.questions(q.Task, items, progress))
	if err != nil {
		return nil, err
	}
	all := make([]Scored, len(items))
	for i, it := range items {
		all[i] = Scored{Item: it, Text: answers[i].Text, Score: q.Task.Score(it, answers[i].Text)}
	}
	return all, ctx.Err() // a judge that failed ends ctx
}

// questions asks items greedily; progress hears of every answer that ends.
func (s *Session) questions(t task.Task, items []task.Item,
	progress func(done, total int)) []answer.Question {
	ends := s.Model.Tok.Stops()
	var done atomic.Int64 // tokens are picked by several goroutines
	questions := make([]answer.Question, len(items))
	for i, it := range items {
		questions[i] = answer.Ask(t, it)
		if progress == nil {
			continue
		}
		left := questions[i].MaxTokens
		questions[i].NoLogits = true
		questions[i].OnToken = func(id int32, _ []float32) bool {
			if left--; left == 0 || slices.Contains(ends, id) {
				left = 0
				progress(int(done.Add(1)), len(items))
			}
			return true
		}
	}
	return questions
}

// Pool joins reports on different tasks into one on all of their questions; a zero a is none.
func Pool(a, b Report) Report {
	if a.N == 0 {
		b.Task = PooledTask
		return b
	}
	return answer.NewReport(PooledTask, b.Split, b.Seed, slices.Concat(a.Scores, b.Scores))
}

// PooledTask is the name of all tasks of a measurement together.
const PooledTask = "all"

// Gain is how much more accurate a is than b on the same items: the mean of the paired differences
// and its 95 % interval (normal, from their own spread).
func Gain(a, b Report) (gain float64, ci95 [2]float64) {
	n := float64(min(len(a.Scores), len(b.Scores)))
	if n == 0 {
		return 0, [2]float64{-1, 1}
	}
	var sum, squares float64
	for i := range int(n) {
		d := a.Scores[i] - b.Scores[i]
		sum, squares = sum+d, squares+d*d
	}
	gain = sum / n
	variance := max(0, squares/n-gain*gain)
	const z = 1.959964 // the normal distribution's 97.5 % quantile
	half := z * math.Sqrt(variance/max(n-1, 1))
	return gain, [2]float64{gain - half, gain + half}
}
