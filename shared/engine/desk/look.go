package desk

import (
	"fmt"
	"time"

	"transformer2/shared/adapt"
	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

// heat measures a voice's z in every matrix.
func (j *job) heat(h protocol.Heat) (protocol.HeatMap, error) {
	result := protocol.HeatMap{Cells: []protocol.Cell{}}
	v, err := j.voice(h.Voice)
	if err != nil {
		return result, err
	}
	stats := map[string]svf.Stat{}
	if v.Expert != nil {
		plain, err := j.d.s.Effective(j.ctx, v.Expert)
		if err != nil {
			return result, err
		}
		list, err := plain.Stats()
		if err != nil {
			return result, err
		}
		for _, s := range list {
			stats[s.Name] = s
		}
	}
	for _, m := range j.d.s.Model.Matrices() {
		s, ok := stats[m.Name]
		if !ok {
			s.Min, s.Max = 1, 1
		}
		result.Cells = append(result.Cells, protocol.Cell{Matrix: m.Name, MeanAbs: s.MeanAbs,
			L2: s.L2, Min: float64(s.Min), Max: float64(s.Max)})
	}
	return result, nil
}

// spectrum shows a matrix's singular values and a voice's z of them.
func (j *job) spectrum(q protocol.SpectrumOf) (protocol.Spectrum, error) {
	var result protocol.Spectrum
	if _, err := j.matrix(q.Matrix); err != nil {
		return result, err
	}
	v, err := j.voice(q.Voice)
	if err != nil {
		return result, err
	}
	bases, err := j.d.s.Bases(j.ctx, svf.ScopeOf(q.Matrix))
	if err != nil {
		return result, err
	}
	m, ok := bases.Matrix(q.Matrix)
	if !ok {
		return result, fmt.Errorf("matrix %s was not decomposed", q.Matrix)
	}
	z := ones(m.R)
	if v.Expert != nil {
		plain, err := j.d.s.Effective(j.ctx, v.Expert)
		if err != nil {
			return result, err
		}
		copy(z, plain.Z[m.Name])
	}
	result = protocol.Spectrum{Matrix: matrixOf(*m), Left: m.Left, Sigma: m.Sigma,
		Z: make([]float64, m.R), EffectiveRank: engine.EffectiveRank(m.Sigma)}
	for i := range z {
		result.Z[i] = float64(z[i])
	}
	return result, nil
}

// question gives an item of a task's test split.
func (j *job) question(q protocol.Question) (protocol.Asked, error) {
	t, err := task.Lookup(q.Task)
	if err != nil {
		return protocol.Asked{}, err
	}
	n := t.Size(task.Test)
	it := t.Item(task.Test, (q.Index%n+n)%n)
	return protocol.Asked{Prompt: it.Prompt, Answer: it.Answer, Worked: it.Worked}, nil
}

func (j *job) tokenize(t protocol.Tokenize) (protocol.Tokenized, error) {
	if err := checkText("text", t.Text); err != nil {
		return protocol.Tokenized{}, err
	}
	tok := j.d.s.Model.Tok
	r := protocol.Tokenized{IDs: tok.Encode(t.Text), Pieces: []string{}}
	for _, id := range r.IDs {
		r.Pieces = append(r.Pieces, tok.DecodeSpecial([]int32{id}))
	}
	return r, nil
}

// mostItems bounds an evaluation.
const mostItems = 2000

func (j *job) evaluate(e protocol.Evaluate) (protocol.Evaluated, error) {
	var result protocol.Evaluated
	t, err := task.Lookup(e.Task)
	if err != nil {
		return result, err
	}
	split, err := task.ParseSplit(e.Split)
	if err != nil {
		return result, err
	}
	if err := within("n", e.N, 1, mostItems); err != nil {
		return result, err
	}
	v, err := j.voice(e.Voice)
	if err != nil {
		return result, err
	}
	r, err := j.d.s.Evaluate(j.ctx, v, engine.Quiz{Task: t, Split: split, N: e.N, Seed: e.Seed},
		func(done, total int) {
			j.tell(protocol.EventProgress, protocol.Progress{Stage: "answers", Unit: "answers",
				Done: int64(done), Total: int64(total)})
		})
	if err != nil {
		return result, err
	}
	return protocol.Evaluated{N: r.N, Accuracy: r.Accuracy, CI95: r.CI95}, nil
}

// first is the first pass by a way of the protocol.
func (j *job) first(by string) (*engine.Adaptive, error) {
	if a := j.d.adaptive[by]; a != nil {
		return a, nil
	}
	ways := map[string]adapt.Strategy{protocol.ByNone: adapt.StrategyNone,
		protocol.ByPrompt: adapt.StrategyPrompt, protocol.ByClassifier: adapt.StrategyClassifier}
	way, ok := ways[by]
	if !ok {
		return nil, fmt.Errorf("no first pass is called %q: want %s, %s or %s", by,
			protocol.ByNone, protocol.ByPrompt, protocol.ByClassifier)
	}
	a, err := j.d.s.Adaptive(way)
	if err == nil {
		j.d.adaptive[by] = a
	}
	return a, err
}

func (j *job) classify(c protocol.Classify) (protocol.Classified, error) {
	if c.By == protocol.ByNone {
		return protocol.Classified{}, fmt.Errorf("a first pass by %s finds nothing: want %s or %s",
			c.By, protocol.ByPrompt, protocol.ByClassifier)
	}
	if err := checkText("prompt", c.Prompt); err != nil {
		return protocol.Classified{}, err
	}
	return j.firstPass(c.Prompt, c.By)
}

func (j *job) firstPass(prompt, by string) (protocol.Classified, error) {
	a, err := j.first(by)
	if err != nil {
		return protocol.Classified{}, err
	}
	begin := time.Now()
	found, err := a.Classify(j.ctx, prompt)
	if err != nil {
		return protocol.Classified{}, err
	}
	system, _ := task.ClassifyPrompt(prompt)
	return protocol.Classified{Label: found.Task, Text: found.Classification,
		Probabilities: found.Probabilities, Expert: found.Voice, System: system,
		MS: milliseconds(time.Since(begin))}, nil
}

// adapt is both passes.
func (j *job) adapt(a protocol.Adapt) (protocol.Adapted, error) {
	var result protocol.Adapted
	g := protocol.Generate{Prompt: a.Prompt, MaxTokens: a.MaxTokens, Sampling: a.Sampling,
		Seed: a.Seed, Top: a.Top}
	if err := checkGenerate(g); err != nil {
		return result, err
	}
	result.Expert = engine.BaseName
	if a.By != protocol.ByNone {
		found, err := j.firstPass(a.Prompt, a.By)
		if err != nil {
			return result, err
		}
		j.tell(protocol.EventClassified, found)
		result.Classified, result.Expert, result.Pass1MS = found, found.Expert, found.MS
	}
	if a.Override != "" {
		result.Expert = a.Override
	}
	begin := time.Now()
	v, err := j.voice(protocol.Voice{Expert: result.Expert})
	if err != nil {
		return result, err
	}
	answer, _, err := j.speak(g, 0, v, false)
	if err != nil {
		return result, err
	}
	result.Pass2MS = milliseconds(time.Since(begin))
	result.Answer = answerOf(0, answer, 0)
	return result, nil
}
