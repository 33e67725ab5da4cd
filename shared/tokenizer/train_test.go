package tokenizer

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// trainPlainly is the definition: recount everything before each merge.
func trainPlainly(texts []string, size int) (tokens []string, merges [][2]string) {
	counts := map[string]int{}
	for _, text := range texts {
		for _, word := range handSplit(text, 1) {
			counts[word]++
		}
	}
	words := map[string][]string{}
	for word := range counts {
		for i := range len(word) {
			words[word] = append(words[word], word[i:i+1])
		}
	}
	have := map[string]bool{}
	for len(tokens) < size-256 {
		pairs := map[[2]string]int{}
		for word, parts := range words {
			for i := range len(parts) - 1 {
				pairs[[2]string{parts[i], parts[i+1]}] += counts[word]
			}
		}
		var best [2]string
		for p, n := range pairs {
			top := pairs[best]
			if n > top || n == top && slices.Compare(p[:], best[:]) < 0 {
				best = p
			}
		}
		if pairs[best] < minPairCount {
			break
		}
		if !slices.Contains(merges, best) {
			merges = append(merges, best)
		}
		if whole := best[0] + best[1]; !have[whole] {
			have[whole] = true
			tokens = append(tokens, whole)
		}
		for word, parts := range words {
			var joined []string
			for i := 0; i < len(parts); i++ {
				if i+1 < len(parts) && parts[i] == best[0] && parts[i+1] == best[1] {
					joined = append(joined, best[0]+best[1])
					i++
				} else {
					joined = append(joined, parts[i])
				}
			}
			words[word] = joined
		}
	}
	return tokens, merges
}

// sameAsPlain trains both ways and compares tokens and merges.
func sameAsPlain(t *testing.T, texts []string, size int) {
	t.Helper()
	tok, err := Train(slices.Values(texts), TrainOptions{VocabSize: size})
	if err != nil {
		t.Fatal(err)
	}
	tokens, merges := trainPlainly(texts, size)
	if got := tok.tokens[256:]; !slices.Equal(got, tokens) {
		t.Fatalf("%.80q:\n got %q\nwant %q", texts, got, tokens)
	}
	var got [][2]string
	for _, p := range tok.merges {
		got = append(got, [2]string{tok.tokens[p.left], tok.tokens[p.right]})
	}
	if !slices.Equal(got, merges) {
		t.Fatalf("%.80q:\n got %q\nwant %q", texts, got, merges)
	}
}

func TestTrainIsTheDefinition(t *testing.T) {
	sameAsPlain(t, []string{prose, prose}, 420)
	rng := rand.New(rand.NewPCG(23, 24))
	for range 60 { // few letters: ties, overlaps, several ways to one token
		var b strings.Builder
		for range 200 {
			b.WriteByte("aaabbc "[rng.IntN(7)])
		}
		sameAsPlain(t, []string{b.String()}, 256+rng.IntN(60))
	}
}

