// Package desk serves the messages of package protocol over any transport: bytes come in by Handle,
// events go out by a function. One model is open at a time, and one request works at a time.
package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/svf"
)

// Config is what a transport brings.
type Config struct {
	Engine  string // "wasm" or "native"
	Dev     engine.Device
	Kernel  string // form of the device's arithmetic
	Reason  string // why that one
	Threads int    // of the device
	// Models are the names that Open knows now.
	Models func() []string
	// Open finds a model's files. Its weights are held in f32 where neither a load nor the source
	// says otherwise.
	Open func(name string) (engine.Source, error)
	// Fits, if set, refuses a model that there is no room for, before memory is taken for it. One
	// that is open already is not asked about.
	Fits func(engine.Source) error
	// Own are experts beside those that come with a model; one that is opened has those that are its
	// own. Stranger, if set, hears of the others.
	Own      map[string]*svf.Expert
	Stranger func(error)
	// Opened, if set, is called when a model is open, and the one before it is gone.
	Opened func()
	// Store keeps decompositions.
	Store checkpoint.Store
	// Adapting says how a model takes its experts on; who hears of it is the desk's.
	Adapting adapt.VoicesOptions
	// Ahead decomposes the model while nothing is asked, so that the first expert need not wait. A
	// request interrupts it; what Store has by then need not be done again.
	Ahead bool
	// BatchRows is how many rows of answers a training takes through the model at once; between two
	// such batches it can be cancelled. 0 leaves it to package train.
	BatchRows int
	// Wrap, if set, is laid around the context of every request. Long work asks its context at each
	// step whether to go on: a transport that shares its only thread with the work, as a Web Worker
	// does, lets messages in there.
	Wrap func(context.Context) context.Context
	// Emit sends an event; calls come one after another.
	Emit func(protocol.Event)
}

// Desk answers requests. Handle and Close may be called from any goroutine.
type Desk struct {
	cfg  Config
	emit sync.Mutex

	mu     sync.Mutex
	open   map[int64]*job
	queue  []*job             // of open, those that wait
	came   *sync.Cond         // signals on mu that queue or closed changed
	ahead  context.CancelFunc // ends what is done ahead; nil while nothing is
	closed bool
	done   chan struct{}

	// What follows belongs to the goroutine that works.
	working  *job // what is answered now
	s        *engine.Session
	asked    protocol.Load               // what s was opened for
	adaptive map[string]*engine.Adaptive // by way of the first pass
}

// maxOpen bounds the requests that are open.
const maxOpen = 64

// New makes a desk and starts its goroutine.
func New(cfg Config) *Desk {
	d := &Desk{cfg: cfg, open: map[int64]*job{}, done: make(chan struct{}),
		adaptive: map[string]*engine.Adaptive{}}
	d.came = sync.NewCond(&d.mu)
	go d.work()
	return d
}

// job is a request that was accepted.
type job struct {
	d      *Desk
	id     int64
	kind   string
	body   json.RawMessage
	ctx    context.Context
	cancel context.CancelFunc
	gate   gate
}

var (
	errNoModel   = errors.New("no model is open: load one first")
	errCancelled = errors.New("cancelled")
)

// Handle takes a request as it came. It returns at once.
func (d *Desk) Handle(data []byte) {
	r, err := Parse(data)
	if err != nil {
		d.fail(r.ID, ErrorCode(err), err)
		return
	}
	d.Take(r)
}

// Take takes a request that Parse has read. It returns at once.
func (d *Desk) Take(r protocol.Request) {
	switch r.Type {
	case protocol.TypeHello:
		d.send(r.ID, protocol.EventResult, d.hello())
		return
	case protocol.TypeControl:
		if err := d.control(r.Body); err != nil {
			d.fail(r.ID, protocol.CodeBadRequest, err)
			return
		}
		d.send(r.ID, protocol.EventResult, nil)
		return
	}
	if err := d.enqueue(r); err != nil {
		d.fail(r.ID, ErrorCode(err), err)
	}
}

// versionError is a request of another version.
type versionError struct{ got int }

func (e versionError) Error() string {
	return fmt.Sprintf("the request is of version %d, this engine speaks version %d", e.got,
		protocol.Version)
}

// Busy says what others stand in the way of: later it may be done.
type Busy string

func (b Busy) Error() string { return string(b) }

// ErrorCode is the code of an error before a request's turn came.
func ErrorCode(err error) string {
	switch {
	case errors.As(err, new(versionError)):
		return protocol.CodeVersion
	case errors.As(err, new(Busy)):
		return protocol.CodeBusy
	}
	return protocol.CodeBadRequest
}

// Parse reads a request as it came. Where it cannot be meant, what is known of it comes with the error.
func Parse(data []byte) (protocol.Request, error) {
	var r protocol.Request
	if len(data) > protocol.MaxRequestBytes {
		return r, fmt.Errorf("a request of %d bytes, want at most %d", len(data),
			protocol.MaxRequestBytes)
	}
	if deeperThan(maxDepth, data) {
		return r, fmt.Errorf("a request that is nested deeper than %d", maxDepth)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("a request that is not JSON of the form {v, id, type, body}: %w", err)
	}
	if r.V != protocol.Version {
		return r, versionError{r.V}
	}
	return r, nil
}

// maxDepth bounds how deep a request is nested. Readers of JSON go down by recursion, and in a
// browser the stack is the page's: one that overflows ends the engine, and no recover sees it.
const maxDepth = 32

