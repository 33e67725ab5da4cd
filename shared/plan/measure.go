package plan

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

// The shapes that rates are measured on: large enough to be no cache's matter, small enough that
// all of it takes about a second.
const (
	streamOut, streamIn = 4096, 2048
	mostStream          = 512 << 20 // bytes: no cache is as large, but for those of some servers
	productRows         = 512
	productSide         = 768
	touched             = 64 << 20
	basisSide           = 1024
)

// Measure finds the rates of a device with a model's matrices held as its type. Files are taken to
// be in the system's memory already: a slower disk adds its own time to loading. Basis is left to
// MeasureBasis.
func Measure(dev compute.Device, m Model) (Rates, error) {
	r := Rates{Touch: measureTouch()}
	rng := rand.New(rand.NewPCG(1, 1))
	numbers := make([]float32, streamOut*streamIn)
	for i := range numbers {
		numbers[i] = rng.Float32() - 0.5
	}
	var err error
	if r.Load, r.Stream, err = measureWeight(dev, m, numbers); err != nil {
		return r, err
	}
	r.Product, err = measureProduct(dev)
	return r, err
}

// MeasureBasis finds the rate at which workers decompose together, on a matrix of their model's
// sides but for those that take long, with all that is done for one: it is hashed, solved, probed
// and kept in store.
func MeasureBasis(ctx context.Context, workers []compute.Dense64, store checkpoint.Store,
	c llama.Config) (float64, error) {
	side := min(largestRank(c), basisSide)
	out, in := side, side*largestLinear(c)/(largestRank(c)*largestRank(c))
	w := make([]float32, out*in)
	for i := range w {
		w[i] = rand.Float32() - 0.5
	}
	const repeat = 3 // the first warms up, the better of the others counts
	var all sync.WaitGroup
	seconds, errs := make([]float64, len(workers)), make([]error, len(workers))
	for i, p := range workers {
		all.Go(func() {
			cache := svf.Cache{Store: store}
			for k := range repeat {
				one := slices.Clone(w)
				one[0] = float32(repeat*i + k) // no two are the same, or one would be found
				begin := time.Now()
				if _, _, errs[i] = cache.Matrix(ctx, p, "w", out, in, one); errs[i] != nil {
					return
				}
				if took := time.Since(begin).Seconds(); k < 2 || took < seconds[i] {
					seconds[i] = took
				}
			}
		})
	}
	all.Wait()
	return float64(len(workers)) * linalg.BasisOps(out, in) / slices.Max(seconds), errors.Join(errs...)
}

// rate is ops a second, by the best of three runs after a first that warms up.
func rate(ops float64, run func() error) (float64, error) {
	best := 0.0
	for range 4 {
		begin := time.Now()
		if err := run(); err != nil {
			return 0, err
		}
		best = max(best, ops/time.Since(begin).Seconds())
	}
	return best, nil
}

// measureWeight loads a weight from a file of bf16 in memory, then reads it for one row at a time.
func measureWeight(dev compute.Device, m Model, numbers []float32) (load, stream float64,
	err error) {
	var file bytes.Buffer
	err = checkpoint.Write(&file, []checkpoint.Tensor{checkpoint.FromFloat32("w", checkpoint.BF16,
		numbers, streamOut, streamIn)}, nil)
	if err != nil {
		return 0, 0, err
	}
	f, err := checkpoint.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		return 0, 0, err
	}
	a := &tensors{dev: dev}
	defer a.free()
	t, x, y := a.tensor(streamOut, streamIn), a.tensor(1, streamIn), a.tensor(1, streamOut)
	one := float64(weightBytes(m.Held.Matrices, streamOut, streamIn))
	ws := make([]compute.Weight, int(min(max(1, totals(m).read/one), mostStream/one)))
	for i := range ws {
		ws[i] = a.weight(m.Held.Matrices, streamOut, streamIn)
	}
	if a.err != nil {
		return 0, 0, a.err
	}
	load, err = rate(float64(file.Len()), func() error {
		if err := f.ReadInto("w", numbers); err != nil {
			return err
		}
		var hashed sync.WaitGroup
		hashed.Go(func() { checkpoint.HashWeight(streamOut, streamIn, numbers) }) // for the fingerprint
		dev.Write(t, numbers)
		dev.Pack(ws[0], t)
		hashed.Wait()
		return dev.Submit()
	})
	if err != nil {
		return 0, 0, err
	}
	dev.Write(x, numbers[:streamIn])
	for _, w := range ws[1:] {
		dev.Pack(w, t)
	}
	out := make([]float32, streamOut)
	stream, err = rate(float64(len(ws))*one, func() error {
		for _, w := range ws {
			dev.MatMul(y, x, w)
		}
		return dev.Read(out, y)
	})
	return load, stream, err
}

// measureProduct is in f32, as gradients and folded weights are, of each orientation once.
func measureProduct(dev compute.Device) (float64, error) {
	a := &tensors{dev: dev}
	defer a.free()
	x, y := a.tensor(productRows, productSide), a.tensor(productRows, productSide)
	w := a.tensor(productSide, productSide)
	if a.err != nil {
		return 0, a.err
	}
	out := make([]float32, w.Len())
	return rate(3*2*productRows*productSide*productSide, func() error {
		dev.Gemm(compute.NT, y, x, w, false)
		dev.Gemm(compute.NN, y, x, w, false)
		dev.Gemm(compute.TN, w, x, y, false)
		return dev.Read(out, w)
	})
}

// measureTouch writes to memory that the system gives for it. It cannot be repeated: what Go's heap
// has had once it keeps.
func measureTouch() float64 {
	begin := time.Now()
	fresh := make([]byte, touched)
	for i := 0; i < len(fresh); i += 4096 {
		fresh[i] = 1
	}
	seconds := time.Since(begin).Seconds()
	runtime.KeepAlive(fresh)
	return touched / seconds
}

// tensors keeps the first error of a row of allocations, and what is to be freed.
type tensors struct {
	dev  compute.Device
	bufs []compute.Buffer
	err  error
}

func (a *tensors) tensor(rows, cols int) (t compute.Tensor) {
	if a.err == nil {
		if t, a.err = a.dev.NewTensor(rows, cols); a.err == nil {
			a.bufs = append(a.bufs, t.Buf)
		}
	}
	return t
}

func (a *tensors) weight(kind compute.DType, out, in int) (w compute.Weight) {
	if a.err == nil {
		w, a.err = a.dev.NewWeight(kind, out, in)
		if a.err == nil {
			a.bufs = append(a.bufs, w)
		}
	}
	return w
}

func (a *tensors) free() {
	for _, b := range a.bufs {
		a.dev.Free(b)
	}
}
