package desk_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/enginetest"
)

// slowStore says which matrices were decomposed, and may be held up.
type slowStore struct {
	checkpoint.Memory
	made chan string
	gate chan struct{}
}

func (s *slowStore) Create(name string, write func(io.Writer) error) error {
	<-s.gate
	s.made <- name
	return s.Memory.Create(name, write)
}

// While nothing is asked the model is decomposed, unheard; a request comes in between two matrices,
// and none is decomposed twice.
func TestAhead(t *testing.T) {
	matrices := 7 * enginetest.Config.Layers
	store := &slowStore{made: make(chan string, 2*matrices), gate: make(chan struct{}, 2*matrices)}
	d, events := start(t, func(c *desk.Config) { c.Ahead, c.Store = true, store })
	next := func() string {
		select {
		case e := <-events:
			return string(e)
		case <-time.After(20 * time.Second):
			t.Fatal("no event")
			return ""
		}
	}
	d.Handle([]byte(`{"v":1,"id":1,"type":"load","body":{"model":"tiny"}}`))
	if e := end(events); !strings.Contains(e, `"result"`) {
		t.Fatal(e)
	}
	store.gate <- struct{}{}
	first := <-store.made // by nobody's request
	d.Handle([]byte(`{"v":1,"id":2,"type":"tokenize","body":{"text":"x"}}`))
	store.gate <- struct{}{} // the matrix that is on its way ends, then the request has its turn
	if e := next(); !strings.Contains(e, `"id":2`) || !strings.Contains(e, `"result"`) {
		t.Fatal(e)
	}
	made := map[string]bool{first: true}
	for len(made) < matrices {
		select {
		case store.gate <- struct{}{}:
		case name := <-store.made:
			if made[name] {
				t.Fatalf("%s was decomposed twice", name)
			}
			made[name] = true
		case <-time.After(20 * time.Second):
			t.Fatalf("%d matrices of %d", len(made), matrices)
		}
	}
	d.Handle([]byte(`{"v":1,"id":3,"type":"heat","body":{"voice":{"expert":"math"}}}`))
	for {
		e := next()
		if strings.Contains(e, `"result"`) {
			break
		}
		if !strings.Contains(e, `"progress"`) || !strings.Contains(e, `"id":3`) {
			t.Fatal(e)
		}
	}
	if len(store.made) > 0 {
		t.Errorf("%s was decomposed again", <-store.made)
	}
}
