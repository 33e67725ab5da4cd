package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/svf"
)

func (a *app) expertsVerifyCmd() *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use:   "verify EXPERT...",
		Short: "check that experts are whole and belong to the model",
		Long: `Check each expert: that its file is whole, that it was trained on this very model
(both fingerprints are named where not), that every vector has the right length and every number is
finite. The exit code is not 0 where any expert is refused.

With --json a line an expert: {"expert","ok","base","error"}; base is its fingerprint where it could
be read, error is there where ok is false.`,
		Example: "  t2 experts verify math code\n  t2 experts verify --model zoo:tako-b " +
			"runs/*/best.safetensors",
		Args: wants("at least one expert", 1, 1<<20),
		RunE: func(_ *cobra.Command, words []string) error {
			return a.withModel(model, func(s *session) error { return a.expertsVerify(s, words) })
		},
	}
	modelFlag(cmd, &model)
	return cmd
}

// verdictLine is the JSON of a verified expert.
type verdictLine struct {
	Expert string `json:"expert"`
	OK     bool   `json:"ok"`
	Base   string `json:"base,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (a *app) expertsVerify(s *session, names []string) error {
	out := look(a.out)
	var bad []string
	for _, name := range names {
		e, err := s.ReadExpert(name)
		l := verdictLine{Expert: name}
		if err == nil {
			l.Base = e.Meta.Base.Short()
			err = s.Check(name, e)
		}
		if l.OK = err == nil; !l.OK {
			l.Error = err.Error()
			bad = append(bad, name)
		}
		switch {
		case a.json:
			a.print(l)
		case l.OK:
			out.line("%s  %s: %d vectors for base %s", out.good.Render("ok"), name, len(e.Z),
				l.Base)
		default:
			out.line("%s  %s", out.bad.Render("no"), l.Error)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d of %d experts refused: %s", len(bad), len(names),
			strings.Join(bad, ", "))
	}
	return nil
}

func (a *app) expertsMixCmd() *cobra.Command {
	var model, out string
	var force bool
	cmd := &cobra.Command{
		Use:   "mix MIXTURE -o FILE",
		Short: "write a mixture of experts as an expert's file",
		Long: `Write z = 1 + Σ αₖ(zₖ − 1) as a new expert. The mixture names experts and their α:
math=0.7,code=0.3.

With --json {"expert","file","numbers"}.`,
		Example: "  t2 experts mix math=0.7,code=0.3 -o both.safetensors\n  t2 generate --expert " +
			"both.safetensors \"...\"",
		Args: wants("one mixture, such as math=0.7,code=0.3", 1, 1),
		RunE: func(cmd *cobra.Command, words []string) error {
			return a.withModel(model, func(s *session) error {
				v, err := s.Mixture(cmd.Context(), words[0])
				if err == nil && v.Expert == nil {
					err = errors.New("the mixture is the base model: every α is 0")
				}
				if err != nil {
					return err
				}
				return a.writeExpert(v, out, force)
			})
		},
	}
	modelFlag(cmd, &model)
	cmd.Flags().StringVarP(&out, "out", "o", "", "the file")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	cmd.MarkFlagRequired("out")
	return cmd
}

// writeExpert writes a voice's expert to a file.
func (a *app) writeExpert(v engine.Voice, path string, force bool) error {
	if err := absent(path, force); err != nil {
		return err
	}
	if err := saveExpert(path, v.Expert); err != nil {
		return err
	}
	numbers := 0
	for _, z := range v.Expert.Z {
		numbers += len(z)
	}
	if a.json {
		a.print(struct {
			Expert  string `json:"expert"`
			File    string `json:"file"`
			Numbers int    `json:"numbers"`
		}{v.Name, path, numbers})
		return nil
	}
	look(a.out).line("%s: %s, %d numbers", path, v.Name, numbers)
	return nil
}

// absent refuses to write where something is, unless forced to.
func absent(path string, force bool) error {
	if path == "" || force {
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s is there already: want another name, or --force to "+
			"replace it", path)
	}
	return nil
}

// saveExpert writes an expert's file in one step.
func saveExpert(path string, e *svf.Expert) error {
	return checkpoint.AtomicWrite(path, func(w io.Writer) error { return svf.WriteExpert(w, e) })
}
