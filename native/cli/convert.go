package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"transformer2/shared/checkpoint"
)

// convertedLine is the JSON of a file that was written.
type convertedLine struct {
	File   string `json:"file"`
	Expert string `json:"expert"`
	Type   string `json:"type"`
	Bytes  int64  `json:"bytes"`
}

func (a *app) convertCmd() *cobra.Command {
	var model, out, kind string
	var force bool
	var who voiceFlags
	cmd := &cobra.Command{
		Use:   "convert -o FILE.gguf",
		Short: "write the model, or one of its experts, as a GGUF for other programs",
		Long: `Write the model as a GGUF that llama.cpp and its kin load. With --expert or --mix the
weights are the adapted ones, W' = U diag(σ∘z) Vᵀ: a model like any other, which needs no SVF to run.

With --json {"file","expert","type","bytes"}.`,
		Example: `  t2 convert -o tako.gguf
  t2 convert --expert math --type q8_0 -o tako-math.gguf
  t2 convert --mix math=0.5,shout=0.5 --type f32 -o both.gguf`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := checkpoint.ParseGGUFType(kind)
			if err == nil {
				err = absent(out, force)
			}
			if err != nil {
				return err
			}
			a.context = math.MaxInt // what is written keeps the context that the model was made for
			return a.withModel(model, func(s *session) error {
				line := convertedLine{File: out, Type: kind}
				if line.Expert, err = writeGGUF(cmd.Context(), cmd, s, who, t, out); err != nil {
					return err
				}
				return a.converted(line)
			})
		},
	}
	modelFlag(cmd, &model)
	who.add(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "", "the file")
	cmd.Flags().StringVar(&kind, "type", "bf16", "of the matrices: f32, f16, bf16 or q8_0")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	cmd.MarkFlagRequired("out")
	return cmd
}

// writeGGUF writes the model as the flags' voice and gives the voice's name.
func writeGGUF(ctx context.Context, cmd *cobra.Command, s *session, who voiceFlags,
	t checkpoint.GGUFType, path string) (string, error) {
	v, err := who.only(ctx, cmd, s)
	if err != nil {
		return "", err
	}
	return v.Name, checkpoint.AtomicWrite(path, func(w io.Writer) error {
		return s.WriteGGUF(ctx, w, v, t)
	})
}

func (a *app) converted(line convertedLine) error {
	info, err := os.Stat(line.File)
	if err != nil {
		return fmt.Errorf("what was written: %w", err)
	}
	line.Bytes = info.Size()
	if a.json {
		a.print(line)
		return nil
	}
	look(a.out).line("%s: %s as %s, %.1f MB", line.File, line.Expert, line.Type,
		float64(line.Bytes)/1e6)
	return nil
}
