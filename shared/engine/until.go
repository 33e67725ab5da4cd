package engine

import (
	"context"

	"transformer2/shared/checkpoint"
)

// until is src until ctx ends; nothing is read after that.
func until(ctx context.Context, src checkpoint.Source) checkpoint.Source {
	u := untilSource{src, ctx}
	if r, ok := src.(checkpoint.Ranger); ok {
		return &untilRanger{u, r}
	}
	return &u
}

type untilSource struct {
	checkpoint.Source
	ctx context.Context
}

func (u *untilSource) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.Source.ReadInto(name, dst, opts...)
}

type untilRanger struct {
	untilSource
	ranger checkpoint.Ranger
}

func (u *untilRanger) ReadRange(name string, at int, dst []float32,
	opts ...checkpoint.Option) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.ranger.ReadRange(name, at, dst, opts...)
}

func (u *untilRanger) ReadBytes(name string, at int, dst []byte) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.ranger.ReadBytes(name, at, dst)
}
