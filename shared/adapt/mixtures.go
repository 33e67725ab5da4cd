package adapt

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"transformer2/shared/answer"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
	"transformer2/shared/svf"
)

// mixtures scores members of a search, α as [dims], as mixtures of experts.
type mixtures struct {
	FewShot
	o         FewShotOptions // completed
	experts   []*svf.Expert  // as they are mixed
	names     []string       // of the matrices that any of them adapts
	shots     []Shot
	simple    [][]float32
	projected *Projected // one of them is nil
	folded    *Folded
	known     map[string]Score // of members on the shots; answers are greedy, so once is enough
	start     time.Time
	answered  int
	held      float64
	err       error // of scoring on Held
}

// add takes an expert in: as z, or as logits where these are mixed.
func (m *mixtures) add(e Named) error {
	if e.Expert == nil {
		return fmt.Errorf("adapt: there is no z")
	}
	if _, err := vectors(e.Expert, m.Decomposition); err != nil {
		return err
	}
	x := e.Expert
	if !m.o.RawLogits {
		var err error
		if x, err = x.Effective(m.Decomposition); err != nil {
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
		return svf.MixLogits(m.experts, m.rows(alpha), m.Decomposition)
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

// score judges members by the share of shots they get right, ties by how sure they are where they
// are right: the mean over right answers of the mean log-probability of a token.
func (m *mixtures) score(ctx context.Context, members [][]float32) ([]Score, error) {
	if m.err != nil { // scoring on Held failed after the last generation
		return nil, m.err
	}
	var fresh []int // members that have to be asked
	pending := map[string]bool{}
	for i, alpha := range members {
		if k := key(alpha); !pending[k] {
			if _, ok := m.known[k]; !ok {
				fresh, pending[k] = append(fresh, i), true
			}
		}
	}
	got, err := m.ask(ctx, pick(members, fresh), m.shots)
	if err != nil {
		return nil, err
	}
	for j, i := range fresh {
		m.known[key(members[i])] = got[j]
	}
	scores := make([]Score, len(members))
	for i, alpha := range members {
		scores[i] = m.known[key(alpha)]
	}
	return scores, nil
}

// ties reports whether TieBreak decides anything.
func (m *mixtures) ties() bool { return m.o.CEM.Ties == TiesBest || m.o.CEM.Ties == TiesAll }

func pick[T any](x []T, at []int) []T {
	y := make([]T, len(at))
	for i, j := range at {
		y[i] = x[j]
	}
	return y
}

// key is a member's numbers as a map's key.
func key(alpha []float32) string {
	var b []byte
	for _, v := range alpha {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return string(b)
}

// ask scores members on shots, whatever is known of them. A member that cannot be mixed is worth
// −Inf.
func (m *mixtures) ask(ctx context.Context, members [][]float32, shots []Shot) ([]Score, error) {
	scores := make([]Score, len(members))
	var experts []*svf.Expert
	var who []int // the members that they are
	for i, alpha := range members {
		mix, err := m.mix(alpha)
		if err != nil {
			scores[i] = Score{math.Inf(-1), math.Inf(-1)}
			continue
		}
		experts, who = append(experts, mix), append(who, i)
	}
	replies, err := m.put(ctx, experts, shots)
	if err != nil {
		return nil, err
	}
	m.answered += len(replies)
	for j, i := range who {
		scores[i] = judge(shots, replies[j*len(shots):])
	}
	return scores, nil
}

// reply is an answer and the log-probabilities of its tokens, summed.
type reply struct {
	answer.Answer
	sure float64
}

// put has each expert answer each shot; expert i's answer to shot j is reply i·len(shots)+j.
func (m *mixtures) put(ctx context.Context, experts []*svf.Expert, shots []Shot) ([]reply, error) {
	replies := make([]reply, 0, len(experts)*len(shots))
	if m.folded != nil {
		for _, e := range experts {
			if err := m.folded.Use(e); err != nil {
				return nil, err
			}
			got, err := m.batch(ctx, m.folded.Model(), 1, shots)
			if err != nil {
				return nil, err
			}
			replies = append(replies, got...)
		}
		return replies, nil
	}
	for part := range slices.Chunk(experts, m.projected.Seqs()) {
		if err := m.projected.SetAll(part); err != nil {
			return nil, err
		}
		got, err := m.batch(ctx, m.projected.Model(), len(part), shots)
		if err != nil {
			return nil, err
		}
		replies = append(replies, got...)
	}
	return replies, nil
}

// batch asks all shots of each of n sequences, greedily.
func (m *mixtures) batch(ctx context.Context, model *llama.Model, n int, shots []Shot) (
	[]reply, error) {
	replies := make([]reply, n*len(shots))
	questions := make([]answer.Question, n*len(shots))
	for i := range questions {
		q := shots[i%len(shots)].Question
		q.Seq, q.Sampling, q.OnToken = i/len(shots), sample.Params{}, nil
		if m.ties() {
			q.OnToken = func(id int32, logits []float32) bool {
				replies[i].sure += llama.LogProb(logits, id)
				return true
			}
		}
		questions[i] = q
	}
	answers, err := m.Answerer.Answer(ctx, model, questions)
	if err != nil {
		return nil, err
	}
	for i, a := range answers {
		replies[i].Answer = a
	}
	return replies, nil
}

// judge scores one member's replies, of which the first are to the shots.
func judge(shots []Shot, replies []reply) Score {
	var sum, likely, right float64
	for i, s := range shots {
		v := s.Score(replies[i].Text)
		sum += v
		if v > 0 {
			tokens := float64(len(replies[i].Tokens))
			if replies[i].Closed {
				tokens++ // the closing one was judged too
			}
			likely += v * replies[i].sure / max(tokens, 1)
			right += v
		}
	}
	if right == 0 {
		return Score{Value: 0, TieBreak: math.Inf(-1)}
	}
	return Score{Value: sum / float64(len(shots)), TieBreak: likely / right}
}

// cost is what has been spent so far.
func (m *mixtures) cost() Cost {
	return Cost{Answers: m.answered, Seconds: m.Now().Sub(m.start).Seconds(), Held: m.held}
}

// observe reports each generation, its best scored on Held.
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
func (m *mixtures) choose(a *Adaptation) []float32 {
	if best, score, ok := m.bestSimple(); ok &&
		!(a.Search.BestScore.Value > score.Value+m.o.Margin+roundingOfShares) {
		a.Score = score
		return best
	}
	return a.Search.Alpha
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

// retry scores the best members of the search and the simple ones on Fresh and takes the best
// there. Among equals the first wins, and the simple come first.
func (m *mixtures) retry(ctx context.Context, a *Adaptation) ([]float32, error) {
	candidates := slices.Clone(m.simple)
	candidates = append(candidates, m.top(a.Search, m.o.Top)...)
	if m.o.CEM.Deploy == DeployMean {
		candidates = append(candidates, a.Search.Mean)
	}
	scores, err := m.ask(ctx, candidates, m.o.Fresh)
	if err != nil || len(scores) == 0 {
		return m.choose(a), err
	}
	best := 0
	for i, s := range scores {
		a.Retried = append(a.Retried, Retry{Alpha: candidates[i],
			Shots: m.known[key(candidates[i])], Fresh: s.Value})
		if s.Value > scores[best].Value {
			best = i
		}
	}
	a.Score = a.Retried[best].Shots
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
