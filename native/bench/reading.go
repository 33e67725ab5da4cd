package bench

import (
	"context"
	"sync/atomic"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
)

// reading is memory whose bytes are summed up, as fast as that goes on a device's threads: how fast
// so many bytes can be read at all.
type reading struct {
	dev    *cpu.Device
	floats compute.Tensor
	sum    compute.Tensor
	words  []uint64
}

func newReading(dev *cpu.Device, bytes int64) (r reading, err error) {
	r = reading{dev: dev, words: make([]uint64, bytes/8)}
	for i := range r.words { // memory that was never written is one page of zeros, in the cache
		r.words[i] = uint64(i)
	}
	if r.sum, err = dev.NewTensor(1, 1); err != nil {
		return r, err
	}
	if r.floats, err = dev.NewTensor(1, int(bytes/4)); err == nil {
		dev.Fill(r.floats, 1)
	}
	return r, err
}

// run gives the seconds of the faster of two sums: the device's sum of squares of f32, and plain Go
// over words of 64 bits.
func (r reading) run(env Env) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		floats := fastest(env.burst(), func() { r.dev.SumSquares(r.sum, r.floats) })
		words := fastest(env.burst(), func() { sumWords(r.dev, r.words) })
		return min(floats, words), nil
	}
}

// sumWords adds up x on the device's threads.
func sumWords(dev compute.Dense64, x []uint64) uint64 {
	var total atomic.Uint64
	dev.Parallel(len(x), 1<<16, func(lo, hi int) {
		var a, b, c, d uint64
		part := x[lo:hi]
		for ; len(part) >= 8; part = part[8:] {
			a, b, c, d = a+part[0]+part[4], b+part[1]+part[5], c+part[2]+part[6], d+part[3]+part[7]
		}
		for _, v := range part {
			a += v
		}
		total.Add(a + b + c + d)
	})
	return total.Load()
}
