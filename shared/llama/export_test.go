package llama

// SetReadPart sets how many numbers of a weight are read back at once, and gives how many were.
func SetReadPart(n int) int {
	before := readPart
	readPart = n
	return before
}

// GeneratorOf is NewGenerator with as many rows, and of prompts in a step, as a test wants.
var GeneratorOf = (*Model).newGenerator

// CacheRows is how many rows the cache of a generator has.
var CacheRows = (*Config).cacheRows

// Runs are the rows [lo, hi) of the cache that running sequences have, and those that are free.
func (g *Generator) Runs() (taken, free [][2]int) {
	for _, s := range g.slots {
		if s.req >= 0 {
			taken = append(taken, [2]int{s.rows.lo, s.rows.hi})
		}
	}
	for _, f := range g.pool.free {
		free = append(free, [2]int{f.lo, f.hi})
	}
	return taken, free
}
