package task

import (
	"strings"
	"testing"
)

func TestLastNumber(t *testing.T) {
	for output, want := range map[string]string{
		"#### 42":                        "42",
		"7 of 9. #### 42 and 3":          "42",
		"#### $1,250.50.":                "2501/2",
		"#### -3":                        "-3",
		"#### none":                      "",
		"It makes 18.":                   "18",
		"5-3":                            "3",
		"5 - 3 = 2":                      "2",
		"he owes -5 dollars":             "-5",
		"a loss of -$5":                  "-5",
		"a loss of $-5":                  "-5",
		"a loss of −5":                   "-5",
		"from x-5":                       "5",
		"1,319 of 10,000,000":            "10000000",
		"3, 5, 7":                        "7",
		"0.50":                           "1/2",
		"none":                           "",
		"":                               "",
		strings.Repeat("9", 1000):        "",
		"7" + strings.Repeat(" ", 1<<15): "",
	} {
		if got, _ := lastNumber(output); got != want {
			t.Errorf("%.40q: %q, want %q", output, got, want)
		}
	}
}

func TestChosen(t *testing.T) {
	for output, want := range map[string]string{
		"The answer is (C).":                     "C",
		"the answer is: **B**":                   "B",
		"The answer is A. No, the answer is D":   "D",
		"Answer: B":                              "B",
		"A or B? I say C":                        "C",
		"The answer is (E), or else (B)":         "B",
		"answer is a dog. Answer: D":             "D",
		"E":                                      "",
		"the answer is plain":                    "",
		"":                                       "",
		"Answer: B. " + strings.Repeat("x", 1e5): "",
	} {
		if got, _ := chosen(output, 4); got != want {
			t.Errorf("%.40q: %q, want %q", output, got, want)
		}
	}
}

func TestMathAnswer(t *testing.T) {
	for output, want := range map[string]string{
		`so \boxed{3} and \boxed{\frac{1}{2}}`: `\frac{1}{2}`,
		`so $\boxed 5$.`:                       "5",
		"The answer is: 5.":                    "5",
		"The answer is $x$\nor so":             "$x$",
		"5":                                    "",
		`\boxed{`:                              "",
	} {
		if got, _ := mathAnswer(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}

func TestSameFormula(t *testing.T) {
	for _, c := range [][2]string{
		{`\frac{1}{2}`, "0.5"}, {`\frac12`, "1/2"}, {`\frac 59`, `\dfrac{5}{9}`}, {".5", "0.50"},
		{`-\frac{1}{3}`, `\frac{-1}{3}`}, {`\frac{-1}{-3}`, "1/3"}, {`1\frac{4}{5}`, "1.8"},
		{`137 \frac{1}{2}`, "275/2"}, {`10,\!080`, "10080"}, {"58,500", "58500"},
		{`\$32,\!348`, "32348"},
		{`90^\circ`, "90"}, {`50\%`, "50"}, {`x=5`, "5"}, {`x \in [-2,7]`, "[-2,7]"}, {"$5$", "5"},
		{`5.4 \text{ cents}`, "5.4"}, {`864 \mbox{ inches}^2`, "864"},
		{`\frac{270}7\text{ degrees}`, "270/7"}, {"2 3/4", "11/4"},
		{`\text{(C)}`, "C"}, {`\text{Evelyn}`, "evelyn"}, {`4210_{5}`, "4210_5"}, {`x^{2}`, "x^2"},
		{`\left( 3, \frac{\pi}{2} \right)`, `(3,\pi/2)`}, {"(0.5, 2)", `(\frac12,2)`},
		{"1,-2", "-2, 1"}, {`\{1,2\}`, `\{2,1\}`}, {`2 \text{ and } 3`, "3,2"}, {`11\sqrt2`, `11 \sqrt{2}`},
		{`\frac{\sqrt{3}}{3}`, `\sqrt{3}/3`}, {`\frac{11+9a}{20}`, `(11+9a)/20`},
		{`\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}`, `\begin{pmatrix}-1&0\\0&-1\end{pmatrix}`},
	} {
		if !sameFormula(c[0], c[1]) || !sameFormula(c[1], c[0]) {
			t.Errorf("%s and %s differ: %q, %q", c[0], c[1], formulaOf(c[0]), formulaOf(c[1]))
		}
	}
	for _, c := range [][2]string{
		{"1", "2"}, {"(1,2)", "(2,1)"}, {"(1,2)", "[1,2]"}, {"(1,2]", "(1,2)"}, {"1,2", "1,2,2"},
		{"1--2", "12"}, {`2 \text{ and } 3`, "23"}, {"x", "y"}, {"A", "a"}, {`\sqrt{2}`, "2"},
		{`\frac{1}{0}`, `\frac{2}{0}`}, {"", ""}, {`\text{}`, `\$`}, {"52_8", "52"}, {"x^2", "x^3"},
		{`\frac{a+b}{2}`, `a+\frac{b}{2}`}, {"1 2/3", "12/3"},
	} {
		if c[0] != c[1] && (sameFormula(c[0], c[1]) || sameFormula(c[1], c[0])) {
			t.Errorf("%s and %s are the same: %q, %q", c[0], c[1], formulaOf(c[0]), formulaOf(c[1]))
		}
	}
}

// FuzzSameFormula: equality is symmetric, holds for each formula and itself, and always ends.
func FuzzSameFormula(f *testing.F) {
	for _, s := range []string{`\frac{1}{2}`, `(1,2]`, `\{1,2\}`, `1\frac45`, `\text{a}^2`, `\boxed{`,
		`\frac\frac\frac`, `\sqrt`, strings.Repeat(`\frac{`, 99), "((((,", `\text{\text{x}}`} {
		f.Add(s, "1/2")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if sameFormula(a, b) != sameFormula(b, a) || !sameFormula(a, a) {
			t.Errorf("%q, %q", a, b)
		}
		if got, ok := mathAnswer(a); ok && got == "" {
			t.Errorf("%q has an empty answer", a)
		}
	})
}
