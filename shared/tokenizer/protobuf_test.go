package tokenizer

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modelFile writes a tokenizer.model; settings are fields of the trainer (2) and the normalizer
// (3).
func modelFile(entries []Entry, trainer, normalizer []byte) []byte {
	var out []byte
	for _, e := range entries {
		piece := message(1, []byte(e.Text))
		piece = append(piece, 2<<3|5)
		piece = binary.LittleEndian.AppendUint32(piece, math.Float32bits(e.Score))
		if e.Kind != EntryNormal { // which is what a file leaves out
			piece = append(piece, varint(3, uint64(e.Kind))...)
		}
		out = append(out, message(1, piece)...)
	}
	return append(append(out, message(2, trainer)...), message(3, normalizer)...)
}

func message(field uint64, data []byte) []byte {
	out := binary.AppendUvarint(nil, field<<3|2)
	out = binary.AppendUvarint(out, uint64(len(data)))
	return append(out, data...)
}

func varint(field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, field<<3), v)
}

// BPE is trainer's field 3; normalizer's 4 says whether spaces that repeat are removed.
var bpe, keepSpaces = varint(3, 2), varint(4, 0)

func TestReadSentencePiece(t *testing.T) {
	entries := tinyPieces(Entry{"ab", EntryNormal, -1}, Entry{"<s>", EntryControl, 0})
	tok, err := ReadSentencePiece(bytes.NewReader(modelFile(entries, bpe, keepSpaces)))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("ab b"); !slices.Equal(got, []int32{258, 259, 258, 257}) {
		t.Errorf("%v", got)
	}
	bare := slices.Concat(keepSpaces, varint(3, 0))
	tok, err = ReadSentencePiece(bytes.NewReader(modelFile(entries, bpe, bare)))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("ab"); !slices.Equal(got, []int32{259}) {
		t.Errorf("without a space in front: %v", got)
	}
}

func TestReadSentencePieceRefusals(t *testing.T) {
	entries := tinyPieces()
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":      {nil, "no pieces"},
		"unigram":    {modelFile(entries, varint(3, 1), keepSpaces), "model type 1, want 2"},
		"no trainer": {modelFile(entries, nil, keepSpaces), "model type 1, want 2"},
		"spaces":     {modelFile(entries, bpe, varint(4, 1)), "spaces that repeat"},
		"default":    {modelFile(entries, bpe, nil), "spaces that repeat"},
		"table":      {modelFile(entries, bpe, append(message(2, []byte{1}), keepSpaces...)), "1 bytes"},
		"suffix":     {modelFile(entries, slices.Concat(bpe, varint(24, 1)), keepSpaces), "end words"},
		"escape":     {modelFile(entries, bpe, slices.Concat(keepSpaces, varint(5, 0))), "not written ▁"},
		"cut":        {modelFile(entries, bpe, keepSpaces)[:100], "are left"},
		"huge":       {binary.AppendUvarint([]byte{1<<3 | 2}, 1<<63), "9223372036854775808 bytes"},
		"endless":    {bytes.Repeat([]byte{0xff}, 20), "does not end"},
		"wire":       {[]byte{1<<3 | 3}, "wire type 3"},
		"NaN": {modelFile(tinyPieces(Entry{"x", EntryNormal, float32(math.NaN())}), bpe, keepSpaces),
			"NaN"},
	} {
		_, err := ReadSentencePiece(bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// Whatever bytes a file holds, reading ends in an error or in a tokenizer that gives text back.
func FuzzReadSentencePiece(f *testing.F) {
	more := tinyPieces(Entry{"ab", EntryNormal, -1}, Entry{"<u>", EntryUser, 0})
	f.Add(modelFile(more, bpe, keepSpaces))
	f.Add(modelFile(tinyPieces()[:3], bpe, keepSpaces))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, file []byte) {
		tok, err := ReadSentencePiece(bytes.NewReader(file))
		if err != nil {
			return
		}
		const text = "ab  <u>b\n é"
		if got := tok.Decode(tok.Encode(text)); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	})
}

func TestReadPiecesRefusals(t *testing.T) {
	var vocab []string
	for b := range 256 {
		vocab = append(vocab, `"`+byteName(byte(b))+`": `+strconv.Itoa(b))
	}
	list := strings.Join(vocab, ", ") + `, "a": 256, "b": 257, "ab": 258, "▁": 259`
	file := func(steps, merges, extra string) string {
		return `{` + steps + `"added_tokens": [], "model": {"type": "BPE", "byte_fallback": true, ` +
			`"vocab": {` + list + extra + `}, "merges": [` + merges + `]}}`
	}
	const meta = `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "split": false}, `
	// A pair that spells a byte's token makes no piece.
	good, err := ReadAny(strings.NewReader(file(meta, `"<0x0 A>", "a b"`, `, "<0x0": 260, "A>": 261`)))
	if err != nil || !slices.Equal(good.Encode("ab"), []int32{259, 258}) {
		t.Fatal(err, good.Encode("ab"))
	}
	for name, c := range map[string]struct{ file, want string }{
		"no spaces":  {file("", `"a b"`, ""), "nothing writes spaces"},
		"splits":     {file(strings.Replace(meta, "false", "true", 1), "", ""), "splits"},
		"other":      {file(`"pre_tokenizer": {"type": "ByteLevel"}, `, "", ""), `"ByteLevel"`},
		"normalizer": {file(`"normalizer": {"type": "NFKC"}, `+meta, "", ""), `"NFKC"`},
		"decoder":    {file(`"decoder": {"type": "WordPiece"}, `+meta, "", ""), `"WordPiece"`},
		"no piece":   {file(meta, `"b a"`, ""), "merge 0"},
		"twice":      {file(meta, `"a b", "a b"`, ""), "appears twice"},
		"byte":       {file(meta, "", `, "<0xzz>": 260`), "<0xzz>"},
	} {
		_, err := ReadAny(strings.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
