package engine_test

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/enginetest"
	"transformer2/shared/sample"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
)

var config = enginetest.Config

// session is a tiny model of random weights with random experts.
func session(t *testing.T) *engine.Session {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	files := enginetest.Files(t, dev, 1, "math", "code")
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: "tiny", Files: files},
		compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	shapes, err := m.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	sigmoid := svf.Random(shapes, svf.AllScope(), 2, 0.5)
	sigmoid.Meta.Task, sigmoid.Meta.Parametrisation = "sigmoid", svf.SigmoidNuclear
	files["experts/sigmoid.safetensors"] = enginetest.File(t,
		func(w io.Writer) error { return svf.WriteExpert(w, sigmoid) })
	return engine.NewSession(dev, m, &checkpoint.Memory{})
}

func ids(a engine.Answer) []int32 {
	var out []int32
	for _, t := range a.Tokens {
		out = append(out, t.ID)
	}
	return out
}

func generate(t *testing.T, s *engine.Session, v engine.Voice, r engine.Request) engine.Answer {
	t.Helper()
	a, err := s.Generate(context.Background(), v, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A voice leaves nothing behind: the base answers the same before and after an expert did.
func TestVoicesDoNotMix(t *testing.T) {
	s := session(t)
	r := engine.Request{Prompt: "What is it?", MaxTokens: 16}
	before := generate(t, s, engine.Base(), r)
	for _, name := range []string{"math", "sigmoid"} {
		v, err := s.Voice(name)
		if err != nil {
			t.Fatal(err)
		}
		if a := generate(t, s, v, r); slices.Equal(ids(a), ids(before)) {
			t.Errorf("%s answers as the base", name)
		}
	}
	if after := generate(t, s, engine.Base(), r); !slices.Equal(ids(after), ids(before)) {
		t.Error("the base answers otherwise after an expert did")
	}
}

// Tokens' texts, streamed texts and the answer's text are the same text.
func TestTextIsTheTokens(t *testing.T) {
	s := session(t)
	for seed := range uint64(20) {
		var streamed, pieces strings.Builder
		a := generate(t, s, engine.Base(), engine.Request{Prompt: "Say é and 日本!", MaxTokens: 30,
			Seed:     seed,
			Sampling: sample.Params{Temperature: 1.5},
			OnText:   func(text string) { streamed.WriteString(text) }})
		for _, token := range a.Tokens {
			pieces.WriteString(token.Text)
		}
		// The last character may be incomplete: it ends in U+FFFD and no token completed it.
		if streamed.String() != a.Text || strings.TrimSuffix(a.Text,
			"�") != strings.TrimSuffix(pieces.String(), "�") {
			t.Fatalf("seed %d: text %q, streamed %q, tokens %q", seed, a.Text, streamed.String(),
				pieces.String())
		}
	}
}

// Whatever the stop texts are, the answer is the unstopped one up to the first of them.
func TestStops(t *testing.T) {
	s := session(t)
	r := engine.Request{Prompt: "Tell me.", MaxTokens: 60}
	whole := []rune(generate(t, s, engine.Base(), r).Text)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		r.Stop = nil
		want := string(whole)
		for range 1 + rng.IntN(3) {
			from := rng.IntN(len(whole) - 4)
			stop := string(whole[from : from+1+rng.IntN(4)])
			r.Stop = append(r.Stop, stop)
			if at := strings.Index(string(whole), stop); at < len(want) {
				want = string(whole)[:at]
			}
		}
		var streamed strings.Builder
		r.OnText = func(text string) { streamed.WriteString(text) }
		if a := generate(t, s, engine.Base(), r); a.Text != want || streamed.String() != want {
			t.Fatalf("stops %q: %q, streamed %q, want %q", r.Stop, a.Text, streamed.String(), want)
		}
	}
}

// A history gives way from its oldest turn on; the prompt itself is never cut.
func TestHistoryGivesWay(t *testing.T) {
	s := session(t)
	turn := func(n int) []tokenizer.Message {
		var msgs []tokenizer.Message
		for range n {
			msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleUser,
				Content: "one two three four"},
				tokenizer.Message{Role: tokenizer.RoleAssistant, Content: "five six seven"})
		}
		return msgs
	}
	r := engine.Request{Prompt: "And then?", MaxTokens: 8, History: turn(2)}
	short := generate(t, s, engine.Base(), r)
	if short.Dropped != 0 {
		t.Errorf("%d messages of a short history dropped", short.Dropped)
	}
	r.History = turn(200)
	long := generate(t, s, engine.Base(), r)
	if long.Dropped == 0 || long.Dropped%2 != 0 || long.Prompt+8 > config.Context {
		t.Errorf("%d messages dropped, a prompt of %d tokens is left", long.Dropped, long.Prompt)
	}
	r.History = turn(200)[long.Dropped:]
	if same := generate(t, s, engine.Base(), r); !slices.Equal(ids(same), ids(long)) {
		t.Error("the turns that are kept are not the latest")
	}
	r.History = turn(200)[long.Dropped-2:]
	if more := generate(t, s, engine.Base(), r); more.Dropped != 2 {
		t.Errorf("%d messages dropped, want no more than must be", more.Dropped)
	}
	r.History = turn(100_000) // as a hostile peer may send it
	if endless := generate(t, s, engine.Base(), r); !slices.Equal(ids(endless), ids(long)) {
		t.Error("of a longer history other turns are kept")
	}
	r.Prompt = strings.Repeat("long ", config.Context)
	if _, err := s.Generate(context.Background(), engine.Base(), r); err == nil ||
		!strings.Contains(err.Error(), "shorten") {
		t.Errorf("a prompt beyond the context: %v", err)
	}
}

