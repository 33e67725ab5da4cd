package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// replaced is b with U+FFFD for each maximal part of a broken character, from the standard's
// table of well-formed sequences (Unicode 15, table 3-7).
func replaced(b string) string {
	var out strings.Builder
	for len(b) > 0 {
		n, need := 1, 1
		low, high := byte(0x80), byte(0xbf)
		switch c := b[0]; {
		case c >= 0xc2 && c <= 0xdf:
			need = 2
		case c >= 0xe0 && c <= 0xef:
			need = 3
			if c == 0xe0 {
				low = 0xa0
			} else if c == 0xed {
				high = 0x9f
			}
		case c >= 0xf0 && c <= 0xf4:
			need = 4
			if c == 0xf0 {
				low = 0x90
			} else if c == 0xf4 {
				high = 0x8f
			}
		}
		for n < need && n < len(b) && b[n] >= low && b[n] <= high {
			n, low, high = n+1, 0x80, 0xbf
		}
		if n == need && (need > 1 || b[0] < 0x80) {
			out.WriteString(b[:n])
		} else {
			out.WriteRune(utf8.RuneError)
		}
		b = b[n:]
	}
	return out.String()
}

// broken holds the kinds of ill-formed UTF-8, and what may stand around them.
var broken = []string{
	"\x80", "\xbf", "\xc0", "\xc1", "\xc2", "\xdf",
	"\xe0", "\xe0\x80", "\xe2\x82", "\xed\xa0", "\xed\xa0\x80", "\xef\xbf",
	"\xf0", "\xf0\x9f", "\xf0\x9f\xa6", "\xf0\x80", "\xf4\x90", "\xf4\x8f\xbf", "\xf5", "\xff",
	"a", "é", "€", "🦙", "\ufffd",
}

func TestDecodeReplacesBrokenCharacters(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 20))
	tok := house(t)
	for range 20000 {
		var raw string
		for range 1 + rng.IntN(5) {
			raw += broken[rng.IntN(len(broken))]
		}
		if got, want := tok.Decode(tok.Encode(raw)), replaced(raw); got != want {
			t.Fatalf("%q: %q, want %q", raw, got, want)
		}
	}
}

// The stream's text, joined, is Decode's for any ids, however they fall into tokens.
func TestStreamIsDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	tok := house(t)
	for range 3000 {
		ids := make([]int32, rng.IntN(12))
		for i := range ids {
			switch rng.IntN(3) {
			case 0:
				ids[i] = int32(rng.IntN(tok.VocabSize()+20)) - 10 // ids that are none, too
			default:
				ids[i] = tok.byteIDs[[]byte("\xf0\x9f\xa6\x99\xe2\x82\xaca")[rng.IntN(8)]]
			}
		}
		d := tok.NewDecoder()
		var got strings.Builder
		for _, id := range ids {
			part := d.Push(id)
			if !utf8.ValidString(part) {
				t.Fatalf("%v: piece %q is not UTF-8", ids, part)
			}
			got.WriteString(part)
		}
		got.WriteString(d.Flush())
		if want := tok.Decode(ids); got.String() != want {
			t.Fatalf("%v: %q, want %q", ids, got.String(), want)
		}
		if again := d.Flush(); again != "" {
			t.Fatalf("second Flush gives %q", again)
		}
	}
}

// Whatever the split of a text into pieces, a character appears with its last byte and not before.
func TestStreamHoldsBack(t *testing.T) {
	tok := house(t)
	d := tok.NewDecoder()
	var got []string
	for _, b := range []byte("a€🦙") {
		got = append(got, d.Push(tok.byteIDs[b]))
	}
	got = append(got, d.Push(tok.byteIDs[0xe2]), d.Flush())
	want := []string{"a", "", "", "€", "", "", "", "🦙", "", "\ufffd"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDecodeSkipsSpecials(t *testing.T) {
	tok := house(t)
	end, _ := tok.Special(End)
	ids := append(append([]int32{end}, tok.Encode("x")...), end, -1, 1<<30)
	if got := tok.Decode(ids); got != "x" {
		t.Errorf("Decode %q, want x", got)
	}
	if got := tok.DecodeSpecial(ids); got != "<|end|>x<|end|>" {
		t.Errorf("DecodeSpecial %q", got)
	}
	// A special token within a character does not break it.
	split := []int32{tok.byteIDs[0xc3], end, tok.byteIDs[0xa9]}
	if got := tok.Decode(split); got != "é" {
		t.Errorf("Decode %q, want é", got)
	}
}

func TestTokenText(t *testing.T) {
	tok := house(t)
	end, _ := tok.Special(End)
	for _, c := range []struct {
		id   int32
		want string
	}{
		{tok.byteIDs['A'], "A"}, {tok.byteIDs[0xe2], "<0xE2>"}, {end, End}, {-1, ""}, {1 << 20, ""},
	} {
		if got := tok.Token(c.id); got != c.want {
			t.Errorf("Token(%d) = %q, want %q", c.id, got, c.want)
		}
	}
	if got := string(tok.Bytes(tok.byteIDs[0xe2])); got != "\xe2" {
		t.Errorf("Bytes %q", got)
	}
	if tok.Bytes(-1) != nil {
		t.Error("Bytes(-1) is not nil")
	}
}

func TestByteAlphabet(t *testing.T) {
	seen := map[rune]bool{}
	for b := range 256 {
		raw := string([]byte{byte(b)})
		chars := toChars(raw)
		back, err := fromChars(chars)
		if err != nil || back != raw {
			t.Errorf("byte %#x: %q, %v", b, back, err)
		}
		seen[[]rune(chars)[0]] = true
	}
	if len(seen) != 256 || toChars(" \n") != "ĠĊ" || toChars("é") != "Ã©" {
		t.Errorf("%d characters, %q %q", len(seen), toChars(" \n"), toChars("é"))
	}
	if _, err := fromChars("a b"); err == nil {
		t.Error("a space is in no alphabet, but there is no error")
	}
}
