package tokenizer

import (
	"fmt"
	"strings"
)

// Special tokens of Mistral's third vocabulary.
const (
	beginInst, endInst       = "[INST]", "[/INST]"
	beginTools, endTools     = "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"
	toolCalls                = "[TOOL_CALLS]"
	beginResults, endResults = "[TOOL_RESULTS]", "[/TOOL_RESULTS]"
)

// Call is a tool that an assistant calls.
type Call struct {
	ID, Name  string
	Arguments string // JSON
}

// Turn is a message of a conversation with tools.
type Turn struct {
	Message
	Calls  []Call // of an assistant
	CallID string // of a tool's answer
}

// Dialogue is a conversation with tools.
type Dialogue struct {
	Tools []string // each {"type": "function", "function": {...}}, JSON
	Turns []Turn
}

// Mistral is the templates of Mistral's instruct models, which differ by the version of the
// tokenizer. In version 1 [INST] and [/INST] are text, from 2 on they are tokens:
//
//	1: <s> { ▁[INST] user [/INST] assistant </s> }
//	2: <s> { [INST] user [/INST] assistant </s> }
//
// Version 3 has calls in another form than 2. A system text, an empty line after it, begins the
// last user's message; in version 1, or with SystemFirst, the first one's.
type Mistral struct {
	Version     int
	SystemFirst bool
}

// Template appends a conversation without tools.
func (m Mistral) Template(t *Tokenizer, dst []int32, msgs []Message, _ bool) ([]int32, error) {
	turns := make([]Turn, len(msgs))
	for i, msg := range msgs {
		turns[i].Message = msg
	}
	return m.Dialogue(t, dst, Dialogue{Turns: turns})
}

// Dialogue appends the ids of a conversation to dst. On an error dst is returned as it came.
func (m Mistral) Dialogue(t *Tokenizer, dst []int32, d Dialogue) ([]int32, error) {
	w := mistralWriter{Mistral: m, t: t, name: fmt.Sprintf("Mistral v%d", m.Version), out: dst}
	if err := w.write(d); err != nil {
		return dst, err
	}
	return w.out, nil
}

type mistralWriter struct {
	Mistral
	t    *Tokenizer
	name string
	out  []int32
	ids  map[string]int32
}

func (w *mistralWriter) write(d Dialogue) error {
	names := []string{BeginPieces, EndPieces}
	if w.Version > 1 {
		names = append(names, beginInst, endInst, beginTools, endTools, toolCalls, beginResults,
			endResults)
	}
	ids, err := w.t.specials(w.name, names...)
	if err != nil {
		return err
	}
	w.ids = make(map[string]int32, len(names))
	for i, name := range names {
		w.ids[name] = ids[i]
	}
	system, turns := joinTurns(d.Turns)
	first, last := -1, -1
	for i, turn := range turns {
		if turn.Role == RoleUser {
			last = i
			if first < 0 {
				first = i
			}
		}
	}
	holder := last // of the system text
	if w.Version == 1 || w.SystemFirst {
		holder = first
	}
	w.special(BeginPieces)
	for i, turn := range turns {
		text := turn.Content
		if i == holder && system != "" {
			text = system + "\n\n" + text
		}
		if err := w.turn(i, turn, text, i == last, d.Tools); err != nil {
			return err
		}
	}
	return nil
}

// joinTurns takes the system texts out, and joins what the same user said in a row.
func joinTurns(all []Turn) (system string, turns []Turn) {
	var systems []string
	for _, turn := range all {
		if turn.Role == RoleSystem {
			systems = append(systems, turn.Content)
			continue
		}
		if n := len(turns); n > 0 && turn.Role == RoleUser && turns[n-1].Role == RoleUser {
			turns[n-1].Content += "\n\n" + turn.Content
			continue
		}
		turns = append(turns, turn)
	}
	return strings.Join(systems, "\n\n"), turns
}

func (w *mistralWriter) special(name string) { w.out = append(w.out, w.ids[name]) }
func (w *mistralWriter) text(text string)    { w.out = w.t.AppendEncode(w.out, text) }

func (w *mistralWriter) turn(i int, turn Turn, text string, last bool, tools []string) error {
	switch {
	case turn.Role == RoleUser && w.Version == 1:
		w.text("[INST] " + text + " [/INST]")
	case turn.Role == RoleUser:
		if last && len(tools) > 0 {
			if err := w.tools(tools); err != nil {
				return err
			}
		}
		w.special(beginInst)
		w.text(text)
		w.special(endInst)
	case turn.Role == RoleAssistant && len(turn.Calls) > 0 && w.Version > 1:
		if err := w.calls(i, turn.Calls); err != nil {
			return err
		}
		w.special(EndPieces)
	case turn.Role == RoleAssistant:
		if w.Version > 1 {
			text = strings.TrimRight(text, " ")
		}
		w.text(text)
		w.special(EndPieces)
	case turn.Role == RoleTool && w.Version > 1:
		w.special(beginResults)
		w.text(w.result(turn))
		w.special(endResults)
	default:
		return badRole(w.name, i, turn.Role, "user, assistant or, from v2 on, tool")
	}
	return nil
}

func (w *mistralWriter) tools(tools []string) error {
	list := make([]string, len(tools))
	for i, tool := range tools {
		text, ok := spacedJSON(tool)
		if !ok {
			return fmt.Errorf("tokenizer: %s template: tool %d is not JSON", w.name, i)
		}
		list[i] = text
	}
	w.special(beginTools)
	w.text("[" + strings.Join(list, ", ") + "]")
	w.special(endTools)
	return nil
}

func (w *mistralWriter) calls(i int, calls []Call) error {
	list := make([]string, len(calls))
	for k, c := range calls {
		arguments, ok := spacedJSON(c.Arguments)
		if !ok {
			return fmt.Errorf("tokenizer: %s template: the arguments of message %d's call %d are not JSON",
				w.name, i, k)
		}
		id := ""
		if w.Version > 2 && c.ID != "" {
			id = `, "id": ` + spacedQuote(c.ID)
		}
		list[k] = `{"name": ` + spacedQuote(c.Name) + `, "arguments": ` + arguments + id + `}`
	}
	w.special(toolCalls)
	w.text("[" + strings.Join(list, ", ") + "]")
	return nil
}

// result is a tool's answer; one that is JSON is written as such.
func (w *mistralWriter) result(turn Turn) string {
	content, ok := spacedJSON(turn.Content)
	if !ok {
		content = spacedQuote(turn.Content)
	}
	if w.Version > 2 {
		return `{"content": ` + content + `, "call_id": ` + spacedQuote(turn.CallID) + `}`
	}
	return `[{"content": ` + content + `}]`
}
