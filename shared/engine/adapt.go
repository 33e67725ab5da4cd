package engine

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"transformer2/shared/adapt"
	"transformer2/shared/answer"
	"transformer2/shared/task"
)

// Oracle is a strategy for measurements: the question's own label, so the right expert always. It
// says how good the experts are where nothing is lost in the choice between them.
const Oracle adapt.Strategy = "oracle"

// Adaptive answers every prompt with the z that a strategy finds for it (paper, section 3.2): in a
// first pass over the prompt it settles on an expert, in the second that expert answers.
type Adaptive struct {
	Strategy adapt.Strategy
	Found    *adapt.Adaptation // what the search of few-shot found; nil for the other strategies

	s      *Session
	config adapt.Config
	one    *adapt.Dispatcher // for single prompts
	many   *adapt.Dispatcher // for evaluations
	gold   []string          // labels of the questions being asked, for Oracle
}

// Adapted is an answer, and how its z was found.
type Adapted struct {
	Answer                            // Voice is the expert that answered
	Task           string             // what the first pass took it for; "" without one
	Classification string             // the words that it took it from
	Probabilities  map[string]float64 // of each label in the first pass; nil where there was none
	Alpha          map[string]float64 // share of each expert; empty for the base
	Pass1, Pass2   time.Duration      // including what it takes to make the expert's weights
}

// Adaptive makes an adaptive voice of the model's experts. Experts are found by the task that they
// were trained for: math, code and reasoning answer, classify is the classifier.
func (s *Session) Adaptive(strategy adapt.Strategy) (*Adaptive, error) {
	a := &Adaptive{Strategy: strategy, s: s}
	a.config = adapt.Config{Strategy: strategy, Experts: map[string]adapt.Named{}}
	if strategy == Oracle {
		a.config.Strategy = adapt.StrategyPrompt
		a.config.Classify = func(context.Context, []string) ([]string, error) { return a.gold, nil }
	}
	if _, err := adapt.ParseStrategy(string(a.config.Strategy)); err != nil {
		return nil, err
	}
	experts, err := s.byTask()
	if err != nil {
		return nil, err
	}
	for _, label := range adapt.Labels() {
		if e, ok := experts[label]; ok && label != task.LabelOther {
			a.config.Experts[label] = e
		}
	}
	if strategy != adapt.StrategyNone && len(a.config.Experts) == 0 {
		return nil, s.noExperts()
	}
	switch strategy {
	case adapt.StrategyFewShot:
		return nil, fmt.Errorf("strategy %s wants examples to adapt to", strategy)
	case adapt.StrategyClassifier:
		e, ok := experts[classifyTask]
		if !ok {
			return nil, fmt.Errorf("model %s came without a classifier: want an expert trained "+
				"for the task %s",
				s.Model.Name, classifyTask)
		}
		a.config.Classifier = e.Expert
	}
	return a, nil
}

// classifyTask is what a classifier expert is trained for.
const classifyTask = "classify"

// FewShot says which mixture is searched for: the one that answers a few examples best.
type FewShot struct {
	Shots   []adapt.Shot
	Held    []adapt.Shot // further examples, which show how far the shots flatter and decide nothing
	Experts []string     // to mix; none: those for math, code and reasoning
	Preset  string       // of the search: default, paper or released-code; "" is default
	Seed    uint64
	// OnExperts, if set, hears first which experts the numbers of a generation's members stand for.
	OnExperts func(names []string)
	// OnGeneration, if set, hears of every generation, of at most how many.
	OnGeneration func(g adapt.Generation, most int, c adapt.Cost)
}

// FewShot searches for a mixture of experts, and makes a voice that answers everything with it.
// Found says what it is and what the search took.
func (s *Session) FewShot(ctx context.Context, o FewShot) (*Adaptive, error) {
	options, err := adapt.Preset(cmp.Or(o.Preset, "default"))
	if err != nil {
		return nil, err
	}
	options.CEM.Seed, options.Held = o.Seed, o.Held
	if o.OnGeneration != nil {
		options.OnGeneration = func(g adapt.Generation, c adapt.Cost) {
			o.OnGeneration(g, options.CEM.Iterations, c)
		}
	}
	a, err := s.Adaptive(adapt.StrategyNone)
	if err != nil {
		return nil, err
	}
	a.Strategy = adapt.StrategyFewShot
	search := adapt.FewShot{Base: s.Model.LM}
	if search.Experts, err = s.toMix(a, o.Experts); err != nil {
		return nil, err
	}
	if o.OnExperts != nil {
		var names []string
		for _, e := range search.Experts {
			names = append(names, e.Name)
		}
		o.OnExperts(names)
	}
	if search.Decomposition, err = s.Bases(ctx); err != nil {
		return nil, err
	}
	if search.Answerer, err = s.answerer(); err != nil {
		return nil, err
	}
	found, err := search.Run(ctx, o.Shots, options)
	if err != nil {
		return nil, err
	}
	a.Found = &found
	a.config = adapt.Config{Strategy: adapt.StrategyFewShot, Alpha: found.Shares,
		Mixture: adapt.Named{Name: sharesName(search.Experts, found.Shares), Expert: found.Expert}}
	return a, nil
}

// toMix are the experts of a search: the named ones, or those of the labels.
func (s *Session) toMix(a *Adaptive, names []string) ([]adapt.Named, error) {
	var experts []adapt.Named
	for _, name := range names {
		v, err := s.Voice(name)
		if err != nil {
			return nil, err
		}
		if v.Expert == nil {
			return nil, fmt.Errorf("the base is in every mixture already: want experts to mix")
		}
		experts = append(experts, adapt.Named{Name: name, Expert: v.Expert})
	}
	if len(names) > 0 {
		return experts, nil
	}
	for _, label := range adapt.Labels() {
		if e, ok := a.config.Experts[label]; ok {
			experts = append(experts, e)
		}
	}
	if len(experts) == 0 {
		return nil, s.noExperts()
	}
	return experts, nil
}

