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
	{"prompt":"four and four","answer":8,"score":"exact"}
`
	shots, err := adapt.ReadShots(strings.NewReader(text), 30)
	if err != nil {
		t.Fatal(err)
	}
	if len(shots) != 4 || shots[1].Question.System != "be brief" || shots[0].Answer != "4" ||
		shots[0].Question.MaxTokens != 30 || shots[0].Worked != "" ||
		shots[2].Worked != "3 + 3 = 6" || shots[3].Worked != "8" {
		t.Fatalf("%+v", shots)
	}
	for _, c := range []struct {
		output          string
		contains, exact float64
	}{{"4", 1, 0}, {" 8\n", 0, 1}, {"it is 4.", 1, 0}, {"4 or 8", 1, 0}, {"", 0, 0}} {
		if i, e := shots[0].Score(c.output), shots[3].Score(c.output); e != c.exact || i != c.contains {
			t.Errorf("%q: exact %v, contains %v, want %v, %v", c.output, e, i, c.exact, c.contains)
		}
	}
	// Published formats are judged as they are elsewhere, and have the room that they need.
	shots, err = adapt.ReadShots(strings.NewReader(`{"question":"q","answer":"So 3.\n#### 3"}`), 30)
	if err != nil || shots[0].Score("#### 13") != 0 || shots[0].Question.MaxTokens != 512 {
		t.Errorf("%+v, %v", shots, err)
	}
}

func TestHostileShots(t *testing.T) {
	line := `{"prompt":"p","answer":"a"}`
	var many strings.Builder
	for i := range 1025 {
		fmt.Fprintf(&many, `{"prompt":"p%d","answer":"a"}`+"\n", i)
	}
	for text, want := range map[string]string{
		"\n\n":                        "no item",
		line + "\n{":                  "line 2",
		`{"prompt":"p","answer":""}`:  "empty",
		"{\"prompt\":\"p\xff\"}":      "not UTF-8",
		line + "\n" + line:            "twice",
		many.String():                 "at most 1024",
		strings.Repeat(" ", 1<<24+1):  "bytes",
		`{"prompt":["p"],"answer":1}`: "want text",
		`["p","a"]`:                   "object",
	} {
		_, err := adapt.ReadShots(strings.NewReader(text), 10)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for _, n := range []int{0, 1 << 20} {
		if _, err := adapt.ReadShots(strings.NewReader(line), n); err == nil {
			t.Errorf("answers of %d tokens were taken", n)
		}
	}
}
