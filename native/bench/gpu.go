package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"transformer2/kernels/webgpu"
	"transformer2/shared/compute"
)

// GPUEnv is what the benchmarks of a GPU are run with.
type GPUEnv struct {
	Adapter string // a part of its name; "" for the best
	// Only are names of GPUParts; none: all of them.
	Only []string
	// Quick takes a model of two small layers, whose figures mean nothing, to see that all runs.
	Quick    bool
	Progress func(what string)
}

// The targets: decode by the bytes it reads against a copy on the device, prefill in f32, and 16
// sequences with a z each against one.
const (
	wantDecode   = 0.7
	wantPrefill  = 25 // TFLOP/s
	wantBatch    = 8
	wantRecord   = 3 // µs
	tokensOfGrow = 10000
)

// GPU measures a GPU on a model of Llama-3-8B's shape with random weights, which are made on the
// device. A driver that runs on the processor measures nothing: its figures say so.
func GPU(ctx context.Context, env GPUEnv, emit func(Figure)) error {
	dev, err := webgpu.New(webgpu.Options{Adapter: env.Adapter})
	if err != nil {
		return err
	}
	defer dev.Close()
	g := &gpuBench{ctx: ctx, env: env, dev: dev, shape: llama8B, emit: emit}
	if env.Quick {
		g.shape = tinyShape
	}
	info := dev.Info()
	g.note = fmt.Sprintf("%s, %s", info.Name, info.Driver)
	if info.Kind == webgpu.KindCPU {
		if !env.Quick {
			return fmt.Errorf("not measured: there is no GPU, %s runs on the processor", info.Name)
		}
		g.note, g.void = fmt.Sprintf("not measured: %s runs on the processor", info.Name), true
	} else if env.Quick {
		g.note = "not measured: quick runs are too small"
	}
	for _, part := range gpuParts {
		if len(env.Only) > 0 && !slices.Contains(env.Only, part.name) {
			continue
		}
		if err := part.run(g); err != nil {
			return fmt.Errorf("benchmark of %s: %w", dev.Name(), err)
		}
	}
	return nil
}

// gpuParts are what is measured, in this order. Decoding is measured against the copy.
var gpuParts = []struct {
	name string
	run  func(*gpuBench) error
}{
	{"copy", (*gpuBench).copies}, {"recording", (*gpuBench).recording},
	{"heap", (*gpuBench).allocation},
	{"bf16", func(g *gpuBench) error { return g.model(compute.BF16) }},
	{"q8", func(g *gpuBench) error { return g.model(compute.Q8) }},
	{"fold", (*gpuBench).fold}, {"svd", (*gpuBench).svd},
}

// GPUParts are the names of what can be measured alone.
func GPUParts() []string {
	var names []string
	for _, p := range gpuParts {
		names = append(names, p.name)
	}
	return names
}

type gpuBench struct {
	ctx   context.Context
	env   GPUEnv
	dev   *webgpu.Device
	shape gpuShape
	emit  func(Figure)
	note  string
	void  bool    // figures mean nothing, as the note says
	copy  float64 // bytes per second that a copy moves, read and written
}

// figure hands one over.
func (g *gpuBench) figure(f Figure) {
	f.Note = strings.TrimSuffix(g.note+"; "+f.Note, "; ")
	if g.void {
		f.Value, f.Peer, f.Ratio = math.NaN(), 0, 0
	}
	g.emit(f)
}

func (g *gpuBench) say(format string, args ...any) {
	if g.env.Progress != nil {
		g.env.Progress(fmt.Sprintf(format, args...))
	}
}

// timed is the fastest of some runs of f, each waited for.
func (g *gpuBench) timed(runs int, f func()) (time.Duration, error) {
	one, err := g.dev.NewInts(1)
	if err != nil {
		return 0, err
	}
	defer g.dev.Free(one.Buf)
	best := time.Duration(1<<63 - 1)
	var host [1]int32
	for i := range runs + 1 { // the first compiles
		start := time.Now()
		f()
		if err := g.dev.ReadInts(host[:], one); err != nil {
			return 0, err
		}
		if d := time.Since(start); i > 0 {
			best = min(best, d)
		}
		if err := g.ctx.Err(); err != nil {
			return 0, err
		}
	}
	return best, nil
}

// copies measures a copy from the device to itself, of as many bytes as the model's weights in bf16.
func (g *gpuBench) copies() error {
	const most = 1 << 28 // numbers of a tensor: 1 GiB
	n := int(g.shape.weights()) / 2
	g.say("a copy of %d MiB", n>>18)
	a := &allocs{m: &gpuModel{dev: g.dev}}
	defer a.m.free()
	var from, to []compute.Tensor
	for ; n > 0; n -= most {
		from, to = append(from, a.tensor(1, min(n, most))), append(to, a.tensor(1, min(n, most)))
	}
	if a.err != nil {
		return a.err
	}
	d, err := g.timed(5, func() {
		for i := range from {
			g.dev.Copy(to[i], from[i])
		}
	})
	if err != nil {
		return err
	}
	g.copy = float64(g.shape.weights()) * 4 / d.Seconds()
	g.figure(Figure{Name: "gpu copy of the model's bf16 weights, bytes read and written", Unit: "GB/s",
		Value: g.copy / 1e9})
	return nil
}

