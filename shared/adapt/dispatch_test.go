package adapt_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"transformer2/shared/adapt"
	"transformer2/shared/answer"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

func adaptAll(t *testing.T, d *adapt.Dispatcher, qs []answer.Question) []adapt.Result {
	t.Helper()
	rs, err := d.Adapt(t.Context(), qs)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// Pass one is the base's or the classifier's answer to the classification prompt, parsed.
func TestDispatchByModel(t *testing.T) {
	const says = `\boxed{math}`
	for _, c := range []struct {
		name     string
		texts    []string // 0 the base's, 1 the classifier's, 2 the expert's
		strategy adapt.Strategy
		label    string
		expert   string
	}{
		{"base finds math", []string{says, "uvw", "QRS"}, adapt.StrategyPrompt, "math", "abacus"},
		{"base finds nothing", []string{"uvw", says, "QRS"}, adapt.StrategyPrompt, "other", "base"},
		{"classifier finds math", []string{"uvw", says, "QRS"}, adapt.StrategyClassifier, "math", "abacus"},
		{"classifier finds nothing", []string{says, "uvw", "QRS"}, adapt.StrategyClassifier, "other", "base"},
		{"label without expert", []string{`\boxed{code}`, "uvw", "QRS"}, adapt.StrategyPrompt, "code", "base"},
		{"other", []string{`\boxed{other}`, "uvw", "QRS"}, adapt.StrategyPrompt, "other", "base"},
		{"unknown label", []string{`\boxed{mathS}`, "uvw", "QR"}, adapt.StrategyPrompt, "other", "base"},
		{"no strategy", []string{says, "uvw", "QRS"}, adapt.StrategyNone, "", "base"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newParrot(t, c.texts...)
			d := p.dispatcher(t, adapt.Config{Strategy: c.strategy, Classifier: p.says(1, "classify"),
				Experts: map[string]adapt.Named{"math": {Name: "abacus", Expert: p.says(2, "math")}}})
			for i, r := range adaptAll(t, d, questions(3)) {
				want := c.texts[0]
				if c.expert == "abacus" {
					want = c.texts[2]
				}
				if r.Label != c.label || r.Expert != c.expert || r.Answer.Text != want {
					t.Errorf("question %d: label %q, expert %q, answer %q, want %q, %q, %q", i,
						r.Label, r.Expert, r.Answer.Text, c.label, c.expert, want)
				}
				if (r.Expert == "base") != (len(r.Alpha) == 0) || r.Probabilities != nil {
					t.Errorf("question %d: α %v, probabilities %v", i, r.Alpha, r.Probabilities)
				}
			}
		})
	}
}

// byFirst is a first pass that reads the label off the prompt.
func byFirst(labels map[byte]string) func(context.Context, []string) ([]string, error) {
	return func(_ context.Context, prompts []string) ([]string, error) {
		found := make([]string, len(prompts))
		for i, p := range prompts {
			found[i] = labels[p[0]]
		}
		return found, nil
	}
}

// Questions of several domains in one batch reach their experts, in either form, in order.
func TestDispatchOfMixedBatch(t *testing.T) {
	p := newParrot(t, "base", "UVW", "123", "()!")
	labels := map[byte]string{'a': "math", 'b': "code", 'c': "reasoning", 'd': "other", 'e': "nonsense",
		'f': "math", 'g': "", 'h': "code"}
	want := []string{"UVW", "123", "()!", "base", "base", "UVW", "base", "123"}
	for _, form := range []adapt.Form{adapt.FormAuto, adapt.FormFolded, adapt.FormProjected} {
		d := p.dispatcher(t, adapt.Config{Strategy: adapt.StrategyPrompt, Form: form,
			Classify: byFirst(labels), Experts: map[string]adapt.Named{
				"math": {"m", p.says(1, "math")}, "code": {"c", p.says(2, "code")},
				"reasoning": {"r", p.says(3, "reasoning")}}})
		for range 2 {
			for i, r := range adaptAll(t, d, questions(8)) {
				if r.Answer.Text != want[i] {
					t.Errorf("form %q, question %d (%s by %s): %q, want %q", form, i, r.Label,
						r.Expert, r.Answer.Text, want[i])
				}
			}
		}
	}
}

