package engine

import "context"

// FirstDifference is the index of the first token that two answers to one prompt do not share. It
// may be the length of the shorter one, which ended there; −1 means that they are the same.
func FirstDifference(a, b []Token) int {
	for i := range min(len(a), len(b)) {
		if a[i].ID != b[i].ID {
			return i
		}
	}
	if len(a) == len(b) {
		return -1
	}
	return min(len(a), len(b))
}

// Compared is one voice's answer next to the base's.
type Compared struct {
	Answer
	FirstDifference int // index of the first token that is not the base's; −1: all are
}

// Compare answers a request as the base and then as each voice, and marks where they part. each,
// if not nil, hears every answer when it is there. When ctx ends, the answers so far come back.
func (s *Session) Compare(ctx context.Context, voices []Voice, r Request, each func(Compared)) (
	[]Compared, error) {
	var all []Compared
	for _, v := range append([]Voice{Base()}, voices...) {
		a, err := s.Generate(ctx, v, r)
		if err != nil {
			return all, err
		}
		c := Compared{Answer: a, FirstDifference: -1}
		if len(all) > 0 {
			c.FirstDifference = FirstDifference(all[0].Tokens, a.Tokens)
		}
		all = append(all, c)
		if each != nil {
			each(c)
		}
	}
	return all, nil
}
