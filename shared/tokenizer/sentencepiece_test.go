package tokenizer

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The SentencePiece models of the test material, and how many ids each has.
var pieceModels = []struct {
	file string
	size int
}{
	{"tokenizers/llama2/tokenizer.model", 32000}, {"tokenizers/mistral-v1.model", 32000},
	{"tokenizers/mistral-v3/tokenizer.model", 32768},
}

func pieceModel(tb testing.TB, file string) *Tokenizer {
	tb.Helper()
	t, err := ReadSentencePiece(bytes.NewReader(openData(tb, file)))
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// vectors are ids from outside. Decode's options are llama-tokenizer-js's: bos drops a leading <s>,
// space the space in front.
type pieceVectors struct {
	Encode []struct {
		Text string
		IDs  []int32
	}
	Decode []struct {
		Text       string
		IDs        []int32
		BOS, Space bool
	}
}

func TestSentencePieceVectors(t *testing.T) {
	for _, c := range []struct{ model, vectors string }{
		{pieceModels[0].file, "tokenizers/llama2/vectors.json"},
		{pieceModels[1].file, "tokenizers/mistral-v1-vectors.json"},
	} {
		for source, tok := range everySource(t, pieceModel(t, c.model)) {
			checkPieceVectors(t, tok, source+" "+c.vectors, openData(t, c.vectors))
		}
	}
}

func checkPieceVectors(t *testing.T, tok *Tokenizer, name string, data []byte) {
	var v pieceVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Encode) != 12 {
		t.Fatalf("%s: %d vectors, want 12", name, len(v.Encode))
	}
	for _, e := range v.Encode {
		if got := append([]int32{1}, tok.Encode(e.Text)...); !slices.Equal(got, e.IDs) {
			t.Errorf("%s: encode %.60q:\n got %v\nwant %v", name, e.Text, got, e.IDs)
		}
		if got := tok.Decode(e.IDs); got != e.Text {
			t.Errorf("%s: decode gives %q, want %q", name, got, e.Text)
		}
	}
	for _, d := range v.Decode {
		ids := d.IDs
		if d.BOS && ids[0] == 1 {
			ids = ids[1:]
		}
		got := tok.DecodeSpecial(ids)
		if d.Space {
			got = strings.TrimPrefix(got, " ")
		}
		if got != d.Text {
			t.Errorf("%s: decode %v: %q, want %q", name, d.IDs, got, d.Text)
		}
		if d.BOS && d.Space && tok.Decode(d.IDs) != d.Text {
			t.Errorf("%s: Decode %v: %q, want %q", name, d.IDs, tok.Decode(d.IDs), d.Text)
		}
	}
}