func TestFewShotDispatch(t *testing.T) {
	p := newParrot(t, "base", "UVW")
	d := p.dispatcher(t, adapt.Config{Strategy: adapt.StrategyFewShot,
		Mixture: adapt.Named{Name: "mix", Expert: p.says(1, "x")},
		Alpha:   map[string]float64{"x": 1}})
	for _, r := range adaptAll(t, d, questions(2)) {
		if r.Answer.Text != "UVW" || r.Expert != "mix" || r.Alpha["x"] != 1 || r.Label != "" {
			t.Errorf("%+v", r)
		}
	}
}

// The probabilities are those of the model: recomputed here from the logits of one forward pass
// a label.
func TestLabelProbabilities(t *testing.T) {
	dev := open(t)
	p := newParrot(t, "uvw") // for its tokenizer
	c := tiny
	c.Vocab, c.Context = p.tok.VocabSize(), 128
	base, dec := fresh(t, dev, c, 0, 1)
	a, err := answer.New(base, p.tok, 4)
	if err != nil {
		t.Fatal(err)
	}
	d, err := adapt.NewDispatcher(a, voices(t, base, dec, adapt.VoicesOptions{}),
		adapt.Config{Strategy: adapt.StrategyPrompt, Probabilities: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	qs := questions(20) // more than one forward pass
	rs := adaptAll(t, d, qs)
	for i, r := range rs {
		if i%5 != 0 && i < 18 { // each is a forward pass of this test's own
			continue
		}
		system, prompt := task.ClassifyPrompt(qs[i].Prompt)
		ids, err := a.Tokens(answer.Question{System: system, Prompt: prompt})
		if err != nil {
			t.Fatal(err)
		}
		total, want := 0.0, map[string]float64{}
		for _, label := range adapt.Labels() {
			all := append(append([]int32(nil), ids...), p.tok.Encode(`\boxed{`+label+`}`)...)
			want[label] = math.Exp(logProb(t, base, all, len(ids)))
			total += want[label]
		}
		for _, label := range adapt.Labels() {
			if got := r.Probabilities[label]; !(math.Abs(got-want[label]/total) < 1e-5) {
				t.Errorf("question %d: p(%s) = %v, want %v", i, label, got, want[label]/total)
			}
		}
	}
}

// A question that has no room in the context beside the classification prompt is other; the rest
// of its batch does not suffer.
func TestQuestionTooLongToClassify(t *testing.T) {
	p := newParrot(t, `\boxed{math}`, "uvw", "QRS")
	d := p.dispatcher(t, adapt.Config{Strategy: adapt.StrategyPrompt, Probabilities: true,
		Experts: map[string]adapt.Named{"math": {"m", p.says(2, "math")}}})
	qs := questions(2)
	qs[0].Prompt = strings.Repeat("x", 100)
	rs := adaptAll(t, d, qs)
	if rs[0].Label != "other" || rs[0].Answer.Text != `\boxed{math}` || rs[0].Probabilities != nil {
		t.Errorf("long question: %+v", rs[0])
	}
	if rs[1].Label != "math" || rs[1].Answer.Text != "QRS" || rs[1].Probabilities["math"] < 0.25 {
		t.Errorf("short question: %+v", rs[1])
	}
}

// Shares of a batch's time add up to it.
func TestPassTimes(t *testing.T) {
	p := newParrot(t, `\boxed{math}`, "uvw", "QRS")
	now := time.Unix(0, 0)
	d := p.dispatcher(t, adapt.Config{Strategy: adapt.StrategyPrompt, Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}})
	for _, r := range adaptAll(t, d, questions(4)) {
		if r.Pass1 != time.Second/4 || r.Pass2 != time.Second/4 {
			t.Errorf("passes of %v and %v, want a quarter of a second each", r.Pass1, r.Pass2)
		}
	}
}

func TestDispatchStopsOnCancel(t *testing.T) {
	p := newParrot(t, `\boxed{math}`, "uvw", "QRS")
	d := p.dispatcher(t, adapt.Config{Strategy: adapt.StrategyPrompt})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Adapt(ctx, questions(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	qs := questions(3)
	ctx, cancel = context.WithCancel(t.Context())
	qs[0].OnToken = func(int32, []float32) bool { cancel(); return true } // in the second pass
	rs, err := d.Adapt(ctx, qs)
	if !errors.Is(err, context.Canceled) || len(rs) != 3 || rs[0].Label != "math" {
		t.Errorf("results %+v, error %v", rs, err)
	}
	if rs, err := d.Adapt(t.Context(), nil); len(rs) != 0 || err != nil {
		t.Errorf("no questions: %v, %v", rs, err)
	}
}

func TestDispatcherRefuses(t *testing.T) {
	p := newParrot(t, "base", "UVW")
	alien := p.says(1, "x")
	alien.Meta.Base[0]++
	e := func(label string, x *svf.Expert) map[string]adapt.Named {
		return map[string]adapt.Named{label: {"x", x}}
	}
	for want, c := range map[string]adapt.Config{
		`strategy "guess"`:      {Strategy: "guess"},
		`strategy ""`:           {},
		"no mixture":            {Strategy: adapt.StrategyFewShot},
		"no classifier":         {Strategy: adapt.StrategyClassifier},
		"which is the base":     {Strategy: adapt.StrategyPrompt, Experts: e("other", p.says(1, "x"))},
		"want one of [math":     {Strategy: adapt.StrategyPrompt, Experts: e("cooking", p.says(1, "x"))},
		"has no z":              {Strategy: adapt.StrategyPrompt, Experts: e("math", nil)},
		"this model is base":    {Strategy: adapt.StrategyPrompt, Experts: e("math", alien)},
		`(expert "classifier")`: {Strategy: adapt.StrategyClassifier, Classifier: alien},
		`form "sideways"`:       {Strategy: adapt.StrategyNone, Form: "sideways"},
	} {
		_, err := adapt.NewDispatcher(p.answerer(t), voices(t, p.model, p.d, adapt.VoicesOptions{}), c)
		if err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	d := p.dispatcher(t, adapt.Config{Strategy: adapt.StrategyPrompt,
		Classify: func(context.Context, []string) ([]string, error) { return nil, nil }})
	if _, err := d.Adapt(t.Context(), questions(2)); err == nil {
		t.Error("a first pass that forgot the questions was taken")
	}
}

func TestParseStrategy(t *testing.T) {
	for _, s := range adapt.Strategies() {
		if got, err := adapt.ParseStrategy(string(s)); got != s || err != nil {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if _, err := adapt.ParseStrategy("Prompt"); err == nil {
		t.Error("Prompt was taken")
	}
}

func TestConfusion(t *testing.T) {
	var c adapt.Confusion
	if c.Accuracy() != 0 || !strings.Contains(c.String(), "of 0") {
		t.Errorf("empty: %v", c.String())
	}
	for gold, found := range map[string][]string{"math": {"math", "math", "code", "gibberish"},
		"other": {"other", "math"}, "": {"other"}} {
		for _, f := range found {
			c.Add(gold, f)
		}
	}
	if c.Total() != 7 || c.Count("math", "other") != 1 || c.Count("other", "other") != 2 ||
		c.Accuracy() != 4.0/7 {
		t.Errorf("%v", c.String())
	}
	rows := c.Rows()
	if got := fmt.Sprint(rows[1], rows[2]); got != "[math 2 1 0 1 50.0%] [code 0 0 0 0 –]" {
		t.Errorf("rows %s", got)
	}
}
