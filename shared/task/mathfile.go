package task

import (
	"errors"
	"strings"
)

const boxedInstruct = `Reason step by step, and put your final answer within \boxed{}.`

// mathFormat is the files of MATH: {"problem","solution"}, the solution with its answer in \boxed{};
// MATH-500 says the answer apart, and others have {"question","answer": "... The answer is: 5"}.
var mathFormat = format{
	name: "math", label: LabelMath, maxTokens: 1024, check: CheckMath,
	doc:    `the last \boxed{}, else what follows "answer is"; equal as a formula or a number`,
	fields: `{"problem","solution": "... \boxed{42}"}`,
	is: func(r record) bool {
		return r.has("problem", "solution") ||
			r.has("question", "answer") && solves(r.peek("answer"))
	},
	parse: func(r record, it *Item) error {
		names := []string{"problem", "solution"}
		if !r.has("problem") && r.has("question") {
			names = []string{"question", "answer"}
		}
		f, err := r.texts(names...)
		if err != nil {
			return err
		}
		gold, ok := mathAnswer(f[1])
		if names[1] == "solution" && r.has("answer") {
			if gold, err = r.text("answer"); err != nil {
				return err
			}
			ok = true
		}
		if !ok {
			return errors.New(names[1] + ` has no \boxed{} with an answer in it`)
		}
		it.System, it.Prompt, it.Worked = boxedInstruct, f[0], f[1]
		it.Answer = strings.TrimSpace(gold)
		return nil
	},
}

func solves(answer string) bool {
	return strings.Contains(answer, `\boxed`) || strings.Contains(answer, "The answer is")
}
