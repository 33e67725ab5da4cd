package task

import (
	"math/big"
	"regexp"
	"strings"
)

// What means nothing in a formula, and what is written in two ways.
var (
	latexNoise = strings.NewReplacer(`\\`, `\\`, `\left`, "", `\right`, "",
		`\!`, "", `\,`, "", `\;`, "", `\:`, "", `\ `, " ", `~`, " ", `\$`, "", `$`, "", `\%`, "", `%`, "",
		`^\circ`, "", `^{\circ}`, "", `°`, "",
		`\displaystyle`, "", `\dfrac`, `\frac`, `\tfrac`, `\frac`, `\cdot`, "*", `\times`, "*",
		`\lbrace`, `\{`, `\rbrace`, `\}`, `\leq`, `\le`, `\geq`, `\ge`, "−", "-")
	latexTextRE = regexp.MustCompile(
		`\\(?:text|mbox|textbf|textit|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}(\^\{?\d\}?)?`)
	leftSideRE  = regexp.MustCompile(`^[a-zA-Z]\s*(?:=|\\in\b)\s*`)
	oneBracedRE = regexp.MustCompile(`([_^])\{(\w)\}`)
	oneLetterRE = regexp.MustCompile(`^\(([A-Za-z])\)$`)
	mixedFracRE = regexp.MustCompile(`(\d)(?: ?(\\frac)| +(\d+ ?/))`)
)

// formulaOf writes a formula in one notation: no spaces but in mixed numbers, fractions as a/b.
func formulaOf(s string) string {
	s = latexNoise.Replace(strings.TrimSpace(s))
	s = withoutText(s)
	s = strings.TrimRight(strings.TrimSpace(s), ".")
	s = leftSideRE.ReplaceAllString(s, "")
	s = mixedFracRE.ReplaceAllString(s, "$1\x00$2$3") // 1\frac45 and 1 4/5: a mixed number
	s = strings.Join(strings.Fields(s), "")
	s = fractions(s, 0)
	s = oneBracedRE.ReplaceAllString(s, "$1$2")
	s = oneLetterRE.ReplaceAllString(s, "$1")
	return strings.TrimPrefix(strings.ReplaceAll(s, "\x00", " "), "--")
}

// withoutText drops the words behind a formula, its units, and keeps those that are the formula.
func withoutText(s string) string {
	for {
		m := latexTextRE.FindStringSubmatchIndex(s)
		if m == nil {
			return s
		}
		before, inner, after := s[:m[0]], s[m[2]:m[3]], s[m[1]:]
		switch word := strings.TrimSpace(inner); {
		case word == "and" || word == "or":
			inner = ","
		case strings.TrimSpace(before) != "" && strings.TrimSpace(after) == "":
			inner = ""
		}
		s = before + inner + after
	}
}

// fractions writes \frac{a}{b}, \frac ab and a/b alike, and \sqrt3 as \sqrt{3}.
func fractions(s string, depth int) string {
	if depth == maxBraces {
		return s
	}
	var b strings.Builder
	for s != "" {
		switch {
		case strings.HasPrefix(s, `\frac`):
			top, rest := argument(s[len(`\frac`):])
			under, rest := argument(rest)
			b.WriteString(quotient(fractions(top, depth+1), fractions(under, depth+1)))
			s = rest
		case strings.HasPrefix(s, `\sqrt`) && !strings.HasPrefix(s, `\sqrt[`):
			of, rest := argument(s[len(`\sqrt`):])
			b.WriteString(`\sqrt{` + fractions(of, depth+1) + "}")
			s = rest
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}

// argument is what a command applies to: a group in braces, a command, or one character.
func argument(s string) (arg, rest string) {
	if s == "" {
		return "", ""
	}
	switch s[0] {
	case '{':
		depth := 0
		for i := range len(s) {
			switch s[i] {
			case '{':
				depth++
			case '}':
				if depth--; depth == 0 {
					return s[1:i], s[i+1:]
				}
			}
		}
		return s[1:], ""
	case '\\':
		end := 1
		for end < len(s) && (s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z') {
			end++
		}
		return s[:end], s[end:]
	}
	return s[:1], s[1:]
}

// quotient is a/b, with the sign in front and sums in brackets.
func quotient(a, b string) string {
	sign := ""
	for _, x := range []*string{&a, &b} {
		if rest, ok := strings.CutPrefix(*x, "-"); ok && !strings.ContainsAny(rest, "+-") {
			*x = rest
			if sign == "" {
				sign = "-"
			} else {
				sign = ""
			}
		}
	}
	return sign + bracketed(a) + "/" + bracketed(b)
}

func bracketed(s string) string {
	if strings.ContainsAny(s, "+-*/") && !(strings.HasPrefix(s, "(") && enclosed(s)) {
		return "(" + s + ")"
	}
	return s
}

// mixed is sign (whole + top/under), in lowest terms.
func mixed(sign, whole, top, under string) (string, bool) {
	q, ok := new(big.Rat).SetString(top + "/" + under)
	if !ok {
		return "", false
	}
	w, _ := new(big.Rat).SetString(whole)
	q.Add(q, w)
	if sign != "" {
		q.Neg(q)
	}
	return q.RatString(), true
}
