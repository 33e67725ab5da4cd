package task

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestExtract(t *testing.T) {
	const none = "\x00"
	for _, c := range []struct{ task, output, want string }{
		{"math", "12+7=19. #### 19", "19"},
		{"math", "#### 1,234", "1234"},
		{"math", "#### $18 in all", "18"},
		{"math", "#### -3", "-3"},
		{"math", "#### 18.0", "18"},
		{"math", "#### 1 #### 2", "2"},
		{"math", "the answer is 19", none},
		{"math", "####", none},
		{"math", "#### x", none},
		{"math", "#### NaN", none},
		{"math", "#### Inf", none},
		{"math", "#### " + strings.Repeat("9", 40), none},
		{"math-hard", `x=15/3=5. \boxed{5}`, "5"},
		{"math-hard", `\boxed{4} no, \boxed{5}`, "5"},
		{"math-hard", `\boxed{\frac{10}{12}}`, "5/6"},
		{"math-hard", `\boxed{-\frac{1}{2}}`, "-1/2"},
		{"math-hard", `\boxed{\frac{-1}{2}}`, "-1/2"},
		{"math-hard", `\boxed{\frac{1}{-2}}`, "-1/2"},
		{"math-hard", `\boxed{-\frac{1}{-2}}`, "1/2"},
		{"math-hard", `\boxed{-\frac{-1}{-2}}`, "-1/2"},
		{"math-hard", `\boxed{0.50}`, "1/2"},
		{"math-hard", `\boxed{10/5}`, "2"},
		{"math-hard", `\boxed{x = 5}`, "5"},
		{"math-hard", `\boxed{$5$}`, "5"},
		{"math-hard", `\boxed{1/0}`, none},
		{"math-hard", `\boxed{\frac{1}{0}}`, none},
		{"math-hard", `\boxed{5`, none},
		{"math-hard", `\boxed{`, none},
		{"math-hard", `\boxed{1e999999999}`, none},
		{"math-hard", `\boxed{0x10}`, none},
		{"math-hard", `5`, none},
		{"reasoning", "The kafin eats pilu. The answer is pilu.", "pilu"},
		{"reasoning", "the answer is Kelu", "Kelu"},
		{"reasoning", "Answer: the dorfin.", "dorfin"},
		{"reasoning", "The answer is pilu. The answer is fenna.", "fenna"},
		{"reasoning", "The answer is pilu\nand so on", "pilu"},
		{"reasoning", "The answer is pilu, fenna or carra.", none},
		{"reasoning", " Kelu.", "Kelu"},
		{"reasoning", "The kafin", "kafin"},
		{"reasoning", "A kafin", none},
		{"reasoning", "The kafin eats pilu.", none},
		{"reasoning", "(A)", none},
		{"reasoning-hard", "red", "red"},
		{"code", "def f(): return 1\n", "def f(): return 1"},
		{"code", "Here:\n```python\ndef f(): return 1\n```\nDone", "def f(): return 1"},
		{"code", "```\nx\n", "x"},
		{"code", "\n ", none},
		{"code-complete", "  return 1\r\n", "  return 1"},
		{"classify", `\boxed{math}`, "math"},
		{"classify", `\boxed{ code } \boxed{math}`, "code"},
		{"classify", `\boxed{Math}`, none},
		{"classify", `math`, none},
		{"shout", " HI ", "HI"},
		{"brief", "", none},
		{"nope", "1", none},
	} {
		got, ok := Extract(c.task, c.output)
		if !ok {
			got = none
		}
		if got != c.want {
			t.Errorf("%s %q: want %q, got %q", c.task, c.output, c.want, got)
		}
	}
}

func TestParseClass(t *testing.T) {
	for output, want := range map[string]string{
		`\boxed{math}`: "math", `I say \boxed{code}.`: "code", `\boxed{reasoning}`: "reasoning",
		`\boxed{other}`: "other", `\boxed{maths}`: "other", `\boxed{MATH}`: "other", "": "other",
		"math": "other", `\boxed{math`: "other", `\boxed{poetry} \boxed{math}`: "other",
	} {
		if got := ParseClass(output); got != want {
			t.Errorf("%q: want %s, got %s", output, want, got)
		}
	}
	system, prompt := ClassifyPrompt("How many?")
	if !strings.Contains(system, "math, code, reasoning or other") || prompt != "How many?" {
		t.Errorf("classify prompt: %q %q", system, prompt)
	}
}

// linearTime bounds the extraction from 10 MB. Measured 30 ms; quadratic time would be minutes.
const linearTime = 3 * time.Second

func TestExtractIsLinear(t *testing.T) {
	for _, out := range bigOutputs(10 << 20) {
		for _, name := range Names() {
			start := time.Now()
			Extract(name, out)
			if took := time.Since(start); took > linearTime {
				t.Errorf("%s %.12q: %v", name, out, took)
			}
		}
	}
}

func FuzzExtract(f *testing.F) {
	for _, s := range []string{"#### 18", `\boxed{\frac{1}{2}}`, "The answer is pilu.", "```python\nx",
		`\boxed{math}`, `\boxed{{}`, "#### 1,,2", `\boxed{-\frac{--1}{2}}`, "(A", "\xff#### \xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, output string) {
		for _, name := range Names() {
			got, ok := Extract(name, output)
			if !ok && got != "" {
				t.Errorf("%s: %q without an answer", name, got)
			}
			switch name {
			case "math", "math-hard":
				// A canonical number is its own canonical form.
				if again, ok2 := canonicalNumber(got); ok && (!ok2 || again != got) {
					t.Errorf("%s: %q becomes %q", name, got, again)
				}
			case "reasoning":
				if ok && strings.IndexFunc(got, notLetter) >= 0 {
					t.Errorf("%s: %q", name, got)
				}
			case "classify":
				if ok && !slices.Contains(allLabels, got) {
					t.Errorf("%s: %q", name, got)
				}
			}
			if utf8.ValidString(output) && !utf8.ValidString(got) {
				t.Errorf("%s: %q cut inside a character", name, got)
			}
		}
	})
}
