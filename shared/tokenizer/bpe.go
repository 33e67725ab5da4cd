package tokenizer

import "math"

// maxLinear is the longest word, in tokens before merging, that is merged by repeated scans; a
// longer one takes a heap, whose n log n keeps a megabyte without a space from costing n squared.
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
	var few [maxLinear]int32
	ids := few[:0]
	if len(word) > maxLinear {
		ids = make([]int32, 0, len(word))
	}
	if t.pieces != nil {
		ids = t.symbols(ids, word)
	} else {
		for i := range len(word) {
			ids = append(ids, t.byteIDs[word[i]])
		}
	}
	if len(ids) <= maxLinear {
		return t.mergeShort(dst, ids)
	}
	return t.mergeLong(dst, ids)
}

// mergeShort merges at most maxLinear tokens in place: scan for the lowest rank, merge there, look
// up the two pairs that changed, scan again.
func (t *Tokenizer) mergeShort(dst, ids []int32) []int32 {
	var next [maxLinear]merged // next[i] is what ids[i] and ids[i+1] become
	n := len(ids)
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

// candidate is a merge that may be done: its rank above, the place of its left token below. So the
// smallest is the merge to do next, the leftmost of the lowest rank.
type candidate uint64

func (c candidate) rank() int32 { return int32(c >> 32) }
func (c candidate) place() int  { return int(uint32(c)) }

// mergeLong merges any number of tokens with a heap of candidates over a linked list of them. It
// finds the same merges in the same order as mergeShort.
func (t *Tokenizer) mergeLong(dst, ids []int32) []int32 {
	n := len(ids)
	list := make([]link, n)
	var h []candidate
	smaller := func(a, b candidate) bool { return a < b }
	offer := func(i int) { // looks up what the token at i and the one after it become
		k := &list[i]
		k.with = merged{noMerge, 0}
		if k.next < n {
			k.with = t.merge(k.id, list[k.next].id)
		}
		if k.with.rank != noMerge {
			h = push(h, candidate(k.with.rank)<<32|candidate(i), smaller)
		}
	}
	for i := range list {
		list[i] = link{id: ids[i], prev: i - 1, next: i + 1}
	}
	for i := range list {
		offer(i)
	}
	for len(h) > 0 {
		var c candidate
		c, h = pop(h, smaller)
		left := &list[c.place()]
		if left.with.rank != c.rank() {
			continue // one of the two has been merged otherwise
		}
		right := &list[left.next]
		left.id, left.next = left.with.id, right.next
		right.with.rank = noMerge
		if left.next < n {
			list[left.next].prev = c.place()
		}
		offer(c.place())
		if left.prev >= 0 {
			offer(left.prev)
		}
	}
	for i := 0; i < n; i = list[i].next {
		dst = append(dst, list[i].id)
	}
	return dst
}

// link is a token in a word: at the place of the first token that it was merged from.
type link struct {
	id         int32
	with       merged // what it and the next token become
	prev, next int    // places of its neighbours: -1 before the first, the length after the last
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
