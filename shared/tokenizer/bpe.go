package tokenizer

import "math"

// maxLinear is the longest word, in bytes, that is merged by repeated scans; a longer one takes a
// heap, whose n log n keeps a megabyte without a space from costing n squared.
const maxLinear = 64

// noMerge is the rank of a pair that has none.
const noMerge = math.MaxInt32

// mergeWord appends the ids of word, which is not empty.
func (t *Tokenizer) mergeWord(dst []int32, word string) []int32 {
	if t.wholeWords {
		if id, ok := t.ordinary[word]; ok {
			return append(dst, id)
		}
	}
	if len(word) <= maxLinear {
		return t.mergeShort(dst, word)
	}
	return t.mergeLong(dst, word)
}

// mergeShort merges a word of at most maxLinear bytes: scan for the lowest rank, merge there,
// look up the two pairs that changed, scan again.
func (t *Tokenizer) mergeShort(dst []int32, word string) []int32 {
	var ids [maxLinear]int32
	var next [maxLinear]merged // next[i] is what ids[i] and ids[i+1] become
	n := len(word)
	for i := range n {
		ids[i] = t.byteIDs[word[i]]
	}
	for i := range n - 1 {
		next[i] = t.merge(ids[i], ids[i+1])
	}
	for n > 1 {
		at := 0
		for i := 1; i < n-1; i++ {
			if next[i].rank < next[at].rank {
				at = i
			}
		}
		if next[at].rank == noMerge {
			break
		}
		ids[at] = next[at].id
		copy(ids[at+1:n-1], ids[at+2:n])
		copy(next[at:n-2], next[at+1:n-1])
		n--
		if at > 0 {
			next[at-1] = t.merge(ids[at-1], ids[at])
		}
		if at < n-1 {
			next[at] = t.merge(ids[at], ids[at+1])
		}
	}
	return append(dst, ids[:n]...)
}

// merge is what two adjacent tokens become.
func (t *Tokenizer) merge(left, right int32) merged {
	if m, ok := t.ranks[pair{left, right}]; ok {
		return m
	}
	return merged{noMerge, 0}
}

// candidate is a pair that may be merged: at is where its left token stands.
type candidate struct {
	merged
	at          int32
	left, right int32 // stale once the tokens at that place have changed
}

// before orders candidates by rank, the leftmost first.
func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// mergeLong merges a word of any length with a heap of candidates over a linked list of tokens.
// It finds the same merges in the same order as mergeShort.
func (t *Tokenizer) mergeLong(dst []int32, word string) []int32 {
	n := int32(len(word))
	ids := make([]int32, n)  // id of the token that begins at i, -1 once it was joined to its left
	prev := make([]int32, n) // where the token before it begins, -1 at the start
	next := make([]int32, n) // where the token after it begins, n at the end
	var h []candidate
	for i := range n {
		ids[i], prev[i], next[i] = t.byteIDs[word[i]], i-1, i+1
	}
	offer := func(i int32) {
		if i < 0 || next[i] == n {
			return
		}
		left, right := ids[i], ids[next[i]]
		if m := t.merge(left, right); m.rank != noMerge {
			h = push(h, candidate{m, i, left, right}, candidate.before)
		}
	}
	for i := range n {
		offer(i)
	}
	for len(h) > 0 {
		var c candidate
		c, h = pop(h, candidate.before)
		right := next[c.at]
		if ids[c.at] != c.left || right == n || ids[right] != c.right {
			continue
		}
		ids[c.at], ids[right] = c.id, -1
		next[c.at] = next[right]
		if next[c.at] < n {
			prev[next[c.at]] = c.at
		}
		offer(prev[c.at])
		offer(c.at)
	}
	for i := int32(0); i < n; i = next[i] {
		dst = append(dst, ids[i])
	}
	return dst
}

// push adds x to the heap h, whose first element is before all others.
func push[T any](h []T, x T, before func(a, b T) bool) []T {
	h = append(h, x)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !before(x, h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = x
	return h
}

// pop removes the first element of the heap h, which is not empty.
func pop[T any](h []T, before func(a, b T) bool) (T, []T) {
	top, x := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && before(h[child+1], h[child]) {
			child++
		}
		if !before(h[child], x) {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = x
	}
	return top, h
}
