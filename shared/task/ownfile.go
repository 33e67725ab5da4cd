package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// OwnFormat is the name of the format of questions that somebody wrote down.
const OwnFormat = "own"

// ownFormat is questions that somebody wrote down:
//
//	{"prompt": "...", "answer": "..."}
//
// with, if wanted, "system" (what goes before the prompt), "worked" (a whole answer to learn from),
// "choices" (a list of options), "label" (what the first pass should find) and "score", one of the
// checks. Without "score" options are judged by the letter, numbers as numbers, the rest exactly.
// Other fields are left alone.
var ownFormat = format{
	name: OwnFormat, label: LabelOther, maxTokens: 512,
	doc:    "by what each item asks for: number, math, choice, exact or contains",
	fields: `{"prompt","answer"} with "system","worked","choices","score","label"`,
	is:     func(r record) bool { return r.has("prompt", "answer") },
	parse: func(r record, it *Item) (err error) {
		if it.Prompt, err = r.text("prompt"); err != nil {
			return err
		}
		if it.Answer, err = r.scalar("answer"); err != nil {
			return err
		}
		var own struct {
			choices              []string
			system, label, score string
		}
		err = errors.Join(r.read("choices", "a list of texts", &own.choices),
			r.read("system", "text", &own.system), r.read("worked", "text", &it.Worked),
			r.read("label", "text", &own.label), r.read("score", "text", &own.score))
		if err != nil {
			return err
		}
		if len(own.choices) > 0 {
			if err := layOwn(own.choices, it); err != nil {
				return err
			}
		}
		if own.system != "" {
			it.System = own.system
		}
		if own.label != "" {
			it.Label = own.label
		}
		if !slices.Contains(allLabels, it.Label) {
			return fmt.Errorf(`"label" is %.40q, want one of %v`, it.Label, allLabels)
		}
		return it.judgedBy(own.score)
	},
}

// layOwn asks an own question with its options; the answer is one of them, or its letter.
func layOwn(choices []string, it *Item) error {
	q := options{question: it.Prompt, key: it.Answer, texts: choices, labels: choices}
	if !slices.Contains(choices, it.Answer) {
		q.labels = nil
		for i := range choices {
			q.labels = append(q.labels, string(rune('A'+i)))
		}
	}
	worked := it.Worked
	if err := q.lay(it); err != nil {
		return err
	}
	if worked != "" {
		it.Worked = worked
	}
	return nil
}

// judgedBy settles how an own question is judged, and brings its answer into that form.
func (it *Item) judgedBy(name string) error {
	number, isNumber := lastNumber(it.Answer)
	isNumber = isNumber && numberOnlyRE.MatchString(it.Answer)
	switch {
	case name != "":
		check, err := ParseCheck(name)
		if err != nil {
			return err
		}
		it.Check = check
	case it.Check != "":
	case isNumber:
		it.Check = CheckNumber
	default:
		it.Check = CheckExact
	}
	switch {
	case it.Check == CheckNumber && !isNumber:
		return fmt.Errorf(`"score" is number and "answer" %.40q, want a number`, it.Answer)
	case it.Check == CheckNumber:
		it.Answer = number
	case (it.Check == CheckChoice) != (it.Options > 0):
		return fmt.Errorf(`"score" is %s, want choice where there are "choices", and only there`,
			it.Check)
	}
	switch {
	case it.Worked != "" || it.Check == CheckContains: // what is contained is no whole answer
	case it.Check == CheckMath:
		it.Worked = boxed + it.Answer + "}"
	default:
		it.Worked = it.Answer
	}
	return nil
}

// scalar is a field of text, a number or a truth value, as text.
func (r record) scalar(name string) (string, error) {
	var v any
	if err := json.Unmarshal(orNull(r[name]), &v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case float64:
		return string(r[name]), nil
	case bool:
		return fmt.Sprint(v), nil
	case string:
		if v = strings.TrimSpace(v); v != "" {
			return v, nil
		}
	}
	return "", fmt.Errorf("%q is not there or empty, want text or a number", name)
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}
