package adapt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"transformer2/shared/answer"
	"transformer2/shared/svf"
)

// Objective is what a search maximises on the shots.
type Objective string

const (
	// ObjectiveAuto is ObjectiveLikelihood where every shot has a worked answer, else
	// ObjectiveAnswers.
	ObjectiveAuto Objective = ""
	// ObjectiveAnswers is the share of shots that greedy answers get right, ties by how sure they
	// are: the paper's. On ten shots it has eleven values, and luck decides.
	ObjectiveAnswers Objective = "answers"
	// ObjectiveLikelihood is the probability of a token of the worked answers, the geometric mean
	// over an answer's tokens and over the shots. Every token counts, so it finds better mixtures
	// from as many shots, and costs a forward pass where answers cost many.
	ObjectiveLikelihood Objective = "likelihood"
)

// FewShotOptions say how α is searched for. Preset gives the named ones.
type FewShotOptions struct {
	CEM       Options // a Mean of 0 stands for 1/K
	Objective Objective
	PerMatrix bool // an α an expert and matrix instead of one an expert
	// RawLogits mixes the logits of sigmoid-nuclear experts as the released code does, see
	// svf.MixLogits.
	RawLogits bool
	// Simple puts the base, each single expert and the uniform mixture into the first generation.
	// The best of them is used unless a mixture is better by more than Margin of the objective.
	Simple bool
	Margin float64
	// Fresh, if any, are further examples that the Top best members and the simple ones answer
	// after the search; the one that gets most of them right is used. That is more data than the
	// shots, and a report should say so.
	Fresh []Shot
	Top   int
	// Held, if any, are examples that the best of each generation answers, to show how far the
	// shots flatter it. They decide nothing.
	Held []Shot
	// OnGeneration, if set, hears of every generation.
	OnGeneration func(Generation, Cost)
}

// Cost is what a search has taken so far.
type Cost struct {
	Answers int     // that were generated or judged, those on Fresh and Held included
	Seconds float64 // since it began
	Held    float64 // accuracy of the best so far on FewShotOptions.Held; 0 without
}

// Presets are the names that Preset knows.
func Presets() []string { return []string{"default", "paper", "released-code"} }

// Preset gives named options:
//
//	default        one α an expert, by likelihood where the shots have worked answers; at most 20
//	               generations; the base and the single experts are among the candidates
//	paper          one α an expert, by answers, 100 generations, best sample (its section 3.2 and
//	               appendix)
//	released-code  by answers; logits mixed as they are, an α an expert and matrix, 50 generations
//
// All have 32 members, a fifth of them elites, and start from N(1/K, 0.5²) within [0, 1].
func Preset(name string) (FewShotOptions, error) {
	cem := Options{Iterations: 100, Population: 32, EliteRatio: 0.2, Lo: 0, Hi: 1, Std: 0.5,
		Incumbent: true, Ties: TiesBest, Deploy: DeployBest}
	switch name {
	case "default":
		cem.Iterations, cem.Ties, cem.MinStd = 20, TiesAll, 0.02
		cem.Patience, cem.MinGain = 3, 0.001
		return FewShotOptions{CEM: cem, Simple: true, Top: 4}, nil
	case "paper":
		return FewShotOptions{CEM: cem, Objective: ObjectiveAnswers, Top: 4}, nil
	case "released-code":
		cem.Iterations = 50
		return FewShotOptions{CEM: cem, Objective: ObjectiveAnswers, PerMatrix: true,
			RawLogits: true, Top: 4}, nil
	}
	return FewShotOptions{}, fmt.Errorf("adapt: preset %q, want one of %s", name,
		strings.Join(Presets(), ", "))
}

// FewShot searches for the mixture of experts that answers a few examples best: the paper's third
// strategy. One goroutine uses it, and its Answerer, at a time.
type FewShot struct {
	Answerer *answer.Answerer
	Voices   *Voices
	Experts  []Named
	Form     Form             // projected: members are scored side by side, folded: one by one
	Now      func() time.Time // nil: time.Now
}

// Adaptation is what a search found.
type Adaptation struct {
	Expert  *svf.Expert        // the mixture, ready to be used
	Shares  map[string]float64 // α by expert's name; with an α a matrix, its mean
	Alpha   [][]float32        // [K][1 or matrices] as svf.Mix takes it
	Names   []string           // of the matrices that the columns of Alpha belong to
	Score   Score              // of its answers to the shots: Value is the share that is right
	Search  Outcome
	Retried []Retry   // the candidates on Fresh, as they were asked
	Held    []float64 // accuracy of each generation's best on Held
	Cost    Cost
}

// Retry is a candidate of a finished search on fresh examples.
type Retry struct {
	Alpha []float32 // [dims]
	Shots Score     // what the search knew of it
	Fresh float64   // accuracy
}

