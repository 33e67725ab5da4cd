package tokenizer

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// prose trains the small tokenizer of these tests: English, other scripts, code and numbers.
const prose = `It was the best of times, it was the worst of times, it was the age of wisdom, it was
the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the
season of Light, it was the season of Darkness, it was the spring of hope, it was the winter of
despair. We're sure that's what they'd said; I'll check, you've my word.

  func add(a, b int) int { return a + b } // 12 + 345 = 357, 2026-11-23
  for i := 0; i < 1000; i++ { total += add(i, 10) }

Ein Tier ist ein Tier; schöne Grüße aus Köln. Это была лучшая пора, это была худшая пора.
那是最好的時代，那是最壞的時代。 🦙 ¿Qué tal? Ça va? 🦙🦙
`

// house is a small tokenizer with the house template's specials.
func house(tb testing.TB) *Tokenizer {
	tb.Helper()
	t, err := houseOnce()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

var houseOnce = sync.OnceValues(func() (*Tokenizer, error) {
	texts := []string{prose, prose} // twice, so that every pair may merge
	return Train(slices.Values(texts), TrainOptions{VocabSize: 600, Specials: HouseSpecials()})
})

// written is what Write writes.
func written(tb testing.TB, t *Tokenizer) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := t.Write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// fragments are what randomText is made of: everything the patterns treat in its own way.
var fragments = []string{
	"a", "B", "é", "ſ", "漢", "字", "🦙", "한", "ا", "ñ", "x\u0304", "ﬁ", "ß", "К",
	"'s", "'LL", "'ve", "'rE", "'M", "'d", "'", "’s",
	" ", "  ", "   ", "\n", "\r\n", "\t", "\v", "\f", "\u0085", "\u00a0", "\u2003", "\u2028",
	"\u3000", "\u200b", "\u200d", "\ufeff", "\u180e",
	"1", "23", "456", "7890", "٣", "½", "Ⅷ", "²",
	"!", "...", "_", "-", " '", "~/", "€", "\x00", "\x7f", "\U0010ffff", "\ufffd",
	"<|end|>", "<|", "|>", "end", "the", " the",
}

// randomText is valid UTF-8 of up to n fragments.
func randomText(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range rng.IntN(n + 1) {
		if rng.IntN(8) == 0 {
			b.WriteRune(rune(rng.IntN(0xd800))) // any below the surrogates
		} else {
			b.WriteString(fragments[rng.IntN(len(fragments))])
		}
	}
	return b.String()
}

// randomBytes is text with broken characters in it.
func randomBytes(rng *rand.Rand, n int) string {
	b := []byte(randomText(rng, n))
	for range rng.IntN(4) {
		if len(b) > 0 {
			b[rng.IntN(len(b))] = byte(rng.IntN(256))
		}
	}
	if len(b) > 2 {
		b = b[rng.IntN(3):]
	}
	return string(b)
}
