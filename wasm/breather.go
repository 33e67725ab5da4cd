//go:build js && wasm

package main

import (
	"context"
	"syscall/js"
	"time"
)

// breather lets the event loop run between steps of long work: a message that goes from one port to
// another and back, which unlike a timer is not held back for milliseconds.
type breather struct {
	port js.Value
	back chan struct{}
	last time.Time
}

// breathe is how long work holds the thread at most, but for the step it is at.
const breathe = 10 * time.Millisecond

func newBreather() *breather {
	b := &breather{back: make(chan struct{}, 1), last: time.Now()}
	channel := js.Global().Get("MessageChannel").New()
	b.port = channel.Get("port1")
	channel.Get("port2").Set("onmessage", js.FuncOf(func(js.Value, []js.Value) any {
		b.back <- struct{}{}
		return nil
	}))
	return b
}

// wrap is a request's context that breathes when it is asked for its error.
func (b *breather) wrap(ctx context.Context) context.Context { return breathing{ctx, b} }

type breathing struct {
	context.Context
	b *breather
}

func (c breathing) Err() error {
	if time.Since(c.b.last) > breathe {
		c.b.port.Call("postMessage", 0)
		<-c.b.back
		c.b.last = time.Now()
	}
	return c.Context.Err()
}