func TestTrainKnownMerges(t *testing.T) {
	tok, err := Train(slices.Values([]string{"low low low lower lowest newest newest 2026 2026"}),
		TrainOptions{VocabSize: 270, Specials: HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lo", "low", " low", "es", "est", " n", " ne", " new"}
	if got := tok.tokens[256:264]; !slices.Equal(got, want) {
		t.Errorf("tokens %q, want %q", got, want)
	}
	for i, name := range HouseSpecials() {
		if id, ok := tok.Special(name); !ok || id != int32(264+i) {
			t.Errorf("%s is %d, %v, want %d", name, id, ok, 264+i)
		}
	}
	if got := tok.VocabSize(); got != 270 {
		t.Errorf("VocabSize %d, want 270", got)
	}
}

// The first 256 ids are the bytes in the order of Llama 3.
func TestTrainByteOrder(t *testing.T) {
	tok := house(t)
	order := map[string]int32{"!": 0, "~": 93, "\xa1": 94, "\n": 198, " ": 220, "\xad": 255}
	for raw, want := range order {
		if got := tok.ordinary[raw]; got != want {
			t.Errorf("%q is %d, want %d", raw, got, want)
		}
	}
}

// Every digit is a token of its own, however often numbers repeat.
func TestTrainSingleDigits(t *testing.T) {
	tok, err := Train(slices.Values([]string{strings.Repeat("1234 12 x12 ", 50)}),
		TrainOptions{VocabSize: 300})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tok.tokens {
		if len(token) > 1 && strings.ContainsAny(token, "0123456789") {
			t.Errorf("token %q", token)
		}
	}
}

// The result is the same in whatever order the texts come, and its file byte for byte.
func TestTrainDeterministic(t *testing.T) {
	lines := strings.SplitAfter(prose+prose, "\n\n")
	var first []byte
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 25))
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		tok, err := Train(slices.Values(lines), TrainOptions{VocabSize: 500})
		if err != nil {
			t.Fatal(err)
		}
		file := written(t, tok)
		if first == nil {
			first = file
		} else if !bytes.Equal(file, first) {
			t.Fatalf("shuffle %d makes another vocabulary", seed)
		}
	}
}

func TestTrainRunsOut(t *testing.T) {
	for _, texts := range [][]string{nil, {""}, {"abcdef"}, {"a a a a"}} {
		opts := TrainOptions{VocabSize: 1000, Specials: []string{"<x>"}}
		tok, err := Train(slices.Values(texts), opts)
		if err != nil {
			t.Fatal(err)
		}
		if id, _ := tok.Special("<x>"); int(id) != tok.VocabSize()-1 || tok.VocabSize() > 258 {
			t.Errorf("%q: special %d of %d", texts, id, tok.VocabSize())
		}
	}
}

func TestTrainLongToken(t *testing.T) {
	text := strings.Repeat(strings.Repeat("a", 3*maxToken)+" ", 3)
	tok, err := Train(slices.Values([]string{text}), TrainOptions{VocabSize: 300})
	if err != nil {
		t.Fatal(err)
	}
	longest := 0
	for _, token := range tok.tokens {
		longest = max(longest, len(token))
	}
	if longest != maxToken {
		t.Errorf("longest token has %d bytes, want %d", longest, maxToken)
	}
}

// The corpus is pulled one text at a time: it need not fit in memory.
func TestTrainStreams(t *testing.T) {
	var corpus iter.Seq[string] = func(yield func(string) bool) {
		for i := range 1000 {
			if !yield(fmt.Sprintf("text number %d of the corpus", i)) {
				return
			}
		}
	}
	tok, err := Train(corpus, TrainOptions{VocabSize: 290})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(tok.Encode("text number of the corpus")); got != 5 {
		t.Errorf("%d tokens, want 5: %v", got, tok.Encode("text number of the corpus"))
	}
}

func TestTrainErrors(t *testing.T) {
	for name, opts := range map[string]TrainOptions{
		"too small":        {VocabSize: 255},
		"no room":          {VocabSize: 256, Specials: []string{"x"}},
		"too large":        {VocabSize: maxVocab + 1},
		"special twice":    {VocabSize: 300, Specials: []string{"x", "x"}},
		"special empty":    {VocabSize: 300, Specials: []string{""}},
		"special not UTF8": {VocabSize: 300, Specials: []string{"\xff"}},
		"pattern":          {VocabSize: 300, Pattern: "("},
	} {
		if _, err := Train(slices.Values([]string{"a"}), opts); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "tokenizer: train: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrainDefaultPattern(t *testing.T) {
	for size, digits := range map[int]int{256: 1, bigVocab - 1: 1, bigVocab: 3} {
		tok, err := Train(slices.Values([]string{"a"}), TrainOptions{VocabSize: size})
		if err != nil {
			t.Fatal(err)
		}
		if tok.pre.digits != digits {
			t.Errorf("vocabulary of %d: %d digits, want %d", size, tok.pre.digits, digits)
		}
	}
}
