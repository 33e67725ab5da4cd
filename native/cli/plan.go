package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/native/adapter"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/plan"
)

// planLine is the JSON of one kind of work.
type planLine struct {
	Weights string  `json:"weights"`
	Held    string  `json:"held,omitempty"` // what auto comes to for most matrices
	Work    string  `json:"work"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Unit    string  `json:"unit"`
	Fits    *bool   `json:"fits,omitempty"`
	FitsGPU *bool   `json:"fits_gpu,omitempty"`
	// What the work took, and the plan's share of it; --measure only.
	Taken *taken `json:"taken,omitempty"`
}

func (a *app) planCmd() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "the memory and the time that a model takes, before it is loaded",
		Long: `Tell what loading a model takes, answering as it (serve), as an expert of it (adapt),
decomposing all of its matrices and training an expert for all of them, with weights held as its
files hold them (auto) and in each type, or as --weights says. Nothing is loaded: bytes come from
the config, seconds from rates that are measured now, for files that the system has in memory
already.

--model DIR/config.json plans a model of which nothing else is here, in bf16.

serve is a token, with the context full; adapt is folding an expert in; train is the gradient of
2048 tokens of a REINFORCE step, in the form that t2 train would choose. Bytes are the process's
own: a model's files are mapped, and the system may drop what it holds of them.

What does not fit into the memory that there is, or that --memory says, is marked. The GPU's share
of a work is what the model takes; --gpu-memory marks what does not fit there.

--measure does works, each in a process of its own, and prints what they took and the plan's share
of that: a plan that is right says 1.00.

With --json a line each: {"weights","work","bytes","seconds","unit","fits"}, for auto "held", with
--gpu-memory "fits_gpu" and with --measure "taken": {"bytes","seconds"}.`,
		Example: `  t2 plan
  t2 plan --model Llama-3.1-8B-Instruct --memory 32
  t2 plan --model Llama-3.1-8B-Instruct/config.json --gpu-memory 24
  t2 plan --model mistral.gguf --context 8192 --json
  t2 plan --measure all
  t2 plan --weights q8 --measure load,serve`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !(f.gpu >= 0) {
				return fmt.Errorf("--gpu-memory is %g, want GB, or 0", f.gpu)
			}
			f.only = cmd.Flags().Changed("weights")
			if f.run != "" {
				return a.runPlanned(cmd.Context(), f.model, f.run)
			}
			return a.plan(cmd.Context(), f)
		},
	}
	modelFlag(cmd, &f.model)
	cmd.Flags().Float64Var(&f.gpu, "gpu-memory", 0, "GB that a GPU has, to say what fits there")
	cmd.Flags().StringSliceVar(&f.measure, "measure", nil,
		"works that are done, to print what they took beside: all, or some joined by commas")
	cmd.Flags().StringVar(&f.run, "run", "", "do one work and print what it took")
	cmd.Flags().MarkHidden("run")
	return cmd
}

type planFlags struct {
	model, run string
	gpu        float64
	measure    []string
	only       bool // the weights that --weights names
}

func (a *app) plan(ctx context.Context, f planFlags) error {
	src, err := a.modelSource(f.model)
	if err != nil {
		return err
	}
	if _, err := a.holding(src); err != nil {
		return err
	}
	m, err := planned(src)
	if err != nil {
		return fmt.Errorf("model %s: %w", f.model, err)
	}
	o, closeAll, err := a.decomposeOptions(decomposeFlags{scope: "all", solver: adapter.CPU,
		basis: "f32"}, src)
	if err != nil {
		return err
	}
	m.Workers = len(o.Workers)
	basis, err := basisRate(ctx, o, m)
	closeAll()
	if err != nil {
		return err
	}
	cache, err := os.MkdirTemp("", "t2-plan-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	dev, err := a.device()
	if err != nil {
		return err
	}
	defer dev.Close()
	rates := map[compute.DType]plan.Rates{}
	for _, name := range []string{asStored, "f32", "bf16", "f16", "q8", "q4"} {
		if f.only && name != a.weights {
			continue
		}
		hold, err := (&app{weights: name}).holding(src)
		if err != nil {
			return err
		}
		m.Held = hold(m.Stored)
		kind := m.Held.Matrices
		if !m.Config.Holds(kind) {
			continue
		}
		if _, ok := rates[kind]; !ok {
			if rates[kind], err = plan.Measure(dev, m); err != nil {
				return err
			}
		}
		r := rates[kind]
		r.Basis = basis
		works, err := plan.Of(m, r)
		if err != nil {
			return err
		}
		if err := a.printPlan(ctx, f, name, kind, works, cache); err != nil {
			return err
		}
	}
	return nil
}

// configFile alone is enough to plan with.
const configFile = "config.json"

// planned is the shape of a model, the size of its files and how they hold it.
func planned(src engine.Source) (plan.Model, error) {
	var m plan.Model
	var err error
	if src.Weights == configFile { // of a model that is elsewhere: as it is published, in bf16
		m.Config, err = src.Format.Config()
		m.Stored, m.File = m.Config.StoredAs(checkpoint.BF16), 2*int64(m.Config.NumParams())
		return m, err
	}
	if m.Config, m.Stored, err = src.Stored(); err != nil {
		return m, err
	}
	entries, err := fs.ReadDir(src.Files, ".")
	for _, e := range entries {
		// Mistral's directories hold the weights twice, once under names of its own.
		if src.Weights != "" && e.Name() != src.Weights ||
			strings.HasPrefix(e.Name(), "consolidated") ||
			!slices.Contains([]string{".safetensors", ".gguf"}, path.Ext(e.Name())) {
			continue
		}
		info, err := fs.Stat(src.Files, e.Name()) // of the file, where the entry is a link to it
		if err != nil {
			return m, err
		}
		m.File += info.Size()
	}
	return m, err
}

func (a *app) printPlan(ctx context.Context, f planFlags, weights string, held compute.DType,
	works []plan.Work, cache string) error {
	room, known := a.room()
	for _, w := range works {
		l := planLine{Weights: weights, Work: w.Name, Bytes: w.Bytes, Seconds: w.Seconds, Unit: w.Unit}
		note := ""
		if weights == asStored {
			l.Held = held.String()
			note = "   as " + l.Held
		}
		if known {
			fits := w.Bytes <= room
			if l.Fits = &fits; !fits {
				note += "   does not fit"
			}
		}
		if f.gpu > 0 && w.Name != "decompose" { // which the CPU does
			fits := float64(w.Bytes) <= f.gpu*1e9
			if l.FitsGPU = &fits; !fits {
				note += "   does not fit the GPU"
			}
		}
		asked := slices.Contains(f.measure, w.Name) || slices.Contains(f.measure, "all")
		if asked && (l.Fits == nil || *l.Fits || a.force) {
			took, err := a.measurePlan(ctx, f.model, weights, w.Name, cache)
			if err != nil {
				return err
			}
			l.Taken = &took
			note += fmt.Sprintf("   took %10s (%.2f) %10s (%.2f)", size(took.Bytes),
				float64(w.Bytes)/float64(took.Bytes), roughly(took.Seconds), w.Seconds/took.Seconds)
		}
		if a.json {
			a.print(l)
			continue
		}
		look(a.out).line("%-5s %-10s %10s %11s per %-11s%s", weights, w.Name, size(w.Bytes),
			roughly(w.Seconds), w.Unit, note)
	}
	return nil
}

// size is bytes in the unit that suits them.
func size(bytes int64) string {
	if bytes < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

// roughly is a time in the unit that suits it.
func roughly(seconds float64) string {
	switch {
	case seconds < 1:
		return fmt.Sprintf("%.1f ms", 1e3*seconds)
	case seconds < 120:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.0f min", seconds/60)
}
