package tokenizer

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

// handSplit splits with nextWord.
func handSplit(text string, digits int) []string {
	var words []string
	for i := 0; i < len(text); {
		end := nextWord(text, i, digits)
		words = append(words, text[i:end])
		i = end
	}
	return words
}

// engines are the two patterns as a regular expression engine matches them. regexp2 folds case
// letter by letter and so misses that the long s is an s (TestLongS); the pattern says it.
var engines = map[int]*preTokenizer{1: engine(PatternSingleDigit), 3: engine(PatternLlama3)}

func engine(pattern string) *preTokenizer {
	pattern = strings.Replace(pattern, "(?i:'s|", "(?i:'[sſ]|", 1)
	return &preTokenizer{stages: []stage{
		{pattern: pattern, expr: regexp2.MustCompile(pattern, regexp2.None)}}}
}

// engineSplit splits with an engine.
func engineSplit(text string, digits int) []string {
	var words []string
	engines[digits].each(text, func(word string) { words = append(words, word) })
	return words
}

func TestNextWordTable(t *testing.T) {
	for _, c := range []struct{ text, single, llama3 string }{ // words joined by ¦
		{"", "", ""},
		{"Hello world", "Hello¦ world", ""},
		{"I'm we'LL 'twas 'sure", "I¦'m¦ we¦'LL¦ '¦twas¦ '¦sure", ""},
		{"'sure'", "'s¦ure¦'", ""},
		{"'re've're'x", "'re¦'ve¦'re¦'x", ""},
		{"2026 1234567", "2¦0¦2¦6¦ ¦1¦2¦3¦4¦5¦6¦7", "202¦6¦ ¦123¦456¦7"},
		{"a  b", "a¦ ¦ b", ""},
		{"a   ", "a¦   ", ""},
		{"a \n\n  b", "a¦ \n\n¦ ¦ b", ""},
		{"\n \n x", "\n \n¦ x", ""},
		{" \t\r\n", " \t\r\n", ""},
		{"end.\n\nNew", "end¦.\n\n¦New", ""},
		{" ...\n x", " ...\n¦ x", ""},
		{"  ...", " ¦ ...", ""},
		{"\t...", "\t¦...", ""},
		{"\tx", "\tx", ""},
		{"\u00a0x\u00a0!", "\u00a0x¦\u00a0¦!", ""},
		{"(x)_y", "(x¦)_¦y", ""},
		{" 7x", " ¦7¦x", ""},
		{"x̄y", "x¦\u0304y", ""},
		{"漢字🦙字", "漢字¦🦙字", ""},
		{"\xffab\xff\xfe", "\xffab¦\xff\xfe", ""},
		{"<|end|>", "<|¦end¦|>", ""},
	} {
		if c.llama3 == "" {
			c.llama3 = c.single
		}
		if got := strings.Join(handSplit(c.text, 1), "¦"); got != c.single {
			t.Errorf("single digits, %q: %q, want %q", c.text, got, c.single)
		}
		if got := strings.Join(handSplit(c.text, 3), "¦"); got != c.llama3 {
			t.Errorf("Llama 3, %q: %q, want %q", c.text, got, c.llama3)
		}
	}
}

func TestNextWordIsThePattern(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8000 {
		text := randomBytes(rng, 20)
		for _, digits := range []int{1, 3} {
			got, want := handSplit(text, digits), engineSplit(text, digits)
			if !slices.Equal(got, want) {
				t.Fatalf("%d digits, %q:\n got %q\nwant %q", digits, text, got, want)
			}
		}
	}
}

// Every character alone, and between letters, digits, blanks and marks.
func TestNextWordEveryCharacter(t *testing.T) {
	step := rune(1)
	if testing.Short() {
		step = 17
	}
	for r := rune(0); r < 0x3400; r += step {
		c := string(r)
		text := c + "a" + c + " " + c + "!" + c + "\n" + c + "7" + c + c
		if got, want := handSplit(text, 3), engineSplit(text, 3); !slices.Equal(got, want) {
			t.Fatalf("%U, %q:\n got %q\nwant %q", r, text, got, want)
		}
	}
}

// Unicode folds the long s to s, as Oniguruma and Rust's engine do, and Go's.
func TestLongS(t *testing.T) {
	if !regexp.MustCompile(`^(?i:'s)$`).MatchString("'ſ") {
		t.Fatal("Go's engine does not fold the long s")
	}
	if got := handSplit("it'ſo", 1); !slices.Equal(got, []string{"it", "'ſ", "o"}) {
		t.Errorf("split %q", got)
	}
}

func FuzzNextWord(f *testing.F) {
	for _, seed := range fragments {
		f.Add(seed + " " + seed)
	}
	f.Add(prose)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<10 {
			return
		}
		for _, digits := range []int{1, 3} {
			got, want := handSplit(text, digits), engineSplit(text, digits)
			if !slices.Equal(got, want) {
				t.Fatalf("%d digits, %q:\n got %q\nwant %q", digits, text, got, want)
			}
		}
	})
}

func TestStages(t *testing.T) {
	p, err := newPreTokenizer([]stage{{pattern: "[0-9]"}, {pattern: ".", quoted: true}})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	p.each("é12.x..3\xffy", func(word string) { words = append(words, word) })
	want := []string{"é", "1", "2", ".", "x", ".", ".", "3", "\xffy"}
	if !slices.Equal(words, want) {
		t.Errorf("words %q, want %q", words, want)
	}
}

// A pattern that matches nothing at all, everywhere, must neither hang nor lose text.
func TestEmptyMatches(t *testing.T) {
	p, err := newPreTokenizer([]stage{{pattern: "x*"}})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	p.each("axxb漢", func(word string) { words = append(words, word) })
	if got := strings.Join(words, ""); got != "axxb漢" {
		t.Errorf("words %q", words)
	}
}

// A pattern that backtracks without end gives up and keeps the text.
func TestEndlessPattern(t *testing.T) {
	p, err := newPreTokenizer([]stage{{pattern: "(a+)+$"}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("a", 60) + "b"
	var words []string
	p.each(text, func(word string) { words = append(words, word) })
	if got := strings.Join(words, ""); got != text {
		t.Errorf("words %q", words)
	}
}

func TestPatternErrors(t *testing.T) {
	many := make([]stage, maxStages+1)
	for _, stages := range [][]stage{
		many, {{pattern: ""}}, {{pattern: "(a"}}, {{pattern: strings.Repeat("a", maxPattern+1)}},
	} {
		if _, err := newPreTokenizer(stages); err == nil {
			t.Errorf("%d stages, %.20q: no error", len(stages), stages[0].pattern)
		}
	}
}
