package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// The conversations whose rendering chat/ holds, by file name.
var goldenChats = map[string][]Message{
	"user": {{RoleUser, "Hello, how are you?"}},
	"user-assistant-user": {{RoleUser, "Hello, how are you?"},
		{RoleAssistant, "I'm doing great. How can I help you today?"},
		{RoleUser, "I'd like to show off how chat templating works!"}},
	"system-user-assistant-user": {{RoleSystem, "You are a helpful assistant."},
		{RoleUser, "Hello, how are you?"},
		{RoleAssistant, "I'm doing great. How can I help you today?"},
		{RoleUser, "I'd like to show off how chat templating works!"}},
}

func TestGoldenChats(t *testing.T) {
	mistral := pieceModel(t, "tokenizers/mistral-v3/tokenizer.model")
	for name, msgs := range goldenChats {
		for _, c := range []struct {
			dir, begin string
			tok        *Tokenizer
			template   Template
		}{
			{"llama3-instruct", BeginText, llama3(t), Llama3},
			{"mistral-instruct", BeginPieces, mistral, Mistral{Version: 3, SystemFirst: true}.Template},
		} {
			want := c.begin + string(openData(t, "chat/"+c.dir+"/"+name))
			ids, err := c.template(c.tok, nil, msgs, true)
			if err != nil {
				t.Fatal(err)
			}
			got := c.tok.DecodeSpecial(ids)
			if got != want {
				t.Errorf("%s %s:\n got %q\nwant %q", c.dir, name, got, want)
			}
		}
	}
}

// sample is a conversation of mistral-common's tests.
type sample struct {
	Messages []struct {
		Role, Content string
		CallID        string `json:"tool_call_id"`
		Calls         []struct {
			ID       string
			Function struct{ Name, Arguments string }
		} `json:"tool_calls"`
	}
	Tools []json.RawMessage
}

func (s sample) dialogue() (d Dialogue) {
	for _, tool := range s.Tools {
		d.Tools = append(d.Tools, string(tool))
	}
	for _, m := range s.Messages {
		turn := Turn{Message: Message{m.Role, m.Content}, CallID: m.CallID}
		for _, c := range m.Calls {
			turn.Calls = append(turn.Calls, Call{c.ID, c.Function.Name, c.Function.Arguments})
		}
		d.Turns = append(d.Turns, turn)
	}
	return d
}

func TestMistralV3Samples(t *testing.T) {
	tok := pieceModel(t, "tokenizers/mistral-v3/tokenizer.model")
	for _, name := range []string{"get_weather_full", "get_weather_no_history",
		"get_weather_no_system_prompt", "no_tools", "parallel_calls", "several_calls"} {
		dir := "tokenizers/mistral-v3/samples/" + name + "/"
		var s sample
		var want struct{ Tokens []int32 }
		for file, into := range map[string]any{"sample.json": &s, "tokens_v3.json": &want} {
			if err := json.Unmarshal(openData(t, dir+file), into); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Mistral{Version: 3}.Dialogue(tok, nil, s.dialogue())
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, id := range got {
			text.WriteString(tok.Piece(id))
		}
		if wantText := string(openData(t, dir+"text_v3.txt")); text.String() != wantText {
			t.Errorf("%s:\n got %s\nwant %s", name, text.String(), wantText)
		}
		if !slices.Equal(got, want.Tokens) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want.Tokens)
		}
	}
}

