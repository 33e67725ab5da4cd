package adapt

import (
	"context"
	"encoding/binary"
	"math"

	"transformer2/shared/answer"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
	"transformer2/shared/svf"
)

// score is the search's: members by the objective, each distinct one once.
func (m *mixtures) score(ctx context.Context, members [][]float32) ([]Score, error) {
	if m.err != nil { // Held could not be answered after the last generation
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
	got, err := m.byObjective(ctx, pick(members, fresh))
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

func (m *mixtures) byObjective(ctx context.Context, members [][]float32) ([]Score, error) {
	if m.o.Objective == ObjectiveLikelihood {
		return m.likely(ctx, members)
	}
	return m.ask(ctx, members, m.shots)
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

// ask scores members by the share of shots they get right, ties by how sure they are where they are
// right: the mean over right answers of the mean log-probability of a token. A member that cannot
// be mixed is worth −Inf.
func (m *mixtures) ask(ctx context.Context, members [][]float32, shots []Shot) ([]Score, error) {
	return m.each(ctx, members, func(model *llama.Model, scores []Score) error {
		replies, err := m.batch(ctx, model, len(scores), shots)
		m.answered += len(replies)
		for i := range scores {
			if err == nil {
				scores[i] = judge(shots, replies[i*len(shots):])
			}
		}
		return err
	})
}

// likely scores members by the likelihood of the worked answers, exp of the mean over shots of the
// mean log-probability of a token.
func (m *mixtures) likely(ctx context.Context, members [][]float32) ([]Score, error) {
	return m.each(ctx, members, func(model *llama.Model, scores []Score) error {
		var cs []continuation
		for i := range scores {
			for _, c := range m.worked {
				c.seq = i
				cs = append(cs, c)
			}
		}
		lps, err := m.judge.each(ctx, model, cs)
		if err != nil {
			return err
		}
		m.answered += len(cs)
		for i := range scores {
			mean := 0.0
			for j, c := range m.worked {
				mean += lps[i*len(m.worked)+j] / float64(len(c.tokens)-c.from)
			}
			scores[i].Value = math.Exp(mean / float64(len(m.worked)))
		}
		return nil
	})
}

// each calls f with models of all members that can be mixed, and the places of their scores: of as
// many members as the form can hold at once, member i being sequence i of the model. Those that
// cannot be mixed get −Inf.
func (m *mixtures) each(ctx context.Context, members [][]float32,
	f func(*llama.Model, []Score) error) ([]Score, error) {
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
	got := make([]Score, len(experts))
	for lo := 0; lo < len(experts); {
		model, n, err := m.model(ctx, experts[lo:])
		if err == nil {
			err = f(model, got[lo:lo+n])
		}
		if err != nil {
			return nil, err
		}
		lo += n
	}
	for j, i := range who {
		scores[i] = got[j]
	}
	return scores, nil
}

// model is one of the first n experts.
func (m *mixtures) model(ctx context.Context, experts []*svf.Expert) (model *llama.Model, n int,
	err error) {
	if !m.beside {
		model, err = m.Voices.As(ctx, experts[0])
		return model, 1, err
	}
	n = min(len(experts), m.o.CEM.Population)
	model, err = m.Voices.SideBySide(ctx, experts[:n])
	return model, n, err
}

// reply is an answer and the log-probabilities of its tokens, summed.
type reply struct {
	answer.Answer
	sure float64
}

// batch asks all shots of each of n sequences, greedily.
func (m *mixtures) batch(ctx context.Context, model *llama.Model, n int, shots []Shot) (
	[]reply, error) {
	replies := make([]reply, n*len(shots))
	questions := make([]answer.Question, n*len(shots))
	for i := range questions {
		q := shots[i%len(shots)].Question
		q.Seq, q.Sampling, q.OnToken = i/len(shots), sample.Params{}, nil
		q.NoLogits = false
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
