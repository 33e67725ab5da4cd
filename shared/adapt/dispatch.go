package adapt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"transformer2/shared/answer"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

// Named is an expert under the name that people know it by.
type Named struct {
	Name   string
	Expert *svf.Expert
}

// Config says how a Dispatcher adapts.
type Config struct {
	Strategy   Strategy
	Experts    map[string]Named   // by label; a label without one gets the base
	Classifier *svf.Expert        // for StrategyClassifier
	Mixture    Named              // for StrategyFewShot: the z that answers everything,
	Alpha      map[string]float64 // and its shares, for the results to tell
	// Classify, if set, is a first pass of one's own: the label of each prompt. It takes the place
	// of the model's in either strategy of two passes.
	Classify func(ctx context.Context, prompts []string) ([]string, error)
	// Probabilities asks for Result.Probabilities, which cost the first pass's prompt once more.
	Probabilities bool
	Form          Form             // of the second pass
	Now           func() time.Time // nil: time.Now
}

// Dispatcher answers questions in two passes. One goroutine uses it, and its Answerer, at a time.
type Dispatcher struct {
	cfg     Config
	answers *answer.Answerer
	voices  *Voices
	// adepts may answer in the second pass; the first is the base. In projected form they are the
	// sequences of a batch.
	adepts []adept
	judge  *likelihood // nil until it is needed
}

// adept is one who may answer in the second pass.
type adept struct {
	name   string
	label  string
	expert *svf.Expert // nil: the base
	alpha  map[string]float64
}

// NewDispatcher makes a Dispatcher of voices, which others may use between two of its calls. Experts
// that do not fit their base are refused.
func NewDispatcher(a *answer.Answerer, v *Voices, cfg Config) (*Dispatcher, error) {
	if _, err := ParseStrategy(string(cfg.Strategy)); err != nil {
		return nil, err
	}
	if err := cfg.Form.check(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Dispatcher{cfg: cfg, answers: a, voices: v, adepts: []adept{{name: BaseName}}}
	switch {
	case cfg.Strategy == StrategyFewShot && cfg.Mixture.Expert == nil:
		return nil, fmt.Errorf("adapt: strategy %s has no mixture", cfg.Strategy)
	case cfg.Strategy == StrategyFewShot:
		p.adepts = append(p.adepts, adept{name: cfg.Mixture.Name, expert: cfg.Mixture.Expert,
			alpha: cfg.Alpha})
	case cfg.Strategy == StrategyClassifier && cfg.Classifier == nil && cfg.Classify == nil:
		return nil, fmt.Errorf("adapt: strategy %s has no classifier", cfg.Strategy)
	}
	if cfg.Strategy.twoPasses() {
		if err := p.addExperts(); err != nil {
			return nil, err
		}
	}
	for _, e := range append([]adept{{name: "classifier", expert: cfg.Classifier}}, p.adepts...) {
		if err := check(e.expert, v.Decomposition); err != nil {
			return nil, fmt.Errorf("%w (expert %q)", err, e.name)
		}
	}
	return p, nil
}

// addExperts lists the experts in the order of the labels.
func (p *Dispatcher) addExperts() error {
	labels := Labels()
	for label, e := range p.cfg.Experts {
		switch {
		case label == task.LabelOther:
			return fmt.Errorf("adapt: expert %q for %q, which is the base model's", e.Name, label)
		case !slices.Contains(labels, label):
			return fmt.Errorf("adapt: expert %q for %q, want one of %v", e.Name, label, labels)
		case e.Expert == nil:
			return fmt.Errorf("adapt: expert %q for %q has no z", e.Name, label)
		}
	}
	for _, label := range labels {
		if e, ok := p.cfg.Experts[label]; ok {
			p.adepts = append(p.adepts, adept{name: e.Name, label: label, expert: e.Expert,
				alpha: map[string]float64{e.Name: 1}})
		}
	}
	return nil
}

// Close gives back what the Dispatcher took itself; the voices stay.
func (p *Dispatcher) Close() {
	if p.judge != nil {
		p.judge.free()
	}
}

// Adapt answers questions; results come in their order. Both passes are batched: all questions go
// through the first before any goes through the second. Questions' Seq is not looked at. When ctx
// ends, what there is so far comes back with its error.
func (p *Dispatcher) Adapt(ctx context.Context, questions []answer.Question) ([]Result, error) {
	results, err := p.First(ctx, questions)
	if err != nil || len(questions) == 0 {
		return results, err
	}
	groups := make([][]int, len(p.adepts)) // of question indices
	for i := range results {
		k := p.choose(results[i].Label)
		groups[k] = append(groups[k], i)
	}
	if p.useProjected(groups, len(questions)) {
		return results, p.sideBySide(ctx, questions, results, groups)
	}
	for k, group := range groups {
		if len(group) == 0 {
			continue
		}
		if err := p.oneAfterAnother(ctx, questions, results, group, p.adepts[k].expert); err != nil {
			return results, err
		}
	}
	return results, nil
}

// First is the first pass alone: results say who would answer, and have no answers yet.
func (p *Dispatcher) First(ctx context.Context, questions []answer.Question) ([]Result, error) {
	results := make([]Result, len(questions))
	if len(questions) == 0 {
		return results, ctx.Err()
	}
	if p.cfg.Strategy.twoPasses() {
		start := p.cfg.Now()
		if err := p.classify(ctx, questions, results); err != nil {
			return results, err
		}
		share := p.cfg.Now().Sub(start) / time.Duration(len(questions))
		for i := range results {
			results[i].Pass1 = share
		}
	}
	for i := range results {
		k := p.choose(results[i].Label)
		results[i].Expert, results[i].Alpha = p.adepts[k].name, p.adepts[k].alpha
	}
	return results, nil
}

// choose finds who answers questions of a label.
func (p *Dispatcher) choose(label string) int {
	if p.cfg.Strategy == StrategyFewShot {
		return 1
	}
	for k, a := range p.adepts {
		if k > 0 && a.label == label {
			return k
		}
	}
	return 0
}
