package task

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check is a rule by which an answer to a question of a file is judged.
type Check string

// The checks. All but CheckContains look for the answer in what was said, as the tasks of the suite
// do; a longer answer with its reasoning is as good as a short one.
const (
	CheckNumber   Check = "number"   // the number after the last ####, else the last number
	CheckMath     Check = "math"     // the last \boxed{}, else what follows "answer is"; as a formula
	CheckChoice   Check = "choice"   // the letter after "answer is" or "answer:", else the last one
	CheckExact    Check = "exact"    // all of it, but for case, white space and outer punctuation
	CheckContains Check = "contains" // the answer occurs in it, but for white space
	CheckProgram  Check = "program"  // by running it, which is up to a judge of the user's
)

// judges say whether an output answers an item.
var judges = map[Check]func(it *Item, output string) bool{
	CheckNumber: func(it *Item, output string) bool {
		got, ok := lastNumber(output)
		return ok && got == it.Answer
	},
	CheckMath: func(it *Item, output string) bool {
		got, ok := mathAnswer(output)
		return ok && sameFormula(got, it.Answer)
	},
	CheckChoice: func(it *Item, output string) bool {
		got, ok := chosen(output, it.Options)
		return ok && got == it.Answer
	},
	CheckExact: func(it *Item, output string) bool {
		return len(output) <= maxTail && plain(output) == plain(it.Answer)
	},
	CheckContains: func(it *Item, output string) bool {
		return strings.Contains(joined(tail(output)), joined(it.Answer))
	},
}

// checkNames lists what an own question may ask for.
var checkNames = []Check{CheckNumber, CheckMath, CheckChoice, CheckExact, CheckContains}

// ParseCheck reads a check's name.
func ParseCheck(name string) (Check, error) {
	for _, c := range checkNames {
		if string(c) == name {
			return c, nil
		}
	}
	return "", fmt.Errorf(`"score" is %.40q, want one of %v`, name, checkNames)
}

// An integer or a decimal, its thousands perhaps parted by commas.
var (
	plainNumberRE = regexp.MustCompile(`(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?`)
	numberOnlyRE  = regexp.MustCompile(`^[-−]?\s*\$?\s*` + plainNumberRE.String() + `$`)
)

// lastNumber is the first number behind the last ####, or else the last number at all, in lowest
// terms.
func lastNumber(output string) (string, bool) {
	output = tail(output)
	which := -1
	if at := strings.LastIndex(output, marker); at >= 0 {
		output, which = output[at+len(marker):], 0
	}
	all := plainNumberRE.FindAllStringIndex(output, -1)
	if len(all) == 0 {
		return "", false
	}
	m := all[(which+len(all))%len(all)]
	return canonicalNumber(signBefore(output[:m[0]]) + output[m[0]:m[1]])
}

// signBefore is the sign of a number that follows a text: -5, -$5 and $-5 have one, 8-5 has not.
func signBefore(s string) string {
	s = strings.TrimRight(s, "$")
	for _, minus := range []string{"-", "−"} {
		if rest, ok := strings.CutSuffix(s, minus); ok {
			r, _ := utf8.DecodeLastRuneInString(strings.TrimRight(rest, "$"))
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(")]}", r) {
				return "-"
			}
		}
	}
	return ""
}

// The letter of a choice, in the order in which it is looked for.
var choiceREs = []*regexp.Regexp{
	regexp.MustCompile(`(?i:answer is):?\s*[*$]*\(?([A-J])\b`),
	regexp.MustCompile(`(?i:answer):\s*[*$]*\(?([A-J])\b`),
	regexp.MustCompile(`\b([A-J])\b`),
}

// chosen is the letter of one of n options.
func chosen(output string, n int) (string, bool) {
	output = tail(output)
	for _, re := range choiceREs {
		all := re.FindAllStringSubmatch(output, -1)
		for i := len(all) - 1; i >= 0; i-- {
			if letter := all[i][1]; int(letter[0]-'A') < n {
				return letter, true
			}
		}
	}
	return "", false
}

// joined is a text with single spaces.
func joined(s string) string { return strings.Join(strings.Fields(s), " ") }

// spaced is joined, in lower case.
func spaced(s string) string { return joined(strings.ToLower(s)) }

// plain is spaced without the punctuation around it.
func plain(s string) string { return strings.Trim(spaced(s), " .,;:!?\"'`*“”‘’") }
