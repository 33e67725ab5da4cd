// Package bench answers one question: how fast is this build on this machine, next to what it is
// measured against?
//
// Absolute numbers of one machine say little to the owner of another, so every figure that can be
// is a ratio, and both its sides are measured in one run, in turns: A B A B … The ratio is the
// median of the turns' ratios, so that a neighbour who takes the processor for a second spoils a
// turn and not the result. Peers (OpenBLAS, LAPACK, PyTorch) answer from one child process
// (peer.py); where one is missing the figure stands without a ratio and says what would bring it.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/engine"
)

// Env is what benchmarks are run with. The zero value measures the best form of the CPU device on
// all processors, and random weights of the shipped model's shape.
type Env struct {
	Device cpu.Options // Threads is the most that any figure uses
	// Model is what the model's figures are measured on, and Ref is the same as `t2 --model` takes
	// it. Without Files both are a model of random weights.
	Model engine.Source
	Ref   string
	// Command runs t2; nil: this executable.
	Command []string
	// Python runs peer.py; "": the system's python3, which has Debian's packages.
	Python string
	// Root is the folder of the source tree, for what is built during the run; "": the folder that
	// the program was started in.
	Root string
	// Quick makes runs short and figures rough.
	Quick bool
	// Progress, if set, hears what is measured next.
	Progress func(what string)

	sizes   *sizes   // nil: those of the figures' names
	session *session // shared by the benchmarks of one Run
}

// Bench measures one or several figures.
type Bench struct {
	Name  string // for --only
	Doc   string // what it measures, in a line
	Needs string // Debian packages without which a figure has no ratio, "" if none
	// Run measures. An error comes with the figures that were measured before it.
	Run func(ctx context.Context, env Env) ([]Figure, error)
}

// The Debian packages that peers come in.
const (
	needBLAS  = "python3-numpy libopenblas0-pthread"
	needSciPy = "python3-scipy libopenblas0-pthread"
	needTorch = "python3-torch"
	needWasm  = "golang nodejs"
)

// All lists the benchmarks in the order in which they run.
func All() []Bench {
	all := []Bench{
		{"gemm", "f32 matrix product, one and two threads, best and portable form", needBLAS, gemm},
		{"wasm", "the same in WebAssembly under node, portable form against loops", needWasm, wasm},
		{"matvec", "f32, bf16 and int8 matrix times vector past the cache", "", matvec},
		{"pretrain", "pre-training of the shipped model's shape", needTorch, pretrain},
		{"decode", "generation with the model, one thread, and where its time goes", "", decode},
		{"switch", "making the model an expert: projected and folded", "", switchExpert},
		{"memory", "resident memory of t2 generate", "", memory},
		{"svd", "singular value decomposition of 1024², 2048² and 4096², and its errors", needSciPy, svd},
		{"decompose", "singular values of all the model's matrices", "", decompose},
	}
	for i := range all {
		all[i].Run = withSession(all[i].Run)
	}
	return all
}

// Names lists the benchmarks' names in the order in which they run.
func Names() []string {
	var names []string
	for _, b := range All() {
		names = append(names, b.Name)
	}
	return names
}

// Run runs the benchmarks called only, or all, and emits every figure when it is there. A benchmark
// that fails does not keep the others from running; its error comes in the end. When ctx ends, so
// does the peers' process, and the error is ctx's.
func Run(ctx context.Context, env Env, only []string, emit func(Figure)) error {
	for _, name := range only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("unknown benchmark %q; want one of: %s", name,
				strings.Join(Names(), " "))
		}
	}
	env.session = newSession(ctx, env)
	defer env.session.close()
	var failed []error
	for _, b := range All() {
		if len(only) > 0 && !slices.Contains(only, b.Name) {
			continue
		}
		figures, err := b.Run(ctx, env)
		for _, f := range figures {
			emit(f)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("benchmark %s: %w", b.Name, err))
		}
	}
	return errors.Join(failed...)
}

// withSession gives a benchmark that is run on its own what Run would give it.
func withSession(run func(context.Context, Env) ([]Figure, error)) func(context.Context, Env) (
	[]Figure, error) {
	return func(ctx context.Context, env Env) ([]Figure, error) {
		if env.session == nil {
			env.session = newSession(ctx, env)
			defer env.session.close()
		}
		return run(ctx, env)
	}
}

// sizes are the problems that figures are measured on.
type sizes struct {
	gemm   [3]int // rows, columns and inner dimension of the product
	matvec [2]int // outputs and inputs
	svd    []int  // square matrices
	docs   int    // documents of a training step (PyTorch is fastest with 16 of 4, 8, 16 and 32)
	layers int    // of the trained and of the random model
	haste  int    // what the time for each figure is divided by
}

var full = sizes{gemm: [3]int{512, 768, 768}, matvec: [2]int{32768, 4096}, svd: []int{1024, 2048, 4096},
	docs: 16, layers: 6, haste: 1}

func (e Env) size() sizes {
	if e.sizes != nil {
		return *e.sizes
	}
	return full
}

// threads is the most threads that a figure uses.
func (e Env) threads() int {
	if e.Device.Threads > 0 {
		return e.Device.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// device opens the CPU with so many threads.
func (e Env) device(threads int) (*cpu.Device, error) {
	return cpu.New(cpu.Options{Threads: threads, Form: e.Device.Form})
}

func (e Env) say(format string, args ...any) {
	if e.Progress != nil {
		e.Progress(fmt.Sprintf(format, args...))
	}
}

// short is d, or what a quick run has time for.
func (e Env) short(d time.Duration) time.Duration {
	d /= time.Duration(e.size().haste)
	if e.Quick {
		return d / 8
	}
	return d
}

// threadsWord is "1 thread", "2 threads".
func threadsWord(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}
