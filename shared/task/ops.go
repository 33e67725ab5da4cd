package task

import (
	"slices"
	"strconv"
)

// The operations that programs are composed of. Each is written twice, as a Starlark expression
// and as Go, so that hidden cases are computed without running what they check.

// op is an operation on a list of numbers; $k is its parameter, $v the list it applies to.
type op struct {
	say    []string // in the imperative: "keep the numbers above $k"
	expr   string   // "[x for x in $v if x > $k]"
	run    func(xs []int, k int) []int
	lo, hi int  // range of $k; 0, 0 when there is none
	scalar bool // gives one number: run returns a list of one
	// wrong names the operation that a sloppy answer confuses this one with, its $k moved by dk.
	wrong string
	dk    int
	// hidden operations are never asked for; they only serve as wrong ones.
	hidden bool
}

func keep(ok func(x, k int) bool) func([]int, int) []int {
	return func(xs []int, k int) []int {
		out := []int{}
		for _, x := range xs {
			if ok(x, k) {
				out = append(out, x)
			}
		}
		return out
	}
}

func each(f func(x, k int) int) func([]int, int) []int {
	return func(xs []int, k int) []int {
		out := make([]int, len(xs))
		for i, x := range xs {
			out[i] = f(x, k)
		}
		return out
	}
}

// one wraps an operation that gives a number, or none on an empty list.
func one(f func(xs []int) int) func([]int, int) []int {
	return func(xs []int, _ int) []int {
		if len(xs) == 0 {
			return nil
		}
		return []int{f(xs)}
	}
}

func sum(xs []int) int {
	t := 0
	for _, x := range xs {
		t += x
	}
	return t
}

func sorted(xs []int, _ int) []int {
	out := slices.Clone(xs)
	slices.Sort(out)
	return out
}

func reversed(xs []int, _ int) []int {
	out := slices.Clone(xs)
	slices.Reverse(out)
	return out
}

func sortedDown(xs []int, _ int) []int { return reversed(sorted(xs, 0), 0) }

// everyFrom keeps the members at start, start+2, ...
func everyFrom(start int) func([]int, int) []int {
	return func(xs []int, _ int) []int {
		out := []int{}
		for i := start; i < len(xs); i += 2 {
			out = append(out, xs[i])
		}
		return out
	}
}

func firstK(xs []int, k int) []int { return xs[:min(k, len(xs))] }
func lastK(xs []int, k int) []int  { return xs[max(0, len(xs)-k):] }
func skipK(xs []int, k int) []int  { return xs[min(k, len(xs)):] }
func cutK(xs []int, k int) []int   { return xs[:max(0, len(xs)-k)] }

