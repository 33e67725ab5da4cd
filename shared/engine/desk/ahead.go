package desk

import (
	"context"

	"transformer2/shared/svf"
)

// lookAhead decomposes the open model until that is done or a request waits. An error is the
// business of whoever needs the bases: they will meet it too.
func (d *Desk) lookAhead() {
	if !d.cfg.Ahead || d.s == nil || d.s.Decomposed() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d.mu.Lock()
	if len(d.queue) > 0 || d.closed {
		d.mu.Unlock()
		return
	}
	d.ahead = cancel
	d.mu.Unlock()
	d.working = nil
	if d.cfg.Wrap != nil {
		ctx = d.cfg.Wrap(ctx)
	}
	defer func() {
		if recover() != nil {
			d.cfg.Ahead = false // a request that needs the bases will fail with what this was
		}
		d.mu.Lock()
		d.ahead = nil
		d.mu.Unlock()
	}()
	d.s.Bases(ctx, svf.AllScope())
}

// interrupt ends what is done ahead. d.mu is held.
func (d *Desk) interrupt() {
	if d.ahead != nil {
		d.ahead()
	}
}