// sharesName writes a mixture as Mixture reads it: "math=0.72,code=0.1".
func sharesName(experts []adapt.Named, shares map[string]float64) string {
	var parts []string
	for _, e := range experts {
		parts = append(parts, fmt.Sprintf("%s=%.3g", e.Name, shares[e.Name]))
	}
	return strings.Join(parts, ",")
}

func (s *Session) noExperts() error {
	return fmt.Errorf("model %s came with no expert to choose: want one trained for %s",
		s.Model.Name,
		strings.Join(adapt.Labels()[:3], ", "))
}

// byTask finds the model's experts by the tasks that they were trained for; the purpose of those that
// were trained on a user's own data is their task. An expert that is called like its task goes before
// others of the same task.
func (s *Session) byTask() (map[string]adapt.Named, error) {
	found := map[string]adapt.Named{}
	for _, name := range s.Model.ExpertNames() {
		v, err := s.Voice(name)
		if err != nil {
			return nil, err
		}
		about := task.Purpose(v.Expert.Meta.Task)
		if _, has := found[about]; !has || name == about {
			found[about] = adapt.Named{Name: name, Expert: v.Expert}
		}
	}
	return found, nil
}

// Name is how the voice is called: "adapt:prompt".
func (a *Adaptive) Name() string { return "adapt:" + string(a.Strategy) }

// dispatcher makes what adapts and answers, as many questions at once as the answerer does.
func (a *Adaptive) dispatcher(ctx context.Context, answerer *answer.Answerer, probabilities bool) (
	*adapt.Dispatcher, error) {
	bases, err := a.s.Bases(ctx)
	if err != nil {
		return nil, err
	}
	config := a.config
	config.Probabilities = probabilities
	return adapt.NewDispatcher(answerer, a.s.Model.LM, bases, config)
}

// Answer adapts the model to a request's prompt and answers it. A history is not looked at: each
// prompt stands alone.
func (a *Adaptive) Answer(ctx context.Context, r Request) (Adapted, error) {
	r.History = nil
	prompt, _, err := a.s.fit(r)
	if err != nil {
		return Adapted{}, err
	}
	if err := a.prepareOne(ctx); err != nil {
		return Adapted{}, err
	}
	w := a.s.newWriter(r)
	begin := time.Now()
	results, err := a.one.Adapt(ctx, []answer.Question{{System: r.System, Prompt: r.Prompt,
		MaxTokens: r.MaxTokens, Sampling: r.Sampling, Seed: r.Seed, OnToken: w.token,
		NoLogits: w.onToken == nil}})
	if len(results) == 0 {
		return Adapted{}, err
	}
	w.close()
	found := adapted(results[0])
	found.Answer = w.answer(found.Voice, results[0].Answer.Reason, len(prompt), begin)
	return found, err
}

// Classify is the first pass over a prompt alone: Voice is the expert that would answer.
func (a *Adaptive) Classify(ctx context.Context, prompt string) (Adapted, error) {
	if _, _, err := a.s.fit(Request{Prompt: prompt, MaxTokens: 1}); err != nil {
		return Adapted{}, err
	}
	if err := a.prepareOne(ctx); err != nil {
		return Adapted{}, err
	}
	results, err := a.one.First(ctx, []answer.Question{{Prompt: prompt}})
	if err != nil {
		return Adapted{}, err
	}
	return adapted(results[0]), nil
}

// adapted is what a dispatcher found, without the answer's text.
func adapted(r adapt.Result) Adapted {
	return Adapted{Answer: Answer{Voice: r.Expert}, Task: r.Label, Classification: r.Classification,
		Probabilities: r.Probabilities, Alpha: r.Alpha, Pass1: r.Pass1, Pass2: r.Pass2}
}

// prepareOne makes the dispatcher for single prompts.
func (a *Adaptive) prepareOne(ctx context.Context) error {
	if a.one != nil {
		return nil
	}
	answerer, err := answer.New(a.s.Model.LM, a.s.Model.Tok, 1)
	if err != nil {
		return err
	}
	a.one, err = a.dispatcher(ctx, answerer, true)
	return err
}

// Evaluate answers a quiz adaptively, greedily, and scores it. What the first passes found is added
// to confusion, if not nil.
func (a *Adaptive) Evaluate(ctx context.Context, q Quiz, confusion *adapt.Confusion,
	progress func(done, total int)) (Report, error) {
	if a.many == nil {
		answerer, err := a.s.answerer()
		if err != nil {
			return Report{}, err
		}
		if a.many, err = a.dispatcher(ctx, answerer, false); err != nil {
			return Report{}, err
		}
	}
	items := q.Items()
	a.gold = a.gold[:0]
	for _, it := range items {
		a.gold = append(a.gold, it.Label)
	}
	results, err := a.many.Adapt(ctx, a.s.questions(q.Task, items, progress))
	if err != nil {
		return Report{}, err
	}
	scores := make([]float64, len(items))
	for i, it := range items {
		scores[i] = q.Task.Score(it, results[i].Answer.Text)
		if confusion != nil && results[i].Label != "" {
			confusion.Add(it.Label, results[i].Label)
		}
	}
	return answer.NewReport(q.Task.Name(), q.Split, q.Seed, scores), ctx.Err()
}

// Close gives back the memory of the experts' weights.
func (a *Adaptive) Close() {
	for _, d := range []*adapt.Dispatcher{a.one, a.many} {
		if d != nil {
			d.Close()
		}
	}
}
