// Command forms times the f32 matrix product C [m n] = A [m k] Bᵀ in the portable simd form and in
// plain loops, one thread, in turns:
//
//	forms M N K TURNS
//
// It prints a line a turn, the seconds of each form's fastest call. It exists because t2 itself
// does not run where this is wanted: on WebAssembly, under node.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "forms: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var size [4]int // m, n, k, turns
	if len(args) != len(size) {
		return fmt.Errorf("%d arguments, want M N K TURNS", len(args))
	}
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 || n > 1<<14 {
			return fmt.Errorf("argument %q, want a number from 1 to %d", arg, 1<<14)
		}
		size[i] = n
	}
	var products [2]func()
	for i, form := range []string{"simd", "loops"} {
		f, err := product(form, size[0], size[1], size[2])
		if err != nil {
			return err
		}
		f() // the first call takes memory
		products[i] = f
	}
	for range size[3] {
		fmt.Println(fastest(products[0]), fastest(products[1]))
	}
	return nil
}

// product is the product on a device of one form.
func product(form string, m, n, k int) (func(), error) {
	dev, err := cpu.New(cpu.Options{Threads: 1, Form: form})
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var ts [3]compute.Tensor // A, B, C
	for i, s := range [3][2]int{{m, k}, {n, k}, {m, n}} {
		if ts[i], err = dev.NewTensor(s[0], s[1]); err != nil {
			return nil, err
		}
		x := make([]float32, s[0]*s[1])
		for j := range x {
			x[j] = float32(rng.NormFloat64())
		}
		dev.Write(ts[i], x)
	}
	return func() { dev.Gemm(compute.NT, ts[2], ts[0], ts[1], false) }, nil
}

// burst is how long a product is repeated for one turn.
const burst = 300 * time.Millisecond

// fastest calls f for the time of a burst and gives the seconds of the fastest call.
func fastest(f func()) float64 {
	best := time.Hour
	for start := time.Now(); ; {
		begin := time.Now()
		f()
		best = min(best, time.Since(begin))
		if time.Since(start) >= burst {
			return max(best, time.Nanosecond).Seconds()
		}
	}
}
