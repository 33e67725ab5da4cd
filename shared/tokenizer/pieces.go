package tokenizer

// Piece is a token as vocabulary files spell it: its bytes as the printable characters of GPT-2's
// table, or its name if it is an added token; "" for an id that stands for nothing.
func (t *Tokenizer) Piece(id int32) string {
	switch t.kindOf(id) {
	case hole:
		return ""
	case plain:
		return toChars(t.tokens[id])
	}
	return t.tokens[id]
}

// Merges are the pairs by rank, "left right", spelled as Piece spells them.
func (t *Tokenizer) Merges() []string {
	merges := make([]string, len(t.merges))
	for i, p := range t.merges {
		merges[i] = toChars(t.tokens[p.left]) + " " + toChars(t.tokens[p.right])
	}
	return merges
}

// Pattern is what text is split by before merging, "" where it is more than one pattern.
func (t *Tokenizer) Pattern() string {
	if len(t.pre.stages) != 1 || t.pre.stages[0].quoted {
		return ""
	}
	return t.pre.stages[0].pattern
}