// everySource is a tokenizer with what its tokenizer.json and its entries, as a GGUF holds them,
// give.
func everySource(t *testing.T, tok *Tokenizer) map[string]*Tokenizer {
	t.Helper()
	fromJSON, err := ReadAny(bytes.NewReader(written(t, tok)))
	if err != nil {
		t.Fatal(err)
	}
	_, prefix := tok.SentencePiece()
	fromEntries, err := NewSentencePiece(tok.Entries(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewSentencePiece(fromJSON.Entries(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Tokenizer{"model": tok, "json": fromJSON, "entries": fromEntries,
		"json's entries": again}
}

// Each source gives the same ids, which decode to the text, whole and in a stream.
func TestSentencePieceSources(t *testing.T) {
	for _, m := range pieceModels {
		sources := everySource(t, pieceModel(t, m.file))
		if n := sources["model"].VocabSize(); n != m.size {
			t.Errorf("%s: %d ids, want %d", m.file, n, m.size)
		}
		rng := rand.New(rand.NewPCG(7, 7))
		for range 3000 {
			text := strings.ReplaceAll(randomText(rng, 40), spaceMark, "")
			if rng.IntN(3) == 0 {
				text = randomBytes(rng, 40)
			}
			text += strings.Repeat(" ", rng.IntN(40))
			want := sources["model"].Encode(text)
			for name, tok := range sources {
				if got := tok.Encode(text); !slices.Equal(got, want) {
					t.Fatalf("%s, %s: %q:\n got %v\nwant %v", m.file, name, text, got, want)
				}
			}
			checkPieceDecode(t, sources["model"], text, want)
		}
	}
}

func checkPieceDecode(t *testing.T, tok *Tokenizer, text string, ids []int32) {
	t.Helper()
	plain := strings.ReplaceAll(text, spaceMark, " ")
	if got := string(tok.AppendDecode(nil, ids)); got != plain {
		t.Fatalf("%q comes back as %q", text, got)
	}
	d := tok.NewDecoder()
	for range 2 { // a decoder starts anew after Flush
		var stream strings.Builder
		for _, id := range ids {
			piece := d.Push(id)
			if !utf8.ValidString(piece) {
				t.Fatalf("%q: %q in the stream", text, piece)
			}
			stream.WriteString(piece)
		}
		stream.WriteString(d.Flush())
		if stream.String() != tok.Decode(ids) {
			t.Fatalf("%q streams as %q", text, stream.String())
		}
	}
}

// Words apart and a whole text at once are the same, as no piece has a space inside.
func TestSentencePieceWords(t *testing.T) {
	tok := pieceModel(t, pieceModels[0].file)
	if !tok.pieces.words {
		t.Fatal("the model has pieces with a space inside")
	}
	rng := rand.New(rand.NewPCG(8, 8))
	for range 500 {
		text := " " + randomText(rng, 60)
		if got, want := tok.appendSpaced(nil, text), tok.mergeWord(nil, text); !slices.Equal(got, want) {
			t.Fatalf("%q:\n got %v\nwant %v", text, got, want)
		}
	}
}

// tinyPieces has the 256 byte tokens first, then "a", "b", " " and what more says.
func tinyPieces(more ...Entry) []Entry {
	var entries []Entry
	for b := range 256 {
		entries = append(entries, Entry{Text: byteName(byte(b)), Kind: EntryByte})
	}
	for _, text := range []string{"a", "b", spaceMark} {
		entries = append(entries, Entry{Text: text, Kind: EntryNormal, Score: -100})
	}
	return append(entries, more...)
}

// Of pairs that make pieces of one score the leftmost merges, whatever the pieces.
func TestSentencePieceTies(t *testing.T) {
	tok, err := NewSentencePiece(tinyPieces(Entry{"ab", EntryNormal, -1}, Entry{"ba", EntryNormal, -1},
		Entry{"<u>", EntryUser, 0}, Entry{"</s>", EntryControl, 0}), false)
	if err != nil {
		t.Fatal(err)
	}
	const a, b, ab, ba, user = 256, 257, 259, 260, 261
	for text, want := range map[string][]int32{
		"aba": {ab, a}, "bab": {ba, b}, "abab": {ab, ab}, "a<u>b": {a, user, b},
		"c": {'c'}, "</s>": {'<', '/', 's', '>'},
	} {
		if got := tok.Encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if got := tok.EncodeSpecial("a</s>"); !slices.Equal(got, []int32{a, 262}) {
		t.Errorf("special: %v", got)
	}
}

func TestSentencePieceRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		entries []Entry
		want    string
	}{
		"no bytes":    {[]Entry{{"a", EntryNormal, 0}}, "byte token <0x00> is missing"},
		"twice":       {tinyPieces(Entry{"a", EntryNormal, 0}), `both "a"`},
		"byte twice":  {tinyPieces(Entry{"<0x00>", EntryByte, 0}), "both <0x00>"},
		"no byte":     {tinyPieces(Entry{"<0xZZ>", EntryByte, 0}), "<0xZZ>"},
		"kind":        {tinyPieces(Entry{"x", 9, 0}), "kind 9"},
		"empty":       {tinyPieces(Entry{"", EntryNormal, 0}), "0 bytes"},
		"empty added": {tinyPieces(Entry{"", EntryControl, 0}), "0 bytes"},
	} {
		_, err := NewSentencePiece(c.entries, true)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func BenchmarkEncodeLlama2(b *testing.B) {
	tok := pieceModel(b, pieceModels[0].file)
	text := english(b)
	b.Run("english", func(b *testing.B) { benchmarkEncode(b, tok, text) })
	b.Run("no cache", func(b *testing.B) { // words that were never seen before
		b.SetBytes(int64(len(text)))
		var ids []int32
		for b.Loop() {
			ids = ids[:0]
			for _, word := range strings.SplitAfter(text, " ") {
				ids = tok.mergeWord(ids, word)
			}
		}
	})
	b.Run("no spaces", func(b *testing.B) {
		benchmarkEncode(b, tok, strings.Repeat("thebestoftimes", 20000))
	})
}
