// Package tokenizer turns text into token ids and back: which ids does a model read?
//
// It is byte-level byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909, over bytes as in
// GPT-2 and Llama 3). A text is split into words by a pre-tokenizer; a word starts as its bytes
// and, while any adjacent pair has a merge, the leftmost pair of lowest rank becomes one token:
//
//	while min over i of rank(w[i], w[i+1]) exists { w[i], w[i+1] -> merge(w[i], w[i+1]) }
//
// Every byte is a token, so nothing is ever unknown and Decode(Encode(x)) = x for valid UTF-8.
// A vocabulary comes from Train or from a Hugging Face tokenizer.json through Read. SentencePiece
// vocabularies (sentencepiece.go) start from characters and come from a tokenizer.model too.
//
// Encode is for text that strangers wrote: the name of a special token inside it stays plain
// text. EncodeSpecial recognises those names, and a Template places them around messages.
package tokenizer

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// Tokenizer is a vocabulary with its merges. It is immutable after construction and safe for
// concurrent use.
type Tokenizer struct {
	tokens       []string         // raw bytes by id, "" where the vocabulary has a hole
	kinds        []kind           // by id
	ordinary     map[string]int32 // raw bytes -> id, ordinary tokens only
	added        []addedToken     // by ascending id
	addedIDs     map[string]int32 // name -> id of every added token
	addedLengths []int            // distinct lengths of those names, longest first
	addedFirst   [256]bool        // bytes that begin such a name
	byteIDs      [256]int32       // the token of each single byte
	merges       []pair           // by rank
	ranks        map[pair]merged
	pre          preTokenizer
	wholeWords   bool // "ignore_merges": a word that is a token is that token, whatever its merges
	cache        wordCache
	pieces       *sentencePiece // nil for a byte-level vocabulary
	style        Style          // its zero value is the house's
}

// kind says what an id stands for.
type kind uint8

const (
	hole     kind = iota // no token has this id
	plain                // produced by merging bytes
	literal              // an added token that is text: recognised by EncodeSpecial, decoded
	special              // an added token that is control: recognised by EncodeSpecial, skipped
	fallback             // the byte of a character that is no piece
)

// addedToken is a token that stands beside the merges, such as "<|end|>".
type addedToken struct {
	id      int32
	name    string
	control bool // skipped by Decode
}

// pair is two adjacent token ids.
type pair struct{ left, right int32 }

// merged is what a pair becomes, and how early: lower ranks merge first.
type merged struct{ rank, id int32 }

// Bounds on what a vocabulary may hold, far above any published one (Gemma has 262,144 tokens).
const (
	maxVocab     = 1 << 20 // ids are 0 .. maxVocab-1
	maxMerges    = 1 << 22
	maxToken     = 1024 // bytes
	maxAdded     = 1 << 16
	maxAddedName = 512 // bytes
)

// vocabulary is what every source of a Tokenizer delivers.
type vocabulary struct {
	plain      map[string]int32 // raw bytes -> id
	added      []addedToken
	merges     []pair // by rank
	pre        preTokenizer
	wholeWords bool
	fallback   map[byte]int32 // the byte tokens of a SentencePiece vocabulary
}

// build checks a vocabulary and indexes it. Its errors carry no prefix.
func build(v vocabulary) (*Tokenizer, error) {
	t := &Tokenizer{ordinary: v.plain, merges: v.merges, pre: v.pre, wholeWords: v.wholeWords}
	if err := t.index(v); err != nil {
		return nil, err
	}
	for b := range t.byteIDs {
		id, ok := t.ordinary[string([]byte{byte(b)})]
		if !ok {
			return nil, fmt.Errorf("byte 0x%02x has no token, want all 256", b)
		}
		t.byteIDs[b] = id
	}
	if err := t.indexMerges(); err != nil {
		return nil, err
	}
	t.cache = newWordCache()
	return t, nil
}

