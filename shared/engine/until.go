package engine

import (
	"context"
	"sync"

	"transformer2/shared/checkpoint"
)

// until is src until ctx ends; nothing is read after that. begin, if set, hears of each tensor when its
// reading begins.
func until(ctx context.Context, src checkpoint.Source, begin func()) checkpoint.Source {
	u := &untilSource{Source: src, ctx: ctx, begin: begin}
	if r, ok := src.(checkpoint.Ranger); ok {
		return &untilRanger{u, r}
	}
	return u
}

type untilSource struct {
	checkpoint.Source
	ctx   context.Context
	begin func()

	mu   sync.Mutex
	last string // tensor that was begun; they are read one after another
}

// next says whether there is to be read on, in a tensor.
func (u *untilSource) next(name string) error {
	if err := u.ctx.Err(); err != nil || u.begin == nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last != name {
		u.last = name
		u.begin()
	}
	return nil
}

func (u *untilSource) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	if err := u.next(name); err != nil {
		return err
	}
	return u.Source.ReadInto(name, dst, opts...)
}

type untilRanger struct {
	*untilSource
	ranger checkpoint.Ranger
}

func (u *untilRanger) ReadRange(name string, at int, dst []float32,
	opts ...checkpoint.Option) error {
	if err := u.next(name); err != nil {
		return err
	}
	return u.ranger.ReadRange(name, at, dst, opts...)
}

func (u *untilRanger) ReadBytes(name string, at int, dst []byte) error {
	if err := u.next(name); err != nil {
		return err
	}
	return u.ranger.ReadBytes(name, at, dst)
}
