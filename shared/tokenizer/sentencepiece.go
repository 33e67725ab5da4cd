package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A SentencePiece vocabulary (Kudo and Richardson 2018, arXiv 1808.06226; Llama 2, Mistral) merges
// characters where a byte-level one merges bytes. A space reads ▁ and the text gets one in front; a
// character that is no piece falls back to the tokens of its bytes. Any two neighbours whose join
// is a piece may merge, the piece of the highest score first, of equal scores the leftmost pair.
const spaceMark = "▁"

// EntryKind says what an entry of a vocabulary is, in the numbering that SentencePiece and GGUF
// share.
type EntryKind int32

// The kinds of an Entry.
const (
	EntryNormal  EntryKind = 1 // comes about by merging
	EntryUnknown EntryKind = 2
	EntryControl EntryKind = 3
	EntryUser    EntryKind = 4 // text that is always this one token
	EntryUnused  EntryKind = 5
	EntryByte    EntryKind = 6 // <0xNN>
)

// Entry is one token of a vocabulary, whose index is its id.
type Entry struct {
	Text  string
	Kind  EntryKind
	Score float32 // of a SentencePiece vocabulary
}

// sentencePiece is what a Tokenizer of pieces has besides.
type sentencePiece struct {
	prefix   bool       // the text gets a space in front
	words    bool       // no piece has a space after another character, so that words are apart
	literals bool       // there are added tokens that are text
	alone    [256]bool  // ASCII that no longer piece holds, such as Llama's digits and line feed
	ascii    [128]int32 // piece of a single character, -1 where there is none
	scores   []float32  // by id; only their order matters
}

// NewSentencePiece makes a tokenizer of SentencePiece entries. With prefix a text gets a space in
// front, which decoding takes off. It fails without the 256 byte tokens.
func NewSentencePiece(entries []Entry, prefix bool) (*Tokenizer, error) {
	t, err := sentencePieces(entries, prefix)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: pieces: %w", err)
	}
	return t, nil
}

func sentencePieces(entries []Entry, prefix bool) (*Tokenizer, error) {
	v, scores, err := pieceVocabulary(entries)
	if err != nil {
		return nil, err
	}
	t, err := newPieces(v, prefix)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(scores)
	slices.SortFunc(order, func(a, b float32) int { return cmp.Compare(b, a) })
	order = slices.Compact(order)
	ranks := make(map[string]int32, len(v.plain))
	for raw, id := range v.plain {
		n, _ := slices.BinarySearchFunc(order, scores[id], func(a, b float32) int {
			return cmp.Compare(b, a)
		})
		ranks[raw] = int32(n)
	}
	t.ranks = t.joins(ranks)
	t.pieces.scores = scores
	return t, nil
}

// pieceVocabulary sorts entries by what they are.
func pieceVocabulary(entries []Entry) (v vocabulary, scores []float32, err error) {
	if len(entries) > maxVocab {
		return v, nil, fmt.Errorf("%d tokens, want at most %d", len(entries), maxVocab)
	}
	v.plain, v.fallback = make(map[string]int32, len(entries)), map[byte]int32{}
	scores = make([]float32, len(entries))
	for i, e := range entries {
		id := int32(i)
		scores[i] = e.Score
		switch e.Kind {
		case EntryNormal:
			err = v.addPiece(e.Text, id)
		case EntryByte:
			err = v.addByte(e.Text, id)
		case EntryUnknown, EntryControl, EntryUser:
			v.added = append(v.added, addedToken{id, e.Text, e.Kind != EntryUser})
		case EntryUnused:
		default:
			err = fmt.Errorf("token %d, %.40q, is of kind %d, want 1 to 6", id, e.Text, e.Kind)
		}
		if e.Score != e.Score {
			err = fmt.Errorf("token %d, %.40q, has the score NaN", id, e.Text)
		}
		if err != nil {
			return v, nil, err
		}
	}
	return v, scores, nil
}

// addPiece enters a piece as files spell it.
func (v *vocabulary) addPiece(text string, id int32) error {
	raw := strings.ReplaceAll(text, spaceMark, " ")
	if raw == "" || len(raw) > maxToken || !utf8.ValidString(raw) {
		return fmt.Errorf("token %d has %d bytes, want 1 to %d of valid UTF-8", id, len(raw), maxToken)
	}
	if other, again := v.plain[raw]; again {
		return fmt.Errorf("tokens %d and %d are both %.40q", other, id, text)
	}
	v.plain[raw] = id
	return nil
}

// addByte enters a token <0xNN>.
func (v *vocabulary) addByte(text string, id int32) error {
	digits := strings.TrimSuffix(strings.TrimPrefix(text, "<0x"), ">")
	value, err := strconv.ParseUint(digits, 16, 8)
	b := byte(value)
	if err != nil || text != byteName(b) {
		return fmt.Errorf("byte token %d reads %.40q, want <0x00> to <0xFF>", id, text)
	}
	if other, again := v.fallback[b]; again {
		return fmt.Errorf("tokens %d and %d are both %s", other, id, text)
	}
	v.fallback[b] = id
	return nil
}

