package adapt

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"transformer2/shared/svf"
)

// mixtures scores members of a search, α as [dims], as mixtures of experts.
type mixtures struct {
	FewShot
	o        FewShotOptions // completed
	experts  []*svf.Expert  // as they are mixed
	names    []string       // of the matrices that any of them adapts
	shots    []Shot
	simple   [][]float32
	beside   bool             // members are asked side by side, else one after another
	judge    *likelihood      // for ObjectiveLikelihood,
	worked   []continuation   // the shots with their worked answers
	known    map[string]Score // of members by the objective; nothing is random, so once is enough
	start    time.Time
	answered int
	held     float64
	err      error // of answering Held
}

// add takes an expert in: as z, or as logits where these are mixed.
func (m *mixtures) add(e Named) error {
	if e.Expert == nil {
		return fmt.Errorf("adapt: there is no z")
	}
	if _, err := vectors(e.Expert, m.Voices.Decomposition); err != nil {
		return err
	}
	x := e.Expert
	if !m.o.RawLogits {
		var err error
		if x, err = x.Effective(m.Voices.Decomposition); err != nil {
			return err
		}
	} else if x.Meta.Parametrisation != svf.SigmoidNuclear {
		return fmt.Errorf("adapt: raw logits are mixed of %s experts, this is %s",
			svf.SigmoidNuclear, x.Meta.Parametrisation)
	}
	m.experts = append(m.experts, x)
	return nil
}

// width is how many α an expert has.
func (m *mixtures) width() int {
	if m.o.PerMatrix {
		return len(m.names)
	}
	return 1
}

func (m *mixtures) dims() int { return len(m.experts) * m.width() }

// rows is a member [dims] as [K][width].
func (m *mixtures) rows(alpha []float32) [][]float32 {
	rows := make([][]float32, len(m.experts))
	for k := range rows {
		rows[k] = slices.Clone(alpha[k*m.width() : (k+1)*m.width()])
	}
	return rows
}

// mix is a member as an expert. A member without meaning, α = 0 of raw logits, is an error.
func (m *mixtures) mix(alpha []float32) (*svf.Expert, error) {
	if m.o.RawLogits {
		return svf.MixLogits(m.experts, m.rows(alpha), m.Voices.Decomposition)
	}
	return svf.Mix(m.experts, m.rows(alpha))
}

// simpleMembers are the base, each expert alone and their mean.
func (m *mixtures) simpleMembers() [][]float32 {
	k, w := len(m.experts), m.width()
	members := [][]float32{make([]float32, k*w)}
	for i := range k {
		one := make([]float32, k*w)
		for j := range w {
			one[i*w+j] = 1
		}
		members = append(members, one)
	}
	if k > 1 {
		members = append(members, filled(k*w, 1/float64(k)))
	}
	return members
}

// cost is what has been spent so far.
func (m *mixtures) cost() Cost {
	return Cost{Answers: m.answered, Seconds: m.Now().Sub(m.start).Seconds(), Held: m.held}
}

// observe reports each generation, its best having answered Held.
func (m *mixtures) observe(ctx context.Context, a *Adaptation) func(Generation) {
	o := &m.o
	var last []float32
	return func(g Generation) {
		if len(o.Held) > 0 && m.err == nil {
			if last == nil || !slices.Equal(last, g.Best) {
				var scores []Score
				if scores, m.err = m.ask(ctx, [][]float32{g.Best}, o.Held); m.err == nil {
					m.held, last = scores[0].Value, g.Best
				}
			}
			if m.err == nil {
				a.Held = append(a.Held, m.held)
			}
		}
		if o.CEM.OnGeneration != nil {
			o.CEM.OnGeneration(g)
		}
		if o.OnGeneration != nil {
			o.OnGeneration(g, m.cost())
		}
	}
}

// choose is the member to use: the search's, unless a simple one is as good up to the margin.
func (m *mixtures) choose(out Outcome) []float32 {
	if best, score, ok := m.bestSimple(); ok &&
		!(out.BestScore.Value > score.Value+m.o.Margin+roundingOfShares) {
		return best
	}
	return out.Alpha
}

// roundingOfShares is more than what sums of a thousand scores are off, and less than one of them.
const roundingOfShares = 1e-9

// bestSimple is the best of the simple members that were scored.
func (m *mixtures) bestSimple() (best []float32, score Score, ok bool) {
	for _, alpha := range m.simple {
		if s, scored := m.known[key(alpha)]; scored && (!ok || s.compare(score, m.ties()) > 0) {
			best, score, ok = alpha, s, true
		}
	}
	return best, score, ok
}

// retry asks the best members of the search and the simple ones Fresh and takes the best there.
// Among equals the first wins, and the simple come first.
func (m *mixtures) retry(ctx context.Context, a *Adaptation) ([]float32, error) {
	candidates := slices.Clone(m.simple)
	candidates = append(candidates, m.top(a.Search, m.o.Top)...)
	if m.o.CEM.Deploy == DeployMean {
		candidates = append(candidates, a.Search.Mean)
	}
	scores, err := m.ask(ctx, candidates, m.o.Fresh)
	if err != nil || len(scores) == 0 {
		return m.choose(a.Search), err
	}
	best := 0
	for i, s := range scores {
		a.Retried = append(a.Retried, Retry{Alpha: candidates[i],
			Shots: m.known[key(candidates[i])], Fresh: s.Value})
		if s.Value > scores[best].Value {
			best = i
		}
	}
	return candidates[best], nil
}

// top are the n best members of a search that are not simple ones, best first.
func (m *mixtures) top(out Outcome, n int) [][]float32 {
	type scored struct {
		alpha []float32
		Score
	}
	var all []scored
	seen := map[string]bool{}
	for _, alpha := range m.simple {
		seen[key(alpha)] = true
	}
	for _, g := range out.Generations {
		for i, alpha := range g.Members {
			if k := key(alpha); !seen[k] && !math.IsInf(g.Scores[i].Value, -1) {
				seen[k] = true
				all = append(all, scored{alpha, g.Scores[i]})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int {
		return b.compare(a.Score, m.ties())
	})
	var best [][]float32
	for _, s := range all[:min(max(n, 0), len(all))] {
		best = append(best, s.alpha)
	}
	return best
}

// answerShots is how a member answers the shots.
func (m *mixtures) answerShots(ctx context.Context, alpha []float32) (Score, error) {
	if m.o.Objective == ObjectiveAnswers {
		if s, ok := m.known[key(alpha)]; ok {
			return s, nil
		}
	}
	scores, err := m.ask(ctx, [][]float32{alpha}, m.shots)
	if err != nil {
		return Score{}, err
	}
	return scores[0], nil
}
