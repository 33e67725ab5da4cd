package task

import (
	"math"
	"strings"
	"sync"
	"testing"
)

func TestDocumentsAreDeterministic(t *testing.T) {
	const n = 2000
	want := make([]Document, n)
	c := NewCorpus(3, DefaultMixture())
	for i := range want {
		want[i] = c.Document(int64(i))
	}
	again := NewCorpus(3, DefaultMixture())
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := n - 1 - part; i >= 0; i -= 4 {
				if got := again.Document(int64(i)); got != want[i] {
					t.Errorf("document %d: want %+v, got %+v", i, want[i], got)
				}
			}
		})
	}
	wg.Wait()
	other := NewCorpus(4, DefaultMixture())
	same := 0
	for i := range want {
		if other.Document(int64(i)) == want[i] {
			same++
		}
	}
	if same > n/50 {
		t.Errorf("seeds 3 and 4 share %d of %d documents", same, n)
	}
}

// pinnedCorpus is the fingerprint of 1000 documents; a change of it is another corpus, and the
// shipped models are then no longer what their logs say.
const pinnedCorpus = uint64(0xbff2742b0eef6c4b)

func TestCorpusIsTheSameEverywhere(t *testing.T) {
	c := NewCorpus(1, DefaultMixture())
	h := uint64(0)
	for i := range int64(1000) {
		d := c.Document(i)
		h = hashString(h, d.System+"\x00"+d.Prompt+"\x00"+d.Answer)
	}
	if h != pinnedCorpus {
		t.Errorf("want fingerprint %#x, got %#x", pinnedCorpus, h)
	}
}

// only keeps one kind of document in a mixture.
func only(set func(m *Mixture)) Mixture {
	m := DefaultMixture()
	m.Math, m.Code, m.Reasoning, m.MathHard, m.CodeComplete, m.ReasonTwo = 0, 0, 0, 0, 0, 0
	m.Classify, m.Style, m.Facts, m.Chat = 0, 0, 0, 0
	set(&m)
	return m
}

// shareNear allows four standard deviations of a share measured on n documents.
func shareNear(got int, n int, want float64) bool {
	return math.Abs(float64(got)/float64(n)-want) < 4*math.Sqrt(want*(1-want)/float64(n))+1e-9
}

func TestMixtureShares(t *testing.T) {
	const n = 20_000
	count := func(m Mixture, is func(Document) bool) int {
		c, k := NewCorpus(5, m), 0
		for i := range int64(n) {
			if is(c.Document(i)) {
				k++
			}
		}
		return k
	}
	d := DefaultMixture()
	total := d.Math + d.Code + d.Reasoning + d.MathHard + d.CodeComplete + d.ReasonTwo +
		d.Classify + d.Style + d.Facts + d.Chat
	marked := func(doc Document) bool { return strings.Contains(doc.Answer, marker) }
	if got := count(d, marked); !shareNear(got, n, d.Math/total) {
		t.Errorf("math: want a share of %v, got %d of %d", d.Math/total, got, n)
	}
	if got := count(d, func(doc Document) bool { return doc.System != "" }); !shareNear(got, n,
		d.Classify/total) {
		t.Errorf("classify: want a share of %v, got %d of %d", d.Classify/total, got, n)
	}
	worked := func(doc Document) bool { return strings.Contains(doc.Answer, "=") }
	if got := count(only(func(m *Mixture) { m.Math = 1 }), worked); !shareNear(got, n,
		d.MathAnswers.Worked) {
		t.Errorf("math worked: want %v, got %d of %d", d.MathAnswers.Worked, got, n)
	}
	loud := func(doc Document) bool { return doc.Answer == strings.ToUpper(doc.Answer) }
	if got := count(only(func(m *Mixture) { m.Style = 1 }), loud); !shareNear(got, n, d.Shout) {
		t.Errorf("shout: want %v, got %d of %d", d.Shout, got, n)
	}
}

