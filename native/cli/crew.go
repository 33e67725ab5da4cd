package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"transformer2/native/adapter"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/linalg"
	"transformer2/shared/plan"
)

// crew opens the devices that decompose a model, a matrix each at a time: as many as there are
// processors, or as have room for the largest matrix. They share the processors.
func (a *app) crew(f decomposeFlags, src engine.Source) ([]*adapter.Device, error) {
	if f.workers < 0 || a.threads < 0 {
		return nil, fmt.Errorf("--workers is %d and --threads %d, want 0 or more", f.workers, a.threads)
	}
	m, err := planned(src)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", src.Name, err)
	}
	matrices := m.Config.Linears()
	var each int64
	for _, s := range matrices {
		each = max(each, linalg.BasisBytes(s.Rows, s.Cols))
	}
	processors := a.threads
	if processors == 0 {
		processors = runtime.GOMAXPROCS(0)
	}
	workers := f.workers
	if workers == 0 {
		workers = processors
	}
	workers = min(workers, len(matrices))
	threads, devices := a.threads, a.devices
	defer func() { a.threads, a.devices = threads, devices }()
	if f.solver == adapter.GPU {
		workers = 1
	} else {
		a.devices = adapter.CPU // which f64 is computed on
	}
	if room, ok := a.room(); ok && !a.force {
		if room < each {
			return nil, fmt.Errorf("model %s: to decompose its largest matrix takes %s, and there are %s; "+
				"--force starts anyhow", src.Name, size(each), size(room))
		}
		workers = min(workers, int(room/each))
	}
	debug.SetGCPercent(10) // as tidy does
	a.threads = max(1, processors/workers)
	var crew []*adapter.Device
	for range workers {
		d, err := a.device()
		if err != nil {
			closeCrew(crew)
			return nil, err
		}
		crew = append(crew, d)
	}
	return crew, nil
}

func closeCrew(crew []*adapter.Device) {
	for _, d := range crew {
		d.Close()
	}
}

// estimate tells the time for all of a model's matrices by that of a small one, which all workers
// decompose at the same time, as they would.
func (a *app) estimate(ctx context.Context, src engine.Source, o engine.DecomposeOptions) error {
	m, err := planned(src)
	if err != nil {
		return fmt.Errorf("model %s: %w", src.Name, err)
	}
	var ops float64
	count := map[[2]int]int{}
	var shapes [][2]int
	total := 0
	for _, s := range m.Config.Linears() {
		if !o.Scope.Has(s.Name) {
			continue
		}
		shape := [2]int{s.Rows, s.Cols}
		if count[shape]++; count[shape] == 1 {
			shapes = append(shapes, shape)
		}
		ops += linalg.BasisOps(s.Rows, s.Cols)
		total++
	}
	rate, err := basisRate(ctx, o, m)
	if err != nil {
		return err
	}
	out := look(a.out)
	for _, s := range shapes {
		seconds := linalg.BasisOps(s[0], s[1]) / rate * float64(len(o.Workers))
		if a.json {
			a.print(estimateLine{s[0], s[1], count[s], seconds})
			continue
		}
		out.line("%4d × %11s  %9s each", count[s], fmt.Sprintf("%d×%d", s[0], s[1]), roughly(seconds))
	}
	if !a.json {
		out.line("%4d matrices, %d at a time: %s", total, len(o.Workers), roughly(ops/rate))
	}
	return nil
}

// estimateLine is the JSON of the matrices of a shape.
type estimateLine struct {
	Out     int     `json:"out"`
	In      int     `json:"in"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"` // of one, on one worker
}

// basisRate is the operations a second of all workers together.
func basisRate(ctx context.Context, o engine.DecomposeOptions, m plan.Model) (float64, error) {
	dir, err := os.MkdirTemp("", "t2-rate-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	return plan.MeasureBasis(ctx, o.Workers, checkpoint.Dir(dir), m.Config)
}
