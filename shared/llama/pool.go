package llama

import "slices"

// run is rows [lo, hi) of a cache.
type run struct{ lo, hi int }

// pool lends runs of rows.
type pool struct {
	free []run // ascending; no two touch
}

// reset makes all of so many rows free.
func (p *pool) reset(rows int) { p.free = append(p.free[:0], run{0, rows}) }

// take lends the first n rows that are free side by side, if there are any.
func (p *pool) take(n int) (r run, ok bool) {
	i := slices.IndexFunc(p.free, func(f run) bool { return f.hi-f.lo >= n })
	if i < 0 {
		return run{}, false
	}
	f := &p.free[i]
	r = run{f.lo, f.lo + n}
	if f.lo = r.hi; f.lo == f.hi {
		p.free = slices.Delete(p.free, i, i+1)
	}
	return r, true
}

// give takes a run back.
func (p *pool) give(r run) {
	i, _ := slices.BinarySearchFunc(p.free, r.lo, func(f run, lo int) int { return f.lo - lo })
	p.free = slices.Insert(p.free, i, r)
	if i+1 < len(p.free) && p.free[i+1].lo == r.hi {
		p.free[i].hi = p.free[i+1].hi
		p.free = slices.Delete(p.free, i+1, i+2)
	}
	if i > 0 && p.free[i-1].hi == r.lo {
		p.free[i-1].hi = p.free[i].hi
		p.free = slices.Delete(p.free, i, i+1)
	}
}
