package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
)

// convertedLine is the JSON of a file that was written.
type convertedLine struct {
	File   string `json:"file"`
	Expert string `json:"expert"`
	Type   string `json:"type"`
	Bytes  int64  `json:"bytes"`
}

// convertFlags are `t2 convert`'s.
type convertFlags struct {
	model, out, to, kind string
	force                bool
	who                  voiceFlags
}

func (a *app) convertCmd() *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert -o FILE.gguf | --to hf -o DIRECTORY",
		Short: "write the model, or one of its experts, for other programs",
		Long: `Write the model as a GGUF that llama.cpp and its kin load, or with --to hf as a directory
that Hugging Face's tools load (config.json, safetensors in files of at most 5 GB, the tokenizer's
files). With --expert or --mix the weights are the adapted ones, W' = U diag(σ∘z) Vᵀ: a model like
any other, which needs no SVF to run.

With --json {"file","expert","type","bytes"}.`,
		Example: `  t2 convert -o tako.gguf
  t2 convert --expert math --type q8_0 -o tako-math.gguf
  t2 convert --expert math --to hf -o tako-math
  t2 convert --mix math=0.5,shout=0.5 --type f32 -o both.gguf`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := f.writer()
			if err != nil {
				return err
			}
			a.context = math.MaxInt // what is written keeps the context that the model was made for
			if a.weights == asStored {
				a.weights = "f32" // and is rounded once, to --type
			}
			return a.withModel(f.model, func(s *session) error {
				v, err := f.who.only(cmd.Context(), cmd, s)
				if err == nil {
					err = write(cmd.Context(), s, v)
				}
				if err != nil {
					return err
				}
				return a.converted(convertedLine{File: f.out, Expert: v.Name, Type: f.kind})
			})
		},
	}
	modelFlag(cmd, &f.model)
	f.who.add(cmd)
	cmd.Flags().StringVarP(&f.out, "out", "o", "",
		"the file, or the directory, which must be new or empty")
	cmd.Flags().StringVar(&f.to, "to", "gguf", "the format: gguf or hf")
	cmd.Flags().StringVar(&f.kind, "type", "bf16",
		"of the matrices: f32, f16, bf16 or, in a GGUF, q8_0")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace a file that is there")
	cmd.MarkFlagRequired("out")
	return cmd
}

// writer checks the flags and gives what writes the model as a voice.
func (f *convertFlags) writer() (func(context.Context, *session, engine.Voice) error, error) {
	if f.out == "" {
		return nil, errors.New("-o is empty, want a file or a directory")
	}
	switch f.to {
	case "gguf":
		t, err := checkpoint.ParseGGUFType(f.kind)
		if err == nil {
			err = absent(f.out, f.force)
		}
		return func(ctx context.Context, s *session, v engine.Voice) error {
			return checkpoint.AtomicWrite(f.out, func(w io.Writer) error {
				return s.WriteGGUF(ctx, w, v, t)
			})
		}, err
	case "hf":
		types := []checkpoint.DType{checkpoint.F32, checkpoint.F16, checkpoint.BF16}
		o := engine.HFOptions{Type: checkpoint.DType(strings.ToUpper(f.kind))}
		if !slices.Contains(types, o.Type) {
			return nil, fmt.Errorf("--type is %q, want f32, f16 or bf16 with --to hf", f.kind)
		}
		// A stale shard beside the new ones would be read with them.
		entries, err := os.ReadDir(f.out)
		if err == nil && len(entries) > 0 {
			return nil, fmt.Errorf("%s is there and not empty: want a new directory", f.out)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return func(ctx context.Context, s *session, v engine.Voice) error {
			made := os.Mkdir(f.out, 0o777) == nil
			dir := &fresh{Dir: checkpoint.Dir(f.out)}
			err := s.WriteHF(ctx, dir, v, o)
			if err != nil {
				err = errors.Join(err, dir.remove(made))
			}
			return err
		}, nil
	}
	return nil, fmt.Errorf("--to is %q, want gguf or hf", f.to)
}

// fresh is a directory of which nothing stays where it is not written whole: its files can take as
// much of the disk as the model does, and the next try wants an empty directory.
type fresh struct {
	checkpoint.Dir
	names []string
}

func (d *fresh) Create(name string, write func(io.Writer) error) error {
	err := d.Dir.Create(name, write)
	if err == nil {
		d.names = append(d.names, name)
	}
	return err
}

// remove removes what was written, and the directory where it was made for it.
func (d *fresh) remove(made bool) error {
	var err error
	for _, name := range d.names {
		err = errors.Join(err, os.Remove(filepath.Join(string(d.Dir), name)))
	}
	if made {
		err = errors.Join(err, os.Remove(string(d.Dir)))
	}
	return err
}

func (a *app) converted(line convertedLine) error {
	err := filepath.WalkDir(line.File, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			line.Bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("what was written: %w", err)
	}
	if a.json {
		a.print(line)
		return nil
	}
	look(a.out).line("%s: %s as %s, %.1f MB", line.File, line.Expert, line.Type,
		float64(line.Bytes)/1e6)
	return nil
}
