package devicetest

import (
	"cmp"
	"math"
	"slices"

	"transformer2/shared/compute"
)

// rowTables are [ids rows cols] for the ops that move rows by number.
var rowTables = [][3]int{{1, 1, 1}, {7, 1, 5}, {1, 7, 33}, {13, 31, 32}, {31, 13, 7}, {97, 33, 64},
	{64, 100, 48}, {200, 7, 257}}

// someOutside is n ids below rows, of which some are −1, rows or far off.
func someOutside(e *env, n, rows int) []int32 {
	ids := below(e.rng, n, rows)
	outside := []int32{-1, int32(rows), math.MaxInt32, math.MinInt32}
	for i := 3; i < n; i += 5 {
		ids[i] = outside[i/5%len(outside)]
	}
	return ids
}

func checkGatherRows(e *env) {
	for _, s := range keep(e, rowTables) {
		c := e.begin("%d ids from [%d %d]", s[0], s[1], s[2])
		host := someOutside(e, s[0], s[1])
		table, ids, y := c.normal(s[1], s[2]), c.inInts(host), c.out(s[0], s[2])
		c.run(func() { e.dev.GatherRows(y.Tensor, table.Tensor, ids.Ints) })
		e.same("y", y.got(), narrow(gatherRows(table.wide(), host)))
		c.end()
	}
}

// checkUnpackRows is exact to the bit: a row is what Unpack gives of it.
func checkUnpackRows(e *env) {
	for _, t := range dtypes {
		for _, s := range keep(e, rowTables) {
			cols := s[2]
			if t.Blocked() {
				cols = inBlocks(cols, compute.BlockQ8)
			}
			c := e.begin("%v, %d ids from [%d %d]", t, s[0], s[1], cols)
			host := someOutside(e, s[0], s[1])
			w, held := c.weight(t, s[1], cols, normal(e.rng, s[1]*cols))
			ids, y := c.inInts(host), c.out(s[0], cols)
			c.run(func() { e.dev.UnpackRows(y.Tensor, w, ids.Ints) })
			e.same("y", y.got(), narrow(gatherRows(held, host)))
			e.dev.Free(w)
			c.end()
		}
	}
}

// checkScatterAddRows is exact to the bit: the order of the sum is part of the contract.
func checkScatterAddRows(e *env) {
	for _, s := range keep(e, rowTables) {
		c := e.begin("%d ids to [%d %d]", s[0], s[1], s[2])
		host := someOutside(e, s[0], s[1])
		d, ids, dy := c.acc(s[1], s[2]), c.inInts(host), c.normal(s[0], s[2])
		c.run(func() { e.dev.ScatterAddRows(d.Tensor, dy.Tensor, ids.Ints) })
		want := scatterAddRows(d.before[d.pre:d.pre+d.Len()], s[2], dy.got(), host)
		e.same("dtable", d.got(), want)
		c.end()
	}
}

func checkScatterRows(e *env) {
	for _, s := range keep(e, rowTables) {
		n := min(s[0], s[1]) // ids are distinct
		c := e.begin("%d rows into [%d %d]", n, s[1], s[2])
		host := make([]int32, n)
		for i, id := range e.rng.Perm(s[1])[:n] {
			host[i] = int32(id)
		}
		dst, src, ids := c.acc(s[1], s[2]), c.normal(n, s[2]), c.inInts(host)
		c.run(func() { e.dev.ScatterRows(dst.Tensor, src.Tensor, ids.Ints) })
		want := append([]float32(nil), dst.before[dst.pre:dst.pre+dst.Len()]...)
		for t, id := range host {
			copy(want[int(id)*s[2]:(int(id)+1)*s[2]], src.got()[t*s[2]:(t+1)*s[2]])
		}
		e.same("dst", dst.got(), want)
		c.end()
	}
}

// awkward is rows of numbers of which the largest are hard to find.
func awkward(e *env, rows, cols int) []float32 {
	v := normal(e.rng, rows*cols)
	for t := range rows {
		row := v[t*cols : (t+1)*cols]
		switch t % 4 {
		case 1: // ties all along: few distinct values
			for j := range row {
				row[j] = float32(e.rng.IntN(3))
			}
		case 2: // NaN in most places
			for j := range row {
				if e.rng.IntN(4) != 0 {
					row[j] = nan32
				}
			}
		case 3: // no number above −Inf, and NaN before the first
			copy(row, repeat(float32(math.Inf(-1)), len(row)))
			if len(row) > 1 {
				row[0] = nan32
			}
		}
	}
	return v
}

// checkTopK: for a device that is a compute.Ranker.
func checkTopK(e *env) {
	ranker, ok := compute.As[compute.Ranker](e.dev)
	if !ok {
		return
	}
	for i, s := range append(keep(e, sizes), [2]int{5, 4096}, [2]int{5, 9000}) {
		for _, k := range []int{1, 3 + i%5, 300} {
			c := e.begin("the %d largest of %v", k, s)
			v := awkward(e, s[0], s[1])
			x, top := c.in(s[0], s[1], v), c.outInts(s[0]*2*k)
			c.run(func() { ranker.TopK(top.Ints, x.Tensor, k) })
			for t := range s[0] {
				row, got := v[t*s[1]:(t+1)*s[1]], top.got()[2*k*t:2*k*(t+1)]
				want := append(topK(row, k), slices.Repeat([]int32{-1}, k)...)[:k]
				if !slices.Equal(got[:k], want) {
					e.errorf("row %d: places %v, want %v", t, got[:k], want)
					continue
				}
				for i, j := range want {
					if j >= 0 && uint32(got[k+i]) != math.Float32bits(row[j]) {
						e.errorf("row %d: the number at %d is %#08x, want %v", t, j,
							uint32(got[k+i]), row[j])
					}
				}
			}
			c.end()
		}
	}
}

// topK is the places of the k largest numbers of a row, in ascending order.
func topK(row []float32, k int) []int32 {
	var places []int32
	for j, v := range row {
		if v == v {
			places = append(places, int32(j))
		}
	}
	slices.SortStableFunc(places, func(a, b int32) int { return cmp.Compare(row[b], row[a]) })
	places = places[:min(k, len(places))]
	slices.Sort(places)
	return places
}

func checkArgMax(e *env) {
	list := append(keep(e, sizes), [2]int{2, 5000})
	for _, s := range list {
		c := e.begin("%v", s)
		v := awkward(e, s[0], s[1])
		x, ids := c.in(s[0], s[1], v), c.outInts(s[0])
		c.run(func() { e.dev.ArgMax(ids.Ints, x.Tensor) })
		for t, id := range ids.got() {
			want := argMax(v[t*s[1] : (t+1)*s[1]])
			if want < 0 && (id < 0 || int(id) >= s[1]) { // all NaN: any column will do
				e.errorf("row %d is all NaN: got column %d", t, id)
			} else if want >= 0 && int(id) != want {
				e.errorf("row %d: got %d, want %d", t, id, want)
			}
		}
		c.end()
	}
}
