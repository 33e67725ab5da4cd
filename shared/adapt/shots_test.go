package adapt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/adapt"
	"transformer2/shared/task"
)

// The heart of honest reports: no shot is a test item, for any task, nor a held-out shot.
func TestShotsAreDisjointFromTest(t *testing.T) {
	for _, name := range task.Names() {
		tk, err := task.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		all, err := adapt.FewShots(tk, 40, 7)
		if err != nil {
			t.Fatal(err)
		}
		items := tk.Size(task.Test)
		if !slices.Contains(task.Unseen(), tk) { // elsewhere a part will do
			items = 300
		}
		var test []adapt.Shot
		for i := range items {
			test = append(test, adapt.TaskShot(tk, tk.Item(task.Test, i)))
		}
		if err := adapt.Disjoint(all[:10], all[10:], test); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := adapt.Disjoint(all[:10], test, all[9:]); err == nil {
			t.Errorf("%s: a shot in two sets went unseen", name)
		}
		first, _ := adapt.FewShots(tk, 10, 7)
		other, _ := adapt.FewShots(tk, 10, 8)
		prompts := func(shots []adapt.Shot) (ps []string) {
			for _, s := range shots {
				ps = append(ps, s.Question.Prompt)
			}
			return ps
		}
		if !slices.Equal(prompts(first), prompts(all[:10])) ||
			slices.Equal(prompts(first), prompts(other)) {
			t.Errorf("%s: the draw is not by seed, or depends on k", name)
		}
	}
}

func TestTaskShots(t *testing.T) {
	tk, _ := task.Lookup("math")
	shots, err := adapt.FewShots(tk, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shots {
		if s.Score("#### "+s.Answer) != 1 || s.Score("#### 123456") != 0 ||
			s.Question.MaxTokens != tk.MaxTokens() || s.Score(s.Worked) != 1 {
			t.Errorf("%+v", s)
		}
	}
	for _, k := range []int{0, -1, 1 << 30} {
		if _, err := adapt.FewShots(tk, k, 1); err == nil {
			t.Errorf("%d shots were drawn", k)
		}
	}
}

func TestReadShots(t *testing.T) {
	text := `{"prompt":"two and two","answer":" 4 "}

	{"system":"be brief","prompt":"two and two","answer":"four","source":["anything"]}
	{"prompt":"three and three","answer":"6","worked":"3 + 3 = 6"}
`
	exact, err := adapt.ReadShots(strings.NewReader(text), adapt.MatchExact, 30)
	if err != nil {
		t.Fatal(err)
	}
	contains, err := adapt.ReadShots(strings.NewReader(text), adapt.MatchContains, 30)
	if err != nil {
		t.Fatal(err)
	}
	if exact[0].Worked != "4" || contains[0].Worked != "" || contains[2].Worked != "3 + 3 = 6" {
		t.Errorf("worked answers %q, %q, %q", exact[0].Worked, contains[0].Worked, contains[2].Worked)
	}
	if len(exact) != 3 || exact[1].Question.System != "be brief" || exact[0].Answer != "4" ||
		exact[0].Question.MaxTokens != 30 {
		t.Fatalf("%+v", exact)
	}
	for _, c := range []struct {
		output          string
		exact, contains float64
	}{{"4", 1, 1}, {" 4\n", 1, 1}, {"it is 4.", 0, 1}, {"5", 0, 0}, {"", 0, 0}} {
		if e, i := exact[0].Score(c.output), contains[0].Score(c.output); e != c.exact || i != c.contains {
			t.Errorf("%q: exact %v, contains %v, want %v, %v", c.output, e, i, c.exact, c.contains)
		}
	}
}

func TestHostileShots(t *testing.T) {
	line := `{"prompt":"p","answer":"a"}`
	var many strings.Builder
	for i := range 1025 {
		fmt.Fprintf(&many, `{"prompt":"p%d","answer":"a"}`+"\n", i)
	}
	for want, text := range map[string]string{
		"has none":      "\n\n",
		"line 2:":       line + "\n{",
		"not empty":     `{"prompt":"  ","answer":"a"}`,
		"not empty\x20": `{"prompt":"p","answer":""}`,
		"not UTF-8":     "{\"prompt\":\"p\xff\",\"answer\":\"a\"}",
		"twice":         line + "\n" + line,
		"more than":     many.String(),
		"bytes":         `{"prompt":"` + strings.Repeat("x", 1<<17) + `","answer":"a"}`,
		"cannot unm":    `{"prompt":["p"],"answer":"a"}`,
		"Go value":      `["p","a"]`,
	} {
		_, err := adapt.ReadShots(strings.NewReader(text), adapt.MatchExact, 10)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for _, c := range []struct {
		m adapt.Match
		n int
	}{{"fuzzy", 10}, {adapt.MatchExact, 0}, {adapt.MatchExact, 1 << 20}} {
		if _, err := adapt.ReadShots(strings.NewReader(line), c.m, c.n); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func FuzzReadShots(f *testing.F) {
	for _, s := range []string{`{"prompt":"p","answer":"a"}`, "{", "[]", "\xff", "null",
		`{"prompt":"p","answer":"a"}` + "\n" + `{"prompt":"q","answer":"a"}`, `{"PROMPT":"p","answer":"a"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shots, err := adapt.ReadShots(strings.NewReader(text), adapt.MatchExact, 10)
		if (err == nil) == (len(shots) == 0) {
			t.Fatalf("%d shots and error %v", len(shots), err)
		}
		for _, s := range shots {
			if s.Score(s.Answer) != 1 || strings.TrimSpace(s.Question.Prompt) == "" {
				t.Fatalf("%+v", s)
			}
		}
	})
}
