package tokenizer

import "fmt"

// Roles of a Message.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
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

// Chat appends the ids of a conversation in the house template to dst.
func (t *Tokenizer) Chat(dst []int32, msgs []Message, generate bool) ([]int32, error) {
	return House(t, dst, msgs, generate)
}
