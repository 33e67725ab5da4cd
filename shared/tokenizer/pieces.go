package tokenizer

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Piece is a token as vocabulary files spell it: its bytes as the printable characters of GPT-2's
// table, or in a SentencePiece vocabulary with ▁ for spaces and <0xNN> for a byte, or its name if
// it is an added token; "" for an id that stands for nothing.
func (t *Tokenizer) Piece(id int32) string {
	switch k := t.kindOf(id); {
	case k == hole:
		return ""
	case k == fallback:
		return byteName(t.tokens[id][0])
	case k == plain && t.pieces != nil:
		return strings.ReplaceAll(t.tokens[id], " ", spaceMark)
	case k == plain:
		return toChars(t.tokens[id])
	}
	return t.tokens[id]
}

// Merges are the pairs by rank, "left right", spelled as Piece spells them. Pairs of a
// SentencePiece vocabulary that make the same piece, or runs of spaces, have one rank; the shorter
// piece and then the shorter left side come first.
func (t *Tokenizer) Merges() []string {
	pairs := t.merges
	if t.pieces != nil {
		pairs = t.sortedJoins()
	}
	merges := make([]string, len(pairs))
	for i, p := range pairs {
		merges[i] = t.Piece(p.left) + " " + t.Piece(p.right)
	}
	return merges
}

// sortedJoins lists the pairs of a SentencePiece vocabulary.
func (t *Tokenizer) sortedJoins() []pair {
	return slices.SortedFunc(maps.Keys(t.ranks), func(a, b pair) int {
		ma, mb := t.ranks[a], t.ranks[b]
		return cmp.Or(cmp.Compare(ma.rank, mb.rank),
			cmp.Compare(len(t.tokens[ma.id]), len(t.tokens[mb.id])), cmp.Compare(ma.id, mb.id),
			cmp.Compare(len(t.tokens[a.left]), len(t.tokens[b.left])))
	})
}

// Pattern is what text is split by before merging, "" where it is more than one pattern.
func (t *Tokenizer) Pattern() string {
	if len(t.pre.stages) != 1 || t.pre.stages[0].quoted {
		return ""
	}
	return t.pre.stages[0].pattern
}
