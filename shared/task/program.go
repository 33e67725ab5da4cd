package task

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// program is one or two calls, applied in order, with hidden cases that tell it from its slips.
type program struct {
	calls  []call
	sloppy []call
	key    string // "above5 sort"
	inputs [][]int
}

// numCases is the number of hidden calls that check a program.
const numCases = 6

// programSet holds every program that its cases can tell from each of its slips, in a fixed
// order: about 6,500. Keys are programs, so a test program never occurs in training in any
// wording, nor in the other code task.
type programSet struct{ single, list, scalar []*program }

var programs = sync.OnceValue(buildPrograms)

// draw favours numbers as results over what their count would give.
func (s *programSet) draw(r *rng) *program {
	switch u := r.n(20); {
	case u < 3:
		return pick(r, s.single)
	case u < 14:
		return pick(r, s.list)
	}
	return pick(r, s.scalar)
}

func buildPrograms() *programSet {
	var lists, scalars []call
	names := make([]string, 0, len(opTable))
	for name := range opTable {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		o := opTable[name]
		for k := o.lo; k <= o.hi && !o.hidden; k++ {
			if o.scalar {
				scalars = append(scalars, newCall(name, k))
			} else {
				lists = append(lists, newCall(name, k))
			}
		}
	}
	s := &programSet{}
	add := func(to *[]*program, calls ...call) {
		if p, ok := newProgram(calls); ok {
			*to = append(*to, p)
		}
	}
	for _, a := range slices.Concat(lists, scalars) {
		add(&s.single, a)
	}
	for _, a := range lists {
		for _, b := range lists {
			if a.name != b.name {
				add(&s.list, a, b)
			}
		}
		for _, b := range scalars {
			add(&s.scalar, a, b)
		}
	}
	return s
}

// run applies the calls in order; ok is false where a number of an empty list is asked for.
func run(calls []call, xs []int) (ys []int, ok bool) {
	for _, c := range calls {
		ys = c.op.run(xs, c.k)
		if ys == nil {
			return nil, false
		}
		xs = ys
	}
	return ys, true
}

// newProgram picks the slip and the hidden cases; ok is false when a shorter or sloppy program
// would pass them all, since then the question would not need its words.
func newProgram(calls []call) (*program, bool) {
	p := &program{calls: calls, key: programKey(calls)}
	h := hashString(0, p.key)
	rivals := [][]call{{calls[0].mistaken()}}
	if len(calls) == 2 {
		a, b := calls[0], calls[1]
		rivals = [][]call{{b}, {a.mistaken(), b}, {a, b.mistaken()}, {a}, {b, a}}
		if a.op.scalar || b.op.scalar {
			rivals = rivals[:4]
		}
		// A hurried answer forgets the first step or mistakes it, by the kind of the second.
		p.sloppy = rivals[1]
		if b.op.scalar || h%4 == 0 {
			p.sloppy = rivals[0]
		}
		rivals = rivals[:4]
	} else {
		p.sloppy = rivals[0]
	}
	r := newRNG(h, 1)
	return p, p.findInputs(&r, rivals)
}

// findInputs draws lists until every rival is told apart by one of them, then fills up.
func (p *program) findInputs(r *rng, rivals [][]call) bool {
	for _, rival := range rivals {
		if !p.tellApart(r, rival) {
			return false
		}
	}
	for try := 0; len(p.inputs) < numCases && try < 100; try++ {
		if xs := p.drawInput(r); xs != nil {
			p.inputs = append(p.inputs, xs)
		}
	}
	return len(p.inputs) >= numCases
}

func (p *program) tellApart(r *rng, rival []call) bool {
	differs := func(xs []int) bool {
		want, _ := run(p.calls, xs)
		got, ok := run(rival, xs)
		return !ok || !slices.Equal(got, want) || rival[len(rival)-1].op.scalar !=
			p.calls[len(p.calls)-1].op.scalar
	}
	if slices.ContainsFunc(p.inputs, differs) {
		return true
	}
	for range 40 {
		if xs := p.drawInput(r); xs != nil && differs(xs) {
			p.inputs = append(p.inputs, xs)
			return true
		}
	}
	return false
}

// drawInput draws a list of 5 to 8 numbers, rich in the program's own parameters, where bounds
// matter; nil when the program has no result on it.
func (p *program) drawInput(r *rng) []int {
	xs := make([]int, r.between(5, 8))
	for i := range xs {
		xs[i] = r.n(16)
		if c := pick(r, p.calls); c.k > 0 && r.chance(0.3) {
			xs[i] = c.k + r.n(2)
		}
	}
	if _, ok := run(p.calls, xs); !ok {
		return nil
	}
	return xs
}

func programKey(calls []call) string {
	parts := make([]string, len(calls))
	for i, c := range calls {
		parts[i] = c.name
		if c.k > 0 {
			parts[i] += strconv.Itoa(c.k)
		}
	}
	return strings.Join(parts, " ")
}

// cases renders the hidden calls of a function of that name.
func (p *program) cases(fname string) []Case {
	out := make([]Case, len(p.inputs))
	for i, xs := range p.inputs {
		ys, _ := run(p.calls, xs)
		want := literal(ys)
		if p.calls[len(p.calls)-1].op.scalar {
			want = strconv.Itoa(ys[0])
		}
		out[i] = Case{Call: fname + "(" + literal(xs) + ")", Want: want}
	}
	return out
}

// literal writes a list as Starlark does.
func literal(xs []int) string {
	parts := make([]string, len(xs))
	for i, x := range xs {
		parts[i] = strconv.Itoa(x)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// compact is the body as one expression.
func compact(calls []call, arg string) string {
	for _, c := range calls {
		arg = c.on(arg)
	}
	return "return " + arg
}

// stepwise is the body with a line for each step but the last.
func stepwise(calls []call, arg string) string {
	first, last := calls[0], calls[len(calls)-1]
	if len(calls) == 1 {
		return fmt.Sprintf("ys = %s\n  return ys", first.on(arg))
	}
	return fmt.Sprintf("ys = %s\n  return %s", first.on(arg), last.on("ys"))
}