// index fills the tables by id and by name.
func (t *Tokenizer) index(v vocabulary) error {
	size := int32(0)
	for token, id := range v.plain {
		if id < 0 || id >= maxVocab {
			return fmt.Errorf("token %q has id %d, want 0 to %d", token, id, maxVocab-1)
		}
		size = max(size, id+1)
	}
	if len(v.added) > maxAdded {
		return fmt.Errorf("%d added tokens, want at most %d", len(v.added), maxAdded)
	}
	for _, a := range v.added {
		if a.id < 0 || a.id >= maxVocab {
			return fmt.Errorf("added token %.40q has id %d, want 0 to %d",
				a.name, a.id, maxVocab-1)
		}
		size = max(size, a.id+1)
	}
	for _, id := range v.fallback {
		size = max(size, id+1)
	}
	t.tokens = make([]string, size)
	t.kinds = make([]kind, size)
	for token, id := range v.plain {
		if t.kinds[id] != hole {
			return fmt.Errorf("id %d has two tokens, %q and %q", id,
				min(token, t.tokens[id]), max(token, t.tokens[id]))
		}
		t.tokens[id], t.kinds[id] = token, plain
	}
	for b, id := range v.fallback {
		if t.kinds[id] != hole {
			return fmt.Errorf("id %d has two tokens, %q and %s", id, t.tokens[id], byteName(b))
		}
		t.tokens[id], t.kinds[id] = string([]byte{b}), fallback
	}
	return t.indexAdded(v.added)
}

// indexAdded enters the added tokens.
func (t *Tokenizer) indexAdded(added []addedToken) error {
	t.addedIDs = make(map[string]int32, len(added))
	lengths := map[int]bool{}
	for _, a := range added {
		switch _, again := t.addedIDs[a.name]; {
		case a.name == "" || len(a.name) > maxAddedName || !utf8.ValidString(a.name):
			return fmt.Errorf("added token %d has a name of %d bytes, want 1 to %d of valid UTF-8",
				a.id, len(a.name), maxAddedName)
		case again:
			return fmt.Errorf("added token %q appears twice", a.name)
		case t.kinds[a.id] != hole:
			return fmt.Errorf("id %d has two tokens, %q and %q", a.id, t.tokens[a.id], a.name)
		}
		t.tokens[a.id], t.kinds[a.id] = a.name, literal
		if a.control {
			t.kinds[a.id] = special
		}
		t.addedIDs[a.name] = a.id
		t.addedFirst[a.name[0]] = true
		lengths[len(a.name)] = true
		t.added = append(t.added, a)
	}
	sort.Slice(t.added, func(i, j int) bool { return t.added[i].id < t.added[j].id })
	for n := range lengths {
		t.addedLengths = append(t.addedLengths, n)
	}
	sort.Sort(sort.Reverse(sort.IntSlice(t.addedLengths)))
	return nil
}

// indexMerges ranks the pairs. A merge may only join ordinary tokens into an ordinary token:
// otherwise text could spell a special token by merging.
func (t *Tokenizer) indexMerges() error {
	if len(t.merges) > maxMerges {
		return fmt.Errorf("%d merges, want at most %d", len(t.merges), maxMerges)
	}
	t.ranks = make(map[pair]merged, len(t.merges))
	for rank, p := range t.merges {
		whole := t.tokens[p.left] + t.tokens[p.right]
		id, ok := t.ordinary[whole]
		if !ok {
			return fmt.Errorf("merge %d makes %.40q, which is not a token", rank, whole)
		}
		if _, again := t.ranks[p]; again {
			return fmt.Errorf("merge %d, %.40q with %.40q, appears twice", rank,
				t.tokens[p.left], t.tokens[p.right])
		}
		t.ranks[p] = merged{int32(rank), id}
	}
	return nil
}

// VocabSize is the number of ids, the highest plus one: the rows an embedding needs. Ids that
// stand for nothing are counted.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Special returns the id of an added token, such as "<|end|>", and whether there is one.
func (t *Tokenizer) Special(name string) (int32, bool) {
	id, ok := t.addedIDs[name]
	return id, ok
}

// IsSpecial reports whether id is a control token, which Decode skips.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.kindOf(id) == special }

// Bytes returns the raw bytes a token stands for, which need not be valid UTF-8; nil for an id
// that stands for nothing. For an added token they are its name.
func (t *Tokenizer) Bytes(id int32) []byte {
	if t.kindOf(id) == hole {
		return nil
	}
	return []byte(t.tokens[id])
}

// Token returns a token as readable text: its name if it is an added token, otherwise its bytes,
// where a byte that is part of no complete character reads <0xNN>.
func (t *Tokenizer) Token(id int32) string {
	if t.kindOf(id) == hole {
		return ""
	}
	token := t.tokens[id]
	if utf8.ValidString(token) {
		return token
	}
	var b strings.Builder
	for i := 0; i < len(token); {
		r, n := utf8.DecodeRuneInString(token[i:])
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "<0x%02X>", token[i])
		} else {
			b.WriteString(token[i : i+n])
		}
		i += n
	}
	return b.String()
}

// kindOf is what id stands for; any id may be asked.
func (t *Tokenizer) kindOf(id int32) kind {
	if id < 0 || int(id) >= len(t.kinds) {
		return hole
	}
	return t.kinds[id]
}
