package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/enginetest"
	"transformer2/shared/engine/protocol"
)

// testServer serves an engine of the suite's model, for the page of a site.
func testServer(t *testing.T) (*Engine, *httptest.Server) {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	files := enginetest.Files(t, dev, 1, enginetest.Experts...)
	e := NewEngine(desk.Config{Engine: "native", Dev: dev, Kernel: dev.Form(), Reason: dev.Reason(),
		Threads: dev.Threads(), Store: &checkpoint.Memory{},
		Models: func() []string { return []string{enginetest.Model} },
		Open: func(string) (engine.Source, error) {
			return engine.Source{Name: enginetest.Model, Files: files}, nil
		}})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "manifest.json"), `{"engine":{"name":"x"},"models":{}}`)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	site, err := e.With(root, false)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(site)
	t.Cleanup(func() {
		s.Close()
		e.Close()
		dev.Close()
		root.Close()
	})
	return e, s
}

// dial opens a page's connection.
func dial(t *testing.T, s *httptest.Server) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/engine",
		http.Header{"Origin": {s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// The engine passes the suite of the protocol over a WebSocket.
func TestProtocol(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Conn {
		_, s := testServer(t)
		conn := dial(t, s)
		events := make(chan []byte, 1<<14)
		go func() {
			defer close(events)
			for {
				_, data, err := conn.ReadMessage()
				if err != nil {
					return
				}
				events <- data
			}
		}()
		return enginetest.Conn{Events: events, Send: func(request []byte) {
			if err := conn.WriteMessage(websocket.TextMessage, request); err != nil {
				t.Error(err)
			}
		}}
	})
}

// send makes a request; its id is 1.
func send(t *testing.T, conn *websocket.Conn, kind string, body any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteJSON(protocol.Request{V: protocol.Version, ID: 1, Type: kind,
		Body: data}); err != nil {
		t.Fatal(err)
	}
}

// hear reads events up to the one that closes the request.
func hear(t *testing.T, conn *websocket.Conn) protocol.Event {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		var e protocol.Event
		if err := conn.ReadJSON(&e); err != nil {
			t.Fatal(err)
		}
		if e.Type == protocol.EventResult || e.Type == protocol.EventError {
			return e
		}
	}
}

// untilStep reads events up to a step of a training.
func untilStep(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	for e := (protocol.Event{}); e.Type != protocol.EventStep; {
		if err := conn.ReadJSON(&e); err != nil || e.Type == protocol.EventError {
			t.Fatalf("%+v %v", e, err)
		}
	}
}

// A page that leaves in the middle of its work is followed by another, which finds the model open and
// hears nothing of what the first asked for.
func TestPagesTakeTurns(t *testing.T) {
	_, s := testServer(t)
	first := dial(t, s)
	send(t, first, protocol.TypeLoad, protocol.Load{Model: enginetest.Model})
	if e := hear(t, first); e.Type != protocol.EventResult {
		t.Fatalf("%+v", e)
	}
	send(t, first, protocol.TypeTrain, protocol.Train{Name: "mine", Task: "shout", Reward: "long",
		Steps: 1000, Prompts: 2, Samples: 4, Rate: 0.05, Temperature: 1, Scope: "mlp", EvalEvery: 10,
		EvalItems: 4})
	untilStep(t, first)
	first.Close()
	second := dial(t, s)
	send(t, second, protocol.TypeTokenize, protocol.Tokenize{Text: "a"})
	if e := hear(t, second); e.Type != protocol.EventResult || e.ID != 1 {
		t.Errorf("%+v, want the model that is open to answer", e)
	}
	send(t, second, protocol.TypeLoad, protocol.Load{Model: enginetest.Model})
	loaded := hear(t, second).Body.(map[string]any)
	names := fmt.Sprint(loaded["experts"])
	if !strings.Contains(names, "name:math") || !strings.Contains(names, "name:mine") {
		t.Errorf("experts %s, want those of the model and the one that was trained", names)
	}
}

// Pages share the model that is open, each with numbers of its own; another one is refused while they do.
func TestPagesShare(t *testing.T) {
	_, s := testServer(t)
	first, second := dial(t, s), dial(t, s)
	for _, conn := range []*websocket.Conn{first, second} {
		send(t, conn, protocol.TypeLoad, protocol.Load{Model: enginetest.Model})
	}
	for _, conn := range []*websocket.Conn{first, second} {
		if e := hear(t, conn); e.Type != protocol.EventResult || e.ID != 1 {
			t.Fatalf("%+v", e)
		}
	}
	send(t, first, protocol.TypeTokenize, protocol.Tokenize{Text: "a"})
	send(t, second, protocol.TypeTokenize, protocol.Tokenize{Text: "a b c"})
	for conn, want := range map[*websocket.Conn]int{first: 1, second: 3} {
		pieces := hear(t, conn).Body.(map[string]any)["pieces"].([]any)
		if len(pieces) != want {
			t.Errorf("%v, want %d pieces", pieces, want)
		}
	}
	other := protocol.Load{Model: enginetest.Model, Weights: "bf16"}
	send(t, second, protocol.TypeLoad, other)
	if e := fmt.Sprint(hear(t, second).Body); !strings.Contains(e, protocol.CodeBusy) {
		t.Errorf("%s, want it refused as busy", e)
	}
	first.Close()
	for range 100 { // until the engine has seen that it left
		time.Sleep(10 * time.Millisecond)
		send(t, second, protocol.TypeLoad, other)
		if hear(t, second).Type == protocol.EventResult {
			return
		}
	}
	t.Error("the page that is left cannot load another model")
}

