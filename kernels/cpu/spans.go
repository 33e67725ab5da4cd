package cpu

import "math"

// A queryBlock is consecutive query rows that are done together, over the union [lo, hi) of their
// keys. dense says whether as matrix products or row by row.
type queryBlock struct {
	row, rows int
	lo, hi    int
	dense     bool
}

const (
	// stripsPerBlock strips of rows share the products that have rows as their inner index.
	stripsPerBlock = 4
	// denseRows is the fewest rows of a dense block: fewer do not repay packing their keys.
	denseRows = 4
	// blocksPerPart blocks share packed keys; more parts than this are for parallel work.
	blocksPerPart = 8
)

// span is the keys that a row sees; an empty span is [0, 0).
func (t *attnTask) span(row int) (lo, hi int) {
	lo, hi = int(t.spans[2*row]), int(t.spans[2*row+1])
	if hi <= lo {
		return 0, 0
	}
	return lo, hi
}

// plan cuts the query rows into blocks, and the blocks into parts. A row joins a block while their
// keys overlap and the union stays close to the longest span.
func (t *attnTask) plan(mr int) {
	most := mr * stripsPerBlock
	for row := 0; row < len(t.spans)/2; {
		lo, hi := t.span(row)
		b := queryBlock{row: row, rows: 1, lo: lo, hi: hi}
		longest := hi - lo
		for b.rows < most && row+b.rows < len(t.spans)/2 {
			lo, hi := t.span(row + b.rows)
			if hi == lo || b.hi == b.lo || lo >= b.hi || hi <= b.lo ||
				max(hi, b.hi)-min(lo, b.lo) > 2*max(longest, hi-lo)+most {
				break
			}
			longest = max(longest, hi-lo)
			b.lo, b.hi = min(lo, b.lo), max(hi, b.hi)
			b.rows++
		}
		b.dense = b.hi > b.lo && b.rows*t.group >= denseRows
		t.blocks = append(t.blocks, b)
		row += b.rows
	}
	t.cut()
}

// cut makes parts of consecutive blocks such that no key is seen from two parts: what a part adds
// to the gradients of keys and values belongs to it alone. The forward pass cuts further.
func (t *attnTask) cut() {
	// least[i] is the lowest key that blocks n−i and later see.
	n, next := len(t.blocks), math.MaxInt
	t.least = append(t.least, next)
	for i := n - 1; i >= 0; i-- {
		if b := t.blocks[i]; b.hi > b.lo {
			next = min(next, b.lo)
		}
		t.least = append(t.least, next)
	}
	end, start := 0, 0
	for i, b := range t.blocks {
		if i == 0 || t.least[n-i] >= end || (!t.whole && i-start == blocksPerPart) {
			t.parts = append(t.parts, i)
			start = i
		}
		end = max(end, b.hi)
	}
	t.parts = append(t.parts, n)
}

// part is the blocks of part i and the union [lo, hi) of the keys of the dense ones.
func (t *attnTask) part(i int) (blocks []queryBlock, lo, hi int) {
	blocks = t.blocks[t.parts[i]:t.parts[i+1]]
	lo = math.MaxInt
	for _, b := range blocks {
		if b.dense {
			lo, hi = min(lo, b.lo), max(hi, b.hi)
		}
	}
	return blocks, min(lo, hi), hi
}
