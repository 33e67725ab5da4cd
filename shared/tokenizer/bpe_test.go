package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// mergePlainly is the definition: the leftmost pair of lowest rank, again and again.
func mergePlainly(t *Tokenizer, word string) []int32 {
	var ids []int32
	for i := range len(word) {
		ids = append(ids, t.byteIDs[word[i]])
	}
	for {
		at, best := -1, merged{noMerge, 0}
		for i := range len(ids) - 1 {
			if m, ok := t.ranks[pair{ids[i], ids[i+1]}]; ok && m.rank < best.rank {
				at, best = i, m
			}
		}
		if at < 0 {
			return ids
		}
		ids = slices.Replace(ids, at, at+2, best.id)
	}
}

// randomMerges is a tokenizer whose merges join tokens over a few letters at random, so that
// orders, overlaps and several ways to one token all occur.
func randomMerges(tb testing.TB, rng *rand.Rand) *Tokenizer {
	tb.Helper()
	tr := newTrainer(nil)
	pool := []int32{tr.ids["a"], tr.ids["b"], tr.ids["c"]}
	known := map[pair]bool{}
	for range 60 {
		p := pair{pool[rng.IntN(len(pool))], pool[rng.IntN(len(pool))]}
		whole := tr.tokens[p.left] + tr.tokens[p.right]
		if known[p] || len(whole) > 12 {
			continue
		}
		known[p] = true
		tr.merges = append(tr.merges, p)
		id, again := tr.ids[whole]
		if !again {
			id = tr.token(whole)
		}
		pool = append(pool, id)
	}
	rng.Shuffle(len(tr.merges), func(i, j int) {
		tr.merges[i], tr.merges[j] = tr.merges[j], tr.merges[i]
	})
	pre, err := newPreTokenizer([]stage{{pattern: PatternSingleDigit}})
	if err != nil {
		tb.Fatal(err)
	}
	t, err := build(vocabulary{plain: tr.ids, merges: tr.merges, pre: pre})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// bytesOf is the tokens that a word begins as.
func bytesOf(tok *Tokenizer, word []byte) []int32 {
	ids := make([]int32, len(word))
	for i, b := range word {
		ids[i] = tok.byteIDs[b]
	}
	return ids
}

func TestMergesAreTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		tok := randomMerges(t, rng)
		for range 20 {
			word := make([]byte, 1+rng.IntN(maxLinear))
			for i := range word {
				word[i] = "abc"[rng.IntN(3)]
			}
			want := mergePlainly(tok, string(word))
			if got := tok.mergeShort(nil, bytesOf(tok, word)); !slices.Equal(got, want) {
				t.Fatalf("short, %s: %v, want %v", word, got, want)
			}
			if got := tok.mergeLong(nil, bytesOf(tok, word)); !slices.Equal(got, want) {
				t.Fatalf("long, %s: %v, want %v", word, got, want)
			}
		}
	}
}

func TestLongWordIsTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	tok := house(t)
	for range 10 {
		var b strings.Builder
		for b.Len() < 1500 {
			b.WriteString(strings.Fields(prose)[rng.IntN(100)])
		}
		got, want := tok.mergeWord(nil, b.String()), mergePlainly(tok, b.String())
		if !slices.Equal(got, want) {
			t.Fatalf("%s:\n got %v\nwant %v", b.String(), got, want)
		}
	}
}

// A megabyte without a space takes well under a second; n squared would take hours.
func TestMegabyteWord(t *testing.T) {
	for _, unit := range []string{"a", "the", "wasofit"} {
		text := strings.Repeat(unit, (1<<20)/len(unit))
		for _, tok := range []*Tokenizer{house(t), randomMerges(t, rand.New(rand.NewPCG(7, 8)))} {
			if got := tok.Decode(tok.Encode(text)); got != text {
				t.Fatalf("%q repeated does not come back", unit)
			}
		}
	}
}

func TestHeapSorts(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	less := func(a, b int) bool { return a < b }
	for range 100 {
		want := make([]int, rng.IntN(50))
		var h []int
		for i := range want {
			want[i] = rng.IntN(20)
			h = push(h, want[i], less)
		}
		slices.Sort(want)
		for i := range want {
			var got int
			if got, h = pop(h, less); got != want[i] {
				t.Fatalf("element %d is %d, want %d", i, got, want[i])
			}
		}
	}
}
