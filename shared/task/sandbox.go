package task

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Bounds on a program under test. Steps alone would not do: one step may multiply a list by a
// billion. So every operator and builtin that can allocate, compare or print is replaced by one
// that looks at the size of its operands first (guard.go), and no value can grow past maxSize
// in one step. Steps times size bounds memory: 9 MB are allocated by the worst program
// of the tests.
const (
	maxSource = 4096            // bytes of program text
	maxSteps  = 10_000          // bytecodes a case; a right program takes about 200
	maxSize   = 1000            // units of a value: list members, characters, 32-bit digits
	maxBits   = 256             // of an integer
	wallLimit = 2 * time.Second // a case; a backstop, the steps end first
)

var dialect = &syntax.FileOptions{} // no while, no recursion, no sets, no top-level control

// RunCases runs a program and then each case, and returns the first thing that went wrong: a
// program that does not parse, a bound that was passed, a wrong result. The program is hostile.
func RunCases(src string, cases []Case) error {
	if len(cases) == 0 {
		return fmt.Errorf("task: sandbox: want at least one case, got none")
	}
	prog, err := compileGuarded(src)
	if err != nil {
		return fmt.Errorf("task: sandbox: %w", err)
	}
	for _, c := range cases {
		if err := runCase(prog, c); err != nil {
			return fmt.Errorf("task: sandbox: %s: %w", c.Call, err)
		}
	}
	return nil
}

// runCase starts afresh, so that a case leaves nothing behind for the next.
func runCase(prog *starlark.Program, c Case) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the interpreter gave up: %v", p)
		}
	}()
	name, args, want, err := parseCase(c)
	if err != nil {
		return err
	}
	thread := &starlark.Thread{Name: "case", Print: func(*starlark.Thread, string) {}}
	thread.SetMaxExecutionSteps(maxSteps)
	timer := time.AfterFunc(wallLimit, func() { thread.Cancel("took too long") })
	defer timer.Stop()
	globals, err := prog.Init(thread, predeclared)
	if err != nil {
		return err
	}
	fn, ok := globals[name].(starlark.Callable)
	if !ok {
		return fmt.Errorf("want a function %s, got none", name)
	}
	got, err := starlark.Call(thread, fn, args, nil)
	if err != nil {
		return err
	}
	if err := bounded(got); err != nil {
		return err
	}
	if same, err := starlark.Equal(got, want); err != nil || !same {
		return fmt.Errorf("want %s, got %s", c.Want, got)
	}
	return nil
}

// parseCase reads "f([3, 1])" and the wanted literal.
func parseCase(c Case) (name string, args starlark.Tuple, want starlark.Value, err error) {
	name, rest, ok := strings.Cut(c.Call, "(")
	if !ok || !strings.HasSuffix(rest, ")") {
		return "", nil, nil, fmt.Errorf("case: want f(...), got %q", c.Call)
	}
	list, err := parseLiteral("[" + rest[:len(rest)-1] + "]")
	if err != nil {
		return "", nil, nil, err
	}
	for i := range list.(*starlark.List).Len() {
		args = append(args, list.(*starlark.List).Index(i))
	}
	want, err = parseLiteral(c.Want)
	return name, args, want, err
}

// parseLiteral reads integers, True, False and lists of them.
func parseLiteral(s string) (starlark.Value, error) {
	v, rest, err := readLiteral(s, 0)
	if err == nil && strings.TrimSpace(rest) != "" {
		err = fmt.Errorf("literal: want nothing behind %q", s)
	}
	return v, err
}

// maxLiteralDepth bounds the nesting of lists in a case.
const maxLiteralDepth = 8

func readLiteral(s string, depth int) (v starlark.Value, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	switch {
	case strings.HasPrefix(s, "True"):
		return starlark.True, s[4:], nil
	case strings.HasPrefix(s, "False"):
		return starlark.False, s[5:], nil
	case !strings.HasPrefix(s, "["):
		end := len(s) - len(strings.TrimLeft(s, "-0123456789"))
		n, err := strconv.ParseInt(s[:end], 10, 64)
		if err != nil {
			return nil, s, fmt.Errorf("literal: want a number, True, False or a list, got %q", s)
		}
		return starlark.MakeInt64(n), s[end:], nil
	}
	if depth == maxLiteralDepth {
		return nil, s, fmt.Errorf("literal: want at most %d nested lists", depth)
	}
	var elems []starlark.Value
	for rest = s[1:]; ; {
		rest = strings.TrimLeft(rest, " ,")
		if strings.HasPrefix(rest, "]") {
			return starlark.NewList(elems), rest[1:], nil
		}
		if v, rest, err = readLiteral(rest, depth+1); err != nil {
			return nil, s, err
		}
		elems = append(elems, v)
	}
}

// unitsOf adds up the units of a value, shared parts as often as they are reached, and stops
// counting behind maxSize: cyclic values end there too.
func unitsOf(v starlark.Value) int { return unitsUpTo(v, 0) }

func unitsUpTo(v starlark.Value, n int) int {
	if n > maxSize {
		return n
	}
	switch v := v.(type) {
	case starlark.Int:
		bits := v.BigInt().BitLen()
		if bits > maxBits {
			return maxSize + 1
		}
		return n + 1 + bits/32
	case starlark.String:
		return n + 1 + len(v)
	case *starlark.List:
		n++
		for i := 0; i < v.Len() && n <= maxSize; i++ {
			n = unitsUpTo(v.Index(i), n)
		}
		return n
	case starlark.Tuple:
		n++
		for i := 0; i < len(v) && n <= maxSize; i++ {
			n = unitsUpTo(v[i], n)
		}
		return n
	case starlark.Sequence: // a range: lazy, but its readers are not
		return n + 1 + min(v.Len(), maxSize)
	case starlark.NoneType, starlark.Bool, starlark.Float, starlark.Callable:
		return n + 1
	}
	return maxSize + 1 // nothing else is in the language
}

// bounded refuses values that together pass maxSize.
func bounded(vs ...starlark.Value) error {
	n := 0
	for _, v := range vs {
		if n += unitsOf(v); n > maxSize {
			return fmt.Errorf("want values of at most %d units", maxSize)
		}
	}
	return nil
}
