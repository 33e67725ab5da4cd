package answer

import (
	"context"
	"math"
	"math/rand/v2"

	"transformer2/shared/llama"
	"transformer2/shared/task"
)

// Report is a measured accuracy.
type Report struct {
	Task     string
	Split    task.Split
	N        int
	Seed     uint64
	Accuracy float64
	CI95     [2]float64 // Wilson's interval
	Scores   []float64  // of each item, in order
}

// Items picks n items of a split: all of it in order if n is not smaller, else a sample drawn
// without replacement by seed.
func Items(t task.Task, split task.Split, n int, seed uint64) []task.Item {
	size := t.Size(split)
	n = min(n, size)
	items := make([]task.Item, n)
	if n == size {
		for i := range items {
			items[i] = t.Item(split, i)
		}
		return items
	}
	rng := rand.New(rand.NewPCG(seed, uint64(split)))
	seen := make(map[int]bool, n)
	for i := range items {
		j := rng.IntN(size)
		for seen[j] {
			j = rng.IntN(size)
		}
		seen[j] = true
		items[i] = t.Item(split, j)
	}
	return items
}

// Ask is the question of an item, answered greedily.
func Ask(t task.Task, it task.Item) Question {
	return Question{System: it.System, Prompt: it.Prompt, MaxTokens: t.MaxTokens()}
}

// Evaluate answers n items of a split greedily and scores them.
func (a *Answerer) Evaluate(ctx context.Context, m *llama.Model, t task.Task, split task.Split,
	n int, seed uint64) (Report, error) {
	items := Items(t, split, n, seed)
	questions := make([]Question, len(items))
	for i, it := range items {
		questions[i] = Ask(t, it)
	}
	answers, err := a.Answer(ctx, m, questions)
	if err != nil {
		return Report{}, err
	}
	scores := make([]float64, len(items))
	for i, it := range items {
		scores[i] = t.Score(it, answers[i].Text)
	}
	return NewReport(t.Name(), split, seed, scores), nil
}

// NewReport sums scores up.
func NewReport(name string, split task.Split, seed uint64, scores []float64) Report {
	sum := 0.0
	for _, s := range scores {
		sum += s
	}
	r := Report{Task: name, Split: split, N: len(scores), Seed: seed, Scores: scores}
	if r.N > 0 {
		r.Accuracy = sum / float64(r.N)
	}
	r.CI95 = Wilson(r.Accuracy, r.N)
	return r
}

// Wilson is the 95 % score interval of a proportion (Wilson 1927): unlike the normal
// approximation it stays inside [0, 1] and holds near its ends.
func Wilson(p float64, n int) [2]float64 {
	if n == 0 {
		return [2]float64{0, 1}
	}
	const z = 1.959964 // the normal distribution's 97.5 % quantile
	N := float64(n)
	mid := (p + z*z/(2*N)) / (1 + z*z/N)
	half := z / (1 + z*z/N) * math.Sqrt(p*(1-p)/N+z*z/(4*N*N))
	ci := [2]float64{max(0, mid-half), min(1, mid+half)}
	if p == 0 { // exactly, where rounding would leave 1e-17
		ci[0] = 0
	}
	if p == 1 {
		ci[1] = 1
	}
	return ci
}
