package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/plan"
	"transformer2/shared/svf"
	"transformer2/shared/train"
)

// taken is what a work took: the JSON of t2 plan --run.
type taken struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"` // of one unit
}

// measurePlan does a work in a process of its own, whose memory is that of nothing else.
func (a *app) measurePlan(ctx context.Context, ref, weights, work, cache string) (
	taken, error) {
	self, err := os.Executable()
	if err != nil {
		return taken{}, err
	}
	cmd := exec.CommandContext(ctx, self, "plan", "--run", work, "--model", ref, "--weights",
		weights, "--context", strconv.Itoa(a.context), "--threads", strconv.Itoa(a.threads),
		"--device", a.devices, "--cache", cache)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return taken{}, fmt.Errorf("%s as %s: %w: %s", work, weights, err,
			strings.TrimSpace(said.String()))
	}
	var t taken
	return t, json.Unmarshal(out, &t)
}

// runPlanned does a work of the plan and prints what it took.
func (a *app) runPlanned(ctx context.Context, ref, work string) error {
	peak, stop := watchMemory()
	seconds, err := a.doPlanned(ctx, ref, work)
	stop()
	if err != nil {
		return err
	}
	a.print(taken{peak.Load(), seconds})
	return nil
}

func (a *app) doPlanned(ctx context.Context, ref, work string) (float64, error) {
	if work == "decompose" {
		return a.runDecompose(ctx, ref)
	}
	a.work, a.force = work, true
	begin := time.Now()
	s, err := a.open(ref)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	seconds := time.Since(begin).Seconds()
	switch work {
	case "load":
		return seconds, nil
	case "serve":
		return runServe(ctx, s.Model.LM)
	}
	d, err := s.decompose(ctx, svf.AllScope())
	if err != nil {
		return 0, err
	}
	switch work {
	case "adapt":
		return runAdapt(ctx, s, d)
	case "train":
		return runTrain(ctx, s, d)
	}
	return 0, fmt.Errorf("--run is %q, want load, serve, adapt, decompose or train", work)
}

// runDecompose decomposes all matrices anew, into the cache.
func (a *app) runDecompose(ctx context.Context, ref string) (float64, error) {
	src, err := a.modelSource(ref)
	if err != nil {
		return 0, err
	}
	o, closeAll, err := a.decomposeOptions(decomposeFlags{scope: "all", solver: "cpu", basis: "f32"},
		src)
	if err != nil {
		return 0, err
	}
	defer closeAll()
	store := checkpoint.Dir(filepath.Join(a.cacheDir(), fmt.Sprint(os.Getpid())))
	begin := time.Now()
	err = engine.Decompose(ctx, src, store, o, func(engine.Spectrum, engine.Decomposed) {})
	return time.Since(begin).Seconds(), err
}

// runServe fills the context but for some tokens, which it times.
func runServe(ctx context.Context, m *llama.Model) (float64, error) {
	timed := min(32, m.Context/2)
	g, err := m.NewGenerator(1, m.Context)
	if err != nil {
		return 0, err
	}
	var begin time.Time
	tokens := 0
	_, err = g.Run(ctx, []llama.Request{{Prompt: make([]int32, m.Context-timed-1),
		MaxTokens: timed + 1,
		OnToken: func(int32, []float32) bool {
			if tokens++; tokens == 1 {
				begin = time.Now()
			}
			return true
		}}})
	return time.Since(begin).Seconds() / float64(timed), err
}

// runAdapt times how an expert of all matrices is folded in, and answers as it.
func runAdapt(ctx context.Context, s *session, d *svf.Decomposition) (float64, error) {
	begin := time.Now()
	f, err := adapt.NewFolded(s.Model.LM, d)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := f.Use(svf.Random(d, svf.AllScope(), 1, 0.1)); err != nil {
		return 0, err
	}
	seconds := time.Since(begin).Seconds()
	_, err = runServe(ctx, f.Model())
	return seconds, err
}

// runTrain takes a step of REINFORCE, of as many answers as are generated at once, and times what
// follows them.
func runTrain(ctx context.Context, s *session, d *svf.Decomposition) (float64, error) {
	cfg, err := train.Preset("default")
	if err != nil {
		return 0, err
	}
	const group = 32
	cfg.Task, cfg.Prompts, cfg.Samples = "math", train.MaxSlots/group, group
	t, err := train.NewReinforcer(cfg, train.Base{Model: s.Model.LM, Tok: s.Model.Tok,
		Decomposition: d})
	if err != nil {
		return 0, err
	}
	var begin time.Time
	t.OnAnswer = func(int, string, string, float64) {
		if begin.IsZero() {
			begin = time.Now()
		}
	}
	m, err := t.Step(ctx, 1)
	return time.Since(begin).Seconds() * plan.TrainTokens / m["tokens"], err
}

// watchMemory follows the memory of this process that is no file's, until it is stopped.
func watchMemory() (peak *atomic.Int64, stop func()) {
	peak = &atomic.Int64{}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), resident()))
			select {
			case <-tick.C:
			case <-ended:
				peak.Store(max(peak.Load(), resident())) // however late the ticks were
				return
			}
		}
	}()
	return peak, func() { close(ended); <-done }
}

// resident is the memory of this process that is no file's: by the system's word on Linux, else by
// that of Go's runtime.
func resident() int64 {
	if bytes, ok := told("/proc/self/status", "RssAnon"); ok {
		return bytes
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