// visitor is a guest for as long as the test runs.
func visitor(t *testing.T, e *Engine) *guest {
	t.Helper()
	g, err := e.join()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.leave(g) })
	return g
}

// asked loads a model for a guest and gives the event that closes the request.
func asked(t *testing.T, e *Engine, g *guest, l protocol.Load) protocol.Event {
	t.Helper()
	body, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	e.take(g, protocol.Request{V: protocol.Version, ID: 1, Type: protocol.TypeLoad, Body: body})
	for event := range g.events {
		if event.Type == protocol.EventResult || event.Type == protocol.EventError {
			return event
		}
	}
	panic("never closed")
}

// A model is a guest's from when it asks for it: another is refused while it is loaded, too. One
// that cannot be opened is nobody's.
func TestModelIsTaken(t *testing.T) {
	e, _ := testServer(t)
	first, second := visitor(t, e), visitor(t, e)
	other := protocol.Load{Model: enginetest.Model, Weights: "bf16"}
	e.handle(first, []byte(`{"v":1,"id":7,"type":"load","body":{"model":"tiny"}}`))
	if b, ok := asked(t, e, second, other).Body.(protocol.Error); !ok || b.Code != protocol.CodeBusy {
		t.Errorf("%+v, want it refused as busy", b)
	}
	third := visitor(t, e)
	e.leave(first)
	if b, ok := asked(t, e, third, protocol.Load{Model: "octopus"}).Body.(protocol.Error); !ok ||
		b.Code != protocol.CodeBadRequest {
		t.Errorf("%+v, want it refused as unknown", b)
	}
	if r := asked(t, e, second, other); r.Type != protocol.EventResult {
		t.Errorf("%+v, want the model that nobody else uses any more", r)
	}
}

// There is a bound on guests, whichever way they come; who leaves makes room.
func TestMostGuests(t *testing.T) {
	e, s := testServer(t)
	g := visitor(t, e)
	for range mostGuests - 1 {
		visitor(t, e)
	}
	url := "ws" + strings.TrimPrefix(s.URL, "http") + "/engine"
	_, r, err := websocket.DefaultDialer.Dial(url, nil)
	if err == nil || r == nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a page: %v %v", r, err)
	}
	if status, text := post(t, s, request("tiny", "")); status != http.StatusServiceUnavailable {
		t.Errorf("a program: %d %s", status, text)
	}
	e.leave(g)
	whole(t, s, request("tiny", ""))
}

// A site whose manifest cannot have the engine's models in it is refused before it is served.
func TestSiteOfOtherModels(t *testing.T) {
	e, _ := testServer(t)
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct{ manifest, want string }{{"", "no manifest.json"}, {"[]", "not what"},
		{`{"models":{"tiny":{}}}`, "tiny itself"}} {
		if c.manifest != "" {
			write(t, filepath.Join(dir, "manifest.json"), c.manifest)
		}
		if _, err := e.With(root, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.manifest, err, c.want)
		}
	}
}

// A face that does not listen is sent away, and holds nobody up.
func TestDeafGuest(t *testing.T) {
	e, _ := testServer(t)
	g := visitor(t, e)
	for range behind + 1 {
		e.handle(g, []byte(`{"v":1,"id":1,"type":"hello"}`))
	}
	select {
	case <-g.gone:
	default:
		t.Error("it is still there")
	}
}

// Only pages of this server, under a name of this machine, reach the engine; they find it.
func TestStrangers(t *testing.T) {
	_, s := testServer(t)
	for _, h := range []http.Header{{"Origin": {"http://elsewhere.example"}},
		{"Origin": {"http://rebound.example"}, "Host": {"rebound.example"}}} {
		url := "ws" + strings.TrimPrefix(s.URL, "http") + "/engine"
		if conn, r, err := websocket.DefaultDialer.Dial(url, h); err == nil {
			conn.Close()
			t.Errorf("%v was let in", h)
		} else if r == nil || r.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %v", h, err)
		}
	}
	r, err := http.Get(s.URL + "/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var m struct {
		Engine struct{ Name string }
		Native native
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Engine.Name != "x" ||
		m.Native.Path != "engine" || len(m.Native.Models) != 1 {
		t.Errorf("%+v %v", m, err)
	}
}
