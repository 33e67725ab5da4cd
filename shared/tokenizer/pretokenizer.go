package tokenizer

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// patternGPT2 is what ByteLevel splits by when "use_regex" is set.
const patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

const (
	maxPattern = 4096 // bytes
	maxStages  = 8
	// matchTimeout ends a match of an unknown pattern that backtracks without end. The rest of
	// the text is then not split, which loses nothing but compression.
	matchTimeout = time.Second
)

// preTokenizer splits a text into words. Their concatenation is always the text.
type preTokenizer struct {
	stages []stage // each splits what the one before it left
	digits int     // 1 or 3: the stages are one known pattern, which nextWord does; else 0
}

// stage splits at every match of one pattern: matches and what lies between them are words.
type stage struct {
	pattern string
	quoted  bool // the pattern is a plain string
	expr    *regexp2.Regexp
}

// newPreTokenizer prepares the stages, which need only pattern and quoted.
func newPreTokenizer(stages []stage) (preTokenizer, error) {
	if len(stages) > maxStages {
		return preTokenizer{}, fmt.Errorf("%d split patterns, want at most %d",
			len(stages), maxStages)
	}
	if len(stages) == 1 && !stages[0].quoted {
		switch stages[0].pattern {
		case PatternLlama3:
			return preTokenizer{stages: stages, digits: 3}, nil
		case PatternSingleDigit:
			return preTokenizer{stages: stages, digits: 1}, nil
		}
	}
	for i := range stages {
		s := &stages[i]
		if s.pattern == "" || len(s.pattern) > maxPattern {
			return preTokenizer{}, fmt.Errorf("a split pattern of %d bytes, want 1 to %d",
				len(s.pattern), maxPattern)
		}
		pattern := s.pattern
		if s.quoted {
			pattern = regexp2.Escape(pattern)
		}
		expr, err := regexp2.Compile(pattern, regexp2.None)
		if err != nil {
			return preTokenizer{}, fmt.Errorf("split pattern %.80q: %w", s.pattern, err)
		}
		expr.MatchTimeout = matchTimeout
		s.expr = expr
	}
	return preTokenizer{stages: stages}, nil
}

// each calls yield for every word of text, in order.
func (p *preTokenizer) each(text string, yield func(word string)) {
	if p.digits > 0 {
		for i := 0; i < len(text); {
			end := nextWord(text, i, p.digits)
			yield(text[i:end])
			i = end
		}
		return
	}
	if text != "" {
		gaveUp := false
		p.from(0, text, &gaveUp, yield)
	}
}

// from applies the stages from number n on to text, which is not empty. Once a stage gave up,
// nothing more is split.
func (p *preTokenizer) from(n int, text string, gaveUp *bool, yield func(word string)) {
	if n == len(p.stages) || *gaveUp {
		yield(text)
		return
	}
	err := p.stages[n].split(text, func(word string) { p.from(n+1, word, gaveUp, yield) })
	if err != nil {
		*gaveUp = true
	}
}

// split yields the matches in text and what lies between them, and all of the text also if it
// returns an error, matchTimeout's.
func (s *stage) split(text string, yield func(word string)) error {
	start, at, runes := 0, 0, 0 // bytes yielded; a place in text, in bytes and in runes
	seek := func(rune int) int {
		for ; runes < rune; runes++ {
			_, n := utf8.DecodeRuneInString(text[at:])
			at += n
		}
		return at
	}
	m, err := s.expr.FindStringMatch(text)
	for m != nil && err == nil {
		from := seek(m.Index)
		to := seek(m.Index + m.Length)
		if from > start {
			yield(text[start:from])
		}
		if to > from {
			yield(text[from:to])
		}
		start = to
		m, err = s.expr.FindNextMatch(m)
	}
	if start < len(text) {
		yield(text[start:])
	}
	return err
}
