//go:build js && wasm

package main

import (
	"context"
	"syscall/js"
	"time"
)

// breather lets the event loop run between steps of long work.
type breather struct {
	knock func() // has the event loop call back
	back  chan struct{}
	last  time.Time
}

// breathe is how long work holds the thread at most, but for the step it is at.
const breathe = 10 * time.Millisecond

// newBreather knocks by a message from one port to another, which unlike a timer is not held back
// for milliseconds. Node reads up to a thousand messages of a port before it looks at anything
// else, so that a control would wait for seconds; it has setImmediate, which browsers lack.
func newBreather() *breather {
	b := &breather{back: make(chan struct{}, 1), last: time.Now()}
	back := js.FuncOf(func(js.Value, []js.Value) any {
		b.back <- struct{}{}
		return nil
	})
	if immediate := js.Global().Get("setImmediate"); immediate.Type() == js.TypeFunction {
		b.knock = func() { immediate.Invoke(back) }
		return b
	}
	channel := js.Global().Get("MessageChannel").New()
	channel.Get("port2").Set("onmessage", back)
	b.knock = func() { channel.Get("port1").Call("postMessage", 0) }
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
		c.b.knock()
		<-c.b.back
		c.b.last = time.Now()
	}
	return c.Context.Err()
}
