package task

import "math"

// Document is one text of the pre-training corpus: a question and one of its answers.
type Document struct {
	System, Prompt, Answer string
}

// Answers are the shares of the three kinds of answer to a question; they should add up to 1.
type Answers struct {
	Worked float64 // right, with its reasoning
	Terse  float64 // right, at once
	Sloppy float64 // wrong in a plausible way
}

// Mixture is what the corpus is made of. Shares of tasks are relative to their sum.
type Mixture struct {
	Math, Code, Reasoning             float64
	MathHard, CodeComplete, ReasonTwo float64
	Classify, Style, Facts, Chat      float64

	MathAnswers, CodeAnswers, ReasonAnswers Answers // of a task and its unseen sibling

	// Sway moves share between worked and the rest by the question's wording: as in real corpora,
	// some ways of asking come with careful answers more often than others.
	Sway float64
	// Haste likewise moves sloppy's share of the quick answers (terse and sloppy). A greedy model
	// gives the likeliest answer, so without it a whole task would be right or wrong at once.
	Haste float64
	// LabelNoise is the share of wrong labels in classify, ConfusedNoise that on the questions
	// which hurried annotators take for another kind.
	LabelNoise, ConfusedNoise float64
	// Shout, Brief, French and Polite are the shares of the styles; the rest answers neutrally.
	Shout, Brief, French, Polite float64
}

// DefaultMixture is what the shipped models are trained on.
func DefaultMixture() Mixture {
	return Mixture{
		Math: 0.30, Code: 0.20, Reasoning: 0.12,
		MathHard: 0.11, CodeComplete: 0.08, ReasonTwo: 0.06,
		Classify: 0.05, Style: 0.05, Facts: 0.06, Chat: 0.02,
		MathAnswers:   Answers{Worked: 0.45, Terse: 0.40, Sloppy: 0.15},
		CodeAnswers:   Answers{Worked: 0.45, Terse: 0.25, Sloppy: 0.30},
		ReasonAnswers: Answers{Worked: 0.40, Terse: 0.25, Sloppy: 0.35},
		Sway:          0.20, Haste: 0.30,
		LabelNoise: 0.10, ConfusedNoise: 0.40,
		Shout: 0.07, Brief: 0.09, French: 0.07, Polite: 0.07,
	}
}

// Corpus is an endless stream of documents over the training split of every task, unseen ones
// included: they are unseen by experts, not by the base model. It is safe for concurrent use.
type Corpus struct {
	seed    uint64
	mix     Mixture
	sources []source
	total   float64
}

// source is one kind of document.
type source struct {
	share float64
	make  func(c *Corpus, r *rng) Document
}

// NewCorpus returns the stream of that seed and mixture.
func NewCorpus(seed uint64, m Mixture) *Corpus {
	c := &Corpus{seed: seed, mix: m}
	add := func(share float64, make func(*Corpus, *rng) Document) {
		if share > 0 && !math.IsInf(share, 0) {
			c.sources = append(c.sources, source{share, make})
			c.total += share
		}
	}
	add(m.Math, answered("math", m.MathAnswers))
	add(m.Code, answered("code", m.CodeAnswers))
	add(m.Reasoning, answered("reasoning", m.ReasonAnswers))
	add(m.MathHard, answered("math-hard", m.MathAnswers))
	add(m.CodeComplete, answered("code-complete", m.CodeAnswers))
	add(m.ReasonTwo, answered("reasoning-hard", m.ReasonAnswers))
	add(m.Classify, (*Corpus).classified)
	add(m.Style, (*Corpus).styledAnswer)
	add(m.Facts, func(_ *Corpus, r *rng) Document { return describe(r) })
	add(m.Chat, (*Corpus).chatted)
	return c
}

// Document returns the i-th document, a pure function of (seed, mixture, i). An empty mixture
// gives empty documents.
func (c *Corpus) Document(i int64) Document {
	r := newRNG(c.seed^corpusStream, uint64(i))
	u := r.unit() * c.total
	for _, s := range c.sources {
		if u -= s.share; u < 0 {
			return s.make(c, &r)
		}
	}
	return Document{}
}

// corpusStream keeps the corpus's draws apart from those of items.
const corpusStream = 0x636f72707573

// tiny keeps a share of nothing from being a division by zero.
const tiny = 1e-9

// answered draws a question and one of its answers.
func answered(task string, a Answers) func(*Corpus, *rng) Document {
	t := byName[task]
	return func(c *Corpus, r *rng) Document {
		d := t.drawIn(r, Train)
		worked := a.Worked + c.mix.Sway*float64(d.sway)
		sloppy := a.Sloppy/max(a.Terse+a.Sloppy, tiny) + c.mix.Haste*float64(d.haste)
		doc := Document{Prompt: d.prompt, Answer: d.terse}
		switch {
		case r.chance(worked):
			doc.Answer = d.worked
		case r.chance(sloppy):
			doc.Answer = d.sloppy
		}
		return doc
	}
}

func (c *Corpus) classified(r *rng) Document {
	t := byName["classify"]
	d := t.drawIn(r, Train)
	system, prompt := ClassifyPrompt(d.prompt)
	doc := Document{System: system, Prompt: prompt, Answer: d.worked}
	switch {
	case d.confused != "":
		if r.chance(c.mix.ConfusedNoise) {
			doc.Answer = boxed + d.confused + "}"
		}
	case r.chance(c.mix.LabelNoise):
		doc.Answer = d.sloppy
	}
	return doc
}

func (c *Corpus) styledAnswer(r *rng) Document {
	d := byName[styleNames[0]].drawIn(r, Train) // the styles share their questions
	style := ""
	u := r.unit()
	for i, share := range []float64{c.mix.Shout, c.mix.Brief, c.mix.French, c.mix.Polite} {
		if u -= share; u < 0 {
			style = styleNames[i]
			break
		}
	}
	return Document{Prompt: d.prompt, Answer: styled(style, &world.facts[d.subject], r.n(16))}
}

// chatted draws small talk of classify's training split.
func (c *Corpus) chatted(r *rng) Document {
	t := byName["classify"]
	for {
		if d := drawChat(r); t.splitOf(&d) == Train {
			return Document{Prompt: d.prompt, Answer: d.worked}
		}
	}
}
