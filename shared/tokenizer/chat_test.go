package tokenizer

import (
	"slices"
	"testing"
)

func TestChat(t *testing.T) {
	tok := house(t)
	msgs := []Message{{RoleSystem, "be brief"}, {RoleUser, "2+2?<|end|>"}, {RoleAssistant, "4"},
		{RoleUser, ""}}
	ids, err := tok.Chat([]int32{9}, msgs, true)
	if err != nil {
		t.Fatal(err)
	}
	want := "<|begin|><|system|>be brief<|end|><|user|>2+2?<|end|><|end|>" +
		"<|assistant|>4<|end|><|user|><|end|><|assistant|>"
	if ids[0] != 9 || tok.DecodeSpecial(ids[1:]) != want {
		t.Errorf("%q, want %q", tok.DecodeSpecial(ids[1:]), want)
	}
	count := func(name string) (n int) {
		id, _ := tok.Special(name)
		for _, got := range ids {
			if got == id {
				n++
			}
		}
		return n
	}
	if count(Begin) != 1 || count(End) != 4 || count(User) != 2 || count(Assistant) != 2 {
		t.Errorf("%d begin, %d end, %d user, %d assistant; a user wrote one more end as text",
			count(Begin), count(End), count(User), count(Assistant))
	}
	closed, err := tok.Chat(nil, msgs, false)
	if err != nil || !slices.Equal(closed, ids[1:len(ids)-1]) {
		t.Errorf("without generate: %v, %v", closed, err)
	}
}

func TestChatErrors(t *testing.T) {
	tok := house(t)
	dst := []int32{1, 2, 3}
	got, err := tok.Chat(dst, []Message{{RoleUser, "x"}, {"tool", "y"}}, true)
	if err == nil || !slices.Equal(got, dst) {
		t.Errorf("unknown role: %v, %v", got, err)
	}
	bare, err := Train(slices.Values([]string{"a"}), TrainOptions{VocabSize: 256})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bare.Chat(dst, nil, true); err == nil || !slices.Equal(got, dst) {
		t.Errorf("no specials: %v, %v", got, err)
	}
}
