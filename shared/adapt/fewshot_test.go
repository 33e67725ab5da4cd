package adapt_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"transformer2/shared/adapt"
	"transformer2/shared/answer"
	"transformer2/shared/svf"
)

// shots want one answer to all questions.
func shots(n int, want string) []adapt.Shot {
	var all []adapt.Shot
	for i := range n {
		all = append(all, adapt.Shot{Answer: want,
			Question: answer.Question{Prompt: strings.Repeat("?", i+1), MaxTokens: 20},
			Score: func(output string) float64 {
				if output == want {
					return 1
				}
				return 0
			}})
	}
	return all
}

func preset(t *testing.T, name string) adapt.FewShotOptions {
	t.Helper()
	o, err := adapt.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (p *parrot) fewShot(t *testing.T, experts ...*svf.Expert) *adapt.FewShot {
	f := &adapt.FewShot{Answerer: p.answerer(t),
		Voices: voices(t, p.model, p.d, adapt.VoicesOptions{})}
	for _, e := range experts {
		f.Experts = append(f.Experts, adapt.Named{Name: e.Meta.Task, Expert: e})
	}
	return f
}

// says is what a model made by an adaptation answers.
func answerOf(t *testing.T, p *parrot, e *svf.Expert) string {
	t.Helper()
	f, err := adapt.NewFolded(p.model, p.d, adapt.FoldedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	use(t, f, e)
	got, err := p.answerer(t).Answer(t.Context(), f.Model(), questions(1))
	if err != nil {
		t.Fatal(err)
	}
	return got[0].Text
}

// needsBoth is a parrot that says "QRS" only where "no first" and "no second" both act with more
// than 0.7: neither expert alone, nor their mean, does it.
func needsBoth(t *testing.T) (*parrot, []*svf.Expert) {
	p := newParrotAs(t, []float32{1, 0.9, 0.3}, "first", "UVW", "QRS")
	return p, []*svf.Expert{p.expert("no first", 0, 1, 1), p.expert("no second", 1, 0, 1)}
}

func TestFewShotFindsMixture(t *testing.T) {
	p, experts := needsBoth(t)
	for _, name := range []string{"default", "paper"} { // 12 shots are folded, 4 projected
		for _, perMatrix := range []bool{false, true} {
			o := preset(t, name)
			o.PerMatrix, o.CEM.Iterations, o.CEM.Target = perMatrix, 10, 1
			a, err := p.fewShot(t, experts...).Run(t.Context(),
				shots(map[bool]int{false: 4, true: 12}[perMatrix], "QRS"), o)
			if err != nil {
				t.Fatal(err)
			}
			if a.Score.Value != 1 || a.Shares["no first"] < 0.7 || a.Shares["no second"] < 2.0/3 {
				t.Errorf("%s: score %v, shares %v", name, a.Score, a.Shares)
			}
			if got := answerOf(t, p, a.Expert); got != "QRS" {
				t.Errorf("%s: the mixture says %q", name, got)
			}
			first := a.Search.Generations[0]
			if name == "default" && !slices.Equal(first.Members[0], []float32{0, 0}) {
				t.Errorf("the base is not among the candidates: %v", first.Members[:4])
			}
			for i, s := range first.Scores[:4] {
				if name == "default" && s.Value != 0 {
					t.Errorf("simple member %v has score %v", first.Members[i], s)
				}
			}
		}
	}
}

// Where a simple candidate is as good as the best mixture, it is used: the base before the experts.
func TestFewShotPrefersTheSimple(t *testing.T) {
	p := newParrot(t, "base", "UVW", "123")
	f := p.fewShot(t, p.says(1, "u"), p.says(2, "n"))
	for want, alpha := range map[string][][]float32{"base": {{0}, {0}}, "UVW": {{1}, {0}},
		"123": {{0}, {1}}, "never said": {{0}, {0}}} {
		a, err := f.Run(t.Context(), shots(3, want), preset(t, "default"))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a.Alpha, alpha) {
			t.Errorf("%s: α = %v, want %v", want, a.Alpha, alpha)
		}
	}
	p, experts := needsBoth(t)
	o := preset(t, "default")
	o.Margin = 1 // no mixture can be better by that much
	a, err := p.fewShot(t, experts...).Run(t.Context(), shots(3, "QRS"), o)
	if err != nil || a.Search.BestScore.Value != 1 || a.Score.Value != 0 || a.Shares["no first"] != 0 {
		t.Errorf("with a margin of all shots: %v, %v, %v", a.Shares, a.Score, err)
	}
}

// The score of a member is what its folded weights would get, and the tie-break is the mean of the
// right answers' mean log-probabilities.
func TestMembersAreScoredAsTheirMixtures(t *testing.T) {
	p := newParrot(t, "base", "UVW", "123")
	experts := []*svf.Expert{p.says(1, "u"), p.says(2, "n")}
	half := shots(4, "UVW")
	for i := range half[:2] {
		half[i].Score = func(output string) float64 {
			if output == "123" {
				return 1
			}
			return 0
		}
	}
	for _, form := range []adapt.Form{adapt.FormAuto, adapt.FormFolded, adapt.FormProjected} {
		o := preset(t, "paper")
		o.CEM.Iterations, o.CEM.Population = 1, 8
		f := p.fewShot(t, experts...)
		f.Form = form
		a, err := f.Run(t.Context(), half, o)
		if err != nil {
			t.Fatal(err)
		}
		checkScores(t, p, experts, a.Search.Generations[0])
	}
}

// checkScores asks each member's mixture on its own.
func checkScores(t *testing.T, p *parrot, experts []*svf.Expert, g adapt.Generation) {
	t.Helper()
	for i, alpha := range g.Members {
		mix, err := svf.Mix(experts, svf.PerExpert(alpha...))
		if err != nil {
			t.Fatal(err)
		}
		said := answerOf(t, p, mix)
		want := 0.0
		if said != "base" {
			want = 0.5
		}
		if g.Scores[i].Value != want {
			t.Errorf("α = %v says %q and has score %v", alpha, said, g.Scores[i])
		}
		if want == 0 && !math.IsInf(g.Scores[i].TieBreak, -1) ||
			want > 0 && !(math.Abs(g.Scores[i].TieBreak-p.sure(t, mix, said)) < 1e-4) {
			t.Errorf("α = %v: tie-break %v, want %v", alpha, g.Scores[i].TieBreak,
				p.sure(t, mix, said))
		}
	}
}

// sure is the mean log-probability of the tokens of an answer, the closing one among them.
func (p *parrot) sure(t *testing.T, e *svf.Expert, said string) float64 {
	f, err := adapt.NewFolded(p.model, p.d, adapt.FoldedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	use(t, f, e)
	ids, err := p.answerer(t).Tokens(answer.Question{Prompt: "?"})
	if err != nil {
		t.Fatal(err)
	}
	from := len(ids)
	ids = append(append(ids, p.tok.Encode(said)...), p.answerer(t).End())
	return logProb(t, f.Model(), ids, from) / float64(len(ids)-from)
}

// By likelihood a member's value is the geometric mean probability of a token of the worked answers,
// whether or not it would give them.
func TestLikelihoodOfMembers(t *testing.T) {
	p, experts := needsBoth(t)
	worked := shots(3, "QRS")
	for i, text := range []string{"QRS", "UVW", "first"} {
		worked[i].Worked = text
	}
	for _, form := range []adapt.Form{adapt.FormAuto, adapt.FormFolded, adapt.FormProjected} {
		o := preset(t, "paper")
		o.Objective = adapt.ObjectiveLikelihood
		o.CEM.Iterations, o.CEM.Population = 1, 7
		f := p.fewShot(t, experts...)
		f.Form = form
		a, err := f.Run(t.Context(), worked, o)
		if err != nil {
			t.Fatal(err)
		}
		g := a.Search.Generations[0]
		for i, alpha := range g.Members {
			mix, err := svf.Mix(experts, svf.PerExpert(alpha...))
			if err != nil {
				t.Fatal(err)
			}
			mean := 0.0
			for _, s := range worked {
				mean += p.sure(t, mix, s.Worked) / 3
			}
			if want := math.Exp(mean); !(math.Abs(g.Scores[i].Value-want) < 1e-4*want) {
				t.Errorf("form %q, α = %v: value %v, want %v", form, alpha, g.Scores[i].Value, want)
			}
		}
		if a.Cost.Answers != 7*3+3 || a.Score.Value != map[bool]float64{true: 1}[answersQRS(g.Best)] {
			t.Errorf("%d answers, score %v of %v", a.Cost.Answers, a.Score, g.Best)
		}
	}
}

// Where every shot has a worked answer the default searches by likelihood, and finds what one
// greedy answer in eight could have told it.
func TestDefaultIsByLikelihood(t *testing.T) {
	p, experts := needsBoth(t)
	worked := shots(3, "QRS")
	for i := range worked {
		worked[i].Worked = "QRS"
	}
	a, err := p.fewShot(t, experts...).Run(t.Context(), worked, preset(t, "default"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Score.Value != 1 || a.Shares["no first"] < 0.9 || a.Shares["no second"] < 0.9 ||
		answerOf(t, p, a.Expert) != "QRS" {
		t.Errorf("score %v, shares %v", a.Score, a.Shares)
	}
	if v := a.Search.BestScore.Value; v <= 0 || v >= 1 || a.Search.BestScore.TieBreak != 0 {
		t.Errorf("the search's score is %v, want a probability", a.Search.BestScore)
	}
	worked[1].Worked = ""
	a, err = p.fewShot(t, experts...).Run(t.Context(), worked, preset(t, "default"))
	if err != nil || a.Search.BestScore.TieBreak == 0 {
		t.Errorf("without a worked answer: score %v, error %v", a.Search.BestScore, err)
	}
}

func TestFewShotIsDeterministic(t *testing.T) {
	p, experts := needsBoth(t)
	now := func() time.Time { return time.Unix(0, 0) }
	run := func(seed uint64) adapt.Adaptation {
		f := p.fewShot(t, experts...)
		f.Now = now
		o := preset(t, "default")
		o.CEM.Iterations, o.CEM.Seed = 3, seed
		a, err := f.Run(t.Context(), shots(3, "QRS"), o)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, b, c := run(4), run(4), run(5)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("one seed gave two searches: %v and %v", a, b)
	}
	if reflect.DeepEqual(a.Search.Generations[0].Members, c.Search.Generations[0].Members) {
		t.Errorf("two seeds gave one generation")
	}
}

// Equal members are asked once; the cost counts answers, held-out ones too.
func TestCost(t *testing.T) {
	p, experts := needsBoth(t)
	o := preset(t, "paper")
	o.CEM.Iterations, o.CEM.Population = 3, 6
	o.Held = []adapt.Shot{held("a"), held("b"), held("c")}
	heard := 0
	o.OnGeneration = func(g adapt.Generation, c adapt.Cost) {
		if c.Held != map[bool]float64{true: 1}[answersQRS(g.Best)] || g.Index != heard {
			t.Errorf("generation %d: best %v has %v on held-out items", g.Index, g.Best, c.Held)
		}
		heard++
	}
	a, err := p.fewShot(t, experts...).Run(t.Context(), shots(4, "QRS"), o)
	if err != nil {
		t.Fatal(err)
	}
	distinct, bests := map[[2]float32]bool{}, map[[2]float32]bool{}
	for _, g := range a.Search.Generations {
		for _, m := range g.Members {
			distinct[[2]float32(m)] = true
		}
		bests[[2]float32(g.Best)] = true
	}
	if want := 4*len(distinct) + 3*len(bests); a.Cost.Answers != want || heard != 3 || len(a.Held) != 3 {
		t.Errorf("%d answers, want %d; heard of %d generations; held-out %v", a.Cost.Answers, want,
			heard, a.Held)
	}
}

func held(prompt string) adapt.Shot {
	s := shots(1, "QRS")[0]
	s.Question.Prompt = prompt
	return s
}

// answersQRS is needsBoth's rule.
func answersQRS(alpha []float32) bool {
	return 1-alpha[0] < 0.3 && 0.9*(1-alpha[1]) < 0.3
}

// The candidates are scored on fresh examples, and the best of them there is used.
func TestFreshExamplesDecide(t *testing.T) {
	p := newParrot(t, "base", "UVW", "123")
	f := p.fewShot(t, p.says(1, "u"), p.says(2, "n"))
	o := preset(t, "default")
	o.CEM.Iterations = 2
	o.Fresh = []adapt.Shot{held("a"), held("b")}
	for i := range o.Fresh {
		o.Fresh[i].Score = shots(1, "123")[0].Score
	}
	a, err := f.Run(t.Context(), shots(2, "UVW"), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := answerOf(t, p, a.Expert); got != "123" || a.Score.Value != 0 {
		t.Errorf("says %q, score on the shots %v", got, a.Score)
	}
	if len(a.Retried) != 4+4 || !slices.Equal(a.Retried[2].Alpha, []float32{0, 1}) ||
		a.Retried[2].Fresh != 1 || a.Retried[1].Fresh != 0 || a.Retried[1].Shots.Value != 1 {
		t.Errorf("retried %+v", a.Retried)
	}
}

func TestReleasedCode(t *testing.T) {
	p := newParrot(t, "base", "UVW", "123")
	logits := func(name string, x ...float32) *svf.Expert {
		e := p.expert(name, x...)
		e.Meta.Parametrisation = svf.SigmoidNuclear
		return e
	}
	experts := []*svf.Expert{logits("u", 0.1, 2, 0.1), logits("n", 0.1, 0.1, 2)}
	o := preset(t, "released-code")
	o.CEM.Iterations, o.CEM.Target = 10, 1
	a, err := p.fewShot(t, experts...).Run(t.Context(), shots(3, "123"), o)
	if err != nil {
		t.Fatal(err)
	}
	want, err := svf.MixLogits(experts, a.Alpha, p.d)
	if err != nil || !reflect.DeepEqual(a.Expert, want) || a.Score.Value != 1 {
		t.Errorf("score %v, mixture %+v, want %+v, %v", a.Score, a.Expert, want, err)
	}
	for _, g := range a.Search.Generations {
		for i, m := range g.Members {
			if none := m[0] == 0 && m[1] == 0; none != math.IsInf(g.Scores[i].Value, -1) {
				t.Errorf("α = %v has score %v", m, g.Scores[i])
			}
		}
	}
	if _, err := p.fewShot(t, p.says(1, "u")).Run(t.Context(), shots(3, "123"), o); err == nil ||
		!strings.Contains(err.Error(), "raw logits") {
		t.Errorf("linear experts: error %v", err)
	}
}

func TestFewShotStopsOnCancel(t *testing.T) {
	p, experts := needsBoth(t)
	for _, heldOut := range [][]adapt.Shot{nil, {held("a")}} {
		ctx, cancel := context.WithCancel(t.Context())
		o := preset(t, "paper")
		o.Held = heldOut
		o.CEM.OnGeneration = func(g adapt.Generation) {
			if g.Index == 1 {
				cancel()
			}
		}
		a, err := p.fewShot(t, experts...).Run(ctx, shots(2, "QRS"), o)
		if !errors.Is(err, context.Canceled) || a.Expert == nil || len(a.Search.Generations) != 2 {
			t.Errorf("%d generations, expert %v, error %v", len(a.Search.Generations), a.Expert, err)
		}
		a, err = p.fewShot(t, experts...).Run(ctx, shots(2, "QRS"), o)
		if !errors.Is(err, context.Canceled) || a.Expert != nil {
			t.Errorf("cancelled from the start: expert %v, error %v", a.Expert, err)
		}
		cancel()
	}
}

func TestFewShotRefuses(t *testing.T) {
	p, experts := needsBoth(t)
	alien := p.says(1, "alien")
	alien.Meta.Base[0]++
	type F = *adapt.FewShot
	type O = *adapt.FewShotOptions
	type S = *[]adapt.Shot
	for want, run := range map[string]func(F, O, S){
		"without experts": func(f F, _ O, _ S) { f.Experts = nil },
		"without shots":   func(_ F, _ O, s S) { *s = nil },
		"appears twice":   func(f F, _ O, _ S) { f.Experts[1].Name = "no first" },
		"no z":            func(f F, _ O, _ S) { f.Experts[1].Expert = nil },
		"this model is":   func(f F, _ O, _ S) { f.Experts[1].Expert = alien },
		"margin":          func(_ F, o O, _ S) { o.Margin = math.NaN() },
		"question \"?\" ": func(_ F, o O, s S) { o.Held = (*s)[:1] },
		"question \"??\"": func(_ F, o O, s S) { o.Fresh = (*s)[1:] },
		"objective \"l":   func(_ F, o O, _ S) { o.Objective = "luck" },
		"no worked":       func(_ F, o O, _ S) { o.Objective = "likelihood" },
		"want at most 128": func(_ F, _ O, s S) {
			(*s)[0].Worked, (*s)[1].Worked = "x", strings.Repeat("x", 125)
		},
		"form":       func(f F, _ O, _ S) { f.Form = "sideways" },
		"simple":     func(_ F, o O, _ S) { o.RawLogits = true },
		"population": func(_ F, o O, _ S) { o.CEM.Population = 1 << 20 },
	} {
		f, o, s := p.fewShot(t, experts...), preset(t, "default"), shots(2, "QRS")
		run(f, &o, &s)
		if _, err := f.Run(t.Context(), s, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := adapt.Preset("best"); err == nil {
		t.Error("preset best was taken")
	}
	for _, name := range adapt.Presets() {
		preset(t, name)
	}
}
