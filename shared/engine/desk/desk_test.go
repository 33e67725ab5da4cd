package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/enginetest"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// start makes a desk that knows the suite's model.
func start(t testing.TB, more func(*desk.Config)) (*desk.Desk, chan []byte) {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	files := enginetest.Files(t, dev, 1, enginetest.Experts...)
	events := make(chan []byte, 1<<14)
	cfg := desk.Config{Engine: "test", Dev: dev, Kernel: dev.Form(), Reason: dev.Reason(), Threads: 1,
		Models: func() []string { return []string{enginetest.Model} },
		Open: func(string) (engine.Source, error) {
			return engine.Source{Name: enginetest.Model, Files: files}, nil
		},
		Store: &checkpoint.Memory{},
		Emit: func(e protocol.Event) {
			data, err := json.Marshal(e)
			if err != nil {
				t.Errorf("event %s: %v", e.Type, err)
			}
			events <- data
		}}
	if more != nil {
		more(&cfg)
	}
	d := desk.New(cfg)
	t.Cleanup(func() {
		d.Close()
		dev.Close()
	})
	return d, events
}

// end is the event that closes a request; progress before it is skipped.
func end(events chan []byte) string {
	for {
		if e := string(<-events); !strings.Contains(e, `"type":"progress"`) {
			return e
		}
	}
}

func TestProtocol(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Conn {
		d, events := start(t, nil)
		return enginetest.Conn{Send: d.Handle, Events: events}
	})
}

// Every request's context is wrapped, and asked while the work goes on.
func TestWrap(t *testing.T) {
	asked := make(chan struct{}, 1)
	d, events := start(t, func(c *desk.Config) {
		c.Wrap = func(ctx context.Context) context.Context { return telling{ctx, asked} }
	})
	d.Handle([]byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny"}}`))
	end(events)
	for len(asked) > 0 {
		<-asked
	}
	d.Handle([]byte(`{"v":1,"id":2,"type":"generate",` +
		`"body":{"prompt":"x","voices":[{}],"maxTokens":3}}`))
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("a generation never asked whether to go on")
	}
}

type telling struct {
	context.Context
	asked chan struct{}
}

func (c telling) Err() error {
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return c.Context.Err()
}