// opTable maps names to operations. Elements stay natural numbers, or negative after a
// difference; // and % round down in Starlark, as floorDiv and floorMod do.
var opTable = map[string]op{
	"above": {say: []string{"keep the numbers above $k", "keep only numbers greater than $k"},
		expr: "[x for x in $v if x > $k]", run: keep(func(x, k int) bool { return x > k }),
		lo: 2, hi: 9, wrong: "atleast"},
	"atleast": {say: []string{"keep the numbers that are at least $k", "keep numbers from $k up"},
		expr: "[x for x in $v if x >= $k]", run: keep(func(x, k int) bool { return x >= k }),
		lo: 2, hi: 9, wrong: "above"},
	"below": {say: []string{"keep the numbers below $k", "keep only numbers less than $k"},
		expr: "[x for x in $v if x < $k]", run: keep(func(x, k int) bool { return x < k }),
		lo: 3, hi: 9, wrong: "atmost"},
	"atmost": {say: []string{"keep the numbers that are at most $k", "keep numbers up to $k"},
		expr: "[x for x in $v if x <= $k]", run: keep(func(x, k int) bool { return x <= k }),
		lo: 2, hi: 9, wrong: "below"},
	"without": {say: []string{"remove every $k", "drop all numbers equal to $k"},
		expr: "[x for x in $v if x != $k]", run: keep(func(x, k int) bool { return x != k }),
		lo: 2, hi: 9, wrong: "equal"},
	"equal": {expr: "[x for x in $v if x == $k]", hidden: true,
		run: keep(func(x, k int) bool { return x == k })},
	"even": {say: []string{"keep the even numbers", "drop the odd numbers"},
		expr: "[x for x in $v if x % 2 == 0]", wrong: "odd",
		run: keep(func(x, _ int) bool { return floorMod(x, 2) == 0 })},
	"odd": {say: []string{"keep the odd numbers", "drop the even numbers"},
		expr: "[x for x in $v if x % 2 == 1]", wrong: "even",
		run: keep(func(x, _ int) bool { return floorMod(x, 2) == 1 })},
	"multiples": {say: []string{"keep the multiples of $k", "keep numbers divisible by $k"},
		expr: "[x for x in $v if x % $k == 0]", lo: 3, hi: 5, wrong: "nonmultiples",
		run: keep(func(x, k int) bool { return floorMod(x, k) == 0 })},
	"nonmultiples": {expr: "[x for x in $v if x % $k]", hidden: true,
		run: keep(func(x, k int) bool { return floorMod(x, k) != 0 })},
	"add": {say: []string{"add $k to each number", "increase each number by $k"},
		expr: "[x + $k for x in $v]", run: each(func(x, k int) int { return x + k }),
		lo: 2, hi: 9, wrong: "times"},
	"subtract": {say: []string{"subtract $k from each number", "decrease each number by $k"},
		expr: "[x - $k for x in $v]", run: each(func(x, k int) int { return x - k }),
		lo: 2, hi: 9, wrong: "add"},
	"times": {say: []string{"multiply each number by $k", "make each number $k times as big"},
		expr: "[x * $k for x in $v]", run: each(func(x, k int) int { return x * k }),
		lo: 2, hi: 5, wrong: "add"},
	"square": {say: []string{"square each number", "multiply each number by itself"},
		expr: "[x * x for x in $v]", wrong: "double",
		run: each(func(x, _ int) int { return x * x })},
	"double": {expr: "[x * 2 for x in $v]", hidden: true,
		run: each(func(x, _ int) int { return x * 2 })},
	"halve": {say: []string{"halve each number, rounding down"}, expr: "[x // 2 for x in $v]",
		wrong: "double", run: each(func(x, _ int) int { return floorDiv(x, 2) })},
	"remainder": {say: []string{"take each number modulo $k", "take the remainder of each by $k"},
		expr: "[x % $k for x in $v]", run: each(floorMod), lo: 3, hi: 5, wrong: "divide"},
	"divide": {expr: "[x // $k for x in $v]", run: each(floorDiv), hidden: true},
	"cap": {say: []string{"cap each number at $k", "limit each number to at most $k"},
		expr: "[min(x, $k) for x in $v]", run: each(func(x, k int) int { return min(x, k) }),
		lo: 4, hi: 9, wrong: "raise"},
	"raise": {expr: "[max(x, $k) for x in $v]", run: each(func(x, k int) int { return max(x, k) }),
		hidden: true},
	"sort": {say: []string{"sort the list", "put the numbers in rising order"},
		expr: "sorted($v)", run: sorted, wrong: "sortdown"},
	"sortdown": {say: []string{"sort from high to low", "put the numbers in falling order"},
		expr: "sorted($v, reverse=True)", run: sortedDown, wrong: "sort"},
	"reverse": {say: []string{"reverse the list", "turn the list around"},
		expr: "$v[::-1]", run: reversed, wrong: "sortdown"},
	"first": {say: []string{"take the first $k numbers", "keep the first $k"},
		expr: "$v[:$k]", run: firstK, lo: 2, hi: 4, wrong: "first", dk: -1},
	"last": {say: []string{"take the last $k numbers", "keep the last $k"},
		expr: "$v[-$k:]", run: lastK, lo: 2, hi: 4, wrong: "first"},
	"skip": {say: []string{"skip the first $k numbers", "drop the first $k"},
		expr: "$v[$k:]", run: skipK, lo: 2, hi: 4, wrong: "skip", dk: 1},
	"cut": {say: []string{"cut off the last $k numbers", "drop the last $k"},
		expr: "$v[:-$k]", run: cutK, lo: 2, hi: 4, wrong: "skip"},
	"every": {say: []string{"take every second number", "keep every other number"},
		expr: "$v[::2]", run: everyFrom(0), wrong: "everyodd"},
	"everyodd": {expr: "$v[1::2]", run: everyFrom(1), hidden: true},
	"sum": {say: []string{"give the sum", "add up all the numbers"}, expr: "sum($v)", scalar: true,
		run: func(xs []int, _ int) []int { return []int{sum(xs)} }, wrong: "count"},
	"count": {say: []string{"give how many numbers there are", "count the numbers"},
		expr: "len($v)", scalar: true, wrong: "sum",
		run: func(xs []int, _ int) []int { return []int{len(xs)} }},
	"max": {say: []string{"give the largest number", "find the maximum"}, expr: "max($v)",
		scalar: true, run: one(slices.Max[[]int]), wrong: "min"},
	"min": {say: []string{"give the smallest number", "find the minimum"}, expr: "min($v)",
		scalar: true, run: one(slices.Min[[]int]), wrong: "max"},
	"head": {say: []string{"give the first number", "return the first one"}, expr: "$v[0]",
		scalar: true, run: one(func(xs []int) int { return xs[0] }), wrong: "final"},
	"final": {say: []string{"give the last number", "return the last one"}, expr: "$v[-1]",
		scalar: true, run: one(func(xs []int) int { return xs[len(xs)-1] }), wrong: "head"},
}

func floorDiv(x, k int) int { return (x - floorMod(x, k)) / k }

func floorMod(x, k int) int { return ((x % k) + k) % k }

// call is an operation with its parameter.
type call struct {
	name string
	op   *op
	k    int
}

func newCall(name string, k int) call {
	o := opTable[name]
	return call{name, &o, k}
}

// on writes the call applied to the expression v.
func (c call) on(v string) string {
	return fill(c.op.expr, "v", v, "k", strconv.Itoa(c.k))
}

// spoken is the call in words, in its variant-th wording.
func (c call) spoken(variant int) string {
	return fill(c.op.say[variant%len(c.op.say)], "k", strconv.Itoa(c.k))
}

// mistaken is the call a sloppy answer makes instead.
func (c call) mistaken() call { return newCall(c.op.wrong, c.k+c.op.dk) }
