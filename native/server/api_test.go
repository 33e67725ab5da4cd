package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"transformer2/shared/engine/enginetest"
	"transformer2/shared/engine/protocol"
)

// post asks the API and gives the answer's status and body.
func post(t *testing.T, s *httptest.Server, body string) (int, string) {
	t.Helper()
	r, err := http.Post(s.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data)
}

// request is a greedy chat; more are further fields of it.
func request(model, more string) string {
	return fmt.Sprintf(`{"model":%q,"temperature":0,"max_tokens":12,"messages":[`+
		`{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant",`+
		`"content":"b"},{"role":"user","content":[{"type":"text","text":"What is it?"}]}]%s}`, model, more)
}

// whole reads a completion that came in one piece.
func whole(t *testing.T, s *httptest.Server, body string) completion {
	t.Helper()
	status, text := post(t, s, body)
	var c completion
	if err := json.Unmarshal([]byte(text), &c); err != nil || status != http.StatusOK ||
		len(c.Choices) != 1 || c.Choices[0].Message == nil || c.Usage == nil {
		t.Fatalf("%d %s (%v)", status, text, err)
	}
	return c
}

func TestCompletion(t *testing.T) {
	_, s := testServer(t)
	base := whole(t, s, request("tiny", ""))
	said := base.Choices[0].Message.Content
	if said == "" || *base.Choices[0].Finish != "length" || base.Usage.Answer != 12 ||
		base.Usage.Total != base.Usage.Prompt+12 || base.Adapted != nil {
		t.Errorf("%+v", base)
	}
	if again := whole(t, s, request("tiny", "")); again.Choices[0].Message.Content != said {
		t.Errorf("greedily %q, then %q", said, again.Choices[0].Message.Content)
	}
	expert := whole(t, s, request("tiny:math", `,"logprobs":true,"top_logprobs":3`))
	if probs := expert.Choices[0].LogProbs; expert.Choices[0].Message.Content == said ||
		len(probs.Content) != 12 || len(probs.Content[0].Top) != 3 || probs.Content[0].LogProb > 0 {
		t.Errorf("%+v", expert.Choices[0])
	}
	if auto := whole(t, s, request("tiny:auto", "")); auto.Adapted == nil || auto.Adapted.Expert == "" {
		t.Errorf("%+v, want it to say who answers", auto)
	}
	same := whole(t, s, request("tiny", `,"stop":null,"seed":-1,"n":null,"tools":null,"logprobs":null,`+
		`"top_logprobs":null,"logit_bias":null,"frequency_penalty":0,"stream_options":null,`+
		`"response_format":null,"user":"u","max_completion_tokens":null`))
	if same.Choices[0].Message.Content != said {
		t.Errorf("with fields that say nothing: %q, want %q", same.Choices[0].Message.Content, said)
	}
	if _, text := post(t, s, request("tiny", `,"logprobs":true`)); !strings.Contains(text,
		`"top_logprobs":[]}`) {
		t.Errorf("%s, want an empty list of alternatives", text)
	}
	stop := string([]rune(said)[2:4])
	quoted, err := json.Marshal(stop)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{`,"stop":%s`, `,"stop":["none",%s]`} {
		c := whole(t, s, request("tiny", fmt.Sprintf(form, quoted)))
		if want, _, _ := strings.Cut(said, stop); c.Choices[0].Message.Content != want ||
			*c.Choices[0].Finish != "stop" {
			t.Errorf("stopped at %q: %+v, want %q", stop, c.Choices[0], want)
		}
	}
}

