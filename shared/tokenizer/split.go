package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// The two patterns that are split by hand (nextWord). They differ in how numbers fall apart.
const (
	// PatternLlama3 is Llama 3's: up to three digits make a word.
	PatternLlama3 = patternHead + `\p{N}{1,3}` + patternTail
	// PatternSingleDigit makes every digit a word of its own, hence a token of its own.
	PatternSingleDigit = patternHead + `\p{N}` + patternTail

	patternHead = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`
	patternTail = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// class is what the patterns distinguish in a character.
type class uint8

const (
	other class = iota // none of the below; a byte that is not UTF-8 too
	letter
	number
	space
	newline // \r or \n, which are also \s
	ending  // past the end of the text
)

// asciiClass is the class of each ASCII character.
var asciiClass = func() (table [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		table[r] = classOf(r)
	}
	return table
}()

// classOf finds a character's class in Unicode's tables.
func classOf(r rune) class {
	switch {
	case r == '\r' || r == '\n':
		return newline
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// classAt is the class of the character at byte i of s and its length in bytes.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return ending, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// nextWord returns the end of the word that begins at byte i < len(s): the match there of
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)        contraction
//	[^\r\n\p{L}\p{N}]?\p{L}+            letters, after at most one mark or blank
//	\p{N}{1,digits}
//	 ?[^\s\p{L}\p{N}]+[\r\n]*           marks, after at most one blank, with line ends
//	\s*[\r\n]+ | \s+(?!\S) | \s+        white space
//
// the first that matches, as a backtracking engine would find it.
func nextWord(s string, i, digits int) int {
	c, n := classAt(s, i)
	end := i + n
	switch c {
	case letter:
		return run(s, end, letter)
	case number:
		for range digits - 1 {
			c, n := classAt(s, end)
			if c != number {
				break
			}
			end += n
		}
		return end
	case newline:
		return whiteSpace(s, i)
	}
	if s[i] == '\'' {
		if n := contraction(s[end:]); n > 0 {
			return end + n
		}
	}
	after, n := classAt(s, end)
	switch {
	case after == letter:
		return run(s, end+n, letter)
	case c == other:
		return run(s, run(s, end, other), newline)
	case s[i] == ' ' && after == other:
		return run(s, run(s, end+n, other), newline)
	}
	return whiteSpace(s, i)
}

// run skips characters of one class from byte i on.
func run(s string, i int, want class) int {
	for {
		c, n := classAt(s, i)
		if c != want {
			return i
		}
		i += n
	}
}

// contraction is the length of what follows the apostrophe in an English contraction that s
// begins with, 0 if none. Under Unicode's case folding U+017F, the long s, is an s.
func contraction(s string) int {
	if s == "" {
		return 0
	}
	switch s[0] | 0x20 {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if len(s) > 1 && s[1]|0x20 == 'e' {
			return 2
		}
	case 'l':
		if len(s) > 1 && s[1]|0x20 == 'l' {
			return 2
		}
	}
	if r, n := utf8.DecodeRuneInString(s); r == 'ſ' {
		return n
	}
	return 0
}

// whiteSpace ends a word that is white space from byte i on. A run that holds a line end is a
// word up to the last one; otherwise its last blank is left for the word after it, if any.
func whiteSpace(s string, i int) int {
	end, last, lineEnd := i, i, 0
	for {
		c, n := classAt(s, end)
		if c != space && c != newline {
			break
		}
		last = end
		end += n
		if c == newline {
			lineEnd = end
		}
	}
	switch {
	case lineEnd > 0:
		return lineEnd
	case end == len(s) || last == i:
		return end
	}
	return last
}
