package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
)

// voiceFlags say who answers.
type voiceFlags struct {
	expert  string   // of verbs that answer once
	experts []string // of those that compare
	mix     string
}

// Texts of the flags that say who answers.
const (
	expertUsage = "an expert of the model by name (see t2 experts list), or an expert's file"
	mixUsage    = "a mixture of experts, such as math=0.7,code=0.3"
)

// add defines the flags for a single answer.
func (f *voiceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.expert, "expert", "", expertUsage)
	cmd.Flags().StringVar(&f.mix, "mix", "", mixUsage)
}

// voices are those that the flags name, in order: experts, then the mixture.
func (f voiceFlags) voices(ctx context.Context, cmd *cobra.Command, s *session) ([]engine.Voice,
	error) {
	var all []engine.Voice
	for _, name := range f.experts {
		if strings.TrimSpace(name) == "" {
			return nil, errors.New("--expert is empty, want a name (see t2 experts list) or a file")
		}
		v, err := s.Voice(name)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if cmd.Flags().Changed("mix") {
		v, err := s.Mixture(ctx, f.mix)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// only is the one voice that a single answer has; the base where none is named.
func (f voiceFlags) only(ctx context.Context, cmd *cobra.Command, s *session) (engine.Voice,
	error) {
	if cmd.Flags().Changed("expert") {
		f.experts = []string{f.expert}
	}
	all, err := f.voices(ctx, cmd, s)
	switch {
	case err != nil:
		return engine.Voice{}, err
	case len(all) == 0:
		return engine.Base(), nil
	case len(all) > 1:
		return engine.Voice{}, errors.New("--expert and --mix both say who answers: want one of " +
			"them")
	}
	return all[0], nil
}
