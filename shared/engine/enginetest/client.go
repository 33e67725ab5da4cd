package enginetest

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"transformer2/shared/engine/protocol"
)

// Conn is an engine at the far end of some transport.
type Conn struct {
	Send   func(request []byte)
	Events <-chan []byte // each an event as JSON
}

// Heard is an event as a face reads it.
type Heard struct {
	V    int             `json:"v"`
	ID   int64           `json:"id"`
	Type string          `json:"type"`
	Body json.RawMessage `json:"body"`
}

// client sorts the events of an engine by request, and sees to it that each request is closed once.
type client struct {
	t    *testing.T
	conn Conn

	mu     sync.Mutex
	last   int64
	closed map[int64]bool
	events map[int64]chan Heard
	stray  chan Heard // of requests that this client never made
}

func newClient(t *testing.T, conn Conn) *client {
	c := &client{t: t, conn: conn, closed: map[int64]bool{}, events: map[int64]chan Heard{},
		stray: make(chan Heard, 16)}
	go c.listen()
	return c
}

func (c *client) listen() {
	for data := range c.conn.Events {
		var e Heard
		if err := json.Unmarshal(data, &e); err != nil || e.V != protocol.Version {
			c.t.Errorf("event %.200s: version %d, %v", data, e.V, err)
			continue
		}
		c.mu.Lock()
		if c.closed[e.ID] {
			c.t.Errorf("request %d is closed, and then came %s %.200s", e.ID, e.Type, e.Body)
		}
		to := c.events[e.ID]
		if to == nil {
			to = c.stray
		} else if e.Type == protocol.EventResult || e.Type == protocol.EventError {
			c.closed[e.ID] = true
		}
		c.mu.Unlock()
		to <- e
	}
}

// open is a request that was made.
type open struct {
	c      *client
	id     int64
	events chan Heard
}

// ask makes a request and does not wait.
func (c *client) ask(kind string, body any) *open {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.last++
	o := &open{c: c, id: c.last, events: make(chan Heard, 4096)}
	c.events[o.id] = o.events
	c.mu.Unlock()
	request, err := json.Marshal(protocol.Request{V: protocol.Version, ID: o.id, Type: kind,
		Body: data})
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn.Send(request)
	return o
}

// patience is how long an event may take: trainings on a busy machine are slow.
const patience = 60 * time.Second

// event is the next event of the request.
func (o *open) event() Heard {
	o.c.t.Helper()
	select {
	case e := <-o.events:
		return e
	case <-time.After(patience):
		o.c.t.Fatalf("request %d: nothing for %v", o.id, patience)
		return Heard{}
	}
}

// until gives the events up to one of a kind, that one included.
func (o *open) until(kind string) []Heard {
	o.c.t.Helper()
	for all := []Heard(nil); ; {
		e := o.event()
		all = append(all, e)
		switch e.Type {
		case kind:
			return all
		case protocol.EventResult, protocol.EventError:
			o.c.t.Fatalf("request %d: want %s, got %s %s", o.id, kind, e.Type, e.Body)
		}
	}
}

// control speaks of the request and waits for the answer.
func (o *open) control(action string) {
	o.c.t.Helper()
	o.c.ask(protocol.TypeControl, protocol.Control{Target: o.id, Action: action}).
		until(protocol.EventResult)
}

// read is an event's body.
func read[T any](t *testing.T, e Heard) T {
	t.Helper()
	var body T
	if err := json.Unmarshal(e.Body, &body); err != nil {
		t.Fatalf("%s %s: %v", e.Type, e.Body, err)
	}
	return body
}

// result makes a request that must succeed and gives what closed it, and the events before.
func result[T any](c *client, kind string, body any) (T, []Heard) {
	c.t.Helper()
	all := c.ask(kind, body).until(protocol.EventResult)
	return read[T](c.t, all[len(all)-1]), all[:len(all)-1]
}

// refused makes a request that must fail, and gives why.
func (c *client) refused(kind string, body any) protocol.Error {
	c.t.Helper()
	all := c.ask(kind, body).until(protocol.EventError)
	return read[protocol.Error](c.t, all[len(all)-1])
}
