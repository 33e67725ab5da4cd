package tokenizer

import (
	"strings"
	"testing"
)

// Pieces, merges and the pattern say all that a vocabulary file needs: a merge's parts make a piece.
func TestPieces(t *testing.T) {
	tok, err := Train(func(yield func(string) bool) {
		yield("the cat and the hat, the café and the mat")
	}, TrainOptions{VocabSize: 300, Specials: HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	pieces := map[string]bool{}
	for id := range int32(tok.VocabSize()) {
		p := tok.Piece(id)
		if p == "" || pieces[p] || strings.ContainsAny(p, " \n") {
			t.Errorf("token %d is %q", id, p)
		}
		pieces[p] = true
	}
	if len(tok.Merges()) == 0 || !pieces["Ġthe"] || !pieces[End] {
		t.Errorf("%d merges, %d pieces", len(tok.Merges()), len(pieces))
	}
	for _, m := range tok.Merges() {
		left, right, ok := strings.Cut(m, " ")
		if !ok || !pieces[left] || !pieces[right] || !pieces[left+right] {
			t.Errorf("merge %q", m)
		}
	}
	if tok.Pattern() != PatternSingleDigit || tok.Piece(-1) != "" || tok.Piece(1<<20) != "" {
		t.Errorf("%q", tok.Pattern())
	}
}
