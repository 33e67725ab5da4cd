package engine_test

import (
	"context"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/engine/enginetest"
	"transformer2/shared/task"
)

// ledger is a device that knows what has not been freed.
type ledger struct {
	*cpu.Device
	live map[compute.Buffer]bool
}

func (l *ledger) NewTensor(rows, cols int) (compute.Tensor, error) {
	t, err := l.Device.NewTensor(rows, cols)
	l.live[t.Buf] = true
	return t, err
}

func (l *ledger) NewInts(n int) (compute.Ints, error) {
	x, err := l.Device.NewInts(n)
	l.live[x.Buf] = true
	return x, err
}

func (l *ledger) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	w, err := l.Device.NewWeight(t, out, in)
	l.live[w] = true
	return w, err
}

func (l *ledger) Free(b compute.Buffer) {
	delete(l.live, b)
	l.Device.Free(b)
}

// A session that was freed leaves nothing on its device: models can come and go.
func TestSessionFree(t *testing.T) {
	for _, o := range []adapt.VoicesOptions{{}, large(adapt.FormFolded), large(adapt.FormProjected)} {
		sessionFree(t, o)
	}
}

func sessionFree(t *testing.T, o adapt.VoicesOptions) {
	t.Helper()
	host, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	files := enginetest.Files(t, host, 1, "math", "code")
	dev := &ledger{host, map[compute.Buffer]bool{}}
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: "tiny", Files: files}, compute.BF16)
	if err != nil {
		t.Fatal(err)
	}
	s := engine.NewSession(dev, m, &checkpoint.Memory{})
	s.Adapting = o
	math, err := s.Voice("math")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := s.Generate(ctx, math, engine.Request{Prompt: "x", MaxTokens: 2}); err != nil {
		t.Fatal(err)
	}
	err = s.Logits(ctx, math, []int32{1, 2}, 1, func(int, []float32) {})
	if err != nil {
		t.Fatal(err)
	}
	polite, err := task.Lookup("polite")
	if err != nil {
		t.Fatal(err)
	}
	quiz := engine.Quiz{Task: polite, Split: task.Valid, N: 2, Seed: 3}
	if _, err := s.Evaluate(ctx, math, quiz, nil); err != nil {
		t.Fatal(err)
	}
	if len(dev.live) == 0 {
		t.Fatal("a session in use holds nothing")
	}
	s.Free()
	if n := len(dev.live); n != 0 {
		t.Errorf("%d buffers were not freed", n)
	}
}
