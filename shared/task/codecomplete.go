package task

import "strings"

// The body behind a signature and a docstring, in the manner of HumanEval.

func newCodeComplete() *suiteTask {
	return &suiteTask{
		name: "code-complete", doc: "signature and docstring -> body; run on hidden cases",
		label: LabelCode, maxTokens: 48, sizes: usualSizes, cut: usualCut,
		draw: drawCodeComplete, item: fillCases, score: scoreBody,
	}
}

var bodyNames = strings.Fields("solve task work process apply change")

func drawCodeComplete(r *rng) draft {
	p := programs().draw(r)
	name, arg := pick(r, bodyNames), pick(r, codeArgs)
	v := r.n(3)
	text := p.spoken(r, [][2]string{{"", ", then "}, {"", "; "}, {"", ". Then "}})
	text = strings.ToUpper(text[:1]) + text[1:] + "."
	quotes := [][2]string{{`"""`, `"""`}, {"# ", ""}, {`""" `, ` """`}}[v]
	d := p.answers("", arg)
	d.prompt = "def " + name + "(" + arg + "):\n  " + quotes[0] + text + quotes[1]
	d.fname, d.sway, d.haste = name, 1-v, evenOdd(len(arg))
	return d
}

// scoreBody puts the body behind the prompt, or takes the output as a whole function.
func scoreBody(it *Item, output string) float64 {
	src, ok := Extract(it.Task, output)
	if !ok {
		return 0
	}
	if !strings.HasPrefix(strings.TrimLeft(src, " \n"), "def ") {
		src = it.Prompt + "\n" + indentFirst(src)
	}
	if RunCases(src, it.Cases) == nil {
		return 1
	}
	return 0
}

// indentFirst gives the first line the indentation of a body, which decoding may have trimmed.
func indentFirst(body string) string {
	return "  " + strings.TrimLeft(body, " \t\n")
}
