package devicetest

import (
	"math"
	"math/rand/v2"
)

var nan32 = float32(math.NaN())

// normal is n standard normal numbers.
func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// scaled multiplies x in place.
func scaled(x []float32, by float32) []float32 {
	for i := range x {
		x[i] *= by
	}
	return x
}

// spread is n numbers of either sign whose magnitudes are log-uniform in [lo, hi].
func spread(rng *rand.Rand, n int, lo, hi float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		m := math.Exp(math.Log(lo) + rng.Float64()*(math.Log(hi)-math.Log(lo)))
		if rng.IntN(2) == 0 {
			m = -m
		}
		x[i] = float32(m)
	}
	return x
}

func repeat(v float32, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = v
	}
	return x
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// below is n ints in [0, limit).
func below(rng *rand.Rand, n, limit int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(rng.IntN(limit))
	}
	return x
}

// sizes are [rows cols] of the ops that work on rows: one row, one column, primes, both sides of
// vector and workgroup widths, and one past any grain of parallel work.
var sizes = [][2]int{
	{1, 1}, {1, 2}, {2, 1}, {1, 7}, {7, 1}, {3, 4}, {1, 31}, {13, 32}, {5, 33}, {2, 64}, {97, 1},
	{31, 13}, {1, 97}, {4, 100}, {17, 128}, {1, 384}, {3, 257}, {64, 48}, {130, 65}, {301, 384},
}

// products are [m n k] of the matrix products: every m of 1..17, 64 and 130, every n of 1, 31, 32,
// 33, 100 with every k of 1, 5, 32, 100, 384, and shapes past any grain of parallel work.
var products = func() [][3]int {
	var list [][3]int
	ns, ks := []int{1, 31, 32, 33, 100}, []int{1, 5, 32, 100, 384}
	for i, n := range ns {
		for j, k := range ks {
			list = append(list, [3]int{1 + (7*i+3*j)%17, n, k})
		}
	}
	for m := 1; m <= 17; m++ {
		list = append(list, [3]int{m, ns[(m+1)%5], ks[(3*m)%5]})
	}
	return append(list, [3]int{1, 33, 100}, [3]int{64, 33, 100}, [3]int{64, 100, 32},
		[3]int{130, 32, 100}, [3]int{130, 31, 5}, [3]int{1, 1500, 384}, [3]int{67, 130, 257})
}()

// inBlocks rounds k up to whole Q8 blocks.
func inBlocks(k, block int) int { return (k + block - 1) / block * block }

// keep applies Options to a table of sizes.
func keep[S [2]int | [3]int](e *env, list []S) []S {
	var kept []S
	for i, s := range list {
		if e.opt.Every > 1 && i%e.opt.Every != 0 {
			continue
		}
		if e.opt.MaxDim > 0 && largest(s) > e.opt.MaxDim {
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

func largest[S [2]int | [3]int](s S) int {
	m := 0
	for i := range len(s) {
		m = max(m, s[i])
	}
	return m
}
