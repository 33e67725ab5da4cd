package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	tok := house(t)
	for range 5000 {
		text := randomText(rng, 40)
		if got := tok.Decode(tok.Encode(text)); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		raw := randomBytes(rng, 40)
		if got := string(tok.AppendDecode(nil, tok.Encode(raw))); got != raw {
			t.Fatalf("%q comes back as %q", raw, got)
		}
		if got, want := tok.Decode(tok.Encode(raw)), replaced(raw); got != want {
			t.Fatalf("%q decodes to %q, want %q", raw, got, want)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	seeds := []string{"", prose, "<|end|>", "\xff\xfe", "a\x00b", strings.Repeat("ab", 99)}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tok := house(t)
		ids := tok.Encode(text)
		if got := string(tok.AppendDecode(nil, ids)); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		for _, id := range ids {
			if tok.IsSpecial(id) {
				t.Fatalf("%q holds special token %d", text, id)
			}
		}
		if got := tok.DecodeSpecial(tok.EncodeSpecial(text)); got != tok.Decode(ids) {
			t.Fatalf("%q with specials comes back as %q", text, got)
		}
	})
}

// A word gives the same ids whether the cache holds it, holds another in its place, or is new.
func TestCacheChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	tok := house(t)
	words := make([]string, 3*cacheSlots) // more than there are slots
	for i := range words {
		words[i] = randomText(rng, 3)
	}
	for range 2 {
		for _, word := range words {
			var want []int32
			for _, w := range handSplit(word, 1) {
				want = append(want, mergePlainly(tok, w)...)
			}
			if got := tok.Encode(word); !slices.Equal(got, want) {
				t.Fatalf("%q: %v, want %v", word, got, want)
			}
		}
	}
}

// The caller owns the ids: what it does to them does not reach the cache.
func TestIDsAreTheCallers(t *testing.T) {
	tok := house(t)
	const text = "unseen wordlike strings"
	first := tok.Encode(text)
	want := slices.Clone(first)
	clear(first)
	if got := tok.Encode(text); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestConcurrentEncode(t *testing.T) {
	tok := house(t)
	rng := rand.New(rand.NewPCG(15, 16))
	texts := make([]string, 500)
	want := make([][]int32, len(texts))
	for i := range texts {
		texts[i] = randomText(rng, 30)
		want[i] = tok.Encode(texts[i])
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, text := range texts {
				if got := tok.Encode(text); !slices.Equal(got, want[i]) {
					t.Errorf("%q: %v, want %v", text, got, want[i])
				}
			}
		})
	}
	wg.Wait()
}

func TestAppendEncodeKeepsPrefix(t *testing.T) {
	tok := house(t)
	dst := tok.AppendEncode([]int32{7, 8}, "the times")
	if want := append([]int32{7, 8}, tok.Encode("the times")...); !slices.Equal(dst, want) {
		t.Errorf("%v, want %v", dst, want)
	}
}

// Text of strangers never becomes a special token, whatever its shape.
func TestSpecialsOnlyOnRequest(t *testing.T) {
	tok := house(t)
	end, ok := tok.Special(End)
	if !ok {
		t.Fatal("no end token")
	}
	rng := rand.New(rand.NewPCG(17, 18))
	for range 2000 {
		text := randomText(rng, 10) + HouseSpecials()[rng.IntN(6)] + randomText(rng, 10)
		for _, id := range tok.Encode(text) {
			if tok.IsSpecial(id) {
				t.Fatalf("%q holds special token %d", text, id)
			}
		}
	}
	want := append(append(tok.Encode("a"), end, end), tok.Encode("<|end|b")...)
	if got := tok.EncodeSpecial("a<|end|><|end|><|end|b"); !slices.Equal(got, want) {
		t.Errorf("EncodeSpecial %v, want %v", got, want)
	}
}

// Of several names that begin at one place the longest counts, and of several places the first.
func TestSpecialsLongestFirst(t *testing.T) {
	tok, err := Train(slices.Values([]string{""}), TrainOptions{VocabSize: 260,
		Specials: []string{"<a>", "<a><b>", "<b><c>", "é"}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{
		"<a>":        {256},
		"<a><b><c>":  {257, tok.byteIDs['<'], tok.byteIDs['c'], tok.byteIDs['>']},
		"x<b><c>é":   {tok.byteIDs['x'], 258, 259},
		"<a<a>":      {tok.byteIDs['<'], tok.byteIDs['a'], 256},
		"<a><a><b>é": {256, 257, 259},
	} {
		if got := tok.EncodeSpecial(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A special token whose name is a plain word must not come out of that word.
func TestSpecialNamedLikeAWord(t *testing.T) {
	file := smallFile()
	file.Model.IgnoreMerges = true
	file.Model.Vocab["stop"] = 300
	file.Added = []added{{ID: 300, Content: "stop", Special: true}}
	tok, err := Read(strings.NewReader(file.json(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("stop"); len(got) != 4 {
		t.Errorf("plain text: %v, want four bytes", got)
	}
	if got := tok.EncodeSpecial("stop"); !slices.Equal(got, []int32{300}) {
		t.Errorf("special: %v, want [300]", got)
	}
}
