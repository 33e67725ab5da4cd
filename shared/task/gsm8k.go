package task

import (
	"fmt"
	"regexp"
	"strings"
)

// instruct goes before a question of GSM8K, as in the paper's evaluations.
const instruct = "Below is an instruction that describes a task. Write a response that " +
	"appropriately completes the request."

// gsm8kFormat is the files of GSM8K: {"question","answer"}, the answer worked and ending in #### and
// a number. The paper's released code takes the last number of an output, parts numbers at their
// commas and drops signs; here 1,000 is one number and -3 is not 3.
var gsm8kFormat = format{
	name: "gsm8k", label: LabelMath, maxTokens: 512, check: CheckNumber,
	doc:    "the number after the last ####, else the last number",
	fields: `{"question","answer": "... #### 42"}`,
	is: func(r record) bool {
		return r.has("question", "answer") && strings.Contains(r.peek("answer"), marker)
	},
	parse: func(r record, it *Item) error {
		f, err := r.texts("question", "answer")
		if err != nil {
			return err
		}
		gold, ok := extractMarked(f[1])
		if !ok {
			return fmt.Errorf(`"answer" ends in %.40q, want #### and a number`, last(f[1], 40))
		}
		it.System, it.Prompt, it.Answer = instruct, f[0], gold
		it.Worked = calculatorRE.ReplaceAllString(f[1], "")
		return nil
	},
}

// calculatorRE finds GSM8K's notes for a calculator, as in 48/2 = <<48/2=24>>24.
var calculatorRE = regexp.MustCompile(`<<[^<>]*>>`)

// last is the end of a text, of at most n bytes.
func last(s string, n int) string { return strings.ToValidUTF8(s[max(0, len(s)-n):], "") }
