package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/plan"
)

// planLine is the JSON of one kind of work.
type planLine struct {
	Weights string  `json:"weights"`
	Work    string  `json:"work"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Unit    string  `json:"unit"`
	Fits    *bool   `json:"fits,omitempty"`
}

func (a *app) planCmd() *cobra.Command {
	var model string
	var memory float64
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "the memory and the time that a model takes, before it is loaded",
		Long: `Tell what loading a model takes, answering as it (serve), as an expert of it (adapt),
decomposing all of its matrices and training an expert for all of them, with weights held in each
type. Nothing is loaded: bytes come from the config, seconds from rates that are measured now, for
files that the system has in memory already.

serve is a token, adapt is folding an expert in, train is 2048 tokens of a REINFORCE step.

With --json a line each: {"weights","work","bytes","seconds","unit","fits"}.`,
		Example: `  t2 plan
  t2 plan --model Llama-3.1-8B-Instruct --memory 32
  t2 plan --model mistral.gguf --context 8192 --json`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if memory < 0 {
				return fmt.Errorf("--memory is %g, want GB, or 0", memory)
			}
			return a.plan(model, memory)
		},
	}
	modelFlag(cmd, &model)
	cmd.Flags().Float64Var(&memory, "memory", 0, "GB that there are, to say what fits")
	return cmd
}

func (a *app) plan(ref string, memory float64) error {
	src, err := a.modelSource(ref)
	if err != nil {
		return err
	}
	m, err := planned(src)
	if err != nil {
		return fmt.Errorf("model %s: %w", ref, err)
	}
	dev, err := a.device()
	if err != nil {
		return err
	}
	defer dev.Close()
	for _, held := range []compute.DType{compute.F32, compute.BF16, compute.F16, compute.Q8,
		compute.Q4} {
		if held.Blocked() && (m.Config.Dim%compute.BlockQ8 != 0 ||
			m.Config.Hidden%compute.BlockQ8 != 0) {
			continue // it cannot be held so
		}
		m.Held = held
		rates, err := plan.Measure(dev, held)
		if err != nil {
			return err
		}
		works, err := plan.Of(m, rates)
		if err != nil {
			return err
		}
		a.printPlan(held, works, memory)
	}
	return nil
}

// planned is the shape of a model and the size of its files.
func planned(src engine.Source) (plan.Model, error) {
	format := src.Format
	if format == nil {
		format = engine.House{Files: src.Files}
	}
	config, err := format.Config()
	if err != nil {
		return plan.Model{}, err
	}
	m := plan.Model{Config: config}
	entries, err := fs.ReadDir(src.Files, ".")
	if err != nil {
		return m, err
	}
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
	if m.File == 0 {
		return m, errors.New("it has no weights' file")
	}
	if n := config.NumParams(); int64(n) > 2*m.File { // no format has numbers of less than 4 bits
		return m, fmt.Errorf("its config is of %d numbers, and its files hold %d bytes", n, m.File)
	}
	return m, nil
}

func (a *app) printPlan(held compute.DType, works []plan.Work, memory float64) {
	for _, w := range works {
		l := planLine{held.String(), w.Name, w.Bytes, w.Seconds, w.Unit, nil}
		note := ""
		if memory > 0 {
			fits := float64(w.Bytes) <= memory*1e9
			l.Fits = &fits
			if !fits {
				note = "   does not fit"
			}
		}
		if a.json {
			a.print(l)
			continue
		}
		look(a.out).line("%-5s %-10s %10s %11s per %s%s", held, w.Name, size(w.Bytes),
			roughly(w.Seconds), w.Unit, note)
	}
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
