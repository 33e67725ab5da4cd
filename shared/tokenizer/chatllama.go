package tokenizer

import (
	"fmt"
	"strings"
)

// Special tokens of the Llama and Mistral families.
const (
	BeginText   = "<|begin_of_text|>" // Llama 3
	EndText     = "<|end_of_text|>"
	StartHeader = "<|start_header_id|>"
	EndHeader   = "<|end_header_id|>"
	EndTurn     = "<|eot_id|>"
	EndMessage  = "<|eom_id|>"
	BeginPieces = "<s>" // Llama 2, Mistral
	EndPieces   = "</s>"
)

// specials finds the ids of special tokens, for a template of a name.
func (t *Tokenizer) specials(template string, names ...string) ([]int32, error) {
	ids := make([]int32, len(names))
	for i, name := range names {
		id, ok := t.Special(name)
		if !ok {
			return nil, fmt.Errorf("tokenizer: %s template: the vocabulary has no %s", template, name)
		}
		ids[i] = id
	}
	return ids, nil
}

// Plain is the template of a base model, which knows no roles:
//
//	begin { text } end
//
// An answer goes on where the text before it ends, any other text after an empty line. Only a
// conversation that an answer closes has an end.
func Plain(t *Tokenizer, dst []int32, msgs []Message, generate bool) ([]int32, error) {
	one := func(dst []int32, names ...string) []int32 {
		for _, name := range names {
			if id, ok := t.Special(name); ok {
				return append(dst, id)
			}
		}
		return dst
	}
	out := one(dst, BeginText, BeginPieces)
	for i, m := range msgs {
		text := m.Content
		if i > 0 && m.Role != RoleAssistant {
			text = "\n\n" + text
		}
		out = t.AppendEncode(out, text)
		if m.Role == RoleAssistant && !generate {
			out = one(out, EndText, EndPieces)
		}
	}
	return out, nil
}

// Llama3 is the template of Llama 3:
//
//	<|begin_of_text|> { <|start_header_id|> role <|end_header_id|> \n\n text <|eot_id|> }
//
// Texts lose the white space around them. What a tool answered has the role ipython.
func Llama3(t *Tokenizer, dst []int32, msgs []Message, generate bool) ([]int32, error) {
	return llama3Chat(t, dst, msgs, generate)
}

// Llama31 is the template of Llama 3.1 and 3.2: Llama3 whose system text, which is always there,
// begins with two dates. The second is the one that the published template falls back to, so that a
// prompt does not change from one day to the next.
func Llama31(t *Tokenizer, dst []int32, msgs []Message, generate bool) ([]int32, error) {
	system := Message{Role: RoleSystem,
		Content: "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"}
	if len(msgs) > 0 && msgs[0].Role == RoleSystem {
		system.Content += strings.TrimSpace(msgs[0].Content)
		msgs = msgs[1:]
	}
	return llama3Chat(t, dst, msgs, generate, system)
}

// llama3Chat appends messages; those of first keep their white space.
func llama3Chat(t *Tokenizer, dst []int32, msgs []Message, generate bool, first ...Message) (
	[]int32, error) {
	ids, err := t.specials("Llama 3", BeginText, StartHeader, EndHeader, EndTurn)
	if err != nil {
		return dst, err
	}
	roles := map[string]string{RoleSystem: "system", RoleUser: "user", RoleAssistant: "assistant",
		RoleTool: "ipython"}
	out := append(dst, ids[0])
	add := func(role, text string) {
		out = append(t.AppendEncode(append(out, ids[1]), role), ids[2])
		out = t.AppendEncode(out, "\n\n"+text)
	}
	for _, m := range first {
		add(m.Role, m.Content)
		out = append(out, ids[3])
	}
	for i, m := range msgs {
		role, ok := roles[m.Role]
		if !ok {
			return dst, badRole("Llama 3", i, m.Role, "system, user, assistant or tool")
		}
		add(role, strings.TrimSpace(m.Content))
		out = append(out, ids[3])
	}
	if generate {
		add(roles[RoleAssistant], "")
	}
	return out, nil
}

func badRole(template string, i int, role, want string) error {
	return fmt.Errorf("tokenizer: %s template: message %d has role %.40q, want %s",
		template, i, role, want)
}

// Llama2 is the template of Llama 2 chat. A system text lies within the first user's:
//
//	{ <s> [INST] <<SYS>>\n system \n<</SYS>>\n\n user [/INST] assistant </s> }
//
// Texts lose the white space around them; messages take turns, the user's first.
func Llama2(t *Tokenizer, dst []int32, msgs []Message, generate bool) ([]int32, error) {
	ids, err := t.specials("Llama 2", BeginPieces, EndPieces)
	if err != nil {
		return dst, err
	}
	system := ""
	if len(msgs) > 0 && msgs[0].Role == RoleSystem {
		system = "<<SYS>>\n" + msgs[0].Content + "\n<</SYS>>\n\n"
		msgs = msgs[1:]
	}
	if err := takeTurns("Llama 2", msgs); err != nil {
		return dst, err
	}
	out := dst
	for i, m := range msgs {
		if m.Role == RoleAssistant {
			text := strings.TrimSpace(m.Content)
			out = append(t.appendContinued(out, " "+text+" "), ids[1])
			continue
		}
		text := m.Content
		if i == 0 {
			text = system + text
		}
		out = append(out, ids[0])
		out = t.AppendEncode(out, "[INST] "+strings.TrimSpace(text)+" [/INST]")
	}
	return out, nil
}

// appendContinued appends the ids of text, whose first character is a space, that goes on after
// other text: the space is its own, and none is put in front.
func (t *Tokenizer) appendContinued(dst []int32, text string) []int32 {
	if t.pieces != nil && t.pieces.prefix {
		text = strings.TrimPrefix(text, " ")
	}
	return t.AppendEncode(dst, text)
}

// takeTurns checks that users and assistants alternate, a user first.
func takeTurns(template string, msgs []Message) error {
	for i, m := range msgs {
		if want := []string{RoleUser, RoleAssistant}[i%2]; m.Role != want {
			return badRole(template, i, m.Role, want+": users and assistants take turns")
		}
	}
	return nil
}