// A fault while a model is read ends the request alone.
func TestFaultEndsOneRequest(t *testing.T) {
	d, events := start(t, func(c *desk.Config) {
		c.Open = func(string) (engine.Source, error) {
			return engine.Source{Name: "broken", Files: faulty{}}, nil
		}
	})
	d.Handle([]byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny"}}`))
	got := end(events)
	if !strings.Contains(got, `"internal"`) || !strings.Contains(got, "on fire") {
		t.Error(got)
	}
	d.Handle([]byte(`{"v":1,"id":2,"type":"hello"}`))
	if got := end(events); !strings.Contains(got, `"result"`) {
		t.Error(got)
	}
}

type faulty struct{}

func (faulty) Open(string) (fs.File, error) { panic("the disk is on fire") }

// A model that cannot be opened leaves the one that was open.
func TestLoadKeepsTheOpenModel(t *testing.T) {
	var bad bool
	d, events := start(t, func(c *desk.Config) {
		good := c.Open
		c.Open = func(name string) (engine.Source, error) {
			if bad {
				return engine.Source{Name: name, Files: fstest.MapFS{}}, nil
			}
			return good(name)
		}
	})
	load := []byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny"}}`)
	d.Handle(load)
	end(events)
	bad = true
	d.Handle([]byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny","weights":"bf16"}}`))
	if got := end(events); !strings.Contains(got, `"error"`) {
		t.Error(got)
	}
	d.Handle([]byte(`{"v":1,"id":2,"type":"heat"}`))
	if got := end(events); !strings.Contains(got, `"result"`) {
		t.Error(got)
	}
}

// Whether a model fits is asked before it is opened, as it is to be held, and not again while it is
// open: the memory that it takes by then is not free any more.
func TestFits(t *testing.T) {
	room := true
	d, events := start(t, func(c *desk.Config) {
		c.Fits = func(src engine.Source) error {
			if !room || src.Hold != nil && src.Hold(llama.Stored{}).Matrices != compute.BF16 {
				return errors.New("no room")
			}
			return nil
		}
	})
	for _, step := range []struct {
		weights, want string
		room          bool
	}{{"f16", "no room", true}, {"", `"result"`, true}, {"", `"result"`, false},
		{"bf16", "no room", false}, {"", `"result"`, false}, {"bf16", `"result"`, true}} {
		room = step.room
		d.Handle(fmt.Appendf(nil, `{"v":1,"id":1,"type":"load","body":{"model":"tiny","weights":%q}}`,
			step.weights))
		if got := end(events); !strings.Contains(got, step.want) {
			t.Errorf("%+v: %.200s", step, got)
		}
	}
}

// A request that is cancelled while it waits ends at once and makes room for another.
func TestCancelWhileWaiting(t *testing.T) {
	opening, open := make(chan struct{}), make(chan struct{})
	d, events := start(t, func(c *desk.Config) {
		c.Fits = func(engine.Source) error { close(opening); <-open; return nil }
	})
	d.Handle([]byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny"}}`))
	<-opening
	ask := func(id int) { d.Handle(fmt.Appendf(nil, `{"v":1,"id":%d,"type":"heat"}`, id)) }
	for id := 2; id <= 64; id++ {
		ask(id)
	}
	ask(65)
	if got := end(events); !strings.Contains(got, `"busy"`) {
		t.Error(got)
	}
	d.Handle([]byte(`{"v":1,"id":66,"type":"control","body":{"target":3,"action":"cancel"}}`))
	if got := end(events); !strings.Contains(got, `"id":3,`) || !strings.Contains(got, `"cancelled"`) {
		t.Error(got)
	}
	end(events) // of the control
	ask(65)
	close(open)
	for id := 1; id <= 65; id++ {
		if id == 3 {
			continue // has ended
		}
		want := fmt.Sprintf(`"id":%d,"type":"result"`, id)
		if got := end(events); !strings.Contains(got, want) {
			t.Fatalf("%.200s, want %s", got, want)
		}
	}
}

// An expert that the desk was given is the model's if it was made for it, and else is told of.
func TestOwnExperts(t *testing.T) {
	var strangers []error
	opened := 0
	d, events := start(t, func(c *desk.Config) {
		src, err := c.Open(enginetest.Model)
		if err != nil {
			t.Fatal(err)
		}
		m, err := engine.Open(t.Context(), c.Dev, src, compute.F32)
		if err != nil {
			t.Fatal(err)
		}
		mine, err := m.Expert("math")
		if err != nil {
			t.Fatal(err)
		}
		other := *mine
		other.Meta.Base[0]++
		c.Own = map[string]*svf.Expert{"mine": mine, "other": &other}
		c.Stranger = func(err error) { strangers = append(strangers, err) }
		c.Opened = func() { opened++ }
	})
	d.Handle([]byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny"}}`))
	got := end(events)
	if !strings.Contains(got, `"name":"mine"`) || strings.Contains(got, `"name":"other"`) ||
		len(strangers) != 1 || !strings.Contains(strangers[0].Error(), "other") || opened != 1 {
		t.Errorf("%.200s, strangers %v, opened %d times", got, strangers, opened)
	}
}

// FuzzHandle: whatever comes, an engine answers and goes on.
func FuzzHandle(f *testing.F) {
	for _, s := range []string{`{"v":1,"id":7,"type":"hello"}`, `{"v":1,"id":2,"type":"generate"}`,
		`{"v":1,"id":2,"type":"heat","body":{"voice":{"mix":[{"expert":"math","alpha":1}]}}}`,
		`{"v":1,"type":"control","body":{"target":2,"action":"cancel"}}`, "{", "\xff"} {
		f.Add([]byte(s))
	}
	d, events := start(f, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		var r protocol.Request
		if json.Unmarshal(data, &r) == nil && r.Type == protocol.TypeTrain {
			return // may be meant to take long
		}
		d.Handle(data)
		select {
		case <-events:
		case <-time.After(20 * time.Second):
			t.Fatalf("no answer to %q", data)
		}
		for len(events) > 0 {
			<-events
		}
	})
}
