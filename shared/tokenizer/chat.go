package tokenizer

import "fmt"

// Roles of a Message.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
	RoleTool      = "tool" // what a tool answered; the house template has none
)

// Special tokens of the house template. End closes every message, so it is also where a model
// stops; Pad fills batches and is never part of a conversation.
const (
	Begin     = "<|begin|>"
	System    = "<|system|>"
	User      = "<|user|>"
	Assistant = "<|assistant|>"
	End       = "<|end|>"
	Pad       = "<|pad|>"
)

// HouseSpecials returns the special tokens of the house template, in the order of their ids.
func HouseSpecials() []string { return []string{Begin, System, User, Assistant, End, Pad} }

// Message is one turn of a conversation.
type Message struct{ Role, Content string }

// Template appends the ids of a conversation to dst. With generate they end where the assistant's
// next message begins. Contents are plain text: they cannot contain special tokens. On an error
// dst is returned as it came.
type Template func(t *Tokenizer, dst []int32, msgs []Message, generate bool) ([]int32, error)

// House is the template of the small models that ship with the program:
//
//	<|begin|> { <|role|> content <|end|> } [ <|assistant|> ]
func House(t *Tokenizer, dst []int32, msgs []Message, generate bool) ([]int32, error) {
	var ids [5]int32
	for i, name := range HouseSpecials()[:len(ids)] {
		id, ok := t.Special(name)
		if !ok {
			return dst, fmt.Errorf("tokenizer: house template: the vocabulary has no %s", name)
		}
		ids[i] = id
	}
	roles := map[string]int32{RoleSystem: ids[1], RoleUser: ids[2], RoleAssistant: ids[3]}
	out := append(dst, ids[0])
	for i, m := range msgs {
		role, ok := roles[m.Role]
		if !ok {
			return dst, fmt.Errorf("tokenizer: house template: message %d has role %.40q, "+
				"want system, user or assistant", i, m.Role)
		}
		out = append(out, role)
		out = t.AppendEncode(out, m.Content)
		out = append(out, ids[4])
	}
	if generate {
		out = append(out, ids[3])
	}
	return out, nil
}

// Chat appends the ids of a conversation in the model's template to dst: the house's unless With
// gave another.
func (t *Tokenizer) Chat(dst []int32, msgs []Message, generate bool) ([]int32, error) {
	if t.style.Template != nil {
		return t.style.Template(t, dst, msgs, generate)
	}
	return House(t, dst, msgs, generate)
}

// Style is how a model converses.
type Style struct {
	Template Template
	Stops    []int32 // tokens that end an answer, first the one that closes a message
	Jinja    string  // the template as its makers publish it, for files that are written; may be ""
}

// With is t with a model's own style.
func (t *Tokenizer) With(s Style) *Tokenizer {
	own := *t
	own.style = s
	return &own
}

// houseJinja is House for the programs that read a template.
const houseJinja = Begin + "{% for message in messages %}<|{{ message['role'] }}|>" +
	"{{ message['content'] }}" + End + "{% endfor %}{% if add_generation_prompt %}" + Assistant +
	"{% endif %}"

// Jinja is the text of the model's template as its makers publish it, "" where there is none.
func (t *Tokenizer) Jinja() string {
	if _, ok := t.Special(End); ok && t.style.Template == nil {
		return houseJinja
	}
	return t.style.Jinja
}

// Stops are the tokens that end an answer, the one that closes a message first; the house
// template's End unless With gave others. The slice is not to be changed.
func (t *Tokenizer) Stops() []int32 {
	if end, ok := t.Special(End); ok && t.style.Stops == nil {
		return []int32{end}
	}
	return t.style.Stops
}
