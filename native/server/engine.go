package server

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"transformer2/shared/engine"
	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/svf"
)

// Engine is a desk on this machine that several faces share: each numbers its requests by itself, and
// hears of its own only. They have one model at a time between them, and one request works at a time;
// the model stays open when they leave.
type Engine struct {
	desk  *desk.Desk
	names []string // of models
	open  func(name string) (engine.Source, error)
	own   map[string]*svf.Expert
	began time.Time

	mu     sync.Mutex
	last   int64
	routes map[int64]route // by the desk's number of a request
	guests map[*guest]bool
}

// route leads from a request of the desk's to the face that made it.
type route struct {
	g    *guest
	id   int64         // the face's number
	load protocol.Load // what it asks to open, if that is what it is
	was  protocol.Load // what the guest used before
}

// guest is a face while it is there. Events must be heard: one that is far behind is sent away.
type guest struct {
	events chan protocol.Event
	gone   chan struct{}
	end    sync.Once

	// Engine.mu guards what follows.
	open map[int64]int64 // its requests that are open, and the desk's numbers of them
	uses protocol.Load   // the model that it asked for last; the zero Load before that
}

// behind is how many events a face may leave unheard; mostGuests how many faces may be there.
const (
	behind     = 1 << 14
	mostGuests = 64
)

// dismiss ends what the guest hears.
func (g *guest) dismiss() { g.end.Do(func() { close(g.gone) }) }

// NewEngine makes an engine of a desk's configuration, whose Emit is the engine's own.
func NewEngine(cfg desk.Config) *Engine {
	e := &Engine{names: cfg.Models(), open: cfg.Open, own: cfg.Own,
		began: time.Now(), routes: map[int64]route{}, guests: map[*guest]bool{}}
	cfg.Emit = e.emit
	e.desk = desk.New(cfg)
	return e
}

// Close ends what is being answered.
func (e *Engine) Close() { e.desk.Close() }

func (e *Engine) join() (*guest, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.guests) >= mostGuests {
		return nil, desk.Busy(fmt.Sprintf("%d others are here already", len(e.guests)))
	}
	g := &guest{events: make(chan protocol.Event, behind), gone: make(chan struct{}),
		open: map[int64]int64{}}
	e.guests[g] = true
	return g, nil
}

// leave cancels what the guest asked for.
func (e *Engine) leave(g *guest) {
	g.dismiss()
	e.mu.Lock()
	delete(e.guests, g)
	var targets []int64
	for _, n := range g.open {
		targets = append(targets, n)
	}
	e.mu.Unlock()
	for _, n := range targets {
		body, _ := json.Marshal(protocol.Control{Target: n, Action: protocol.ActionCancel})
		e.desk.Take(protocol.Request{V: protocol.Version, Type: protocol.TypeControl, Body: body})
	}
}

// handle takes a guest's request as it came.
func (e *Engine) handle(g *guest, data []byte) {
	r, err := desk.Parse(data)
	if err != nil {
		e.refuse(g, r.ID, desk.ErrorCode(err), err)
		return
	}
	e.take(g, r)
}

// take takes a guest's request.
func (e *Engine) take(g *guest, r protocol.Request) {
	var err error
	to := route{g: g, id: r.ID}
	switch r.Type {
	case protocol.TypeControl:
		r.Body, err = e.aim(g, r.Body)
	case protocol.TypeLoad:
		if json.Unmarshal(r.Body, &to.load) != nil {
			to.load = protocol.Load{} // the desk says what is wrong with it
		}
	}
	if err == nil {
		r.ID, err = e.number(to)
	}
	if err != nil {
		e.refuse(g, to.id, desk.ErrorCode(err), err)
		return
	}
	e.desk.Take(r)
}

// aim gives a control the desk's number of the request that it speaks of.
func (e *Engine) aim(g *guest, body json.RawMessage) (json.RawMessage, error) {
	var c protocol.Control
	if json.Unmarshal(body, &c) != nil {
		return body, nil // the desk says what is wrong with it
	}
	e.mu.Lock()
	n, ok := g.open[c.Target]
	e.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("control speaks of request %d, which is not open", c.Target)
	}
	c.Target = n
	return json.Marshal(c)
}

// number gives a request the desk's number. Another model than the one that others use is refused.
func (e *Engine) number(to route) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if to.g.open[to.id] != 0 {
		return 0, fmt.Errorf("request %d is open already: want another id", to.id)
	}
	if to.load.Model != "" {
		for other := range e.guests {
			if open := other.uses; other != to.g && open.Model != "" && open != to.load {
				return 0, desk.Busy("somebody else uses " + open.Model + " here")
			}
		}
		to.was, to.g.uses = to.g.uses, to.load
	}
	e.last++
	e.routes[e.last], to.g.open[to.id] = to, e.last
	return e.last, nil
}

// refuse tells a guest that a request of its came to nothing.
func (e *Engine) refuse(g *guest, id int64, code string, err error) {
	g.hear(protocol.Event{V: protocol.Version, ID: id, Type: protocol.EventError,
		Body: protocol.Error{Code: code, Message: err.Error()}})
}

// emit brings an event of the desk's to whoever asked. What answers nobody's request is dropped.
func (e *Engine) emit(event protocol.Event) {
	e.mu.Lock()
	to, ok := e.routes[event.ID]
	if ok && (event.Type == protocol.EventResult || event.Type == protocol.EventError) {
		delete(e.routes, event.ID)
		delete(to.g.open, to.id)
		if event.Type == protocol.EventError && to.load.Model != "" && to.g.uses == to.load {
			to.g.uses = to.was // which stayed open
		}
	}
	e.mu.Unlock()
	if ok {
		event.ID = to.id
		to.g.hear(event)
	}
}

// hear takes an event, unless the guest is gone or too far behind.
func (g *guest) hear(event protocol.Event) {
	select {
	case g.events <- event:
	default:
		g.dismiss()
	}
}
