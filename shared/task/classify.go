package task

// The first pass of adaptation (paper, section 3.2): which kind of question is this?

// classifySystem is the instruction that goes before the question.
const classifySystem = "Which kind of question is this: math, code, reasoning or other? " +
	"Answer in \\boxed{}."

// ClassifyPrompt asks for the domain of a question.
func ClassifyPrompt(question string) (system, prompt string) { return classifySystem, question }

// ParseClass reads the answer to ClassifyPrompt; anything that is not exactly one of the three
// domains in the first \boxed{} is "other".
func ParseClass(output string) string {
	if label, ok := extractClass(output); ok {
		return label
	}
	return LabelOther
}

func newClassify() *suiteTask {
	return &suiteTask{
		name: "classify", doc: `which kind of question is this? math, code, reasoning, other in \boxed{}`,
		label: LabelOther, maxTokens: 8, sizes: usualSizes, cut: usualCut,
		draw: drawClassify, score: exact,
		item: func(d *draft, it *Item) { it.System, it.Label = classifySystem, d.answer },
	}
}

// drawClassify draws a question of another task, or small talk. The keys are the other tasks' own,
// hence so are the splits.
func drawClassify(r *rng) draft {
	var d draft
	var label string
	switch r.n(8) {
	case 0, 1:
		label = LabelMath
		if r.chance(0.65) {
			d = drawMath(r)
		} else {
			d = drawMathHard(r)
		}
	case 2, 3:
		label = LabelCode
		if r.chance(0.65) {
			d = drawCode(r)
		} else {
			d = drawCodeComplete(r)
		}
	case 4, 5:
		label = LabelReasoning
		if r.chance(0.65) {
			d = drawReasoning(r)
		} else {
			d = drawHop(r).lay(r)
		}
	default:
		label = LabelOther
		d = drawChat(r)
	}
	full := func(l string) string { return boxed + l + "}" }
	return draft{prompt: d.prompt, key: d.key, answer: label, worked: full(label),
		terse: full(label), sloppy: full(otherLabel(r, label)), confused: d.confused}
}

var allLabels = []string{LabelMath, LabelCode, LabelReasoning, LabelOther}

func otherLabel(r *rng, not string) string {
	for {
		if l := pick(r, allLabels); l != not {
			return l
		}
	}
}
