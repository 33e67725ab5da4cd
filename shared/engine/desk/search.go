package desk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"transformer2/shared/adapt"
	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/task"
)

// shotTokens bounds the answers to examples that are merely written down.
const shotTokens = 64

// search looks for the mixture that answers a few examples best.
func (j *job) search(q protocol.Search) (protocol.Found, error) {
	var result protocol.Found
	shots, held, err := examples(q)
	if err != nil {
		return result, err
	}
	if q.Paused {
		j.gate.set(true, 0) // it holds after the first generation
	}
	var names []string
	a, err := j.d.s.FewShot(j.ctx, engine.FewShot{Shots: shots, Held: held, Experts: q.Experts,
		Preset: q.Preset, Seed: q.Seed,
		OnExperts: func(experts []string) { names = experts },
		OnGeneration: func(g adapt.Generation, most int, c adapt.Cost) {
			j.tell(protocol.EventGeneration, generationOf(g, most, c, names, len(held) > 0))
			j.gate.pass(j.ctx) // the search itself sees that ctx ended
		}})
	if err != nil {
		return result, err
	}
	found := a.Found
	a.Close()
	return protocol.Found{Alpha: found.Shares, Right: found.Score.Value,
		Stopped: string(found.Search.Stopped), Answers: found.Cost.Answers,
		Seconds: found.Cost.Seconds}, nil
}

// examples are what a search is to adapt to, and what it is shown beside.
func examples(q protocol.Search) (shots, held []adapt.Shot, err error) {
	if len(q.Shots) > 0 {
		if q.Task != "" || q.K != 0 || q.Held != 0 {
			return nil, nil, errors.New("a search has examples and a task: want one of them")
		}
		shots, err = written(q.Shots)
		return shots, nil, err
	}
	t, err := task.Lookup(q.Task)
	if err != nil {
		return nil, nil, err
	}
	if err := within("k", q.K, 1, protocol.MaxShots); err != nil {
		return nil, nil, err
	}
	if err := within("held", q.Held, 0, mostItems); err != nil {
		return nil, nil, err
	}
	// One draw for both, so that they are disjoint.
	all, err := adapt.FewShots(t, q.K+q.Held, q.Seed)
	if err != nil {
		return nil, nil, err
	}
	return all[:q.K], all[q.K:], nil
}

// written reads examples that a person wrote.
func written(shots []protocol.Shot) ([]adapt.Shot, error) {
	if err := within("the number of examples", len(shots), 1, protocol.MaxShots); err != nil {
		return nil, err
	}
	var lines bytes.Buffer
	for i, s := range shots {
		err := errors.Join(checkText("prompt", s.Prompt), checkText("answer", s.Answer),
			checkText("worked answer", s.Worked))
		if err != nil {
			return nil, fmt.Errorf("example %d: %w", i+1, err)
		}
		if err := json.NewEncoder(&lines).Encode(s); err != nil {
			return nil, err
		}
	}
	return adapt.ReadShots(&lines, shotTokens)
}

func generationOf(g adapt.Generation, most int, c adapt.Cost, experts []string,
	held bool) protocol.Generation {
	p := protocol.Generation{Index: g.Index, Most: most, Experts: experts, Elites: g.Elites,
		Best: wide(g.Best), BestValue: g.BestScore.Value, Held: -1, Mean: wide(g.Mean),
		Std: wide(g.Std), Seconds: c.Seconds}
	if held {
		p.Held = c.Held
	}
	for i, m := range g.Members {
		p.Members = append(p.Members, wide(m))
		p.Values = append(p.Values, max(g.Scores[i].Value, leastLog))
	}
	return p
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
