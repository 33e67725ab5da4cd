package task

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const choiceInstruct = "This is a multiple-choice question. Think step by step, and finish your " +
	`answer with "The answer is (X)", where X is the letter of the right option.`

// arcFormat is the files of ARC, in the three ways in which they are published: nested as by its
// makers, flat as on Hugging Face's hub, and as an instruction. Options are asked as A, B, C and so
// on, whatever the file calls them. The paper's released code cannot be right where a key is a
// number, and takes a guess for an answer where none is found; here neither is so.
var arcFormat = format{
	name: "arc", label: LabelReasoning, maxTokens: 512, check: CheckChoice,
	doc:    `the letter after "answer is" or "answer:", else the last capital that is an option`,
	fields: `{"question","choices","answerKey"}`,
	is: func(r record) bool {
		return r.has("question", "answerKey") || r.has("instruction", "answer") &&
			instructedRE.MatchString(r.peek("instruction"))
	},
	parse: func(r record, it *Item) error {
		q, err := readChoices(r)
		if err != nil {
			return err
		}
		return q.lay(it)
	},
}

// options is a question with its options as the file has them.
type options struct {
	question, key string
	texts, labels []string
}

var (
	instructedRE = regexp.MustCompile(`(?s)^(?:[^:\n]*question: )?(.*?)\s*Answer1: (.*?)` +
		`\s*(?:Answer format: \S+\s*)?$`)
	answerNRE = regexp.MustCompile(`\s*Answer\d+: `)
)

func readChoices(r record) (q options, err error) {
	type choice struct{ Text, Label string }
	nested := struct {
		Stem    string
		Choices []choice
	}{}
	flat := struct{ Text, Label []string }{}
	switch {
	case r.has("instruction"):
		return readInstructed(r)
	case r.read("question", "", &nested) == nil:
		q.question = nested.Stem
		for _, c := range nested.Choices {
			q.texts, q.labels = append(q.texts, c.Text), append(q.labels, c.Label)
		}
	default:
		if q.question, err = r.text("question"); err != nil {
			return q, err
		}
		if err := r.read("choices", `{"text":[...],"label":[...]}`, &flat); err != nil {
			return q, err
		}
		q.texts, q.labels = flat.Text, flat.Label
	}
	q.key, err = r.text("answerKey")
	return q, err
}

// readInstructed reads "...: QUESTION Answer1: ... Answer2: ... Answer format: ...", whose key is
// "answer2".
func readInstructed(r record) (q options, err error) {
	f, err := r.texts("instruction", "answer")
	if err != nil {
		return q, err
	}
	m := instructedRE.FindStringSubmatch(f[0])
	if m == nil {
		return q, fmt.Errorf(`"instruction" is %.60q, want a question and "Answer1: ..." behind it`,
			f[0])
	}
	q.question, q.key = m[1], f[1]
	q.texts = answerNRE.Split(m[2], -1)
	for i := range q.texts {
		q.labels = append(q.labels, fmt.Sprintf("answer%d", i+1))
	}
	return q, nil
}

// maxOptions is the letters A to J.
const maxOptions = 10

// lay writes the options behind the question, a line and a letter each.
func (q options) lay(it *Item) error {
	if n := len(q.texts); n < 2 || n > maxOptions || n != len(q.labels) {
		return fmt.Errorf("%d options and %d labels, want 2 to %d and a label each", n,
			len(q.labels), maxOptions)
	}
	at := slices.Index(q.labels, q.key)
	if at < 0 {
		return fmt.Errorf("the right answer is %.40q, want one of %.40q", q.key, q.labels)
	}
	if strings.TrimSpace(q.question) == "" {
		return errors.New("the question is empty")
	}
	var b strings.Builder
	b.WriteString(strings.TrimSpace(q.question) + "\n")
	for i, text := range q.texts {
		if strings.TrimSpace(text) == "" {
			return fmt.Errorf("option %d is empty", i+1)
		}
		fmt.Fprintf(&b, "\n%c. %s", 'A'+i, strings.TrimSpace(text))
	}
	it.System, it.Prompt, it.Options = choiceInstruct, b.String(), len(q.texts)
	it.Answer, it.Check = string(rune('A'+at)), CheckChoice
	it.Worked = "The answer is (" + it.Answer + ")."
	return nil
}
