package cpu

import "math"

// A queryBlock is consecutive query rows that are done together, over the union [lo, hi) of their
// keys. dense says whether as matrix products or row by row.
type queryBlock struct {
	row, rows int
	lo, hi    int
	dense     bool
}

// denseLanes is the fewest lanes of 32 that make a dense block worth while: below it the matrix
// products mostly multiply empty lanes.
const denseLanes = 4

// span is the keys that a row sees; an empty span is [0, 0).
func (t *attnTask) span(row int) (lo, hi int) {
	lo, hi = int(t.spans[2*row]), int(t.spans[2*row+1])
	if hi <= lo {
		return 0, 0
	}
	return lo, hi
}

// plan cuts the query rows into blocks of up to 32 lanes. A row joins a block while their keys
// overlap and the union stays below twice the longest span (plus a block's own causal staircase).
func (t *attnTask) plan() {
	most := max(1, nr/t.group)
	for row := 0; row < len(t.spans)/2; {
		lo, hi := t.span(row)
		b := queryBlock{row: row, rows: 1, lo: lo, hi: hi}
		longest := hi - lo
		for b.rows < most && row+b.rows < len(t.spans)/2 {
			lo, hi := t.span(row + b.rows)
			if hi == lo || b.hi == b.lo || lo >= b.hi || hi <= b.lo ||
				max(hi, b.hi)-min(lo, b.lo) > 2*max(longest, hi-lo)+nr {
				break
			}
			longest = max(longest, hi-lo)
			b.lo, b.hi = min(lo, b.lo), max(hi, b.hi)
			b.rows++
		}
		lanes := b.rows * t.group
		b.dense = b.hi > b.lo && lanes >= denseLanes && lanes <= nr
		t.blocks = append(t.blocks, b)
		row += b.rows
	}
}

// cut groups the blocks so that no key is seen from two groups: the gradients of keys and values
// of a group belong to it alone.
func (t *attnTask) cut(least []int) []int {
	// least[i] is the lowest key that blocks i and later see.
	next := math.MaxInt
	for i := len(t.blocks) - 1; i >= 0; i-- {
		if b := t.blocks[i]; b.hi > b.lo {
			next = min(next, b.lo)
		}
		least = append(least, next)
	}
	t.groups = append(t.groups, 0)
	end := 0
	for i, b := range t.blocks {
		if i > 0 && least[len(least)-1-i] >= end {
			t.groups = append(t.groups, i)
		}
		end = max(end, b.hi)
	}
	t.groups = append(t.groups, len(t.blocks))
	return least
}
