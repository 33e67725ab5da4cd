package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"transformer2/shared/engine/protocol"
)

// chat is a request for a chat completion, as OpenAI's API has it: what of it an engine here can do.
// Fields that change nothing here are ignored, those that it cannot honour are refused.
type chat struct {
	Model       string        `json:"model"` // see target
	Messages    []chatMessage `json:"messages"`
	Stream      bool          `json:"stream"`
	Stop        stops         `json:"stop"`
	MaxTokens   int           `json:"max_tokens"`
	MaxNew      int           `json:"max_completion_tokens"` // the newer name
	Seed        *int64        `json:"seed"`
	Temperature *float64      `json:"temperature"`
	TopP        *float64      `json:"top_p"`
	TopK        int           `json:"top_k"`
	MinP        float64       `json:"min_p"`
	LogProbs    bool          `json:"logprobs"`
	Top         int           `json:"top_logprobs"`
	Options     struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`

	N         *int            `json:"n"`
	Frequency float64         `json:"frequency_penalty"`
	Presence  float64         `json:"presence_penalty"`
	Bias      map[string]any  `json:"logit_bias"`
	Tools     json.RawMessage `json:"tools"`
	Format    *struct {
		Type string `json:"type"`
	} `json:"response_format"`
}

type chatMessage struct {
	Role    string   `json:"role"`
	Content chatText `json:"content"`
}

// chatText is a text, or parts of type text.
type chatText string

func (t *chatText) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*string)(t)) == nil {
		return nil
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(data, &parts) != nil {
		return errors.New("a message's content is neither a text nor a list of parts")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return fmt.Errorf("a message has a part of type %q, want text", p.Type)
		}
		*t += chatText(p.Text)
	}
	return nil
}

// stops are texts that end an answer: one, a list, or null.
type stops []string

func (s *stops) UnmarshalJSON(data []byte) error {
	var one string
	if string(data) != "null" && json.Unmarshal(data, &one) == nil {
		*s = stops{one}
		return nil
	}
	if json.Unmarshal(data, (*[]string)(s)) != nil {
		return errors.New("stop is neither a text nor a list of texts")
	}
	return nil
}

// usualTokens bounds an answer where the request does not.
const usualTokens = 1024

// check refuses what an engine here does not do.
func (c *chat) check() error {
	switch {
	case c.N != nil && *c.N != 1:
		return fmt.Errorf("n is %d: an engine here gives one answer a request", *c.N)
	case c.Frequency != 0 || c.Presence != 0 || len(c.Bias) > 0:
		return errors.New("frequency_penalty, presence_penalty and logit_bias are not supported")
	case len(c.Tools) > 0 && string(c.Tools) != "null" && string(c.Tools) != "[]":
		return errors.New("tools are not supported")
	case c.Format != nil && c.Format.Type != "" && c.Format.Type != "text":
		return fmt.Errorf("response_format %q is not supported, only text", c.Format.Type)
	case len(c.Messages) == 0 || c.Messages[len(c.Messages)-1].Role != "user":
		return errors.New("the last of the messages is not the user's: there is nothing to answer")
	case c.MaxTokens < 0 || c.MaxNew < 0:
		return errors.New("max_tokens is below 0")
	}
	return nil
}

// generate is the request in the engine's words, for a voice.
func (c *chat) generate(v protocol.Voice) (protocol.Generate, error) {
	last := len(c.Messages) - 1
	g := protocol.Generate{Prompt: string(c.Messages[last].Content), Voices: []protocol.Voice{v},
		MaxTokens: cmp.Or(c.MaxNew, c.MaxTokens, usualTokens), Stop: c.Stop,
		Sampling: protocol.Sampling{Temperature: 1, TopK: c.TopK, TopP: 1, MinP: c.MinP}}
	if c.LogProbs {
		g.Top = c.Top
	}
	if c.Temperature != nil {
		g.Sampling.Temperature = *c.Temperature
	}
	if c.TopP != nil {
		g.Sampling.TopP = *c.TopP
	}
	if g.Seed = rand.Uint64(); c.Seed != nil {
		g.Seed = uint64(*c.Seed)
	}
	for i, m := range c.Messages[:last] {
		switch {
		case i == 0 && (m.Role == "system" || m.Role == "developer"):
			g.System = string(m.Content)
		case m.Role == "user" || m.Role == "assistant":
			g.History = append(g.History, protocol.Turn{Role: m.Role, Text: string(m.Content)})
		default:
			return g, fmt.Errorf("message %d is %q's, want user or assistant, and system first only",
				i, m.Role)
		}
	}
	return g, nil
}

// auto is the name, in an expert's place, of whoever the first pass finds.
const auto = "auto"

// target is whom the API's name of a model means: NAME the base, NAME:EXPERT an expert, and NAME:auto
// the expert that the model itself picks for the prompt, in two passes.
func (e *Engine) target(name string) (model, expert string, err error) {
	if slices.Contains(e.names, name) {
		return name, "", nil
	}
	for _, model := range e.names {
		if expert, ok := strings.CutPrefix(name, model+":"); ok && expert != "" {
			return model, expert, nil
		}
	}
	return "", "", fmt.Errorf("no model is called %q, there is: %s, each also as NAME:EXPERT and "+
		"NAME:%s", name, strings.Join(e.names, ", "), auto)
}

// completion is an answer, whole or a piece of it.
type completion struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *usage       `json:"usage,omitempty"`
	Adapted *adapted     `json:"transformer2,omitempty"`
}

type chatChoice struct {
	Index    int       `json:"index"`
	Message  *chatSaid `json:"message,omitempty"` // of a whole answer
	Delta    *chatSaid `json:"delta,omitempty"`   // of a piece
	LogProbs *logProbs `json:"logprobs,omitempty"`
	Finish   *string   `json:"finish_reason"`
}

type chatSaid struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

type usage struct {
	Prompt int `json:"prompt_tokens"`
	Answer int `json:"completion_tokens"`
	Total  int `json:"total_tokens"`
}

// adapted is what the first pass found; other APIs have no such thing.
type adapted struct {
	Expert  string  `json:"expert"`
	Label   string  `json:"label,omitempty"`
	Pass1MS float64 `json:"pass1_ms,omitempty"`
}

type logProbs struct {
	Content []logProb `json:"content"`
}

type logProb struct {
	Token   string    `json:"token"`
	LogProb float64   `json:"logprob"`
	Bytes   []int     `json:"bytes"`
	Top     []logProb `json:"top_logprobs,omitzero"` // a token of the answer always has it
}

func newLogProb(text string, p float64) logProb {
	l := logProb{Token: text, LogProb: p, Bytes: []int{}}
	for _, b := range []byte(text) {
		l.Bytes = append(l.Bytes, int(b))
	}
	return l
}

// logProbsOf are a token's own and those of what else it could have been.
func logProbsOf(t protocol.Token) *logProbs {
	l := newLogProb(t.Text, t.LogProb)
	l.Top = []logProb{}
	for _, a := range t.Top {
		l.Top = append(l.Top, newLogProb(a.Text, a.LogProb))
	}
	return &logProbs{Content: []logProb{l}}
}

// finish is why an answer ended, in the API's words.
func finish(reason string) *string {
	if reason != "stop" {
		reason = "length"
	}
	return &reason
}

// teller passes an answer on piece by piece as its tokens come, but for what a stop text may begin with.
type teller struct {
	stops []string
	text  strings.Builder
	sent  int
}

// push gives what is certain after another token's text.
func (w *teller) push(piece string) string {
	w.text.WriteString(piece)
	text := w.text.String()
	to := len(text)
	for _, stop := range w.stops {
		to = min(to, len(text)-len(stop)+1)
		if at := strings.Index(text, stop); at >= 0 {
			to = min(to, at)
		}
	}
	for to > w.sent && to < len(text) && text[to]&0xc0 == 0x80 { // inside a character
		to--
	}
	if to <= w.sent {
		return ""
	}
	from := w.sent
	w.sent = to
	return text[from:to]
}

// rest is what of the whole answer was not passed on.
func (w *teller) rest(whole string) string {
	return whole[slices.Min([]int{w.sent, len(whole)}):]
}
