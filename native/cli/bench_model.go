package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// timedDevice measures the time that matrix products take.
type timedDevice struct {
	*cpu.Device
	products time.Duration
}

func (d *timedDevice) MatMul(y, x compute.Tensor, w compute.Weight) {
	begin := time.Now()
	d.Device.MatMul(y, x, w)
	d.products += time.Since(begin)
}

func (d *timedDevice) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	begin := time.Now()
	d.Device.MatMulT(dx, dy, w, acc)
	d.products += time.Since(begin)
}

func (d *timedDevice) Gemm(o compute.Orientation, c, x, y compute.Tensor, acc bool) {
	begin := time.Now()
	d.Device.Gemm(o, c, x, y, acc)
	d.products += time.Since(begin)
}

// benchDecode continues one sequence to the end of the context, one thread, again and again.
func benchDecode(ctx context.Context, b *bench) ([]figure, error) {
	plain, err := cpu.New(cpu.Options{Threads: 1, Form: b.form()})
	if err != nil {
		return nil, err
	}
	dev := &timedDevice{Device: plain}
	defer dev.Close()
	src, err := modelSource(b.model)
	if err != nil {
		return nil, err
	}
	m, err := engine.Open(dev, src, compute.F32)
	if err != nil {
		return nil, err
	}
	g, err := m.LM.NewGenerator(1, m.LM.Context)
	if err != nil {
		return nil, err
	}
	prompt, err := m.Tok.Chat(nil, nil, true)
	if err != nil {
		return nil, err
	}
	var tokens int
	var spent, outside time.Duration
	request := llama.Request{Prompt: prompt, MaxTokens: m.LM.Context - len(prompt)}
	runs, seconds := 0, b.seconds(3)
	for start := time.Now(); time.Since(start) < seconds || runs < 2; runs++ {
		dev.products = 0
		began := time.Now()
		results, err := g.Run(ctx, []llama.Request{request})
		if err != nil {
			return nil, err
		}
		if runs == 0 {
			continue // the first run warms caches and scratch up
		}
		took := time.Since(began)
		tokens += len(results[0].Tokens)
		spent, outside = spent+took, outside+took-dev.products
	}
	name := m.Name + " decode, f32, 1 thread"
	return []figure{
		{Name: name, Value: float64(tokens) / spent.Seconds(), Unit: "tokens/s"},
		{Name: name + ", outside products", Value: 100 * outside.Seconds() / spent.Seconds(), Unit: "%"},
	}, nil
}

// seconds is how long a benchmark runs.
func (b *bench) seconds(usual float64) time.Duration {
	if b.quick {
		usual /= 10
	}
	return time.Duration(usual * float64(time.Second))
}

// Bounds on changing the expert of a small model.
const (
	mostSwitch = 1.0  // ms, projected
	mostFold   = 50.0 // ms
)

// benchSwitch goes back and forth between two random experts of all matrices.
func benchSwitch(ctx context.Context, b *bench) ([]figure, error) {
	s, err := b.open(b.model)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	bases, err := s.Bases(ctx)
	if err != nil {
		return nil, err
	}
	const spread = 0.1 // about what training moves z by
	pair := [2]*svf.Expert{svf.Random(bases, svf.AllScope(), 1, spread),
		svf.Random(bases, svf.AllScope(), 2, spread)}
	projected, err := adapt.NewProjected(s.Model.LM, bases, 1, adapt.ProjectedOptions{})
	if err != nil {
		return nil, err
	}
	defer projected.Close()
	folded, err := adapt.NewFolded(s.Model.LM, bases)
	if err != nil {
		return nil, err
	}
	defer folded.Close()
	switching, err := b.alternate(ctx, func(i int) error { return projected.Set(0, pair[i]) })
	if err != nil {
		return nil, err
	}
	folding, err := b.alternate(ctx, func(i int) error { return folded.Use(pair[i]) })
	if err != nil {
		return nil, err
	}
	return []figure{
		figure{Name: s.Model.Name + " switch, projected, all matrices", Value: switching, Unit: "ms"}.
			against("bound", mostSwitch),
		figure{Name: s.Model.Name + " switch, folded, all matrices", Value: folding, Unit: "ms"}.
			against("bound", mostFold),
	}, nil
}

// alternate gives the mean milliseconds of f(0), f(1), f(0), ..., without the first of each.
func (b *bench) alternate(ctx context.Context, f func(i int) error) (float64, error) {
	var spent time.Duration
	n := 0
	for start := time.Now(); n < 4 || time.Since(start) < b.seconds(1); n++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := f(n % 2); err != nil {
			return 0, err
		}
		if n >= 2 {
			spent += time.Since(begin)
		}
	}
	return spent.Seconds() * 1e3 / float64(n-2), nil
}

// mostMemory bounds t2 generate on a small model, in MB.
const mostMemory = 150.0

// benchMemory runs t2 generate as a process of its own and asks the system what it took.
func benchMemory(ctx context.Context, b *bench) ([]figure, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "generate", "--model", b.model, "--prompt",
		"Tom has 12 apples. Tom buys 7. How many apples does Tom have?")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), runAsT2+"=1")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s generate: %w: %s", self, err, said.String())
	}
	peak, ok := peakMemory(cmd.ProcessState)
	if !ok {
		return nil, nil // this system does not say
	}
	return []figure{figure{Name: b.model + " generate, peak resident memory", Value: peak / 1e6, Unit: "MB"}.
		against("bound", mostMemory)}, nil
}

// runAsT2 tells a test binary that it was started as t2.
const runAsT2 = "T2_RUN"
