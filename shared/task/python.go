package task

import (
	"errors"
	"strings"
)

// MBPP and HumanEval want Python, which is not run here: a judge of the user's does that, best in a
// container of its own. Starlark, in which the suite's programs run, would not do: of the published
// solutions 37 in 100 of MBPP+ and 42 of HumanEval so much as compile in the sandbox, and what a
// model writes well in Python would be called wrong.

const codeInstruct = "You are an exceptionally intelligent coding assistant that consistently delivers " +
	"accurate and reliable responses to user instructions."

// mbppFormat is the files of MBPP, {"text" or "prompt","code","test_list"}, and EvalPlus's
// {"prompt","entry_point","canonical_solution"}, whose prompt is a text and a test in quotes.
var mbppFormat = format{
	name: "mbpp", label: LabelCode, maxTokens: 512, check: CheckProgram, doc: "by a judge",
	fields: `{"text","code","test_list"}`,
	is: func(r record) bool {
		return r.has("test_list") || r.has("entry_point", "canonical_solution") &&
			strings.HasPrefix(r.peek("prompt"), docQuotes)
	},
	parse: func(r record, it *Item) error {
		ask, solution := "prompt", "code"
		if r.has("text") {
			ask = "text"
		}
		if !r.has("code") {
			solution = "canonical_solution"
		}
		f, err := r.texts(ask, solution)
		if err != nil {
			return err
		}
		text, test, _ := strings.Cut(strings.Trim(strings.TrimSpace(f[0]), `"`), "\nassert ")
		if test != "" {
			test = "assert " + test
		} else if test, err = firstTest(r); err != nil {
			return err
		}
		it.System, it.Prompt = codeInstruct, strings.TrimSpace(text)+"\n"+fenced(test)
		it.Answer, it.Worked = f[1], fenced(f[1])
		return nil
	},
}

// humanEvalFormat is the files of HumanEval, {"prompt","entry_point","canonical_solution"}: a
// function's head with its description, and its body.
var humanEvalFormat = format{
	name: "humaneval", label: LabelCode, maxTokens: 512, check: CheckProgram, doc: "by a judge",
	fields: `{"prompt","entry_point","canonical_solution"}`,
	is:     func(r record) bool { return r.has("prompt", "entry_point", "canonical_solution") },
	parse: func(r record, it *Item) error {
		f, err := r.texts("prompt", "canonical_solution")
		if err != nil {
			return err
		}
		it.System, it.Prompt = codeInstruct, "Write this function, its head included.\n"+fenced(f[0])
		it.Answer, it.Worked = f[1], fenced(f[0]+f[1])
		return nil
	},
}

const docQuotes = `"""`

func firstTest(r record) (string, error) {
	var tests []string
	if err := r.read("test_list", "a list of texts", &tests); err != nil {
		return "", err
	}
	if len(tests) == 0 || strings.TrimSpace(tests[0]) == "" {
		return "", errors.New("there is no test in it")
	}
	return tests[0], nil
}

func fenced(code string) string { return "```python\n" + strings.Trim(code, "\n") + "\n```" }

// Program is the program in an answer: its first fenced block, or all of it.
func Program(output string) string {
	src, _ := extractProgram(output)
	return src
}
