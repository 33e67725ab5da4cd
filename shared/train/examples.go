package train

import (
	"fmt"

	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
)

// goal is what is trained for: a task of the suite, or the user's own data.
func goal(name string, data *task.Data) (task.Task, error) {
	if data == nil {
		return task.Lookup(name)
	}
	for _, s := range []task.Split{task.Train, task.Valid} {
		if err := data.Filled(s); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
	}
	return data, nil
}

// ChatExample is a question and its answer under the tokenizer's chat template. Tokens of the
// question count prompt each, those of the answer, its closing token included, count one. Text
// past limit tokens is cut.
func ChatExample(tok *tokenizer.Tokenizer, system, question, text string, prompt float32, limit int) (
	Example, error) {
	var msgs []tokenizer.Message
	if system != "" {
		msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleSystem, Content: system})
	}
	msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleUser, Content: question})
	asked, err := tok.Chat(nil, msgs, true)
	if err != nil {
		return Example{}, err
	}
	msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleAssistant, Content: text})
	tokens, err := tok.Chat(nil, msgs, false)
	if err != nil {
		return Example{}, err
	}
	tokens = tokens[:min(len(tokens), limit)]
	e := Example{Tokens: tokens, Start: min(len(asked), len(tokens)),
		Weights: make([]float32, max(0, len(tokens)-1))}
	for i := range e.Weights {
		e.Weights[i] = 1
		if i+1 < e.Start {
			e.Weights[i] = prompt
		}
	}
	return e, nil
}
