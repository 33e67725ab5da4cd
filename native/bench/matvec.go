package bench

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
)

// wantBandwidth is what a product of a matrix with a vector should reach of the rate at which the
// same bytes can be summed.
const wantBandwidth = 0.9

// matvec measures y = W x at a size that no cache holds against a sum over as many bytes, which is
// the faster of two: the device's sum of squares of f32, and plain Go over 64-bit words.
func matvec(ctx context.Context, env Env) ([]Figure, error) {
	var figures []Figure
	counts := []int{1}
	if n := env.threads(); n > 1 {
		counts = append(counts, n)
	}
	for _, threads := range counts {
		dev, err := env.device(threads)
		if err != nil {
			return figures, err
		}
		more, err := matvecs(ctx, env, dev, threads)
		figures = append(figures, more...)
		dev.Close()
		debug.FreeOSMemory() // a gigabyte
		if err != nil {
			return figures, err
		}
	}
	return figures, nil
}

func matvecs(ctx context.Context, env Env, dev *cpu.Device, threads int) ([]Figure, error) {
	out, in := env.size().matvec[0], env.size().matvec[1]
	env.say("%d×%d numbers", out, in)
	src, err := dev.NewTensor(out, in)
	if err != nil {
		return nil, err
	}
	for i := range out {
		dev.Write(src.Slice(i, i+1), ramp(i*in, in)) // row by row: the whole is half a gigabyte
	}
	x, y, err := vectors(dev, out, in)
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, t := range []compute.DType{compute.F32, compute.BF16, compute.Q8} {
		name := fmt.Sprintf("matvec %v %dx%d, %s", t, out, in, threadsWord(threads))
		env.say("%s", name)
		w, err := dev.NewWeight(t, out, in)
		if err != nil {
			return figures, err
		}
		dev.Pack(w, src)
		read, err := newReading(dev, w.Bytes())
		if err != nil {
			return figures, err
		}
		s, err := plan{budget: env.short(2 * time.Second), least: 3, warm: true}.turns(ctx,
			env.burstSide(func() { dev.MatMul(y, x, w) }), side{run: read.run(env)})
		if err != nil {
			return figures, err
		}
		figures = append(figures, Figure{Name: name, Unit: "GB/s", Want: atLeast(wantBandwidth)}.
			versus("vector sum over as many bytes, "+threadsWord(threads), s[0], s[1],
				float64(w.Bytes())/1e9))
		dev.Free(w)
		debug.FreeOSMemory()
	}
	return figures, nil
}

// vectors are x [1 in] and y [1 out].
func vectors(dev compute.Device, out, in int) (x, y compute.Tensor, err error) {
	if x, err = dev.NewTensor(1, in); err != nil {
		return
	}
	dev.Write(x, ramp(0, in))
	y, err = dev.NewTensor(1, out)
	return
}

// ramp is numbers [from, from+n) of a sequence between −1 and 1 that costs little to make.
func ramp(from, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(uint32(from+i)*2654435761>>8)/(1<<23) - 1
	}
	return x
}
