package tokenizer

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var roundTrip = flag.Int("roundtrip", 1, "MB of random text that each tokenizer encodes and decodes")

// Text of every plane of Unicode comes back from each kind of tokenizer as it was. Seeds are fixed;
// -roundtrip 100 was run once.
func TestRoundTripOfUnicode(t *testing.T) {
	tokenizers := map[string]func(testing.TB) *Tokenizer{"house": house}
	if _, err := os.Stat(filepath.Join(dataDir, "tokenizers", "llama3", "encoder.json")); err == nil {
		tokenizers["Llama 3"] = llama3
		for _, m := range pieceModels {
			tokenizers[m.file] = func(tb testing.TB) *Tokenizer { return pieceModel(tb, m.file) }
		}
	}
	for name, open := range tokenizers {
		t.Run(name, func(t *testing.T) {
			tok := open(t)
			rng := rand.New(rand.NewPCG(21, 22))
			var ids []int32
			for done := 0; done < *roundTrip<<20; {
				text := unicodeText(rng, 4096)
				ids = tok.AppendEncode(ids[:0], text)
				if got := tok.Decode(ids); got != text {
					t.Fatalf("%q comes back as %q", text, got)
				}
				done += len(text)
			}
		})
	}
}

// unicodeText is about n bytes: runs of characters that lie near each other, between spaces. U+2581
// is left out: SentencePiece writes a space as that, and cannot tell them apart.
func unicodeText(rng *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		block := rng.IntN(1 << (7 + rng.IntN(14)))
		for range 1 + rng.IntN(12) {
			r := rune(block + rng.IntN(128))
			if utf8.ValidRune(r) && r != '▁' {
				b.WriteRune(r)
			}
		}
		b.WriteString([]string{"", " ", "  ", "\n", "\t", ". ", ", "}[rng.IntN(7)])
	}
	return b.String()
}