// A stream says the same, piece by piece, and ends as clients expect it to.
func TestStream(t *testing.T) {
	_, s := testServer(t)
	for _, more := range []string{"", `,"logprobs":true`, `,"stop":"e"`} {
		want := whole(t, s, request("tiny", more))
		_, text := post(t, s, request("tiny", more+`,"stream":true,"stream_options":{"include_usage":true}`))
		said, roles, used := "", 0, usage{}
		var finish *string
		lines := bufio.NewScanner(strings.NewReader(text))
		last := ""
		for lines.Scan() {
			if lines.Text() == "" {
				continue
			}
			last = strings.TrimPrefix(lines.Text(), "data: ")
			var c completion
			if last == "[DONE]" {
				break
			}
			if err := json.Unmarshal([]byte(last), &c); err != nil {
				t.Fatalf("%q: %v", last, err)
			}
			if c.Usage != nil {
				used = *c.Usage
				continue
			}
			said += c.Choices[0].Delta.Content
			if c.Choices[0].Delta.Role != "" {
				roles++
			}
			finish = c.Choices[0].Finish
		}
		if said != want.Choices[0].Message.Content || roles != 1 || used != *want.Usage || finish == nil ||
			*finish != *want.Choices[0].Finish || last != "[DONE]" {
			t.Errorf("%s: %q %d %+v, want %+v", more, said, roles, used, want)
		}
	}
}

func TestModels(t *testing.T) {
	_, s := testServer(t)
	r, err := http.Get(s.URL + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var list struct {
		Data []struct {
			ID      string
			Created int64
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
		if time.Since(time.Unix(m.Created, 0)) > time.Hour {
			t.Errorf("%s was created at %d", m.ID, m.Created)
		}
	}
	if want := []string{"tiny", "tiny:classify", "tiny:code", "tiny:math",
		"tiny:auto"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

func TestAPIRefuses(t *testing.T) {
	_, s := testServer(t)
	user := `"messages":[{"role":"user","content":"a"}]`
	for body, want := range map[string]struct {
		status int
		text   string
	}{
		``:                                    {400, "cannot be read"},
		`{"model":"tiny"}`:                    {400, "nothing to answer"},
		`{"model":"squid",` + user + `}`:      {404, "squid"},
		`{"model":"tiny:squid",` + user + `}`: {400, "squid"},
		`{"model":"tiny","n":2,` + user + `}`: {400, "n is 2"},
		`{"model":"tiny","presence_penalty":0.5,` + user + `}`:                           {400, "presence_penalty"},
		`{"model":"tiny",` + user + `} {}`:                                               {400, "cannot be read"},
		`{"model":"tiny","tools":[{}],` + user + `}`:                                     {400, "tools"},
		`{"model":"tiny","response_format":{"type":"json"},` + user + `}`:                {400, "response_format"},
		`{"model":"tiny","temperature":-1,` + user + `}`:                                 {400, "temperature"},
		`{"model":"tiny","max_tokens":-1,` + user + `}`:                                  {400, "max_tokens"},
		`{"model":"tiny","stop":7,` + user + `}`:                                         {400, "stop"},
		`{"model":"tiny","messages":[{"role":"user","content":7}]}`:                      {400, "content"},
		`{"model":"tiny","messages":[{"role":"user","content":" "}]}`:                    {400, "empty"},
		`{"model":"tiny","messages":[{"role":"tool"},{"role":"user"}]}`:                  {400, "tool"},
		`{"model":"tiny","logprobs":true,"top_logprobs":99,` + user + `}`:                {400, "top"},
		`{"model":"tiny","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`: {400, "image_url"},
	} {
		if status, text := post(t, s, body); status != want.status || !strings.Contains(text, want.text) ||
			!strings.Contains(text, `"error"`) {
			t.Errorf("%s: %d %s, want %d and %q", body, status, text, want.status, want.text)
		}
	}
	r, err := http.Post(s.URL+"/v1/chat/completions", "text/plain", strings.NewReader(request("tiny", "")))
	if err != nil || r.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form's type: %v %v", r, err)
	}
	r, err = http.Post(s.URL+"/v1/completions", "application/json", strings.NewReader("{}"))
	if err != nil || r.StatusCode != http.StatusNotFound ||
		r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a part that is not there: %v %v", r, err)
	}
	foreign, _ := http.NewRequest("GET", s.URL+"/v1/models", nil)
	foreign.Host = "rebound.example"
	if r, err := http.DefaultClient.Do(foreign); err != nil || r.StatusCode != http.StatusForbidden {
		t.Errorf("under another name: %v %v", r, err)
	}
	for _, own := range []string{"[::1]:8642", "[::1]", "localhost", "127.0.0.1:1"} {
		foreign.Host = own
		if r, err := http.DefaultClient.Do(foreign); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("as %s: %v %v", own, r, err)
		}
	}
}

// A client that hangs up has its answer cancelled, and the next is served.
func TestClientLeaves(t *testing.T) {
	e, s := testServer(t)
	whole(t, s, request("tiny", "")) // loaded
	conn := dial(t, s)
	train := protocol.Train{Name: "mine", Task: "shout", Reward: "long", Steps: 10000, Prompts: 2,
		Samples: 4, Rate: 0.05, Temperature: 1, Scope: "mlp", EvalEvery: 10, EvalItems: 4}
	send(t, conn, protocol.TypeTrain, train)
	untilStep(t, conn) // what the API must wait for is under way
	client := http.Client{Timeout: 100 * time.Millisecond}
	for _, space := range []int{0, 1 << 16} {
		body := strings.NewReader(request("tiny", "") + strings.Repeat(" ", space))
		if _, err := client.Post(s.URL+"/v1/chat/completions", "application/json", body); err == nil {
			t.Fatal("answered while a training runs")
		}
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		e.mu.Lock()
		guests := len(e.guests)
		e.mu.Unlock()
		if guests == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d guests, want the page alone", guests)
		}
	}
	conn.Close()
	whole(t, s, request("tiny", ""))
}

