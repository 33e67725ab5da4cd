package desk

import (
	"context"
	"sync"
)

// gate holds work up between two steps while it is paused. The zero gate is open.
type gate struct {
	mu     sync.Mutex
	paused bool
	steps  int           // that may pass while paused
	moved  chan struct{} // closed when something changes; nil while nobody waits
}

// set pauses or resumes, and lets steps more pass.
func (g *gate) set(paused bool, steps int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused, g.steps = paused, g.steps+steps
	if !paused {
		g.steps = 0
	}
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
}

// pass returns when the next step may begin, or with ctx's error.
func (g *gate) pass(ctx context.Context) error {
	for {
		g.mu.Lock()
		if !g.paused || g.steps > 0 {
			g.steps = max(g.steps-1, 0)
			g.mu.Unlock()
			return ctx.Err()
		}
		if g.moved == nil {
			g.moved = make(chan struct{})
		}
		moved := g.moved
		g.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