// Run searches on the shots. When ctx ends, the best so far comes back with its error, without
// having answered Fresh or the shots; an Adaptation without Expert says that there is none.
func (f *FewShot) Run(ctx context.Context, shots []Shot, o FewShotOptions) (Adaptation, error) {
	m, err := f.prepare(ctx, shots, o)
	if err != nil {
		return Adaptation{}, err
	}
	defer m.close()
	var a Adaptation
	cem := m.o.CEM
	cem.OnGeneration = m.observe(ctx, &a)
	out, err := Search(ctx, m.dims(), m.score, cem)
	if err == nil {
		err = m.err
	}
	a.Search = out
	if out.Alpha == nil {
		return a, err
	}
	alpha := m.choose(out)
	if err == nil && len(o.Fresh) > 0 {
		alpha, err = m.retry(ctx, &a)
	}
	if err == nil {
		a.Score, err = m.answerShots(ctx, alpha)
	}
	a.Alpha, a.Names, a.Cost = m.rows(alpha), m.names, m.cost()
	a.Shares = make(map[string]float64)
	for k, e := range f.Experts {
		for _, v := range a.Alpha[k] {
			a.Shares[e.Name] += float64(v) / float64(len(a.Alpha[k]))
		}
	}
	mix, mixErr := m.mix(alpha)
	if err == nil {
		err = mixErr
	}
	a.Expert = mix
	return a, err
}

// prepare checks what Run is given and completes the options.
func (f *FewShot) prepare(ctx context.Context, shots []Shot, o FewShotOptions) (*mixtures,
	error) {
	switch {
	case len(f.Experts) == 0:
		return nil, fmt.Errorf("adapt: few-shot search without experts")
	case len(shots) == 0:
		return nil, fmt.Errorf("adapt: few-shot search without shots")
	case f.Form.check() != nil:
		return nil, f.Form.check()
	case !(o.Margin >= 0 && o.Margin <= 1):
		return nil, fmt.Errorf("adapt: margin is %v of the shots, want 0 to 1", o.Margin)
	case o.RawLogits && o.Simple:
		return nil, fmt.Errorf("adapt: raw logits have no α for the base, so no simple candidates")
	}
	if err := Disjoint(shots, o.Fresh, o.Held); err != nil {
		return nil, err
	}
	m := &mixtures{FewShot: *f, o: o, shots: shots, known: map[string]Score{}}
	var all []*svf.Expert
	for _, e := range f.Experts {
		all = append(all, e.Expert)
	}
	if _, err := m.Voices.ready(ctx, all...); err != nil {
		return nil, err
	}
	for i, e := range f.Experts {
		if slices.ContainsFunc(f.Experts[:i], func(b Named) bool { return b.Name == e.Name }) {
			return nil, fmt.Errorf("adapt: expert %q appears twice", e.Name)
		}
		if err := m.add(e); err != nil {
			return nil, fmt.Errorf("%w (expert %q)", err, e.Name)
		}
	}
	m.names = svf.Names(m.experts...)
	if err := m.setObjective(); err != nil {
		return nil, err
	}
	if m.o.CEM.Mean == 0 {
		m.o.CEM.Mean = 1 / float64(len(f.Experts))
	}
	if o.Simple {
		m.simple = m.simpleMembers()
		m.o.CEM.First = append(slices.Clone(m.simple), o.CEM.First...)
	}
	if err := m.o.CEM.validate(); err != nil { // before memory is taken for the population
		return nil, err
	}
	if m.Now == nil {
		m.Now = time.Now
	}
	m.start = m.Now()
	return m, m.open()
}

// setObjective settles Auto and reads the worked answers.
func (m *mixtures) setObjective() error {
	without := slices.IndexFunc(m.shots, func(s Shot) bool { return s.Worked == "" })
	switch o := m.o.Objective; {
	case o == ObjectiveAnswers, o == ObjectiveAuto && without >= 0:
		m.o.Objective = ObjectiveAnswers
		return nil
	case o != ObjectiveLikelihood && o != ObjectiveAuto:
		return fmt.Errorf("adapt: objective %q, want %s or %s", o, ObjectiveAnswers,
			ObjectiveLikelihood)
	case without >= 0:
		return fmt.Errorf("adapt: shot %d has no worked answer, objective %s wants one",
			without, o)
	}
	m.o.Objective = ObjectiveLikelihood
	for i, s := range m.shots {
		prompt, err := m.Answerer.Tokens(s.Question)
		if err != nil {
			return err
		}
		tokens := append(m.Answerer.Tok.AppendEncode(prompt, s.Worked), m.Answerer.End())
		if most := min(m.Voices.Base.Context, likelihoodRows); len(tokens) > most {
			return fmt.Errorf("adapt: shot %d with its worked answer is %d tokens, want at most %d",
				i, len(tokens), most)
		}
		m.worked = append(m.worked, continuation{tokens: tokens, from: len(prompt)})
	}
	return nil
}

// foldedFrom is the number of shots from which a member's answers make a batch that is worth
// folding for: then the products of the projected form cost more than small batches do.
const foldedFrom = 8

// open settles how members are asked and takes the memory for the answers.
func (m *mixtures) open() (err error) {
	few := m.o.Objective != ObjectiveLikelihood && len(m.shots) < foldedFrom
	m.beside = m.Form == FormProjected || m.Form == FormAuto && m.Voices.besides(m.experts, few)
	if m.o.Objective == ObjectiveLikelihood {
		m.judge, err = newLikelihood(m.Voices.Base)
	}
	return err
}

func (m *mixtures) close() {
	if m.judge != nil {
		m.judge.free()
	}
}
