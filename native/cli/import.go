package cli

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/checkpoint"
	"transformer2/shared/checkpoint/torch"
	"transformer2/shared/engine"
	"transformer2/shared/svf"
)

// importFlags are `t2 import`'s.
type importFlags struct {
	model, out, task, parametrisation string
	force                             bool
}

func (a *app) importCmd() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE.pt",
		Short: "take over an expert or a decomposition of the paper's released code",
		Long: `Take over what the paper's released code saved with torch.save for this very model. The
file is read, and nothing in it is run.

An expert (policy_params.pt, learnable_params.pt, or a few-shot mixture) becomes an expert's file,
-o. It holds logits p: z = sigmoid(p), and W' = U diag(σ∘z) Vᵀ · Σσ/Σ(σ∘z). They stay as they are,
or become the plain z with that factor in it: --parametrisation linear. Number i belongs to the i-th
largest singular value here and there; of two that are equal to f32 the programs may disagree which
is which, unless the decomposition is imported too. A mixture always becomes plain z.

A decomposition (*_decomposed_params.pt) is held against every matrix of the model, by products with
random vectors, and kept in the cache (see t2 info), where the other verbs find it.

With --json {"expert","file","numbers"}, or for a decomposition the lines of t2 decompose.`,
		Example: "  t2 import --model ./llama-3-8b policy_params.pt -o gsm8k.safetensors\n" +
			"  t2 import --model ./llama-3-8b llama3_decomposed_params.pt",
		Args: wants("FILE.pt", 1, 1),
		RunE: func(cmd *cobra.Command, words []string) error { return a.importFile(cmd, words[0], f) },
	}
	modelFlag(cmd, &f.model)
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "the expert's file")
	cmd.Flags().StringVar(&f.task, "task", "", "what it is an expert in (default: the file's name)")
	cmd.Flags().StringVar(&f.parametrisation, "parametrisation", string(svf.SigmoidNuclear),
		"of the expert's file: sigmoid-nuclear, the logits, or linear, plain z")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace a file that is there")
	return cmd
}

func (a *app) importFile(cmd *cobra.Command, path string, f importFlags) error {
	p := svf.Parametrisation(f.parametrisation)
	if p != svf.SigmoidNuclear && p != svf.Linear {
		return fmt.Errorf("--parametrisation is %q, want %s or %s", f.parametrisation,
			svf.SigmoidNuclear, svf.Linear)
	}
	if err := absent(f.out, f.force); err != nil {
		return err
	}
	blob, err := checkpoint.OpenBlob(path)
	if err != nil {
		return err
	}
	defer blob.Close()
	src, err := torch.Open(blob, blob.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	whole := svf.IsReleasedDecomposition(src)
	switch {
	case whole && f.out != "":
		return fmt.Errorf("%s is a decomposition, which goes to the cache: want no -o", path)
	case !whole && f.out == "":
		return errors.New("want -o FILE for the expert")
	}
	return a.withModel(f.model, func(s *session) error {
		if whole {
			return a.decomposed(path, func(report func(engine.Spectrum, int)) error {
				return s.ImportDecomposition(cmd.Context(), src, report)
			})
		}
		e, err := s.ImportExpert(cmd.Context(), src, p)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		e.Meta.Task = cmp.Or(f.task, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
		e.Meta.CreatedBy = "transformer2 t2 import"
		return a.writeExpert(engine.Voice{Name: e.Meta.Task, Expert: e}, f.out, f.force)
	})
}

// decomposed shows the matrices of a decomposition that is imported.
func (a *app) decomposed(path string, run func(func(engine.Spectrum, int)) error) error {
	show, end := a.counter("checking")
	defer end()
	var done int
	var worst float64
	err := run(func(m engine.Spectrum, total int) {
		done++
		worst = max(worst, m.Residual, m.Orthogonality)
		switch {
		case a.json:
			a.print(spectrumOf(m))
		case show != nil:
			show(done, total)
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	end()
	if !a.json {
		look(a.out).line("%d matrices are this model's and kept (%s); worst residual or orthogonality "+
			"%.1e", done, cmp.Or(a.cacheDir(), "memory only"), worst)
	}
	return nil
}
