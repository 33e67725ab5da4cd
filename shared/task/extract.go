package task

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// Extract returns what counts as the answer in a model's output, by the rules of the task:
//
//	math            the number after the last ####
//	math-hard       the rational in the last balanced \boxed{}
//	reasoning(-hard) the word after the last "answer is", else the only word
//	code(-complete) the program, out of its fence if it has one
//	classify        math, code, reasoning or other, in the first \boxed{}
//	styles          the text itself, without surrounding space
//
// It returns false when there is no answer or no such task. Time is linear in the output.
func Extract(task, output string) (string, bool) {
	switch task {
	case "math":
		return extractMarked(output)
	case "math-hard":
		return extractBoxedNumber(output)
	case "reasoning", "reasoning-hard":
		return extractOption(output)
	case "code", "code-complete":
		return extractProgram(output)
	case "classify":
		return extractClass(output)
	}
	if !slices.Contains(styleNames, task) {
		return "", false
	}
	text := strings.TrimSpace(output)
	return text, text != ""
}

// marker ends every worked answer of the math task, as in GSM8K.
const marker = "####"

var numberRE = regexp.MustCompile(`^\s*\$?(-?\d[\d,]*(?:\.\d+)?)`)

func extractMarked(output string) (string, bool) {
	at := strings.LastIndex(output, marker)
	if at < 0 {
		return "", false
	}
	rest := output[at+len(marker):]
	m := numberRE.FindStringSubmatch(rest[:min(len(rest), maxNumber+8)])
	if m == nil {
		return "", false
	}
	return canonicalNumber(m[1])
}

// maxNumber bounds the characters of a number: longer ones are no answer to any question here.
const maxNumber = 32

var rationalRE = regexp.MustCompile(`^-?\d+(\.\d+|/\d+)?$`)

// canonicalNumber writes an integer, decimal or fraction in lowest terms: "0.50" is "1/2".
func canonicalNumber(s string) (string, bool) {
	s = strings.ReplaceAll(strings.TrimSpace(s), ",", "")
	if len(s) > maxNumber || !rationalRE.MatchString(s) {
		return "", false
	}
	q, ok := new(big.Rat).SetString(s) // refuses a zero denominator
	if !ok {
		return "", false
	}
	return q.RatString(), true
}

var (
	fracRE   = regexp.MustCompile(`^(-?)\\[dt]?frac\{(-?\d+)\}\{(-?\d+)\}$`)
	assignRE = regexp.MustCompile(`^[a-z]\s*=\s*`)
)

// extractBoxedNumber reads 5, -3, 0.5, 5/6, \frac{5}{6} and x=5.
func extractBoxedNumber(output string) (string, bool) {
	s, ok := lastBoxed(output)
	if !ok || len(s) > 2*maxNumber {
		return "", false
	}
	s = strings.TrimSpace(strings.Trim(strings.TrimSpace(s), "$"))
	s = assignRE.ReplaceAllString(s, "")
	if m := fracRE.FindStringSubmatch(s); m != nil {
		s = strings.ReplaceAll(m[1]+m[2]+"/"+m[3], "--", "")
		if strings.HasPrefix(m[3], "-") { // big.Rat wants the sign in front
			s = strings.ReplaceAll("-"+m[1]+m[2]+"/"+m[3][1:], "--", "")
		}
	}
	return canonicalNumber(s)
}

const boxed = `\boxed{`

// lastBoxed returns the content of the last \boxed{} whose braces balance, in one pass.
func lastBoxed(s string) (string, bool) { return boxedContent(s, true) }

// firstBoxed returns the content of the first \boxed{} to close outside any other.
func firstBoxed(s string) (string, bool) { return boxedContent(s, false) }

func boxedContent(s string, last bool) (content string, found bool) {
	type open struct {
		at    int
		boxed bool
	}
	var stack []open
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			if len(stack) == maxBraces { // deeper nesting than any formula: not an answer
				return content, found
			}
			stack = append(stack, open{i + 1, strings.HasSuffix(s[:i+1], boxed)})
		case '}':
			if len(stack) == 0 {
				continue
			}
			o := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if o.boxed {
				content, found = s[o.at:i], true
				if !last {
					return content, true
				}
			}
		}
	}
	return content, found
}

const maxBraces = 64

// An option is one word, perhaps with an article, the last of its sentence.
var (
	answerIsRE = regexp.MustCompile(`(?i)answer(?: is|:)\s*(?:the )?(\pL+)\s*(?:[.!\n]|$)`)
	loneRE     = regexp.MustCompile(`(?i)^\s*(?:the )?(\pL+)[.!]?\s*$`)
)

func extractOption(output string) (string, bool) {
	output = tail(output)
	for _, re := range []*regexp.Regexp{answerIsRE, loneRE} {
		if all := re.FindAllStringSubmatch(output, -1); len(all) > 0 {
			return all[len(all)-1][1], true
		}
	}
	return "", false
}

// maxTail bounds what is searched for an option; an answer ends with it.
const maxTail = 1 << 14

func tail(s string) string {
	if len(s) > maxTail {
		return s[len(s)-maxTail:]
	}
	return s
}

// extractProgram takes the first fenced block if there is one, else everything.
func extractProgram(output string) (string, bool) {
	if len(output) > maxTail {
		return "", false
	}
	if _, after, ok := strings.Cut(output, "```"); ok {
		after = strings.TrimPrefix(strings.TrimPrefix(after, "python"), "starlark")
		output, _, _ = strings.Cut(strings.TrimPrefix(after, "\n"), "```")
	}
	output = strings.TrimRight(strings.ReplaceAll(output, "\r\n", "\n"), " \t\n")
	return output, strings.TrimSpace(output) != ""
}

func extractClass(output string) (string, bool) {
	s, ok := firstBoxed(output)
	if !ok {
		return "", false
	}
	switch s = strings.TrimSpace(s); s {
	case LabelMath, LabelCode, LabelReasoning, LabelOther:
		return s, true
	}
	return "", false
}

// exact scores 1 when the extracted answer is the gold answer.
func exact(it *Item, output string) float64 {
	if got, ok := Extract(it.Task, output); ok && got == it.Answer {
		return 1
	}
	return 0
}