// recording measures what a dispatch costs the processor.
func (g *gpuBench) recording() error {
	const count = 2000
	x, err := g.dev.NewTensor(1, 64)
	if err != nil {
		return err
	}
	defer g.dev.Free(x.Buf)
	best := time.Duration(1<<63 - 1)
	for range 5 {
		start := time.Now()
		for range count {
			g.dev.Fill(x, 1)
		}
		best = min(best, time.Since(start))
		if err := g.dev.Submit(); err != nil {
			return err
		}
	}
	g.figure(bound("gpu recording of a dispatch", "µs", best.Seconds()*1e6/count, wantRecord))
	return nil
}

// allocation measures how much the heap has grown after many tokens of a small model.
func (g *gpuBench) allocation() error {
	tokens := tokensOfGrow
	if g.env.Quick {
		tokens = 50
	}
	g.say("%d tokens of a small model", tokens)
	m, err := newGPUModel(g.dev, tinyShape, compute.BF16, 1, false)
	if err != nil {
		return err
	}
	defer m.free()
	var before, after runtime.MemStats
	for i := range tokens {
		if i == tokens/10 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		if err := m.step(1); err != nil {
			return err
		}
		if err := g.ctx.Err(); err != nil {
			return err
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	g.figure(Figure{Name: fmt.Sprintf("gpu heap growth over %d tokens", tokens-tokens/10),
		Unit: "kB", Value: (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / 1e3})
	return nil
}

// model measures decoding and prefill with weights held as t.
func (g *gpuBench) model(t compute.DType) error {
	name := fmt.Sprintf("%s %v", g.shape.name, t)
	g.say("%s: making random weights", name)
	m, err := newGPUModel(g.dev, g.shape, t, g.shape.batch, t == compute.BF16)
	if err != nil {
		return err
	}
	defer m.free()
	one, err := g.tokens(m, 1, false)
	if err != nil {
		return err
	}
	rate := float64(m.bytes(1)) / one.Seconds()
	g.figure(Figure{Name: fmt.Sprintf("gpu decode %s, context %d", name, g.shape.context),
		Unit: "tokens/s", Value: 1 / one.Seconds()})
	read := Figure{Name: fmt.Sprintf("gpu decode %s, bytes read", name), Unit: "GB/s",
		Value: rate / 1e9, Against: "copy", Want: atLeast(wantDecode)}
	if g.copy > 0 {
		read.Peer, read.Ratio = g.copy/1e9, rate/g.copy
	}
	g.figure(read)
	if t != compute.BF16 {
		return nil
	}
	rows := g.shape.prefill
	g.say("%s: prefill of %d tokens", name, rows)
	d, err := g.timed(2, func() { m.forward(rows, rows, false) })
	if err != nil {
		return err
	}
	flops := m.flops(rows) / d.Seconds() / 1e12
	g.figure(Figure{Name: fmt.Sprintf("gpu prefill %s, %d tokens", name, rows), Unit: "TFLOP/s",
		Value: flops, Against: "bound", Peer: wantPrefill, Ratio: flops / wantPrefill,
		Want: atLeast(1)})
	if one, err = g.tokens(m, 1, true); err != nil {
		return err
	}
	all, err := g.tokens(m, g.shape.batch, true)
	if err != nil {
		return err
	}
	gain := float64(g.shape.batch) * one.Seconds() / all.Seconds()
	g.figure(Figure{Name: fmt.Sprintf("gpu decode %s, %d z in a batch, projected", name,
		g.shape.batch), Unit: "tokens/s", Value: float64(g.shape.batch) / all.Seconds(),
		Against: "one z alone", Peer: 1 / one.Seconds(), Ratio: gain, Want: atLeast(wantBatch)})
	return nil
}

// tokens is the time of a step that decodes rows tokens.
func (g *gpuBench) tokens(m *gpuModel, rows int, z bool) (time.Duration, error) {
	g.say("%s: decoding %d at once, z %v", g.shape.name, rows, z)
	best := time.Duration(1<<63 - 1)
	m.z = z
	for i := range 12 {
		start := time.Now()
		if err := m.step(rows); err != nil {
			return 0, err
		}
		if d := time.Since(start); i > 1 {
			best = min(best, d)
		}
		if err := g.ctx.Err(); err != nil {
			return 0, err
		}
	}
	return best, nil
}
