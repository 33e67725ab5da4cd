package task

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// The oracles below read a prompt as a person would and solve it anew, without the generator.

var sentences = []struct {
	re *regexp.Regexp
	do func(s *reader, a, b int)
}{
	{regexp.MustCompile(`^\w+ has (\d+) (?:bags|boxes|bowls|packs) of (\d+) \w+$`),
		func(s *reader, a, b int) { s.value = a * b }},
	{regexp.MustCompile(`^\w+ has (\d+) more$`),
		func(s *reader, a, _ int) { s.other, s.value = s.value, s.value+a }},
	{regexp.MustCompile(`^\w+ has (\d+) fewer$`),
		func(s *reader, a, _ int) { s.other, s.value = s.value, s.value-a }},
	{regexp.MustCompile(`^\w+ has (\d+) \w+$`), func(s *reader, a, _ int) { s.value = a }},
	{regexp.MustCompile(`^\w+ (?:gets|buys|finds|picks up) (\d+) more$`),
		func(s *reader, a, _ int) { s.value += a }},
	{regexp.MustCompile(`^\w+ (?:gets|buys|finds|picks up) (\d+) \w+ of (\d+)$`),
		func(s *reader, a, b int) { s.value += a * b }},
	{regexp.MustCompile(`^\w+ (?:loses|sells|gives away|breaks) (\d+)$`),
		func(s *reader, a, _ int) { s.value -= a }},
	{regexp.MustCompile(`^\w+ ends up with (\d+) times as many$`),
		func(s *reader, a, _ int) { s.value *= a }},
	{regexp.MustCompile(`^\w+ shares them among (\d+) friends$`), func(s *reader, a, _ int) {
		s.exact = s.value%a == 0
		s.value /= a
	}},
	{regexp.MustCompile(`^How many do \w+ and \w+ have together\?$|^How many are there in all\?$|` +
		`^What is the total for both\?$`), func(s *reader, _, _ int) { s.value += s.other }},
	{regexp.MustCompile(`^How many|^What `), func(*reader, int, int) {}},
}

// reader is what a person keeps in mind while reading a story.
type reader struct {
	value, other int
	exact        bool
}

func readStory(t *testing.T, story string) reader {
	t.Helper()
	s := reader{exact: true}
next:
	for _, sentence := range strings.Split(story, ". ") {
		sentence = strings.TrimPrefix(strings.TrimSuffix(sentence, "."), "Then ")
		for _, rule := range sentences {
			if m := rule.re.FindStringSubmatch(sentence); m != nil {
				var n [2]int
				for i, digits := range m[1:] {
					n[i], _ = strconv.Atoi(digits)
				}
				rule.do(&s, n[0], n[1])
				if s.value < 0 {
					t.Fatalf("%q: below zero", story)
				}
				continue next
			}
		}
		t.Fatalf("%q: what is %q?", story, sentence)
	}
	return s
}

func TestMathByReading(t *testing.T) {
	steps := map[int]int{}
	for i := range 3000 {
		it := byName["math"].Item(Train, i)
		s := readStory(t, it.Prompt)
		if strconv.Itoa(s.value) != it.Answer || !s.exact {
			t.Fatalf("%q: want %s, read %d", it.Prompt, it.Answer, s.value)
		}
		if s.value > 2*maxResult+maxOperand {
			t.Errorf("%q: result %d is large", it.Prompt, s.value)
		}
		n := strings.Count(it.Worked, "=")
		steps[n]++
		checkEquations(t, it.Worked)
	}
	for n := 1; n <= 3; n++ {
		if steps[n] < 300 {
			t.Errorf("want all of one to three steps, got %v", steps)
		}
	}
	if len(steps) != 3 {
		t.Errorf("want one to three steps, got %v", steps)
	}
}

var equationRE = regexp.MustCompile(`(\d+)([-+*/])(\d+)=(\d+)`)

