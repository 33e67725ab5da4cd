package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"transformer2/shared/engine/protocol"
)

// enginePath is where the page finds the engine, relative to itself.
const enginePath = "engine"

// How long a page may take: to be sent a message, and to answer a sign of life, of which one is asked
// for often enough that what lies between keeps the connection.
const (
	sendTime  = 30 * time.Second
	aliveTime = time.Minute
)

// upgrader takes pages of this very server only: it compares their origin with the host.
var upgrader = websocket.Upgrader{ReadBufferSize: 4 << 10, WriteBufferSize: 16 << 10}

// ServeHTTP is a page's visit by WebSocket: a message is a request or an event of package protocol.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g, err := e.join()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer e.leave(g)
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it answered
	}
	defer conn.Close()
	go say(conn, g)
	conn.SetReadLimit(protocol.MaxRequestBytes)
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(2 * aliveTime)) }
	alive("")
	conn.SetPongHandler(alive)
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		alive("")
		if kind == websocket.TextMessage {
			e.handle(g, data)
		}
	}
}

// say sends a page what its guest hears, until it is gone.
func say(conn *websocket.Conn, g *guest) {
	defer conn.Close() // ends the reading too
	tick := time.NewTicker(aliveTime)
	defer tick.Stop()
	for {
		kind, data := websocket.PingMessage, []byte(nil)
		select {
		case <-g.gone:
			return
		case <-tick.C:
		case event := <-g.events:
			kind = websocket.TextMessage
			var err error
			if data, err = json.Marshal(event); err != nil {
				panic("event " + event.Type + ": " + err.Error()) // every event can be written
			}
		}
		conn.SetWriteDeadline(time.Now().Add(sendTime))
		if conn.WriteMessage(kind, data) != nil {
			return
		}
	}
}

// With is a site whose page finds the engine, as its manifest names it and its models; and the API
// beside it. There may be no site: a nil root. Unless public, only names that lead to this machine reach
// the engine: a page of another site may have a name of its own lead here.
func (e *Engine) With(root *os.Root, public bool) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /"+enginePath, guarded(e, public))
	mux.Handle("/v1/", guarded(e.API(), public))
	if root == nil {
		return mux, nil
	}
	if _, err := e.manifest(root); err != nil {
		return nil, err
	}
	mux.Handle("/", Static(root))
	mux.HandleFunc("GET /manifest.json", func(w http.ResponseWriter, r *http.Request) {
		m, err := e.manifest(root)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		writeJSON(w, http.StatusOK, m)
	})
	return mux, nil
}

// guarded is h for this machine's own names, or for all.
func guarded(h http.Handler, public bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // it has no port
			host = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]")
		}
		if !public && !loopback(host) {
			fail(w, apiError{http.StatusForbidden, fmt.Sprintf("this engine answers under names of "+
				"this machine only, and %q is none", host)})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// native is what a manifest says of the engine.
type native struct {
	Path   string   `json:"path"`
	Models []string `json:"models"`
}

// manifest is the site's with the engine in it.
func (e *Engine) manifest(root *os.Root) (map[string]any, error) {
	data, err := root.ReadFile("manifest.json")
	if err != nil {
		return nil, errors.New("the site has no manifest.json")
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, errors.New("the site's manifest.json is not what t2 site wrote")
	}
	own, _ := m["models"].(map[string]any)
	for _, name := range e.names {
		if own[name] != nil {
			return nil, fmt.Errorf("the site has a model called %s itself: want another name for the "+
				"folder", name)
		}
	}
	m["native"] = native{enginePath, e.names}
	return m, nil
}
