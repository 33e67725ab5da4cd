package engine

import (
	"context"

	"transformer2/shared/checkpoint"
)

// until is src until ctx ends; nothing is read after that.
func until(ctx context.Context, src checkpoint.Source) checkpoint.Source {
	if r, ok := src.(checkpoint.Ranger); ok {
		return &untilRanger{r, ctx}
	}
	return &untilSource{src, ctx}
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
	checkpoint.Ranger
	ctx context.Context
}

func (u *untilRanger) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.Ranger.ReadInto(name, dst, opts...)
}

func (u *untilRanger) ReadRange(name string, at int, dst []float32,
	opts ...checkpoint.Option) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.Ranger.ReadRange(name, at, dst, opts...)
}

func (u *untilRanger) ReadBytes(name string, at int, dst []byte) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.Ranger.ReadBytes(name, at, dst)
}
