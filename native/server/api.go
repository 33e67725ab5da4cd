package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
)

// API is the part of OpenAI's API that a chat with the engine's models needs:
//
//	GET  /v1/models
//	POST /v1/chat/completions     streamed or not
//
// Model names are those of Engine.target.
func (e *Engine) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", e.listModels)
	mux.HandleFunc("POST /v1/chat/completions", e.complete)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, apiError{http.StatusNotFound, fmt.Sprintf("there is no %s %s here, but "+
			"GET /v1/models and POST /v1/chat/completions", r.Method, r.URL.Path)})
	})
	return mux
}

// apiError is an error as the API tells it.
type apiError struct {
	status int
	text   string
}

func (e apiError) Error() string { return e.text }

func badRequest(err error) error { return apiError{http.StatusBadRequest, err.Error()} }

// failure is the body of an error.
func failure(err error) (status int, body any) {
	status = http.StatusInternalServerError
	if a := (apiError{}); errors.As(err, &a) {
		status = a.status
	}
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	return status, map[string]any{"error": map[string]any{"message": err.Error(), "type": kind,
		"param": nil, "code": nil}}
}

func fail(w http.ResponseWriter, err error) {
	status, body := failure(err)
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime))
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func (e *Engine) listModels(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		Owner   string `json:"owned_by"`
	}
	list := []entry{}
	add := func(id string) { list = append(list, entry{id, "model", e.began.Unix(), "transformer2"}) }
	for _, name := range e.names {
		add(name)
		experts := e.expertsOf(name)
		for _, x := range experts {
			add(name + ":" + x)
		}
		if len(experts) > 0 {
			add(name + ":" + auto)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// expertsOf are those that came with a model or were made for one of its name; it need not be open.
func (e *Engine) expertsOf(name string) []string {
	var names []string
	if src, err := e.open(name); err == nil {
		names = engine.ExpertNames(src.Files)
	}
	for own, x := range e.own {
		made := x.Meta.Model == name[strings.LastIndexByte(name, ':')+1:] // "tako" for zoo:tako
		if made && !slices.Contains(names, own) {
			names = append(names, own)
		}
	}
	slices.Sort(names)
	return names
}

// readChat reads a request. Only JSON that says that it is: what a form of another site may send
// without asking is not.
func readChat(w http.ResponseWriter, r *http.Request) (c chat, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/json" {
		return c, apiError{http.StatusUnsupportedMediaType, "want Content-Type: application/json"}
	}
	in := http.NewResponseController(w)
	in.SetReadDeadline(time.Now().Add(sendTime))
	// To its end: only then does the server see that a client hangs up.
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxRequestBytes))
	if errors.As(err, new(*http.MaxBytesError)) {
		return c, apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is longer than "+
			"%d bytes", protocol.MaxRequestBytes)}
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, badRequest(fmt.Errorf("the request cannot be read: %w", err))
	}
	in.SetReadDeadline(time.Time{})
	if err := c.check(); err != nil {
		return c, badRequest(err)
	}
	return c, nil
}

func (e *Engine) complete(w http.ResponseWriter, r *http.Request) {
	c, err := readChat(w, r)
	if err == nil {
		err = e.visit(r.Context(), w, c)
	}
	if err != nil {
		fail(w, err)
	}
}

// visit is a guest's stay for one request.
func (e *Engine) visit(ctx context.Context, w http.ResponseWriter, c chat) error {
	g, err := e.join()
	if err != nil {
		return apiError{http.StatusServiceUnavailable, err.Error()}
	}
	defer e.leave(g)
	return e.answer(ctx, w, g, c)
}

// answer answers a request: the first pass where it is asked for, then the tokens. An error means that
// nothing was written yet.
func (e *Engine) answer(ctx context.Context, w http.ResponseWriter, g *guest, c chat) error {
	model, expert, err := e.target(c.Model)
	if err != nil {
		return apiError{http.StatusNotFound, err.Error()}
	}
	request, err := c.generate(protocol.Voice{})
	if err != nil {
		return badRequest(err)
	}
	if _, err := ask[protocol.Loaded](ctx, e, g, protocol.TypeLoad, protocol.Load{Model: model},
		nil); err != nil {
		return err
	}
	var found *adapted
	if expert == auto {
		x, err := ask[protocol.Classified](ctx, e, g, protocol.TypeClassify,
			protocol.Classify{Prompt: request.Prompt, By: protocol.ByPrompt}, nil)
		if err != nil {
			return err
		}
		expert, found = x.Expert, &adapted{x.Expert, x.Label, x.MS}
	}
	request.Voices[0].Expert = expert
	out := &reply{w: w, c: c, completion: completion{ID: "chatcmpl-" + rand.Text(),
		Created: time.Now().Unix(), Model: c.Model, Adapted: found}, teller: teller{stops: c.Stop}}
	_, err = ask[protocol.Compared](ctx, e, g, protocol.TypeGenerate, request, out.hear)
	return out.end(err)
}