func byteName(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// newPieces indexes a vocabulary of pieces; its joins are still to be ranked.
func newPieces(v vocabulary, prefix bool) (*Tokenizer, error) {
	t := &Tokenizer{ordinary: v.plain, cache: newWordCache(),
		pieces: &sentencePiece{prefix: prefix, words: true}}
	if err := t.index(v); err != nil {
		return nil, err
	}
	for b := range t.byteIDs {
		id, ok := v.fallback[byte(b)]
		if !ok {
			return nil, fmt.Errorf("byte token %s is missing, want all 256", byteName(byte(b)))
		}
		t.byteIDs[b] = id
	}
	for b := range t.pieces.ascii {
		t.pieces.ascii[b], t.pieces.alone[b] = -1, b != ' '
		if id, ok := v.plain[string(rune(b))]; ok {
			t.pieces.ascii[b] = id
		}
	}
	for raw := range v.plain {
		if strings.Contains(strings.TrimLeft(raw, " "), " ") {
			t.pieces.words = false
		}
		for i := 0; i < len(raw) && len(raw) > 1; i++ {
			t.pieces.alone[raw[i]] = false
		}
	}
	for _, a := range t.added {
		t.pieces.literals = t.pieces.literals || !a.control
	}
	return t, nil
}

// joins are all pairs of pieces that make a ranked piece.
func (t *Tokenizer) joins(ranks map[string]int32) map[pair]merged {
	all := make(map[pair]merged, 2*len(ranks))
	for whole, rank := range ranks {
		for i := range whole {
			left, ok := t.ordinary[whole[:i]]
			if !ok {
				continue
			}
			if right, ok := t.ordinary[whole[i:]]; ok {
				all[pair{left, right}] = merged{rank, t.ordinary[whole]}
			}
		}
	}
	return all
}

// appendPieces appends the ids of text. A byte that is not UTF-8 becomes its byte token, so that
// decoding gives it back.
func (t *Tokenizer) appendPieces(dst []int32, text string) []int32 {
	if text == "" {
		return dst
	}
	if t.pieces.prefix {
		text = " " + text
	}
	if strings.Contains(text, spaceMark) {
		text = strings.ReplaceAll(text, spaceMark, " ")
	}
	if !t.pieces.literals {
		return t.appendSpaced(dst, text)
	}
	start := 0
	for i := 0; i < len(text); {
		id, n := t.addedAt(text[i:])
		if n == 0 || t.kindOf(id) != literal {
			i++
			continue
		}
		dst = append(t.appendSpaced(dst, text[start:i]), id)
		i += n
		start = i
	}
	return t.appendSpaced(dst, text[start:])
}

// appendSpaced appends the ids of text without added tokens, a word at a time: spaces with what
// follows up to the next space, or a character that is alone. No merge reaches over a word's end.
func (t *Tokenizer) appendSpaced(dst []int32, text string) []int32 {
	if !t.pieces.words && text != "" {
		return t.mergeWord(dst, text)
	}
	alone := &t.pieces.alone
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && text[end] == ' ' {
			end++
		}
		for end < len(text) && text[end] != ' ' && !alone[text[end]] {
			end++
		}
		end = max(end, i+1)
		dst = t.appendWord(dst, text[i:end])
		i = end
	}
	return dst
}

// symbols appends what merging starts from: the characters of word, or their bytes.
func (t *Tokenizer) symbols(ids []int32, word string) []int32 {
	for i := 0; i < len(word); {
		if c := word[i]; c < utf8.RuneSelf {
			ids = append(ids, t.single(c))
			i++
			continue
		}
		_, n := utf8.DecodeRuneInString(word[i:])
		if id, ok := t.ordinary[word[i:i+n]]; ok {
			ids = append(ids, id)
		} else {
			for _, b := range []byte(word[i : i+n]) {
				ids = append(ids, t.byteIDs[b])
			}
		}
		i += n
	}
	return ids
}

// SentencePiece reports whether the vocabulary is one of pieces, and whether a text gets a space in
// front.
func (t *Tokenizer) SentencePiece() (is, prefix bool) {
	return t.pieces != nil, t.pieces != nil && t.pieces.prefix
}

// Entries lists the vocabulary by id, as NewSentencePiece takes it; a byte-level one has no scores.
func (t *Tokenizer) Entries() []Entry {
	kinds := [...]EntryKind{hole: EntryUnused, plain: EntryNormal, literal: EntryUser,
		special: EntryControl, fallback: EntryByte}
	entries := make([]Entry, len(t.tokens))
	for id := range entries {
		entries[id] = Entry{Text: t.Piece(int32(id)), Kind: kinds[t.kinds[id]]}
		if t.pieces != nil {
			entries[id].Score = t.pieces.scores[id]
		}
	}
	return entries
}
