package adapt

import (
	"context"
	"fmt"
	"math"
	"time"

	"transformer2/shared/answer"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

// classifyTokens bounds the answer of a first pass; `\boxed{reasoning}` spelt in bytes fits.
const classifyTokens = 24

// classify is the first pass: it fills in Label, Classification and Probabilities.
func (p *Dispatcher) classify(ctx context.Context, questions []answer.Question,
	results []Result) error {
	if p.cfg.Classify != nil {
		return p.classifyOwn(ctx, questions, results)
	}
	var who *svf.Expert // the base
	if p.cfg.Strategy == StrategyClassifier {
		who = p.cfg.Classifier
	}
	model, err := p.voices.As(ctx, who)
	if err != nil {
		return err
	}
	var asked []answer.Question
	var at []int
	for i, q := range questions {
		results[i].Label = task.LabelOther
		system, prompt := task.ClassifyPrompt(q.Prompt)
		ask := answer.Question{System: system, Prompt: prompt, MaxTokens: classifyTokens}
		tokens, err := p.answers.Tokens(ask)
		if err != nil {
			return err
		}
		if len(tokens) < p.voices.Base.Context { // a question too long to be classified is other
			asked, at = append(asked, ask), append(at, i)
		}
	}
	answers, err := p.answers.Answer(ctx, model, asked)
	if err != nil {
		return err
	}
	for j, i := range at {
		results[i].Classification = answers[j].Text
		results[i].Label = task.ParseClass(answers[j].Text)
	}
	if !p.cfg.Probabilities {
		return nil
	}
	found, err := p.probabilities(ctx, model, asked)
	if err != nil {
		return err
	}
	for j, i := range at {
		results[i].Probabilities = found[j]
	}
	return nil
}

func (p *Dispatcher) classifyOwn(ctx context.Context, questions []answer.Question,
	results []Result) error {
	prompts := make([]string, len(questions))
	for i, q := range questions {
		prompts[i] = q.Prompt
	}
	found, err := p.cfg.Classify(ctx, prompts)
	if err != nil {
		return err
	}
	if len(found) != len(prompts) {
		return fmt.Errorf("adapt: %d labels for %d questions", len(found), len(prompts))
	}
	for i, text := range found {
		results[i].Classification, results[i].Label = text, known(text)
	}
	return nil
}

// probabilities of the labels as answers to classification questions: with y a label's whole
// answer, \boxed{label}, token by token after the prompt x,
//
//	p(label) = π(y|x) / Σ over labels of π(y'|x)
//
// A question that has no room for the longest answer gets nil.
func (p *Dispatcher) probabilities(ctx context.Context, m *llama.Model, asked []answer.Question) (
	[]map[string]float64, error) {
	if p.judge == nil {
		var err error
		if p.judge, err = newLikelihood(p.voices.Base); err != nil {
			return nil, err
		}
	}
	labels := Labels()
	endings, longest := make([][]int32, len(labels)), 0
	for k, label := range labels {
		endings[k] = p.answers.Tok.Encode(`\boxed{` + label + `}`)
		longest = max(longest, len(endings[k]))
	}
	found := make([]map[string]float64, len(asked))
	var prompts [][]int32
	var who []int // whose they are
	for j, q := range asked {
		prompt, err := p.answers.Tokens(q)
		if err != nil {
			return nil, err
		}
		if len(prompt)+longest <= p.judge.room() {
			prompts, who = append(prompts, prompt), append(who, j)
		}
	}
	lps, err := p.judge.of(ctx, m, prompts, endings)
	if err != nil {
		return nil, err
	}
	for i, j := range who {
		found[j] = make(map[string]float64, len(labels))
		for k, v := range softmax(lps[i]) {
			found[j][labels[k]] = v
		}
	}
	return found, nil
}

// softmax turns log-weights into probabilities.
func softmax(x []float64) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, v)
	}
	p := make([]float64, len(x))
	for i, v := range x {
		p[i] = math.Exp(v - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// oneAfterAnother is the second pass of the questions of one expert.
func (p *Dispatcher) oneAfterAnother(ctx context.Context, questions []answer.Question,
	results []Result, group []int, e *svf.Expert) error {
	start := p.cfg.Now()
	model, err := p.voices.As(ctx, e)
	if err != nil {
		return err
	}
	batch := make([]answer.Question, len(group))
	for j, i := range group {
		batch[j] = questions[i]
		batch[j].Seq = 0
	}
	answers, err := p.answers.Answer(ctx, model, batch)
	share := p.cfg.Now().Sub(start) / time.Duration(len(group))
	for j, a := range answers { // none where a question was refused
		results[group[j]].Answer, results[group[j]].Pass2 = a, share
	}
	return err
}

// sideBySide is the second pass of all questions in one batch, in projected form.
func (p *Dispatcher) sideBySide(ctx context.Context, questions []answer.Question,
	results []Result, groups [][]int) error {
	start := p.cfg.Now()
	model, err := p.voices.SideBySide(ctx, p.asked(groups))
	if err != nil {
		return err
	}
	batch := append([]answer.Question(nil), questions...)
	for k, group := range groups {
		for _, i := range group {
			batch[i].Seq = k
		}
	}
	answers, err := p.answers.Answer(ctx, model, batch)
	share := p.cfg.Now().Sub(start) / time.Duration(len(questions))
	for i, a := range answers {
		results[i].Answer, results[i].Pass2 = a, share
	}
	return err
}

// projectedBelow is the mean number of questions an expert below which a batch of several experts
// is faster in projected form. Measured on one core with a model of 1.3 M parameters, four experts
// with 1, 2, 4 questions each: folded 72, 82, 111 ms, projected 47, 90, 132 ms.
const projectedBelow = 2

func (p *Dispatcher) useProjected(groups [][]int, questions int) bool {
	if p.cfg.Form != FormAuto {
		return p.cfg.Form == FormProjected
	}
	several := 0
	for _, g := range groups {
		if len(g) > 0 {
			several++
		}
	}
	return several > 1 && p.voices.besides(p.asked(groups), questions < projectedBelow*several)
}

// asked are the experts that have questions, and nil in the places of the others.
func (p *Dispatcher) asked(groups [][]int) []*svf.Expert {
	experts := make([]*svf.Expert, len(p.adepts))
	for k, a := range p.adepts {
		if len(groups[k]) > 0 {
			experts[k] = a.expert
		}
	}
	return experts
}