// checkEquations checks each "a+b=c" of a worked answer.
func checkEquations(t *testing.T, worked string) {
	t.Helper()
	for _, m := range equationRE.FindAllStringSubmatch(worked, -1) {
		a, _ := new(big.Rat).SetString(m[1])
		b, _ := new(big.Rat).SetString(m[3])
		y := new(big.Rat)
		switch m[2] {
		case "+":
			y.Add(a, b)
		case "-":
			y.Sub(a, b)
		case "*":
			y.Mul(a, b)
		case "/":
			y.Quo(a, b)
		}
		if y.RatString() != m[4] {
			t.Fatalf("%q: %s is false", worked, m[0])
		}
	}
}

var (
	equationOf   = regexp.MustCompile(`[0-9a-z()+-]+=[0-9a-z()+-]+`)
	fractionsOf  = regexp.MustCompile(`(\d+/\d+)\+(\d+/\d+)`)
	expressionOf = regexp.MustCompile(`[0-9(][0-9()*+-]+[0-9)]`)
	implicit     = regexp.MustCompile(`(\d)([a-z(])`)
)

func TestMathHardBySubstitution(t *testing.T) {
	kinds := map[string]int{}
	for i := range 3000 {
		it := byName["math-hard"].Item(Train, i)
		switch {
		case fractionsOf.MatchString(it.Prompt):
			kinds["fractions"]++
			m := fractionsOf.FindStringSubmatch(it.Prompt)
			a, _ := new(big.Rat).SetString(m[1])
			b, _ := new(big.Rat).SetString(m[2])
			if got := a.Add(a, b).RatString(); got != it.Answer {
				t.Fatalf("%q: want %s, got %s", it.Prompt, it.Answer, got)
			}
		case equationOf.MatchString(it.Prompt):
			kinds["equations"]++
			left, right, _ := strings.Cut(equationOf.FindString(it.Prompt), "=")
			if l, r := evaluate(t, left, it.Answer), evaluate(t, right, it.Answer); l != r {
				t.Fatalf("%q with %s: %s is not %s", it.Prompt, it.Answer, l, r)
			}
		default:
			kinds["expressions"]++
			if got := evaluate(t, expressionOf.FindString(it.Prompt), ""); got != it.Answer {
				t.Fatalf("%q: want %s, got %s", it.Prompt, it.Answer, got)
			}
			checkEquations(t, it.Worked)
		}
	}
	if len(kinds) != 3 {
		t.Errorf("want three kinds, got %v", kinds)
	}
}

// evaluate computes a formula with x in place of its variable: "3(n+4)" is 3*(x+4).
func evaluate(t *testing.T, formula, x string) string {
	t.Helper()
	src := implicit.ReplaceAllString(formula, "$1*$2")
	src = regexp.MustCompile(`[a-z]`).ReplaceAllString(src, x)
	v, err := starlark.EvalOptions(dialect, &starlark.Thread{}, "formula", src, nil)
	if err != nil {
		t.Fatalf("%s: %v", formula, err)
	}
	return v.String()
}

var optionRE = regexp.MustCompile(`\? (\S+), (\S+), (\S+) or (\S+)\?$`)

// TestReasoningHasOneAnswer checks that each worked answer states facts of the world, and that
// no other option would make a fact of the last of them.
func TestReasoningHasOneAnswer(t *testing.T) {
	truth := map[string]bool{}
	for _, f := range world.facts {
		truth[f.say] = true
	}
	for _, name := range []string{"reasoning", "reasoning-hard"} {
		var at [4]int // where among the options the right one stands
		for i := range 5000 {
			it := byName[name].Item(Train, i)
			because, _, ok := strings.Cut(it.Worked, " The answer is ")
			said := strings.SplitAfter(because, ". ")
			if want := 1 + strings.Count(name, "hard"); !ok || len(said) != want {
				t.Fatalf("%q: want %d facts", it.Worked, want)
			}
			for _, s := range said {
				if !truth[strings.TrimSpace(s)] {
					t.Fatalf("%q: not a fact", s)
				}
			}
			at[checkOptions(t, it, said[len(said)-1], truth)]++
		}
		for _, n := range at {
			if n < 1100 || n > 1400 {
				t.Errorf("%s: want the places even, got %v", name, at)
			}
		}
	}
}

