package task

import "strings"

// Functions from a sentence, in the manner of MBPP: one or two operations on a list. Careful
// answers take a line for each step; compact ones nest, and the hurried ones among them are wrong.

func newCode() *suiteTask {
	return &suiteTask{
		name: "code", doc: "a sentence about a list -> a small function; run on hidden cases",
		label: LabelCode, maxTokens: 56, sizes: usualSizes, cut: usualCut,
		draw: drawCode, item: fillCases, score: scoreCode,
	}
}

var (
	codeNames = strings.Fields("f g h run calc make")
	codeArgs  = strings.Fields("xs nums items seq")
)

func drawCode(r *rng) draft {
	p := programs().draw(r)
	name, arg := pick(r, codeNames), pick(r, codeArgs)
	text := p.spoken(r, [][2]string{{"", ", then "}, {"", " and then "}, {"first ", ", then "}})
	v := r.n(4)
	var prompt string
	switch v {
	case 0:
		prompt = "Write a function " + name + "(" + arg + ") to " + text + "."
	case 1:
		prompt = "Define " + name + "(" + arg + "). It should " + text + "."
	case 2:
		prompt = "For a list " + arg + ", " + text + ". Call it " + name + "."
	default:
		prompt = "I need " + name + "(" + arg + ") that can " + text + "."
	}
	d := p.answers("def "+name+"("+arg+"):", arg)
	d.prompt, d.fname, d.sway = prompt, name, []int{1, 0, -1, 0}[v]
	d.haste = evenOdd(len(arg))
	return d
}

// spoken puts the steps into words; a joint is what precedes the first and the second step.
func (p *program) spoken(r *rng, joints [][2]string) string {
	if len(p.calls) == 1 {
		return p.calls[0].spoken(r.n(2))
	}
	j := pick(r, joints)
	return j[0] + p.calls[0].spoken(r.n(2)) + j[1] + p.calls[1].spoken(r.n(2))
}

// answers renders the three answers behind a signature; for a body alone the signature is "".
func (p *program) answers(signature, arg string) draft {
	lines, space := signature+"\n  ", signature+" "
	if signature == "" {
		lines, space = "  ", "  "
	}
	d := draft{prog: p, key: "code " + p.key,
		answer: space + compact(p.calls, arg), worked: lines + stepwise(p.calls, arg),
		terse: space + compact(p.calls, arg), sloppy: space + compact(p.sloppy, arg)}
	if p.calls[len(p.calls)-1].op.scalar {
		d.confused = LabelMath
	}
	return d
}

func fillCases(d *draft, it *Item) { it.Cases = d.prog.cases(d.fname) }

// scoreCode runs the program on the hidden cases.
func scoreCode(it *Item, output string) float64 {
	src, ok := Extract(it.Task, output)
	if ok && RunCases(src, it.Cases) == nil {
		return 1
	}
	return 0
}
