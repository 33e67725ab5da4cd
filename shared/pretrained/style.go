package pretrained

import (
	"strings"

	"transformer2/shared/tokenizer"
)

// facts are what a model's files say about how it converses.
type facts struct {
	jinja   string  // the published template, "" where there is none
	name    string  // of the model, as the files have it
	version string  // of Mistral's tokenizer, where a file's name tells it: "v1", "v2", "v3"
	eos     []int32 // what ends an answer
}

// style is t with the template that the facts ask for. The templates of the known families are
// recognised by what only they say and rendered by this program; a published template is never run.
func (f facts) style(t *tokenizer.Tokenizer) *tokenizer.Tokenizer {
	if _, ok := t.Special(tokenizer.Begin); ok {
		if _, ok := t.Special(tokenizer.End); ok {
			return t // the template of the models that ship with the program
		}
	}
	s := tokenizer.Style{Template: f.template(t), Jinja: f.jinja}
	// A turn ends where the template ends it, whatever the order in the files.
	var closing []int32
	for _, name := range []string{tokenizer.EndTurn, tokenizer.EndPieces} {
		if id, ok := t.Special(name); ok && !f.plain(t) {
			closing = append(closing, id)
			break
		}
	}
	var rest []int32
	for _, name := range []string{tokenizer.EndText, tokenizer.EndMessage, tokenizer.EndPieces} {
		if id, ok := t.Special(name); ok {
			rest = append(rest, id)
		}
	}
	s.Stops = union(closing, f.eos, rest)
	return t.With(s)
}

// plain reports whether the model is a base model: no file of it holds a template, it ends no
// turns, and its name is no instructed model's. Older GGUFs of instructed models hold no template.
func (f facts) plain(t *tokenizer.Tokenizer) bool {
	if f.jinja != "" {
		return false
	}
	turn, ok := t.Special(tokenizer.EndTurn)
	for _, id := range f.eos {
		if ok && id == turn {
			return false
		}
	}
	return ok || !f.named("instruct") && !f.named("chat")
}

// named reports whether the model's name has a word in it.
func (f facts) named(word string) bool { return strings.Contains(strings.ToLower(f.name), word) }

func (f facts) template(t *tokenizer.Tokenizer) tokenizer.Template {
	_, header := t.Special(tokenizer.StartHeader)
	_, inst := t.Special("[INST]")
	says := func(text string) bool { return strings.Contains(f.jinja, text) }
	switch {
	case f.plain(t):
		return tokenizer.Plain
	case header && says("Cutting Knowledge Date"):
		return tokenizer.Llama31
	case header:
		return tokenizer.Llama3
	case says("<<SYS>>") || f.jinja == "" && !inst && f.named("chat"):
		return tokenizer.Llama2
	case f.jinja != "" && !says("[INST]"):
		return tokenizer.Plain // of no family that this program knows
	}
	m := tokenizer.Mistral{Version: 1}
	if inst {
		m.Version = 3
		if f.version == "v2" {
			m.Version = 2
		}
		m.SystemFirst = says("loop.first and system_message")
	}
	return m.Template
}