// checkOptions returns where the right option stands.
func checkOptions(t *testing.T, it Item, fact string, truth map[string]bool) int {
	t.Helper()
	options := optionRE.FindStringSubmatch(it.Prompt)
	if len(options) != 5 {
		t.Fatalf("%q: want four options", it.Prompt)
	}
	options = options[1:]
	gold := slices.Index(options, it.Answer)
	if gold < 0 {
		t.Fatalf("%q: %q is not among the options", it.Prompt, it.Answer)
	}
	if want := " The answer is " + it.Answer + "."; !strings.HasSuffix(it.Worked, want) {
		t.Fatalf("%q: %q does not end in %q", it.Prompt, it.Worked, want)
	}
	if !strings.Contains(fact, it.Answer) && !strings.Contains(it.Prompt, "est?") {
		t.Fatalf("%q: %q does not tell of %s", it.Prompt, fact, it.Answer)
	}
	for i, o := range options {
		if i != gold && (o == it.Answer || truth[strings.Replace(fact, it.Answer, o, 1)]) {
			t.Fatalf("%q: %s is right too", it.Prompt, o)
		}
	}
	return gold
}

func TestWorldIsBalanced(t *testing.T) {
	if len(world.entities) != 60 || len(world.facts) != 228 {
		t.Errorf("want 60 entities and 228 facts, got %d and %d", len(world.entities),
			len(world.facts))
	}
	seen := map[string]bool{}
	count := map[string]int{}
	for _, e := range world.entities {
		if seen[e.name] {
			t.Errorf("%s occurs twice", e.name)
		}
		seen[e.name] = true
		for _, a := range attrOf[e.kind] {
			v, _ := world.valueName(&e, a)
			count[fmt.Sprint(kindNames[e.kind], a, v)]++
		}
	}
	for _, e := range world.entities {
		for _, a := range attrOf[e.kind] {
			n := len(values[a])
			if n == 0 { // a place or a plant
				n = 12
			}
			v, _ := world.valueName(&e, a)
			got, ids := count[fmt.Sprint(kindNames[e.kind], a, v)], len(world.byKind[e.kind])
			if got < ids/n || got > (ids+n-1)/n {
				t.Errorf("%s %v %s: %d of %d", kindNames[e.kind], a, v, got, ids)
			}
		}
	}
	for i := range world.facts {
		f := &world.facts[i]
		if strings.ContainsAny(f.say+f.french+f.reverse+strings.Join(f.ask, ""), "$") {
			t.Errorf("%+v: a slot is left", f)
		}
	}
}

// TestOperationsAgree runs every operation as Starlark and as Go, on odd lists too.
func TestOperationsAgree(t *testing.T) {
	lists := [][]int{{}, {0}, {5}, {3, 1, 2}, {9, -4, 9, 0, 7, -7, 2}, {4, 4, 4, 4, 4, 4}}
	for name, o := range opTable {
		ks := []int{1, 2, 3, 9}
		if !strings.Contains(o.expr, "$k") {
			ks = []int{0}
		}
		for _, k := range ks {
			c := newCall(name, k)
			p := &program{calls: []call{c}}
			for _, xs := range lists {
				if _, ok := run(p.calls, xs); ok {
					p.inputs = append(p.inputs, xs)
				}
			}
			if err := RunCases("def f(xs): return "+c.on("xs"), p.cases("f")); err != nil {
				t.Errorf("%s %d: %v", name, k, err)
			}
		}
	}
}

// TestProgramsNeedTheirWords checks that hidden cases refuse each program's shorter and swapped
// forms wherever those are not equal to it.
func TestProgramsNeedTheirWords(t *testing.T) {
	all := allPrograms()
	for i := 0; i < len(all); i += 7 {
		p := all[i]
		for _, body := range []string{compact(p.calls, "xs"), stepwise(p.calls, "xs")} {
			if err := RunCases("def f(xs):\n  "+body, p.cases("f")); err != nil {
				t.Fatalf("%s: %v", p.key, err)
			}
		}
		wrong := [][]call{p.sloppy, {p.calls[0].mistaken()}}
		if len(p.calls) == 2 {
			wrong = [][]call{p.sloppy, p.calls[:1], p.calls[1:]}
		}
		for _, calls := range wrong {
			if RunCases("def f(xs): "+compact(calls, "xs"), p.cases("f")) == nil {
				t.Fatalf("%s: passed by %s", p.key, compact(calls, "xs"))
			}
		}
	}
}
