package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
)

// carryFlags are `t2 experts carry`'s.
type carryFlags struct {
	model, to, out string
	shuffle        uint64
	shuffled       bool
	force          bool
}

func (a *app) expertsCarryCmd() *cobra.Command {
	var f carryFlags
	cmd := &cobra.Command{
		Use:   "carry EXPERT --to MODEL -o FILE",
		Short: "write a model's expert as an expert of its sibling",
		Long: `Write an expert of one model as an expert of another of the same shape: the i-th number of
z then scales the other model's i-th singular value. The paper carries experts from Llama to Mistral
(its table 5) and takes a shuffled z as the control, which --shuffle makes.

With --json {"expert","file","numbers"}.`,
		Example: "  t2 experts carry math --to zoo:tako-b -o carried.safetensors\n" +
			"  t2 experts carry math --to zoo:tako-b --shuffle 1 -o shuffled.safetensors\n" +
			"  t2 eval --model zoo:tako-b --task math --expert base --expert math " +
			"--expert carried.safetensors --expert shuffled.safetensors",
		Args: wants("one expert", 1, 1),
		RunE: func(cmd *cobra.Command, words []string) error {
			f.shuffled = cmd.Flags().Changed("shuffle")
			return a.withModel(f.model, func(s *session) error {
				return a.expertsCarry(s, words[0], f)
			})
		},
	}
	modelFlag(cmd, &f.model)
	cmd.Flags().StringVar(&f.to, "to", "", "the model that it is carried to")
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "the file")
	cmd.Flags().Uint64Var(&f.shuffle, "shuffle", 0, "put the numbers of each vector in an order "+
		"drawn from this seed")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace a file that is there")
	cmd.MarkFlagRequired("to")
	cmd.MarkFlagRequired("out")
	return cmd
}

func (a *app) expertsCarry(s *session, name string, f carryFlags) error {
	v, err := s.Voice(name)
	if err != nil {
		return err
	}
	if v.Expert == nil {
		return errors.New("the base has no z to carry: want an expert")
	}
	if f.shuffled {
		v = engine.Voice{Name: name + " shuffled", Expert: v.Expert.Shuffle(f.shuffle)}
	}
	to, err := a.open(f.to)
	if err != nil {
		return err
	}
	defer to.Close()
	shapes, err := to.Model.Shapes()
	if err == nil {
		v.Expert, err = v.Expert.Carry(shapes, to.Model.Name)
	}
	if err != nil {
		return err
	}
	return a.writeExpert(v, f.out, f.force)
}
