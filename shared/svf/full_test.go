package svf_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/linalg"
	"transformer2/shared/svf"
)

var errFull = errors.New("no space left on device")

// fullStore has room for some files.
type fullStore struct {
	checkpoint.Memory
	room int
}

type limited struct{ w io.Writer }

func (l limited) Write(b []byte) (int, error) { return 0, errFull }

func (s *fullStore) Create(name string, write func(io.Writer) error) error {
	if s.room--; s.room < 0 {
		return s.Memory.Create(name, func(w io.Writer) error { return write(limited{w}) })
	}
	return s.Memory.Create(name, write)
}

func TestFullDiskKeepsWhatWasDone(t *testing.T) {
	s := &fullStore{room: 5}
	c := &svf.Cache{Store: s}
	f := model(t, 4)
	_, err := c.Model(context.Background(), linalg.Plain{}, f, svf.AllScope(), nil)
	if !errors.Is(err, errFull) {
		t.Fatalf("got %v", err)
	}
	s.room = 3
	_, log := decomposeModel(t, c, f, "all")
	if !log[4].Cached || log[5].Cached {
		t.Errorf("log %+v", log)
	}
}
