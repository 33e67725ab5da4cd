package engine

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"transformer2/shared/llama"
	"transformer2/shared/sample"
	"transformer2/shared/tokenizer"
)

// Request is something to answer, and how.
type Request struct {
	System    string              // instruction before the conversation; none if empty
	History   []tokenizer.Message // earlier turns; the oldest give way where they do not fit
	Prompt    string
	MaxTokens int // of the answer; the context may end it earlier
	Sampling  sample.Params
	Stop      []string // texts that end the answer and are not part of it
	Seed      uint64
	// OnText, if set, hears the answer as it comes, whole characters only.
	OnText func(text string)
	// OnToken, if set, hears every token and the logits [V] it was drawn from, which are good during
	// the call only. closing is the token that ends the answer and is no part of it.
	OnToken func(t Token, logits []float32, closing bool)
}

// Answer is what a voice said.
type Answer struct {
	Voice   string
	Text    string
	Tokens  []Token // without the closing one
	Reason  llama.Reason
	Prompt  int // tokens of the prompt with its template
	Dropped int // messages of the history that did not fit
	Seconds float64
}

// Token is one step of an answer.
type Token struct {
	ID   int32
	Text string // the characters that it completed; "" inside one
}

// CheckPrompt refuses text that cannot be asked.
func CheckPrompt(what, text string) error {
	if at, ok := invalidUTF8(text); ok {
		return fmt.Errorf("the %s is not valid UTF-8: byte %d of %d is 0x%02x", what, at, len(text),
			text[at])
	}
	if what == "prompt" && strings.TrimSpace(text) == "" {
		return fmt.Errorf("the prompt is empty; it needs at least one character that is not a " +
			"space")
	}
	return nil
}

func invalidUTF8(text string) (at int, bad bool) {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return i, true
			}
		}
	}
	return 0, false
}

// Generate answers a request as a voice. When ctx ends, the answer so far comes back with its
// error.
func (s *Session) Generate(ctx context.Context, v Voice, r Request) (Answer, error) {
	m, err := s.As(ctx, v)
	if err != nil {
		return Answer{}, err
	}
	return s.generate(ctx, m, v.Name, r)
}

func (s *Session) generate(ctx context.Context, m *llama.Model, voice string, r Request) (Answer,
	error) {
	prompt, dropped, err := s.fit(r)
	if err != nil {
		return Answer{}, err
	}
	gen, err := s.conversation()
	if err != nil {
		return Answer{}, err
	}
	w := s.newWriter(r)
	begin := time.Now()
	gen.Use(m)
	results, err := gen.Run(ctx, []llama.Request{{Prompt: prompt, MaxTokens: r.MaxTokens,
		Sampling: r.Sampling, Seed: r.Seed, Stop: w.ends, OnToken: w.token,
		NoLogits: w.onToken == nil}})
	if len(results) == 0 {
		return Answer{}, err
	}
	w.close()
	a := w.answer(voice, results[0].Reason, len(prompt), begin)
	a.Dropped = dropped
	return a, err
}

// fit tokenizes a request. The oldest messages of its history are dropped until the rest leaves
// room for an answer; the prompt itself is never cut: one that does not fit is refused.
func (s *Session) fit(r Request) (ids []int32, dropped int, err error) {
	if err := CheckPrompt("prompt", r.Prompt); err != nil {
		return nil, 0, err
	}
	if err := CheckPrompt("system text", r.System); err != nil {
		return nil, 0, err
	}
	context := s.Model.LM.Context
	room := min(max(r.MaxTokens, 1), context/answerShare)
	// What is dropped goes in pairs, a question with its answer. Every message takes a token at
	// least: more than the context has cannot stay. Of the rest the most that fit are searched for.
	pairs := (len(r.History) + 1) / 2
	least := max(len(r.History)-context, 0) / 2
	drop := least + sort.Search(pairs-least, func(i int) bool {
		ids, err = s.template(r, r.History[2*(least+i):])
		return err != nil || len(ids)+room <= context
	})
	dropped = min(2*drop, len(r.History))
	if ids, err = s.template(r, r.History[dropped:]); err != nil {
		return nil, 0, err
	}
	if len(ids) >= context {
		return nil, 0, fmt.Errorf("the prompt takes %d tokens with its template, but the context of %s "+
			"holds %d and the answer needs at least 1 of them: shorten the prompt by %d tokens",
			len(ids), s.Model.Name, context, len(ids)-context+1)
	}
	return ids, dropped, nil
}

// answerShare: a history leaves at least a quarter of the context to the answer.
const answerShare = 4

func (s *Session) template(r Request, history []tokenizer.Message) ([]int32, error) {
	var msgs []tokenizer.Message
	if r.System != "" {
		msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleSystem, Content: r.System})
	}
	msgs = append(msgs, history...)
	msgs = append(msgs, tokenizer.Message{Role: tokenizer.RoleUser, Content: r.Prompt})
	return s.Model.Tok.Chat(nil, msgs, true)
}

// writer turns tokens into text as they come and ends it where a stop text appears. What could be
// the beginning of a stop text is held back until it is known not to be.
type writer struct {
	decoder *tokenizer.Decoder
	stops   []string
	onText  func(string)
	onToken func(Token, []float32, bool)
	ends    []int32
	text    strings.Builder
	shown   int // bytes of text that are certain
	tokens  []Token
	stopped bool
}

func (s *Session) newWriter(r Request) *writer {
	return &writer{decoder: s.Model.Tok.NewDecoder(), stops: r.Stop, onText: r.OnText,
		onToken: r.OnToken, ends: s.Model.Tok.Stops()}
}

// answer is what was written.
func (w *writer) answer(voice string, reason llama.Reason, prompt int, begin time.Time) Answer {
	return Answer{Voice: voice, Text: w.text.String()[:w.shown], Tokens: w.tokens, Reason: reason,
		Prompt: prompt, Seconds: time.Since(begin).Seconds()}
}

// token is an llama.Request's OnToken.
func (w *writer) token(id int32, logits []float32) bool {
	closing := slices.Contains(w.ends, id)
	t := Token{ID: id}
	if !closing {
		t.Text = w.decoder.Push(id)
	}
	if w.onToken != nil {
		w.onToken(t, logits, closing)
	}
	if closing {
		return true // the generator ends it
	}
	w.tokens = append(w.tokens, t)
	return w.write(t.Text)
}

// write adds a piece of text; false where a stop text ends the answer in it.
func (w *writer) write(piece string) bool {
	w.text.WriteString(piece)
	text := w.text.String()
	first := len(text)
	for _, stop := range w.stops {
		// It may have begun before this piece, but not in what was shown.
		if at := strings.Index(text[w.shown:], stop); stop != "" && at >= 0 {
			first = min(first, w.shown+at)
		}
	}
	if first < len(text) {
		w.show(first)
		w.stopped = true
		return false
	}
	w.show(len(text) - held(text[w.shown:], w.stops))
	return true
}

// held is how many bytes at the end of text could begin a stop.
func held(text string, stops []string) int {
	most := 0
	for _, stop := range stops {
		for n := min(len(stop)-1, len(text)); n > most; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				most = n
			}
		}
	}
	return most
}

// show makes the text certain up to a byte.
func (w *writer) show(to int) {
	if to > w.shown && w.onText != nil {
		w.onText(w.text.String()[w.shown:to])
	}
	w.shown = max(w.shown, to)
}

// close ends the text: what is still held back is no stop, unless the last bytes make it one.
func (w *writer) close() {
	if !w.stopped && w.write(w.decoder.Flush()) {
		w.show(w.text.Len())
	}
}