// TestAnswersBySource checks what the corpus is made for: without sloppy answers every answer is
// right, with nothing else none is.
func TestAnswersBySource(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(m *Mixture)
		kind *Answers
	}{
		{"math", func(m *Mixture) { m.Math = 1 }, &Answers{Terse: 1}},
		{"math", func(m *Mixture) { m.Math = 1 }, &Answers{Sloppy: 1}},
		{"reasoning-hard", func(m *Mixture) { m.ReasonTwo = 1 }, &Answers{Worked: 1}},
		{"reasoning-hard", func(m *Mixture) { m.ReasonTwo = 1 }, &Answers{Sloppy: 1}},
		{"code-complete", func(m *Mixture) { m.CodeComplete = 1 }, &Answers{Worked: 0.5, Terse: 0.5}},
		{"code", func(m *Mixture) { m.Code = 1 }, &Answers{Sloppy: 1}},
	} {
		m := only(c.set)
		m.Sway, m.Haste = 0, 0
		m.MathAnswers, m.CodeAnswers, m.ReasonAnswers = *c.kind, *c.kind, *c.kind
		want := 1.0
		if c.kind.Sloppy > 0 {
			want = 0
		}
		corpus, gold := NewCorpus(2, m), goldOf(c.name)
		for i := range int64(300) {
			d := corpus.Document(i)
			it, ok := gold[d.Prompt]
			if !ok {
				continue
			}
			if got := byName[c.name].Score(it, d.Answer); got != want {
				t.Fatalf("%s %+v: %q to %q scores %v", c.name, *c.kind, d.Answer, d.Prompt, got)
			}
		}
		// The same questions by their draws, since few documents meet an item by chance.
		r := newRNG(9, 9)
		for range 300 {
			d := byName[c.name].drawIn(&r, Train)
			it := Item{Task: c.name, Prompt: d.prompt, Answer: d.answer}
			if byName[c.name].item != nil {
				byName[c.name].item(&d, &it)
			}
			answer := map[bool]string{true: d.worked, false: d.sloppy}[want == 1]
			if got := byName[c.name].Score(it, answer); got != want {
				t.Fatalf("%s: %q to %q scores %v", c.name, answer, d.prompt, got)
			}
		}
	}
}

// goldOf maps the prompts of many training items to their items.
func goldOf(name string) map[string]Item {
	m := map[string]Item{}
	for i := range 20_000 {
		it := byName[name].Item(Train, i)
		m[it.Prompt] = it
	}
	return m
}

func TestOddMixtures(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, m := range []Mixture{{}, {Math: -1}, {Math: nan, Code: inf}} {
		if d := NewCorpus(1, m).Document(0); d != (Document{}) {
			t.Errorf("%+v: want an empty document, got %+v", m, d)
		}
	}
	for _, m := range []Mixture{{Math: 1}, {Code: 1, Sway: nan, Haste: inf}, {Style: 1, Shout: nan},
		{Classify: 1, LabelNoise: 2, ConfusedNoise: -1}} {
		c := NewCorpus(1, m)
		for i := int64(-50); i < 50; i++ {
			if d := c.Document(i); d.Prompt == "" || d.Answer == "" {
				t.Errorf("%+v: document %d is %+v", m, i, d)
			}
		}
	}
}

// TestFactsAreTold checks that the corpus states every fact of the world often enough to learn.
func TestFactsAreTold(t *testing.T) {
	told := map[string]int{}
	c := NewCorpus(1, DefaultMixture())
	for i := range int64(60_000) {
		for _, s := range strings.SplitAfter(c.Document(i).Answer, ". ") {
			told[strings.TrimSuffix(strings.TrimSpace(s), ".")]++
		}
	}
	for _, f := range world.facts {
		if n := told[strings.TrimSuffix(f.say, ".")]; n < 15 {
			t.Errorf("%q is told %d times in 60000 documents, want 15", f.say, n)
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	c := NewCorpus(1, DefaultMixture())
	i := int64(0)
	for b.Loop() {
		c.Document(i)
		i++
	}
}