// An engine that is closed ends what it answers, and refuses what comes after as a server does.
func TestClosed(t *testing.T) {
	e, s := testServer(t)
	whole(t, s, request("tiny", "")) // loaded
	conn := dial(t, s)
	send(t, conn, protocol.TypeTrain, protocol.Train{Name: "mine", Task: "shout", Reward: "long",
		Steps: 10000, Prompts: 2, Samples: 4, Rate: 0.05, Temperature: 1, Scope: "mlp",
		EvalEvery: 10, EvalItems: 4})
	untilStep(t, conn)
	waits := make(chan int, 1)
	go func() {
		r, err := http.Post(s.URL+"/v1/chat/completions", "application/json",
			strings.NewReader(request("tiny", "")))
		if err != nil {
			waits <- 0
			return
		}
		r.Body.Close()
		waits <- r.StatusCode
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		open := len(e.routes)
		e.mu.Unlock()
		if open == 2 { // the training and what waits for it
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d requests are open, want 2", open)
		}
	}
	e.Close()
	if got := <-waits; got != http.StatusServiceUnavailable {
		t.Errorf("a request that waited: %d", got)
	}
	hear(t, conn) // the training ended
	if got, text := post(t, s, request("tiny", "")); got != http.StatusServiceUnavailable {
		t.Errorf("a request after that: %d %s", got, text)
	}
}

// What is passed on and the rest are the whole, and no stop text is passed on in part.
func TestTeller(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString([]string{"a", "b", "ä", "日"}[rng.IntN(4)])
		}
		return b.String()
	}
	for range 2000 {
		w := teller{stops: []string{draw(1 + rng.IntN(3)), draw(1 + rng.IntN(3))}}
		text, said := "", ""
		for range 1 + rng.IntN(8) {
			piece := draw(rng.IntN(4))
			text += piece
			said += w.push(piece)
		}
		whole := text
		for _, stop := range w.stops {
			if at := strings.Index(text, stop); at >= 0 {
				whole = whole[:min(at, len(whole))]
			}
		}
		if got := said + w.rest(whole); got != whole || !strings.HasPrefix(whole, said) {
			t.Fatalf("stops %q of %q: %q and %q, want %q", w.stops, text, said, w.rest(whole), whole)
		}
	}
}

// FuzzChat: whatever comes is refused or becomes a request of the engine.
func FuzzChat(f *testing.F) {
	f.Add(request(enginetest.Model, `,"stop":["a"],"seed":1,"top_p":0.5`))
	f.Add(`{"messages":[{"role":"user","content":[{"type":"text"}]}],"stop":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		c, err := readChat(httptest.NewRecorder(), r)
		if err != nil {
			return
		}
		if g, err := c.generate(protocol.Voice{}); err == nil && (len(g.Voices) != 1 || g.MaxTokens < 1) {
			t.Errorf("%q: %+v", body, g)
		}
	})
}
