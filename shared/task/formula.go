package task

import (
	"regexp"
	"slices"
	"strings"
)

// Answers of MATH are formulas in LaTeX. Two are the same where they are written alike once spacing,
// units and equal notations are put aside, or where both are the same rational number. That is
// weaker than computer algebra (2√3 and √12 differ here) and never calls two different values
// equal.

// mathAnswer is the formula that an output ends in.
func mathAnswer(output string) (string, bool) {
	output = tail(output)
	if s, ok := lastBoxed(output); ok {
		return s, strings.TrimSpace(s) != ""
	}
	if all := bareBoxRE.FindAllStringSubmatch(output, -1); len(all) > 0 {
		return all[len(all)-1][1], true
	}
	all := saidRE.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return "", false
	}
	s := strings.TrimRight(strings.TrimSpace(all[len(all)-1][1]), ".")
	return s, s != ""
}

var (
	bareBoxRE = regexp.MustCompile(`\\boxed\s+([^\s{}$.]+)`)
	saidRE    = regexp.MustCompile(`(?i:answer is)[: ]+([^\n]+)`)
)

// maxFormula bounds what is compared as a formula; what is longer must be the same byte for byte.
const maxFormula = 1024

// sameFormula compares two formulas.
func sameFormula(a, b string) bool {
	if a == b {
		return true
	}
	if len(a) > maxFormula || len(b) > maxFormula {
		return false
	}
	x, y := formulaOf(a), formulaOf(b)
	if sameValue(x, y) {
		return true
	}
	// (1,2) and [1,2) part by part, each in its place; 1,2 and {1,2} in any order.
	xs, openX, closeX := parts(x)
	ys, openY, closeY := parts(y)
	if len(xs) < 2 || len(xs) != len(ys) || openX != openY || closeX != closeY {
		return false
	}
	if openX == "" || openX == `\{` {
		return sameMembers(xs, ys)
	}
	return slices.EqualFunc(xs, ys, sameValue)
}

// sameMembers compares two lists without regard to their order.
func sameMembers(xs, ys []string) bool {
	ys = slices.Clone(ys)
	for _, x := range xs {
		at := slices.IndexFunc(ys, func(y string) bool { return sameValue(x, y) })
		if at < 0 {
			return false
		}
		ys = slices.Delete(ys, at, at+1)
	}
	return true
}

var wordRE = regexp.MustCompile(`^\pL\pL+$`)

// sameValue compares two parts in the notation of formulaOf.
func sameValue(x, y string) bool {
	if x == y {
		return x != ""
	}
	if wordRE.MatchString(x) {
		return strings.EqualFold(x, y)
	}
	p, ok := rational(x)
	if !ok {
		return false
	}
	q, ok := rational(y)
	return ok && p == q
}

var (
	thousandsRE = regexp.MustCompile(`^-?\d{1,3}(,\d{3})+(\.\d+)?$`)
	mixedRE     = regexp.MustCompile(`^(-?)(\d{1,9}) (\d{1,9})/(\d{1,9})$`)
)

// rational reads 5, -3, .5, 10,080, 5/6, -(5)/6 and 1 4/5 in lowest terms.
func rational(s string) (string, bool) {
	if thousandsRE.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	if strings.ContainsRune(s, ',') {
		return "", false
	}
	if m := mixedRE.FindStringSubmatch(s); m != nil {
		return mixed(m[1], m[2], m[3], m[4])
	}
	if rest, ok := strings.CutPrefix(s, "-."); ok {
		s = "-0." + rest
	} else if strings.HasPrefix(s, ".") {
		s = "0" + s
	}
	return canonicalNumber(s)
}

// parts splits a formula at the commas outside all brackets but the outermost.
func parts(s string) (list []string, open, close string) {
	for _, b := range [][2]string{{`\{`, `\}`}, {"(", ")"}, {"(", "]"}, {"[", ")"}, {"[", "]"}} {
		if len(s) > len(b[0])+len(b[1]) && strings.HasPrefix(s, b[0]) && strings.HasSuffix(s, b[1]) &&
			enclosed(s) {
			open, close = b[0], b[1]
			s = s[len(open) : len(s)-len(close)]
			break
		}
	}
	depth, from := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			if depth == 0 {
				list, from = append(list, s[from:i]), i+1
			}
		}
	}
	return append(list, s[from:]), open, close
}

// enclosed reports whether the bracket that opens s closes at its very end.
func enclosed(s string) bool {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth == 0 {
				return i == len(s)-1
			}
		}
	}
	return false
}
