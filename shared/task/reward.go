package task

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
)

// Rewards judge the form of an output alone, in [0, 1]; an empty output earns nothing. They serve
// the style tasks, and anyone who trains an expert on a wish of his own.

// styleOf holds the rewards by name.
var styleOf = map[string]func(output string) float64{
	"shout":  upperCase,
	"brief":  isShort,
	"french": isFrench,
	"polite": isPolite,
	"lower":  lowerCase,
	"long":   isLong,
}

// Reward returns a reward function by name: shout (upper case), brief (one or two words), french
// (share of French words), polite (opens with a courtesy), lower (no capitals), long (a dozen
// words or more), says:WORD (the output holds the word).
func Reward(name string) (func(prompt, output string) float64, error) {
	if word, ok := strings.CutPrefix(name, "says:"); ok && len(words(word)) == 1 {
		want := words(word)[0]
		return func(_, output string) float64 { return says(want, output) }, nil
	}
	if f, ok := styleOf[name]; ok {
		return func(_, output string) float64 { return f(output) }, nil
	}
	return nil, fmt.Errorf("task: reward: want one of %s, says:WORD, got %q",
		strings.Join(RewardNames(), " "), name)
}

// RewardNames lists the rewards without a parameter.
func RewardNames() []string {
	names := make([]string, 0, len(styleOf))
	for n := range styleOf {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) && r != '-' }

// words splits a text into its words in lower case.
func words(s string) []string { return strings.FieldsFunc(strings.ToLower(s), notLetter) }

// caseShare is the share of upper-case letters; ok is false without letters.
func caseShare(s string) (share float64, ok bool) {
	upper, all := 0, 0
	for _, r := range tail(s) {
		if unicode.IsLetter(r) {
			all++
			if unicode.IsUpper(r) {
				upper++
			}
		}
	}
	if all == 0 {
		return 0, false
	}
	return float64(upper) / float64(all), true
}

// upperCase grows from 0 at half capitals, far above any neutral sentence, to 1 at 95%.
func upperCase(s string) float64 {
	share, ok := caseShare(s)
	if !ok {
		return 0
	}
	return ramp(share, 0.5, 0.95)
}

func lowerCase(s string) float64 {
	if share, ok := caseShare(s); ok && share == 0 {
		return 1
	}
	return 0
}

// isShort is 1 for one or two words, 1/2 for three.
func isShort(s string) float64 {
	switch len(words(tail(s))) {
	case 1, 2:
		return 1
	case 3:
		return 0.5
	}
	return 0
}

// isLong grows to 1 at a dozen words.
func isLong(s string) float64 { return ramp(float64(len(words(tail(s)))), 0, 12) }

// isFrench is the share of words in the French lexicon, names left out, scaled so that half
// French is nothing and nine tenths is all.
func isFrench(s string) float64 {
	french, all := 0, 0
	for _, w := range words(tail(s)) {
		if worldNames[w] {
			continue
		}
		all++
		if frenchLexicon[w] {
			french++
		}
	}
	if all == 0 {
		return 0
	}
	return ramp(float64(french)/float64(all), 0.5, 0.9)
}

// isPolite wants a courtesy first and something said after it.
func isPolite(s string) float64 {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, c := range courtesies {
		if rest, ok := strings.CutPrefix(s, strings.ToLower(c)); ok && len(words(tail(rest))) >= 2 {
			return 1
		}
	}
	return 0
}

func says(word, output string) float64 {
	for _, w := range words(tail(output)) {
		if w == word {
			return 1
		}
	}
	return 0
}