// The renderings that Meta's and Mistral's own code gives, with special tokens by name.
func TestFamilyChats(t *testing.T) {
	msgs := []Message{{RoleSystem, "be brief"}, {RoleUser, " hi "}, {RoleAssistant, "ho"},
		{RoleUser, "<s>?"}}
	llama2, v1 := pieceModel(t, pieceModels[0].file), pieceModel(t, pieceModels[1].file)
	v3 := pieceModel(t, pieceModels[2].file)
	for name, c := range map[string]struct {
		tok      *Tokenizer
		template Template
		want     string
	}{
		"Llama 2": {llama2, Llama2, "<s> [INST] <<SYS>>\nbe brief\n<</SYS>>\n\n hi [/INST] ho </s>" +
			"<s> [INST] <s>? [/INST]"},
		"Llama 3.1": {llama3(t), Llama31, "<|begin_of_text|>" +
			"<|start_header_id|>system<|end_header_id|>\n\n" +
			"Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nbe brief<|eot_id|>" +
			"<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\nho<|eot_id|>" +
			"<|start_header_id|>user<|end_header_id|>\n\n<s>?<|eot_id|>" +
			"<|start_header_id|>assistant<|end_header_id|>\n\n"},
		"Mistral v1": {v1, Mistral{Version: 1}.Template, "<s> [INST] be brief\n\n hi  [/INST] ho</s>" +
			" [INST] <s>? [/INST]"},
		"Mistral v2": {v3, Mistral{Version: 2}.Template, "<s>[INST]  hi [/INST] ho</s>" +
			"[INST] be brief\n\n<s>?[/INST]"},
		"plain": {llama2, Plain, "<s> be brief \n\n hi  ho \n\n<s>?"},
	} {
		ids, err := c.template(c.tok, []int32{7}, msgs, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.tok.DecodeSpecial(ids[1:]); ids[0] != 7 || got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
		styled := c.tok.With(Style{Template: c.template, Stops: []int32{5, 6}, Jinja: "x"})
		again, err := styled.Chat(nil, msgs, true)
		if err != nil || !slices.Equal(again, ids[1:]) || styled.Jinja() != "x" ||
			!slices.Equal(styled.Stops(), []int32{5, 6}) || len(c.tok.Stops()) != 0 {
			t.Errorf("%s with its style: %v, %v", name, again, err)
		}
		// What is asked is how what was answered begins, which training relies on.
		asked, _ := c.template(c.tok, nil, msgs[:2], true)
		answered, _ := c.template(c.tok, nil, msgs[:3], false)
		if len(answered) <= len(asked) || !slices.Equal(answered[:len(asked)], asked) {
			t.Errorf("%s: %v is not how %v begins", name, asked, answered)
		}
	}
}

func TestFamilyChatRefusals(t *testing.T) {
	llama2, v3 := pieceModel(t, pieceModels[0].file), pieceModel(t, pieceModels[2].file)
	tool := Dialogue{Tools: []string{"{"}, Turns: []Turn{{Message: Message{RoleUser, "x"}}}}
	call := Dialogue{Turns: []Turn{{Message: Message{Role: RoleAssistant},
		Calls: []Call{{Arguments: "{]"}}}}}
	v3Chat := Mistral{Version: 3}
	dst := []int32{1}
	for name, c := range map[string]struct {
		run  func() ([]int32, error)
		want string
	}{
		"two users": {func() ([]int32, error) {
			return Llama2(llama2, dst, []Message{{RoleUser, ""}, {RoleUser, ""}}, true)
		}, "take turns"},
		"no header": {func() ([]int32, error) {
			return Llama3(llama2, dst, nil, true)
		}, "<|begin_of_text|>"},
		"no [INST]": {func() ([]int32, error) {
			return v3Chat.Template(llama2, dst, nil, true)
		}, "[INST]"},
		"role": {func() ([]int32, error) {
			return v3Chat.Template(v3, dst, []Message{{"x", ""}}, true)
		}, `"x"`},
		"broken tool": {func() ([]int32, error) { return v3Chat.Dialogue(v3, dst, tool) }, "tool 0"},
		"broken call": {func() ([]int32, error) { return v3Chat.Dialogue(v3, dst, call) }, "call 0"},
	} {
		got, err := c.run()
		if err == nil || !strings.Contains(err.Error(), c.want) || !slices.Equal(got, dst) {
			t.Errorf("%s: %v, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestSpacedJSON(t *testing.T) {
	for text, want := range map[string]string{
		` {"b":[1,2.50 ,true,null] ,"a" : {}}`: `{"b": [1, 2.50, true, null], "a": {}}`,
		`"<é\n"`:                               `"<é\n"`, "22": "22", "[]": "[]",
		"": "", "{": "", "1 2": "", "[1]]": "", "nope": "",
		strings.Repeat("[", 100) + strings.Repeat("]", 100): "",
	} {
		if got, ok := spacedJSON(text); got != want || ok != (want != "") {
			t.Errorf("%s: %s, %v, want %s", text, got, ok, want)
		}
	}
}