func TestCompare(t *testing.T) {
	s := session(t)
	v, err := s.Voice("math")
	if err != nil {
		t.Fatal(err)
	}
	r := engine.Request{Prompt: "What is it?", MaxTokens: 16}
	var heard []string
	all, err := s.Compare(context.Background(), []engine.Voice{v, engine.Base()}, r,
		func(c engine.Compared) { heard = append(heard, c.Voice) })
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(heard, " ") != "base math base" || all[2].FirstDifference != -1 {
		t.Errorf("%v", heard)
	}
	at := all[1].FirstDifference
	a, b := ids(all[0].Answer), ids(all[1].Answer)
	if at < 0 || !slices.Equal(a[:at], b[:at]) || a[at] == b[at] {
		t.Errorf("first difference at %d of %v and %v", at, a, b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Compare(ctx, nil, r, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled comparison: %v", err)
	}
}

func TestFirstDifference(t *testing.T) {
	stream := func(ids ...int32) (out []engine.Token) {
		for _, id := range ids {
			out = append(out, engine.Token{ID: id})
		}
		return out
	}
	for _, c := range []struct {
		a, b []engine.Token
		want int
	}{
		{nil, nil, -1},
		{stream(1, 2), stream(1, 2), -1},
		{stream(1, 2), stream(3, 2), 0},
		{stream(1, 2, 3), stream(1, 2, 4), 2},
		{stream(1, 2), stream(1, 2, 3), 2}, // one ends where the other goes on
		{stream(1, 2, 3), stream(1), 1},
		{nil, stream(1), 0},
	} {
		if got := engine.FirstDifference(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// A mixture with one α of 1 is that expert bit for bit, whatever else is in it at 0.
func TestMixtures(t *testing.T) {
	s := session(t)
	ctx := context.Background()
	math, err := s.Voice("math")
	if err != nil {
		t.Fatal(err)
	}
	one, err := s.Mixture(ctx, "code=0, math=1")
	if err != nil {
		t.Fatal(err)
	}
	for name, z := range math.Expert.Z {
		if !slices.Equal(z, one.Expert.Z[name]) {
			t.Errorf("%s differs", name)
		}
	}
	if one.Name != "code=0,math=1" {
		t.Errorf("it is called %q", one.Name)
	}
	if none, err := s.Mixture(ctx, "math=0,base=1"); err != nil || none.Expert != nil {
		t.Errorf("a mixture of nothing: %v, %v", none.Expert, err)
	}
	if mixed, err := s.Mixture(ctx, "sigmoid=0.5,math=0.5"); err != nil ||
		mixed.Expert.Meta.Parametrisation != svf.Linear {
		t.Errorf("a mixture of parametrisations: %v", err)
	}
}

// An expert's file is read by its path only where the session can open files.
func TestExpertFiles(t *testing.T) {
	s := session(t)
	if _, err := s.Voice("./x.safetensors"); err == nil {
		t.Error("a file was opened without a way to open files")
	}
	opened := ""
	s.OpenFile = func(path string) (checkpoint.Blob, error) {
		opened = path
		return nil, errors.New("no disk here")
	}
	if _, err := s.Voice("./x.safetensors"); err == nil || opened != "./x.safetensors" ||
		!strings.Contains(err.Error(), "no disk") {
		t.Errorf("opened %q: %v", opened, err)
	}
}

// The same quiz has the same questions for everyone, and a voice's report does not depend on who
// was asked before.
func TestEvaluate(t *testing.T) {
	s := session(t)
	polite, err := task.Lookup("polite")
	if err != nil {
		t.Fatal(err)
	}
	q := engine.Quiz{Task: polite, Split: task.Valid, N: 9, Seed: 3}
	evaluate := func(v engine.Voice) engine.Report {
		n := 0
		r, err := s.Evaluate(context.Background(), v, q, func(done, total int) { n = max(n, done) })
		if err != nil {
			t.Fatal(err)
		}
		if n != 9 || r.N != 9 || len(r.Scores) != 9 {
			t.Errorf("%d answers heard of, %d scored", n, len(r.Scores))
		}
		return r
	}
	first := evaluate(engine.Base())
	v, err := s.Voice("code")
	if err != nil {
		t.Fatal(err)
	}
	evaluate(v)
	if again := evaluate(engine.Base()); !slices.Equal(again.Scores, first.Scores) {
		t.Error("a second evaluation gives other scores")
	}
	// The oracle sends math questions to the math expert, and these to the base.
	who, err := s.Adaptive(engine.Oracle)
	if err != nil {
		t.Fatal(err)
	}
	defer who.Close()
	var confusion adapt.Confusion
	r, err := who.Evaluate(context.Background(), q, &confusion, nil)
	if err != nil || !slices.Equal(r.Scores, first.Scores) || confusion.Accuracy() != 1 ||
		confusion.Total() != 9 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestGainAndPool(t *testing.T) {
	report := func(scores ...float64) engine.Report {
		return engine.Report{N: len(scores),
			Scores: scores}
	}
	gain, ci := engine.Gain(report(1, 1, 0, 1), report(0, 1, 0, 0))
	// The differences are 1 0 0 1: mean 1/2, standard deviation (of 3) 1/√3, of the mean 1/√12.
	half := 1.959964 / math.Sqrt(12)
	if gain != 0.5 || math.Abs(ci[0]-(0.5-half)) > 1e-12 || math.Abs(ci[1]-(0.5+half)) > 1e-12 {
		t.Errorf("%g %v", gain, ci)
	}
	if gain, ci := engine.Gain(report(1, 0), report(1, 0)); gain != 0 || ci != [2]float64{0, 0} {
		t.Errorf("the same scores: %g %v", gain, ci)
	}
	all := engine.Pool(engine.Pool(engine.Report{}, report(1, 0)), report(1, 1, 1))
	if all.N != 5 || all.Accuracy != 0.8 || all.Task != engine.PooledTask {
		t.Errorf("%+v", all)
	}
}

func TestCheckPrompt(t *testing.T) {
	for text, want := range map[string]string{
		"":        "empty",
		" \t\n":   "empty",
		"ab\xffc": "byte 2",
		"é\xc3":   "byte 2",
		"fine":    "",
		"U+FFFD � is a character like any other": "",
	} {
		err := engine.CheckPrompt("prompt", text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := engine.CheckPrompt("system text", ""); err != nil {
		t.Errorf("no system text: %v", err)
	}
}
