// Package cli is the command line: a file a verb, each of which reads flags, calls the science in
// shared and prints.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"transformer2/kernels/cpu"
	"transformer2/native/adapter"
	"transformer2/shared/plan"
)

// app is what every verb needs: where to write, and the flags that all of them have.
type app struct {
	ctx      context.Context // of the command: Ctrl-C ends it
	in       io.Reader
	out, err io.Writer
	json     bool
	threads  int
	kernels  string
	profile  string
	cache    string
	devices  string // which device computes: adapter.Parse
	context  int
	weights  string
	memory   float64 // GB that there are; 0: ask the system
	force    bool    // start also what does not fit
	work     string  // what the verb does with its model: workOf
	warned   bool    // that the build is slow

	training plan.Training // what t2 train does
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
	a := &app{ctx: ctx, in: in, out: out, err: stderr}
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
		text := "interrupted"
		if s := (*stopped)(nil); errors.As(err, &s) {
			text = s.Error()
		}
		fmt.Fprintf(stderr, "t2: %s\n", text)
		return exitInterrupt
	default:
		// Errors that were joined make one sentence.
		fmt.Fprintf(stderr, "t2: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitError
	}
}

func (a *app) root() *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:   "t2",
		Short: "Transformer²: language models that adapt themselves",
		Long: `Transformer² adapts a language model to a task while it runs: every weight matrix is
decomposed, W = U diag(σ) Vᵀ, and a small vector z rescales σ. One z is an expert for one task.`,
		Example: `  t2 demo
  t2 compare --expert math --prompt "Tom has 12 apples. Tom buys 7. How many apples does Tom have?"
  t2 adapt --prompt "What does the kafin eat? pilu, fenna, carra or lantis?"`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(unknownFlag)
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print one JSON object a line")
	flags.IntVar(&a.threads, "threads", 0, "threads that compute (0: one per processor)")
	flags.StringVar(&a.kernels, "kernels", "",
		"CPU kernels to force: loops, simd, avx2, avx512 (default $T2_KERNELS, or the best there "+
			"is)")
	flags.StringVar(&a.devices, "device", adapter.CPU, "what computes: "+adapter.Usage)
	flags.StringVar(&a.cache, "cache", "", "directory of decompositions (default $T2_CACHE, or "+
		"the user's cache)")
	flags.IntVar(&a.context, "context", 0, fmt.Sprintf("tokens that a model from the disk sees "+
		"at most (0: what it was made for, up to %d)", defaultContext))
	flags.StringVar(&a.weights, "weights", asStored, "how a model's matrices are held: f32, f16, "+
		"bf16, q8, q4, or auto: as its files hold them (q8 for the types of GGUF that are none of "+
		"these; f32 for a model that ships, and to convert)")
	flags.Float64Var(&a.memory, "memory", 0, "GB of memory that may be taken (0: what the system "+
		"has to give)")
	flags.BoolVar(&a.force, "force", false, "start also what does not fit into memory")
	flags.StringVar(&a.profile, "cpuprofile", "", "write a CPU profile to this file")
	flags.MarkHidden("cpuprofile")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if !(a.memory >= 0) {
			return fmt.Errorf("--memory is %g, want GB, or 0", a.memory)
		}
		a.work = workOf(cmd)
		// Some verbs have a --force of their own, which hides this one.
		a.force = a.force || cmd.Flags().Lookup("force").Value.String() == "true"
		return a.startProfile()
	}
	a.addVerbs(root)
	return root
}

// addVerbs adds the verbs in groups, in the order in which a newcomer needs them.
func (a *app) addVerbs(root *cobra.Command) {
	for _, g := range []struct {
		id, title string
		verbs     []*cobra.Command
	}{
		{"answer", "See it answer:", []*cobra.Command{a.demoCmd(), a.generateCmd(), a.compareCmd(),
			a.adaptCmd(), a.chatCmd()}},
		{"make", "Make and measure experts:", []*cobra.Command{a.trainCmd(), a.evalCmd(),
			a.expertsCmd(), a.importCmd(), a.pretrainCmd()}},
		{"show", "Show it to others:", []*cobra.Command{a.siteCmd(), a.serveCmd(),
			a.convertCmd()}},
		{"look", "Look inside:", []*cobra.Command{a.infoCmd(), a.pullCmd(), a.planCmd(),
			a.decomposeCmd(), a.benchCmd()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.verbs {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
}

// device opens the device that the flags ask for.
func (a *app) device() (*adapter.Device, error) {
	if a.threads < 0 {
		return nil, fmt.Errorf("--threads is %d, want 0 or more", a.threads)
	}
	choice, err := adapter.Parse(a.devices)
	if err != nil {
		return nil, err
	}
	dev, err := adapter.Open(choice, cpu.Options{Threads: a.threads, Form: a.form()})
	if err != nil {
		return nil, err
	}
	if choice.Kind == adapter.Auto {
		a.warn("%s computes: %s", dev.Name(), dev.Reason())
	}
	if choice.Kind == adapter.CPU && a.form() == "" {
		a.warnSlow()
	}
	return dev, nil
}

// warnSlow says so if this build lacks the kernels that make it fast.
func (a *app) warnSlow() {
	if a.warned || slices.Contains(cpu.Forms(), "simd") {
		return
	}
	a.warned = true
	a.warn("this build lacks vector kernels and is slow: build it with GOEXPERIMENT=simd, " +
		"as make build does")
}

// form is the kernels that are forced, "" for the best.
func (a *app) form() string { return cmp.Or(a.kernels, os.Getenv("T2_KERNELS")) }

// print writes v as one line of JSON.
func (a *app) print(v any) { json.NewEncoder(a.out).Encode(v) }

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
