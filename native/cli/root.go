// Package cli is the command line: a file a verb, each of which reads flags, calls the science in
// shared and prints.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"transformer2/kernels/cpu"
)

// app is what every verb needs: where to write, and the flags that all of them have.
type app struct {
	in       io.Reader
	out, err io.Writer
	json     bool
	threads  int
	kernels  string
	profile  string
}

// Exit codes: what was asked for failed, or was interrupted (128 + SIGINT, as shells have it).
const (
	exitError     = 1
	exitInterrupt = 130
)

// Run runs the command line args and gives the exit code.
func Run(args []string, in io.Reader, out, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, err: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	pprof.StopCPUProfile() // does nothing where none was begun
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "t2: interrupted")
		return exitInterrupt
	default:
		fmt.Fprintf(stderr, "t2: %v\n", err)
		return exitError
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "t2",
		Short: "Transformer²: language models that adapt themselves",
		Long: `Transformer² adapts a language model to a task while it runs: every weight matrix is
decomposed, W = U diag(σ) Vᵀ, and a small vector z rescales σ. One z is an expert for one task.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print one JSON object a line")
	flags.IntVar(&a.threads, "threads", 0, "threads that compute (0: one per processor)")
	flags.StringVar(&a.kernels, "kernels", os.Getenv("T2_KERNELS"),
		"CPU kernels to force: loops, simd, avx2, avx512 (default the best there is; also T2_KERNELS)")
	flags.StringVar(&a.profile, "cpuprofile", "", "write a CPU profile to this file")
	flags.MarkHidden("cpuprofile")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.startProfile() }
	root.AddCommand(a.pretrainCmd(), a.trainCmd())
	return root
}

// device opens the CPU as the flags ask for it.
func (a *app) device() (*cpu.Device, error) {
	if a.threads < 0 {
		return nil, fmt.Errorf("--threads is %d, want 0 or more", a.threads)
	}
	return cpu.New(cpu.Options{Threads: a.threads, Form: a.kernels})
}

// startProfile begins the CPU profile that Run ends.
func (a *app) startProfile() error {
	if a.profile == "" {
		return nil
	}
	f, err := os.Create(a.profile)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// terminal reports whether w is a terminal, where colour and progress make sense.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
