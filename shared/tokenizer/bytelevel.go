package tokenizer

import (
	"fmt"
	"strings"
)

// NewByteLevel makes a byte-level tokenizer of entries in GPT-2's alphabet, as a GGUF lists them,
// of merges "left right" and of the pattern that text is split by. With wholeWords a word that is a
// token is that token, whatever its merges (Llama 3).
func NewByteLevel(entries []Entry, merges []string, pattern string, wholeWords bool) (
	*Tokenizer, error) {
	t, err := byteLevelOf(entries, merges, pattern, wholeWords)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: entries: %w", err)
	}
	return t, nil
}

func byteLevelOf(entries []Entry, merges []string, pattern string, wholeWords bool) (
	*Tokenizer, error) {
	if len(entries) > maxVocab || len(merges) > maxMerges {
		return nil, fmt.Errorf("%d tokens and %d merges, want at most %d and %d",
			len(entries), len(merges), maxVocab, maxMerges)
	}
	v := vocabulary{plain: make(map[string]int32, len(entries)), wholeWords: wholeWords}
	for i, e := range entries {
		id := int32(i)
		switch e.Kind {
		case EntryUnused:
		case EntryUnknown, EntryControl, EntryUser:
			v.added = append(v.added, addedToken{id, e.Text, e.Kind != EntryUser})
		default:
			raw, err := fromChars(e.Text)
			if err != nil {
				return nil, fmt.Errorf("token %d: %w", id, err)
			}
			if raw == "" || len(raw) > maxToken {
				return nil, fmt.Errorf("token %d has %d bytes, want 1 to %d", id, len(raw), maxToken)
			}
			if other, again := v.plain[raw]; again {
				return nil, fmt.Errorf("tokens %d and %d are both %.40q", other, id, e.Text)
			}
			v.plain[raw] = id
		}
	}
	m := modelJSON{Merges: make(mergeList, len(merges))}
	for i, text := range merges {
		left, right, ok := strings.Cut(text, " ")
		if !ok {
			return nil, fmt.Errorf("merge %d is %.40q, want two tokens and a space between", i, text)
		}
		m.Merges[i] = [2]string{left, right}
	}
	var err error
	if v.merges, err = m.pairs(v.plain); err != nil {
		return nil, err
	}
	if v.pre, err = newPreTokenizer([]stage{{pattern: pattern}}); err != nil {
		return nil, err
	}
	return build(v)
}
