package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// AppendDecode appends the raw bytes of ids, a whole text, to dst. Special tokens and ids that
// stand for nothing add none. The bytes are exactly those that were encoded, valid UTF-8 or not;
// only ▁ in the text of a SentencePiece vocabulary comes back as a space.
func (t *Tokenizer) AppendDecode(dst []byte, ids []int32) []byte {
	begun := false
	for _, id := range ids {
		dst = t.appendToken(dst, id, &begun)
	}
	return dst
}

// appendToken appends the raw bytes of one token. The space that encoding put in front of a text is
// taken off where the text has not begun.
func (t *Tokenizer) appendToken(dst []byte, id int32, begun *bool) []byte {
	k := t.kindOf(id)
	if k != plain && k != literal && k != fallback {
		return dst
	}
	token := t.tokens[id]
	if !*begun && k == plain && t.pieces != nil && t.pieces.prefix {
		token = strings.TrimPrefix(token, " ")
	}
	*begun = true
	return append(dst, token...)
}

// Decode returns the text of ids without special tokens. Bytes are joined before they are read as
// UTF-8; then each maximal part of a broken character becomes one U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	return repaired(t.AppendDecode(nil, ids))
}

// DecodeSpecial is Decode with the names of special tokens left in, and with the space that a
// SentencePiece vocabulary puts in front.
func (t *Tokenizer) DecodeSpecial(ids []int32) string {
	var dst []byte
	for _, id := range ids {
		if t.kindOf(id) != hole {
			dst = append(dst, t.tokens[id]...)
		}
	}
	return repaired(dst)
}

// repaired is b as text, with U+FFFD where it is not UTF-8.
func repaired(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out, rest := appendValid(nil, b)
	if len(rest) > 0 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return string(out)
}

// appendValid appends b to dst with U+FFFD for every maximal part of a broken character, up to a
// character at the end that more bytes could complete: that is the rest.
func appendValid(dst, b []byte) (out, rest []byte) {
	for len(b) > 0 && utf8.FullRune(b) {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n < len(b) && !utf8.FullRune(b[:n+1]) {
				n++
			}
		}
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst, b
}

// Decoder decodes ids one at a time, as a model produces them. It is for one stream only.
type Decoder struct {
	t     *Tokenizer
	held  []byte // the beginning of a character, at most 3 bytes between calls
	begun bool   // a token of the text has come
}

// NewDecoder returns a Decoder at the start of a text.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{t: t} }

// Push takes the next id and returns the text that is now complete. A character whose bytes span
// several tokens appears with the last of them. All returned text and Flush's, joined, is Decode's.
func (d *Decoder) Push(id int32) string {
	d.held = d.t.appendToken(d.held, id, &d.begun)
	out, rest := appendValid(nil, d.held)
	d.held = append(d.held[:0], rest...)
	return string(out)
}

// Flush ends the text: it returns U+FFFD if a character is incomplete, otherwise "". The Decoder
// is then at the start of a new text.
func (d *Decoder) Flush() string {
	text := repaired(d.held)
	d.held, d.begun = d.held[:0], false
	return text
}
