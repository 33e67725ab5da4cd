package task

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

var everySplit = []Split{Train, Valid, Test}

func allTasks() []Task { return tasks(Names()...) }

func TestNames(t *testing.T) {
	want := "math code reasoning math-hard code-complete reasoning-hard classify " +
		"shout brief french polite"
	if got := strings.Join(Names(), " "); got != want {
		t.Errorf("names: want %q, got %q", want, got)
	}
	if len(Training()) != 3 || len(Unseen()) != 3 || len(Styles()) < 3 {
		t.Errorf("want 3, 3 and at least 3 tasks, got %d, %d, %d", len(Training()), len(Unseen()),
			len(Styles()))
	}
	for _, name := range Names() {
		tk, err := Lookup(name)
		if err != nil || tk.Name() != name || tk.Doc() == "" || tk.MaxTokens() < 8 {
			t.Errorf("%s: %v %v", name, tk, err)
		}
	}
	if _, err := Lookup("nope"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("unknown task: want an error that lists the known, got %v", err)
	}
	for _, s := range everySplit {
		if got, err := ParseSplit(s.String()); err != nil || got != s {
			t.Errorf("%v: parsed as %v, %v", s, got, err)
		}
	}
	if _, err := ParseSplit("all"); err == nil {
		t.Error("split all: want an error")
	}
}

// TestSplitsAreDisjoint compares every valid and test prompt of every task with the other splits
// and with the corpus. Hashes are 64 bits: a false alarm has a chance of one in 10^8.
func TestSplitsAreDisjoint(t *testing.T) {
	held := map[uint64]string{} // by prompt alone: a system text would not make it new
	for _, tk := range allTasks() {
		if tk.Name() == "classify" || slices.Contains(styleNames[1:], tk.Name()) {
			continue // asks the other tasks' questions; checked below
		}
		for _, s := range []Split{Valid, Test} {
			for i := range tk.Size(s) {
				it := tk.Item(s, i)
				id := hashString(0, it.Prompt)
				if where, ok := held[id]; ok {
					t.Fatalf("%q of %s %v is in %s too", it.Prompt, tk.Name(), s, where)
				}
				held[id] = tk.Name() + " " + s.String()
			}
		}
	}
	for _, tk := range allTasks() {
		for i := range min(50_000, tk.Size(Train)) {
			it := tk.Item(Train, i)
			if where, ok := held[hashString(0, it.Prompt)]; ok {
				t.Fatalf("train prompt %q of %s is in %s", it.Prompt, tk.Name(), where)
			}
		}
	}
	c := NewCorpus(7, DefaultMixture())
	for i := range int64(100_000) {
		d := c.Document(i)
		if where, ok := held[hashString(0, d.Prompt)]; ok {
			t.Fatalf("document %d, %q, is in %s", i, d.Prompt, where)
		}
	}
}

// TestClassifyKeepsSplits checks that the questions of classify stay in the split of their task.
func TestClassifyKeepsSplits(t *testing.T) {
	in := map[uint64]Split{}
	for _, s := range everySplit {
		for i := range byName["classify"].Size(s) {
			it := byName["classify"].Item(s, i)
			if it.System == "" || !slices.Contains(allLabels, it.Label) || it.Label != it.Answer {
				t.Fatalf("classify %v/%d: %+v", s, i, it)
			}
			id := hashString(0, it.Prompt)
			if was, ok := in[id]; ok && was != s {
				t.Fatalf("%q is in %v and %v", it.Prompt, was, s)
			}
			in[id] = s
		}
	}
	for _, tk := range append(Training(), Unseen()...) {
		for _, s := range everySplit {
			for i := range 1000 {
				it := tk.Item(s, i)
				if was, ok := in[hashString(0, it.Prompt)]; ok && was != s {
					t.Fatalf("%q: %v in %s, %v in classify", it.Prompt, s, tk.Name(), was)
				}
			}
		}
	}
}

