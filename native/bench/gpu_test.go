package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"transformer2/kernels/webgpu"
)

// TestGPUQuick: every figure is there once, and on a driver that runs on the processor none has a
// value.
func TestGPUQuick(t *testing.T) {
	if os.Getenv("TEST_GPU") == "" {
		t.Skip("a GPU that the processor plays takes a minute: make test-gpu")
	}
	list, err := webgpu.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 && os.Getenv("CI") == "" {
		t.Skip("no GPU driver (Debian: apt-get install mesa-vulkan-drivers)")
	}
	var figures []Figure
	t.Setenv(childRole, "generate")
	err = GPU(context.Background(), GPUEnv{Quick: true, Command: []string{self(t)}}, func(f Figure) {
		figures = append(figures, f)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"copy", "recording", "heap growth", "decode tiny bf16, context",
		"decode tiny bf16, bytes", "prefill tiny bf16", "z in a batch", "decode tiny q8, context",
		"decode tiny q8, bytes", "decode tiny q4, context", "decode tiny q4, bytes",
		"fold tiny, 6 MLP matrices, bases bf16", "bases f32", "svd 96x96",
		"svd 96x96, sweeps", "svd 96x96, residual", "svd 96x96, orthogonality",
		"matrix product 128x512x256", "reinforce tiny bf16, 16×8 tokens, MLP, rollouts",
		"MLP, update", "MLP, update", "load tiny bf16 (0.0 GB), host memory", "and one token"}
	if len(figures) != len(want) {
		t.Fatalf("%d figures, want %d: %v", len(figures), len(want), figures)
	}
	for i, f := range figures {
		if !strings.Contains(f.Name, want[i]) || !strings.HasPrefix(f.Note, "not measured: ") {
			t.Errorf("figure %d is %q (%s), want one of %q that was not measured", i, f.Name, f.Note,
				want[i])
		}
		if real := list[0].Kind != webgpu.KindCPU; math.IsNaN(f.Value) == real {
			t.Errorf("%s: %v on a real GPU %v", f.Name, f.Value, real)
		}
	}
	if list[0].Kind == webgpu.KindCPU {
		if err := GPU(context.Background(), GPUEnv{}, func(f Figure) { t.Error(f) }); err == nil ||
			!strings.Contains(err.Error(), "not measured") {
			t.Errorf("the full benchmark without a GPU: %v, want it not measured", err)
		}
	}
}

// TestGPUOnly: the parts that are asked for, and what PyTorch lacks is said.
func TestGPUOnly(t *testing.T) {
	list, err := webgpu.List()
	if err == nil && len(list) == 0 && os.Getenv("CI") == "" {
		t.Skip("no GPU driver (Debian: apt-get install mesa-vulkan-drivers)")
	}
	var figures []Figure
	err = GPU(context.Background(), GPUEnv{Quick: true, Only: []string{"svd"}},
		func(f Figure) { figures = append(figures, f) })
	if err != nil || len(figures) != 4 || !strings.HasPrefix(figures[0].Name, "gpu svd 96x96") {
		t.Fatalf("%v, %v, want the four figures of the SVD", figures, err)
	}
	if figures[0].Ratio == 0 && !strings.Contains(figures[0].Note, "no ratio: ") {
		t.Errorf("%v: no ratio, and not why", figures[0])
	}
}

// TestGPUEnds: an interrupt ends the benchmark, and an adapter that is not there never begins it.
func TestGPUEnds(t *testing.T) {
	if list, err := webgpu.List(); err == nil && len(list) == 0 && os.Getenv("CI") == "" {
		t.Skip("no GPU driver (Debian: apt-get install mesa-vulkan-drivers)")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := GPU(ctx, GPUEnv{Quick: true}, func(Figure) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, want %v", err, context.Canceled)
	}
	if err := GPU(context.Background(), GPUEnv{Adapter: "no such"}, func(Figure) {}); err == nil {
		t.Error("an adapter that is not there was measured")
	}
}

// TestGPUPolicy: an update moves every z, and its arithmetic, counted by hand.
func TestGPUPolicy(t *testing.T) {
	list, err := webgpu.List()
	if err == nil && len(list) == 0 && os.Getenv("CI") == "" {
		t.Skip("no GPU driver (Debian: apt-get install mesa-vulkan-drivers)")
	}
	dev, err := webgpu.New(webgpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	s := tinyShape
	s.batch, s.answer, s.vocab = 3, 5, 128
	p, err := newGPUPolicy(dev, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.update(); err != nil {
		t.Fatal(err)
	}
	for i, z := range p.z {
		host := make([]float32, z.Z1.Len())
		if err := dev.Read(host, z.Z1); err != nil {
			t.Fatal(err)
		}
		moved := 0
		for _, v := range host {
			if v != 0 && math.Abs(float64(v)) <= 1.001e-3 { // AdamW's first step is its rate
				moved++
			}
		}
		if moved < len(host)*9/10 {
			t.Errorf("matrix %d: %d of %d numbers of z moved by the rate", i, moved, len(host))
		}
	}
	layer := 256*256*2 + 64*256*2 + 512*256*3
	want := 15*(6*(2*layer+128*256)+6*4*2*256*256) + 9*2*(3*5*6/2)*256*2 +
		15*(2*layer+3*2*2*256*256) + 2*2*(3*5*6/2)*256 // of the first of two layers once more
	if got := p.flops(); got != float64(want) {
		t.Errorf("an update takes %v operations, want %d", got, want)
	}
}

// TestGPUModel: the bytes and the arithmetic that figures are made of, counted by hand.
func TestGPUModel(t *testing.T) {
	list, err := webgpu.List()
	if err == nil && len(list) == 0 && os.Getenv("CI") == "" {
		t.Skip("no GPU driver (Debian: apt-get install mesa-vulkan-drivers)")
	}
	dev, err := webgpu.New(webgpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := newGPUModel(dev, tinyShape, 2, 3, true) // bf16
	if err != nil {
		t.Fatal(err)
	}
	defer m.free()
	layer := 256*256*2 + 64*256*2 + 512*256*3
	if got, want := m.bytes(3), int64(2*(2*layer+1024*256)+2*3*64*64*8); got != want {
		t.Errorf("a step of 3 reads %d bytes, want %d", got, want)
	}
	if got, want := m.flops(96), float64(2*2*layer*96+4*96*97/2*256*2); got != want {
		t.Errorf("a prefill of 96 takes %v operations, want %v", got, want)
	}
	m.z = true
	if err := m.step(3); err != nil {
		t.Fatal(err)
	}
	logits := make([]float32, 3*m.vocab)
	if err := dev.Read(logits, m.l.Slice(0, 3)); err != nil {
		t.Fatal(err)
	}
	for i, id := range m.host[:3] {
		row := logits[i*m.vocab : (i+1)*m.vocab]
		for j, v := range row {
			if !(v <= row[id]) {
				t.Fatalf("row %d: token %d has %v, more than %v of token %d that was taken", i, j, v,
					row[id], id)
			}
		}
	}
}
