package tokenizer

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReadAny is Read that takes a tokenizer.json of the SentencePiece kind as well. What links only
// Read stays smaller.
func ReadAny(r io.Reader) (*Tokenizer, error) {
	return read(r, func(f *fileJSON) (*Tokenizer, error) {
		if f.Model.ByteFallback {
			return f.pieces()
		}
		return byteLevelJSON(f)
	})
}

// pieces reads a tokenizer.json of the SentencePiece kind, which "byte_fallback" marks. Its merges
// are a list of pairs in order, where SentencePiece ranks what a pair makes: where the list holds
// every pair that makes a piece, as it does if it was made from a SentencePiece model, the pieces
// are ranked by the first of their pairs, and runs of spaces at the end of the list share a rank.
func (f *fileJSON) pieces() (*Tokenizer, error) {
	prefix, err := f.spacing()
	if err != nil {
		return nil, err
	}
	var v vocabulary
	if v.added, err = f.added(); err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(v.added))
	for _, a := range v.added {
		names[a.name] = true
	}
	v.plain, v.fallback = make(map[string]int32, len(f.Model.Vocab)), map[byte]int32{}
	for text, id := range f.Model.Vocab {
		switch {
		case names[text]:
		case f.Model.Unknown != nil && text == *f.Model.Unknown:
			v.added = append(v.added, addedToken{id, text, true})
		case len(text) == 6 && strings.HasPrefix(text, "<0x"):
			err = v.addByte(text, id)
		default:
			err = v.addPiece(text, id)
		}
		if err != nil {
			return nil, err
		}
	}
	t, err := newPieces(v, prefix)
	if err != nil {
		return nil, err
	}
	return t, t.rankMerges(f.Model.Merges)
}

// rankMerges ranks the pairs of a file. A pair that spells a token which is no piece, such as </
// and s>, is passed over: text never becomes a control token.
func (t *Tokenizer) rankMerges(merges mergeList) error {
	first := make(map[string]int32, len(merges)) // piece -> the first of its merges
	listed := make(map[pair]merged, len(merges))
	taken := make(map[string]bool, len(t.added)+len(t.byteIDs))
	for b := range t.byteIDs {
		taken[byteName(byte(b))] = true
	}
	for _, a := range t.added {
		taken[a.name] = true
	}
	runs := int32(len(merges)) // the first of the last merges that make nothing but runs of spaces
	for i, m := range merges {
		left, right := m[0], m[1]
		var p pair
		var ok [3]bool
		left, right = strings.ReplaceAll(left, spaceMark, " "), strings.ReplaceAll(right, spaceMark, " ")
		p.left, ok[0] = t.ordinary[left]
		p.right, ok[1] = t.ordinary[right]
		if taken[left+right] {
			continue
		}
		id, whole := t.ordinary[left+right]
		ok[2] = whole
		if ok != [3]bool{true, true, true} {
			return fmt.Errorf("merge %d joins %.40q and %.40q, want pieces that make a piece", i, m[0], m[1])
		}
		if _, again := listed[p]; again {
			return fmt.Errorf("merge %d, %.40q with %.40q, appears twice", i, m[0], m[1])
		}
		listed[p] = merged{int32(i), id}
		if _, ok := first[left+right]; !ok {
			first[left+right] = int32(i)
		}
		if strings.Trim(left+right, " ") != "" {
			runs = int32(len(merges))
		} else {
			runs = min(runs, int32(i))
		}
	}
	for whole, rank := range first {
		first[whole] = min(rank, runs)
	}
	if t.ranks = t.joins(first); len(t.ranks) != len(listed) {
		t.ranks = listed // the file means its own order
	}
	t.pieces.scores = make([]float32, len(t.tokens))
	for i := range t.pieces.scores {
		t.pieces.scores[i] = -float32(len(merges)) - 1
	}
	for _, m := range t.ranks {
		t.pieces.scores[m.id] = -float32(m.rank)
	}
	return nil
}

// spacing finds how spaces are written: by a normalizer (a Prepend and a Replace) or by a Metaspace
// that does not split. prefix says that a text gets one in front.
func (f *fileJSON) spacing() (prefix bool, err error) {
	marked := false
	if f.Normalizer != nil {
		steps := []kindJSON{*f.Normalizer}
		if f.Normalizer.Type == "Sequence" {
			steps = f.Normalizer.Normalizers
		}
		for _, s := range steps {
			switch {
			case s.Type == "Prepend" && s.Prepend == spaceMark:
				prefix = true
			case s.Type == "Replace" && s.Content == spaceMark && s.Pattern != nil &&
				s.Pattern.String != nil && *s.Pattern.String == " ":
				marked = true
			default:
				return false, fmt.Errorf("normalizer step %.40q, want Prepend ▁ and Replace of a "+
					"space by ▁", s.Type)
			}
		}
	}
	if p := f.PreTokenizer; p != nil {
		switch {
		case p.Type != "Metaspace" || p.Replacement != "" && p.Replacement != spaceMark:
			return false, fmt.Errorf("pre_tokenizer %.40q with byte_fallback, want Metaspace with ▁",
				p.Type)
		case p.Split == nil || *p.Split:
			return false, errors.New("a Metaspace that splits, want one without")
		}
		marked = true
		prefix = prefix || p.Scheme == "first" || p.Scheme == "always" ||
			p.Scheme == "" && (p.AddPrefixSpace == nil || *p.AddPrefixSpace)
	}
	if !marked {
		return false, errors.New("nothing writes spaces as ▁, want a normalizer or a Metaspace")
	}
	if d := f.Decoder; d != nil && d.Type != "Sequence" && d.Type != "Metaspace" {
		return false, fmt.Errorf("decoder %.40q with byte_fallback, want Sequence or Metaspace", d.Type)
	}
	return prefix, nil
}
