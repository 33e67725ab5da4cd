package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/protocol"
)

// enginePath is where the page finds the engine, relative to itself.
const enginePath = "engine"

// Engine is a desk on this machine that pages talk to by WebSocket, a message a request or an event
// of package protocol. One page has it at a time; the model stays open from one to the next.
type Engine struct {
	desk  *desk.Desk
	names []string
	seat  chan struct{} // holds one: whoever has the engine
	wait  time.Duration // that a page waits for the seat

	mu    sync.Mutex
	guest *guest // nil: nobody hears
}

// guest is the page that has the engine.
type guest struct {
	conn *websocket.Conn
	gone chan struct{} // closed when nothing can be said to it any more
	end  sync.Once
}

func (g *guest) leave() { g.end.Do(func() { close(g.gone); g.conn.Close() }) }

// How long a page may take: to be sent a message, and to answer a sign of life, of which one is asked
// for often enough that routers between keep the connection.
const (
	sendTime  = 30 * time.Second
	aliveTime = time.Minute
)

// seatTime is how long a page waits until the one before it has left: what that asked for is being
// cancelled.
const seatTime = 5 * time.Second

// NewEngine makes an engine of a desk's configuration, whose Emit is the engine's own.
func NewEngine(cfg desk.Config) *Engine {
	e := &Engine{names: cfg.Models(), seat: make(chan struct{}, 1), wait: seatTime}
	cfg.Emit = e.emit
	e.desk = desk.New(cfg)
	return e
}

// Close ends what is being answered, and the connection.
func (e *Engine) Close() {
	e.mu.Lock()
	if e.guest != nil {
		e.guest.leave()
	}
	e.mu.Unlock()
	e.desk.Close()
}

// emit sends an event to the page that has the engine. One that does not take it in time is dropped.
func (e *Engine) emit(event protocol.Event) {
	e.mu.Lock()
	g := e.guest
	e.mu.Unlock()
	if g == nil {
		return
	}
	data, err := json.Marshal(event)
	if err != nil {
		panic(fmt.Sprintf("event %s: %v", event.Type, err)) // every event can be written
	}
	g.conn.SetWriteDeadline(time.Now().Add(sendTime))
	if g.conn.WriteMessage(websocket.TextMessage, data) != nil {
		g.leave()
	}
}

// upgrader takes pages of this very server only: it compares their origin with the host.
var upgrader = websocket.Upgrader{ReadBufferSize: 4 << 10, WriteBufferSize: 16 << 10}

// ServeHTTP is one page's visit.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it answered
	}
	g := &guest{conn: conn, gone: make(chan struct{})}
	defer g.leave()
	patience := time.NewTimer(e.wait)
	defer patience.Stop()
	select {
	case e.seat <- struct{}{}:
	case <-patience.C:
		dismiss(conn)
		return
	}
	defer func() { <-e.seat }()
	e.take(g)
	e.listen(g)
	g.leave()
	e.desk.CancelAll()
	e.take(nil)
}

// dismiss sends a page away and hears it out: a connection that is closed with something unread in it
// is reset, and the page would not hear why.
func dismiss(conn *websocket.Conn) {
	conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(
		websocket.CloseTryAgainLater, "another page has the engine"), time.Now().Add(sendTime))
	conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

func (e *Engine) take(g *guest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.guest = g
}

// listen hands what the page says to the desk until it leaves.
func (e *Engine) listen(g *guest) {
	g.conn.SetReadLimit(protocol.MaxRequestBytes + 1) // the desk refuses what is longer, in words
	alive := func(string) error { return g.conn.SetReadDeadline(time.Now().Add(2 * aliveTime)) }
	alive("")
	g.conn.SetPongHandler(alive)
	go func() {
		for tick := time.Tick(aliveTime); ; {
			select {
			case <-g.gone:
				return
			case <-tick:
				if g.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(sendTime)) != nil {
					g.leave()
				}
			}
		}
	}()
	for {
		kind, data, err := g.conn.ReadMessage()
		if err != nil {
			return
		}
		alive("")
		if kind == websocket.TextMessage {
			e.desk.Handle(data)
		}
	}
}

// With is a site whose page finds the engine: its manifest names it, and its models. Names that lead
// to this machine are the only ones it is asked by, unless public: a page of another site may have a
// name of its own lead here.
func (e *Engine) With(site http.Handler, root *os.Root, public bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", site)
	mux.HandleFunc("GET /manifest.json", func(w http.ResponseWriter, r *http.Request) {
		data, err := e.manifest(root)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Write(data)
	})
	mux.HandleFunc("GET /"+enginePath, func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !public && !loopback(host) {
			http.Error(w, "this engine serves pages of this machine only", http.StatusForbidden)
			return
		}
		e.ServeHTTP(w, r)
	})
	return mux
}

// native is what a manifest says of the engine.
type native struct {
	Path   string   `json:"path"`
	Models []string `json:"models"`
}

// manifest is the site's with the engine in it.
func (e *Engine) manifest(root *os.Root) ([]byte, error) {
	data, err := root.ReadFile("manifest.json")
	if err != nil {
		return nil, errors.New("the site has no manifest.json")
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, errors.New("the site's manifest.json is not what t2 site wrote")
	}
	m["native"] = native{enginePath, e.names}
	return json.Marshal(m)
}