// TestProgramsStayInOneSplit checks more than prompts: no test program occurs in training in any
// wording, nor in the sibling task.
func TestProgramsStayInOneSplit(t *testing.T) {
	code, complete := byName["code"], byName["code-complete"]
	n := 0
	for _, p := range allPrograms() {
		d := draft{key: "code " + p.key}
		if code.splitOf(&d) != complete.splitOf(&d) {
			t.Fatalf("%s: %v and %v", p.key, code.splitOf(&d), complete.splitOf(&d))
		}
		n++
	}
	if n < 6000 {
		t.Errorf("want at least 6000 programs, got %d", n)
	}
	test := map[string]bool{}
	for i := range code.Size(Test) {
		test[code.Item(Test, i).Answer[strings.Index(code.Item(Test, i).Answer, ":"):]] = true
	}
	for i := range 20_000 {
		a := code.Item(Train, i).Answer
		if test[a[strings.Index(a, ":"):]] {
			t.Fatalf("train program %q is in test", a)
		}
	}
}

func allPrograms() []*program {
	s := programs()
	return append(append(append([]*program{}, s.single...), s.list...), s.scalar...)
}

func TestWorkedAnswersAreRight(t *testing.T) {
	for _, tk := range allTasks() {
		for _, s := range everySplit {
			for i := range min(500, tk.Size(s)) {
				it := tk.Item(s, i)
				if it.Task != tk.Name() || it.Split != s || it.Index != i || it.Prompt == "" {
					t.Fatalf("%s %v/%d: %+v", tk.Name(), s, i, it)
				}
				if got := tk.Score(it, it.Worked); got != 1 {
					t.Fatalf("%s: %q to %q scores %v", tk.Name(), it.Worked, it.Prompt, got)
				}
			}
		}
	}
}

// TestDraftAnswers checks the corpus's answers: terse right, sloppy wrong.
func TestDraftAnswers(t *testing.T) {
	for _, name := range []string{"math", "code", "reasoning", "math-hard", "code-complete",
		"reasoning-hard", "classify"} {
		tk := byName[name]
		for i := range uint64(1000) {
			d := tk.drawNumbered(i)
			it := Item{Task: name, Prompt: d.prompt, Answer: d.answer}
			if tk.item != nil {
				tk.item(&d, &it)
			}
			if got := tk.Score(it, d.terse); got != 1 {
				t.Fatalf("%s: terse %q to %q scores %v", name, d.terse, d.prompt, got)
			}
			if got := tk.Score(it, d.sloppy); got != 0 {
				t.Fatalf("%s: sloppy %q to %q scores %v", name, d.sloppy, d.prompt, got)
			}
		}
	}
}

// TestFormatsStayShort bounds what a context of 256 tokens must hold. Bytes bound tokens.
func TestFormatsStayShort(t *testing.T) {
	for _, tk := range allTasks() {
		prompt, worked := 0, 0
		for i := range 2000 {
			it := tk.Item(Train, i)
			prompt, worked = max(prompt, len(it.Prompt)), max(worked, len(it.Worked))
			for _, r := range it.Prompt + it.Worked {
				if r != '\n' && (r < ' ' || r > '~') && !strings.ContainsRune("àéÉÀâêîû", r) {
					t.Fatalf("%s: odd character %q in %q", tk.Name(), r, it.Prompt+it.Worked)
				}
			}
		}
		if prompt > 200 || worked > 120 {
			t.Errorf("%s: prompts of up to %d bytes, answers of up to %d", tk.Name(), prompt, worked)
		}
	}
}