// ask makes a request of the engine and waits for its result; onEvent hears what comes before.
func ask[Result any](ctx context.Context, e *Engine, g *guest, kind string, body any,
	onEvent func(protocol.Event)) (result Result, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return result, err
	}
	e.take(g, protocol.Request{V: protocol.Version, ID: 1, Type: kind, Body: data})
	for {
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-g.gone:
			return result, errors.New("the answer was not taken fast enough")
		case event := <-g.events:
			switch b := event.Body.(type) {
			case protocol.Error:
				return result, apiError{statusOf(b.Code), b.Message}
			case Result:
				if event.Type == protocol.EventResult {
					return b, nil
				}
			}
			if onEvent != nil {
				onEvent(event)
			}
		}
	}
}

// statusOf is an engine's error as HTTP has it.
func statusOf(code string) int {
	switch code {
	case protocol.CodeBusy, protocol.CodeCancelled: // the engine is closed
		return http.StatusServiceUnavailable
	case protocol.CodeBadRequest:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// reply writes an answer: whole at its end, or in pieces as it comes.
type reply struct {
	w http.ResponseWriter
	c chat
	completion
	teller
	probs []logProb
	said  protocol.Answer
	begun bool // pieces were written
}

// hear takes what the engine tells while it answers.
func (r *reply) hear(event protocol.Event) {
	switch b := event.Body.(type) {
	case protocol.Token:
		if b.Closing {
			return
		}
		piece := chatChoice{Delta: &chatSaid{Content: r.push(b.Text)}}
		if r.c.LogProbs {
			piece.LogProbs = logProbsOf(b)
			r.probs = append(r.probs, piece.LogProbs.Content...)
		}
		if r.c.Stream && (piece.Delta.Content != "" || piece.LogProbs != nil) {
			r.piece(piece)
		}
	case protocol.Answer:
		r.said = b
	}
}

// piece writes one event of a stream.
func (r *reply) piece(choice chatChoice) {
	c := r.completion
	c.Object, c.Choices = "chat.completion.chunk", []chatChoice{choice}
	if !r.begun {
		r.begun = true
		r.w.Header().Set("Content-Type", "text/event-stream")
		r.w.Header().Set("Cache-Control", "no-cache")
		choice.Delta.Role = "assistant"
	}
	r.event(c)
}

func (r *reply) event(body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // all of it can be written
	}
	out := http.NewResponseController(r.w)
	out.SetWriteDeadline(time.Now().Add(sendTime))
	fmt.Fprintf(r.w, "data: %s\n\n", data)
	out.Flush()
}

// end writes the whole answer, or the last of its pieces.
func (r *reply) end(err error) error {
	if err != nil && !r.begun {
		return err
	}
	if err != nil {
		_, body := failure(err)
		r.event(body)
		return nil
	}
	used := &usage{r.said.PromptTokens, r.said.Tokens, r.said.PromptTokens + r.said.Tokens}
	if r.c.Stream {
		if rest := r.rest(r.said.Text); rest != "" || !r.begun {
			r.piece(chatChoice{Delta: &chatSaid{Content: rest}})
		}
		r.piece(chatChoice{Delta: &chatSaid{}, Finish: finish(r.said.Reason)})
		if r.c.Options.Usage {
			last := r.completion
			last.Object, last.Choices, last.Usage = "chat.completion.chunk", []chatChoice{}, used
			r.event(last)
		}
		fmt.Fprint(r.w, "data: [DONE]\n\n")
		return nil
	}
	c := r.completion
	choice := chatChoice{Message: &chatSaid{"assistant", r.said.Text}, Finish: finish(r.said.Reason)}
	if r.c.LogProbs {
		choice.LogProbs = &logProbs{r.probs}
	}
	c.Object, c.Choices, c.Usage = "chat.completion", []chatChoice{choice}, used
	writeJSON(r.w, http.StatusOK, c)
	return nil
}