// deeperThan reports whether brackets of JSON, those in strings left out, are nested deeper.
func deeperThan(most int, data []byte) bool {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++ // what follows ends no string
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			if depth++; depth > most {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

func (d *Desk) hello() protocol.Hello {
	return protocol.Hello{Version: protocol.Version, Engine: d.cfg.Engine, Kernel: d.cfg.Kernel,
		Reason: d.cfg.Reason, Threads: d.cfg.Threads, Models: d.cfg.Models()}
}

func (d *Desk) control(body json.RawMessage) error {
	var c protocol.Control
	if err := decode(body, &c); err != nil {
		return err
	}
	d.mu.Lock()
	j := d.open[c.Target]
	d.mu.Unlock()
	if j == nil {
		return fmt.Errorf("control speaks of request %d, which is not open", c.Target)
	}
	switch c.Action {
	case protocol.ActionCancel:
		d.cancel(j)
	case protocol.ActionPause:
		j.gate.set(true, 0)
	case protocol.ActionResume:
		j.gate.set(false, 0)
	case protocol.ActionStep:
		j.gate.set(true, 1)
	default:
		return fmt.Errorf("control has no action %q: want %s, %s, %s or %s", c.Action,
			protocol.ActionCancel, protocol.ActionPause, protocol.ActionResume, protocol.ActionStep)
	}
	return nil
}

// cancel ends a request: at once if it waits, and else as soon as the work sees it.
func (d *Desk) cancel(j *job) {
	j.cancel()
	d.mu.Lock()
	at := slices.Index(d.queue, j)
	if at >= 0 {
		d.queue = slices.Delete(d.queue, at, at+1)
		delete(d.open, j.id)
	}
	d.mu.Unlock()
	if at >= 0 {
		d.fail(j.id, protocol.CodeCancelled, errCancelled)
	}
}

func (d *Desk) enqueue(r protocol.Request) error {
	if _, ok := handlers[r.Type]; !ok {
		return fmt.Errorf("no request is of type %q", r.Type)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return Busy("the engine is closed")
	}
	if d.open[r.ID] != nil {
		return fmt.Errorf("request %d is open already: want another id", r.ID)
	}
	if len(d.open) >= maxOpen {
		return Busy(fmt.Sprintf("%d requests wait already", len(d.open)))
	}
	j := &job{d: d, id: r.ID, kind: r.Type, body: r.Body}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	if d.cfg.Wrap != nil {
		j.ctx = d.cfg.Wrap(j.ctx)
	}
	d.open[r.ID] = j
	d.queue = append(d.queue, j)
	d.came.Signal()
	d.interrupt()
	return nil
}

// work answers requests until Close, and decomposes ahead in between.
func (d *Desk) work() {
	defer close(d.done)
	for {
		d.lookAhead()
		j := d.next()
		if j == nil {
			return
		}
		d.working = j
		body, err := d.answer(j)
		d.mu.Lock()
		delete(d.open, j.id)
		d.mu.Unlock()
		cancelled := j.ctx.Err() != nil
		j.cancel()
		switch {
		case err == nil:
			d.send(j.id, protocol.EventResult, body)
		case cancelled && errors.Is(err, context.Canceled):
			d.fail(j.id, protocol.CodeCancelled, errCancelled)
		case errors.Is(err, errNoModel):
			d.fail(j.id, protocol.CodeNoModel, err)
		case errors.As(err, new(fault)):
			d.fail(j.id, protocol.CodeInternal, err)
		default:
			d.fail(j.id, protocol.CodeBadRequest, err)
		}
	}
}

// next waits for a request, and gives nil after Close.
func (d *Desk) next() *job {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) == 0 {
		if d.closed {
			return nil
		}
		d.came.Wait()
	}
	j := d.queue[0]
	d.queue = slices.Delete(d.queue, 0, 1)
	return j
}

// fault is a panic while a request was answered.
type fault struct {
	kind  string
	cause any
}

func (f fault) Error() string {
	return fmt.Sprintf("the engine failed at a %s request, which is a fault of the program: %v",
		f.kind, f.cause)
}

// answer runs a request's handler. A fault in it ends the request and closes the model, whose
// memory may be in any state; the desk goes on.
func (d *Desk) answer(j *job) (body any, err error) {
	defer func() {
		if r := recover(); r != nil {
			d.s = nil
			d.shut()
			body, err = nil, fault{j.kind, r}
		}
	}()
	if err := j.ctx.Err(); err != nil {
		return nil, err // cancelled while it waited
	}
	if d.s == nil && j.kind != protocol.TypeLoad {
		return nil, errNoModel
	}
	return handlers[j.kind](j)
}

// shut forgets the model and gives its memory back.
func (d *Desk) shut() {
	for _, a := range d.adaptive {
		a.Close()
	}
	clear(d.adaptive)
	if d.s != nil {
		d.s.Free()
	}
	d.s = nil
}

// Close cancels what is open and waits until it has ended.
func (d *Desk) Close() {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		d.came.Signal()
		d.interrupt()
	}
	for _, j := range d.open {
		j.cancel()
	}
	d.mu.Unlock()
	<-d.done
}

func (d *Desk) send(id int64, kind string, body any) {
	d.emit.Lock()
	defer d.emit.Unlock()
	d.cfg.Emit(protocol.Event{V: protocol.Version, ID: id, Type: kind, Body: body})
}

func (d *Desk) fail(id int64, code string, err error) {
	d.send(id, protocol.EventError, protocol.Error{Code: code, Message: err.Error()})
}

// tell sends an event that does not close the request.
func (j *job) tell(kind string, body any) { j.d.send(j.id, kind, body) }