func TestItemsAreDeterministic(t *testing.T) {
	want := map[string]string{}
	for _, tk := range allTasks() {
		for _, s := range everySplit {
			for i := range 20 {
				want[fmt.Sprint(tk.Name(), s, i)] = fmt.Sprint(tk.Item(s, i))
			}
		}
	}
	var wg sync.WaitGroup // from fresh tables, out of order, at the same time
	fresh := buildRegistry()
	for _, tk := range fresh {
		for _, s := range everySplit {
			wg.Go(func() {
				for i := 19; i >= 0; i-- {
					if got := fmt.Sprint(tk.Item(s, i)); got != want[fmt.Sprint(tk.name, s, i)] {
						t.Errorf("%s %v/%d: %s", tk.name, s, i, got)
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestSuiteIsTheSameEverywhere pins the suite: reported figures hold for these questions only. A
// change of the generators is a new suite, and changes this number in the same commit.
func TestSuiteIsTheSameEverywhere(t *testing.T) {
	const want = uint64(0x5052762bf83d9fb1)
	h := uint64(0)
	for _, tk := range allTasks() {
		for _, s := range everySplit {
			for i := range 100 {
				it := tk.Item(s, i)
				h = hashString(h, fmt.Sprintf("{%v %v %v %v %v %v %v %v %v}", it.Task, it.Split,
					it.Index, it.System, it.Prompt, it.Answer, it.Worked, it.Cases, it.Label))
			}
		}
	}
	if h != want {
		t.Errorf("suite: want fingerprint %#x, got %#x", want, h)
	}
}

func TestItemRefusesBadIndex(t *testing.T) {
	for _, c := range []struct {
		s Split
		i int
	}{{Test, -1}, {Test, 1 << 30}, {Split(9), 0}, {Split(-1), 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v/%d: want a panic", c.s, c.i)
				}
			}()
			byName["math"].Item(c.s, c.i)
		}()
	}
}

func TestStats(t *testing.T) {
	stats, err := Stats(0, "math", "code-complete", "reasoning", "polite")
	if err != nil || len(stats) != 12 {
		t.Fatalf("want 12 rows, got %v, %v", stats, err)
	}
	for _, s := range stats {
		if s.Split != Train && s.Distinct != s.Items {
			t.Errorf("%s %v: %d of %d prompts are distinct", s.Task, s.Split, s.Distinct, s.Items)
		}
		if s.Split == Train && s.Distinct < 20_000 && s.Task != "polite" {
			t.Errorf("%s train: want 20000 distinct prompts, got %d", s.Task, s.Distinct)
		}
	}
	if _, err := Stats(10, "nope"); err == nil {
		t.Error("unknown task: want an error")
	}
}

// TestScoresOfAnything checks that any output scores a number from 0 to 1.
func TestScoresOfAnything(t *testing.T) {
	outputs := append([]string{"", " ", "####", "#### ", "#### NaN", "#### 1e9", `\boxed{NaN}`,
		`\boxed{}`, "\xff\xfe", "()", "pilu or fenna?", strings.Repeat(" ", 1000)}, bigOutputs(1<<20)...)
	for _, tk := range allTasks() {
		it := tk.Item(Test, 0)
		for _, out := range outputs {
			got := tk.Score(it, out)
			if math.IsNaN(got) || got < 0 || got > 1 {
				t.Errorf("%s: %.20q scores %v", tk.Name(), out, got)
			}
		}
		if got := tk.Score(it, " \n"); got != 0 {
			t.Errorf("%s: nothing scores %v", tk.Name(), got)
		}
		if got := tk.Score(Item{}, "1"); got < 0 || got > 1 { // not from any generator
			t.Errorf("%s: empty item scores %v", tk.Name(), got)
		}
	}
}

// bigOutputs are of n bytes each.
func bigOutputs(n int) []string {
	var out []string
	for _, s := range []string{`\boxed{`, `\boxed{{{{`, `\boxed{1}`, "{", "}", "#### 1\n", "#",
		"9", "answer is pilu. ", "answer is ", "(", "```\n", "\xff", "A ", "def f(xs):\n"} {
		out = append(out, strings.Repeat(s, n/len(s)))
	}
	return append(out, "#### "+strings.Repeat("9", n), `\boxed{1/`+strings.Repeat("9", n)+"}")
}
