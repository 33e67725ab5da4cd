package engine_test

import (
	"context"
	"errors"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/enginetest"
)

// leaving is a model whose reader is interrupted at the third tensor.
type leaving struct {
	engine.House
	leave context.CancelFunc
	reads int
}

func (l *leaving) Weights(f func(checkpoint.Source) error) error {
	return l.House.Weights(func(s checkpoint.Source) error { return f(leavingSource{s, l}) })
}

type leavingSource struct {
	checkpoint.Source
	l *leaving
}

func (s leavingSource) ReadInto(name string, dst []float32, o ...checkpoint.Option) error {
	if s.l.reads++; s.l.reads == 3 {
		s.l.leave()
	}
	return s.Source.ReadInto(name, dst, o...)
}

// TestOpenEnds: an interrupt ends the loading of a model before the next tensor.
func TestOpenEnds(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &leaving{House: engine.House{Files: enginetest.Files(t, dev, 1),
		WeightsFile: "model.safetensors"}, leave: cancel}
	_, err = engine.Open(ctx, dev, engine.Source{Name: "tiny", Format: l}, compute.F32)
	if !errors.Is(err, context.Canceled) || l.reads != 3 {
		t.Errorf("%v after %d tensors, want %v after 3", err, l.reads, context.Canceled)
	}
}

// TestLoading: every tensor is told of once, as it is there.
func TestLoading(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	told := 0
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: "tiny",
		Files: enginetest.Files(t, dev, 1), Loading: func(done, total int) {
			if told++; done != told || total != len(enginetest.Config.Tensors()) {
				t.Errorf("%d of %d tensors, told of %d before", done, total, told-1)
			}
		}}, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	defer m.LM.Free()
	if told != len(m.LM.Tensors()) {
		t.Errorf("told of %d tensors, want %d", told, len(m.LM.Tensors()))
	}
}
