package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
	"transformer2/shared/sample"
)

// askFlags say what is asked and how the answer's tokens are picked.
type askFlags struct {
	prompt, system string
	maxTokens      int
	sampling       sample.Params
	stop           []string
	seed           uint64
}

// add defines the flags; those of a conversation have no prompt.
func (f *askFlags) add(cmd *cobra.Command, prompt bool) {
	fl := cmd.Flags()
	if prompt {
		fl.StringVarP(&f.prompt, "prompt", "p", "", "the question; - reads it from standard input")
	}
	fl.StringVar(&f.system, "system", "", "an instruction that goes before the question")
	fl.IntVar(&f.maxTokens, "max-tokens", 128, "tokens of an answer at most")
	fl.Float64Var(&f.sampling.Temperature, "temp", 0, "temperature; 0 always takes the likeliest "+
		"token")
	fl.IntVar(&f.sampling.TopK, "top-k", 0, "sample from the k likeliest tokens; 0: from all")
	fl.Float64Var(&f.sampling.TopP, "top-p", 1, "sample from the likeliest tokens that together "+
		"have this probability")
	fl.Float64Var(&f.sampling.MinP, "min-p", 0, "leave out tokens below this share of the "+
		"likeliest one's probability")
	fl.StringArrayVar(&f.stop, "stop", nil, "end the answer before this text (may be given "+
		"several times)")
	fl.Uint64Var(&f.seed, "seed", 1, "of the sampling")
}

// maxPrompt bounds what is read from standard input; no context holds as much.
const maxPrompt = 16 << 20

// request is what the flags and the words of the command line ask.
func (a *app) request(cmd *cobra.Command, f askFlags, words []string) (engine.Request, error) {
	r, err := f.how()
	if err != nil || cmd.Flags().Changed("prompt") && f.prompt == "" {
		return r, cmp.Or(err, engine.CheckPrompt("prompt", ""))
	}
	r.Prompt, err = a.promptText(f.prompt, words)
	if err == nil {
		err = engine.CheckPrompt("prompt", r.Prompt)
	}
	return r, err
}

// how is a request without its prompt.
func (f askFlags) how() (engine.Request, error) {
	r := engine.Request{System: f.system, MaxTokens: f.maxTokens, Sampling: f.sampling,
		Stop: f.stop, Seed: f.seed}
	if f.maxTokens < 1 {
		return r, fmt.Errorf("--max-tokens is %d, want 1 or more", f.maxTokens)
	}
	if err := f.sampling.Validate(); err != nil {
		return r, err
	}
	if slices.Contains(f.stop, "") {
		return r, errors.New("--stop is empty, want a text that ends the answer")
	}
	for _, stop := range f.stop {
		if err := engine.CheckPrompt("stop text", stop); err != nil {
			return r, err
		}
	}
	return r, engine.CheckPrompt("system text", f.system)
}

// promptText is the prompt: of --prompt, of the words behind the verb, or of standard input.
func (a *app) promptText(flag string, words []string) (string, error) {
	switch {
	case flag != "" && len(words) > 0:
		return "", fmt.Errorf("the prompt is given twice: as --prompt %q and as %q", flag,
			strings.Join(words, " "))
	case flag == "" && len(words) > 0:
		flag = strings.Join(words, " ")
	case flag == "" && a.interactive():
		return "", errors.New("no prompt: want --prompt TEXT, or --prompt - to read standard input")
	}
	if flag != "-" && flag != "" {
		return flag, nil
	}
	text, err := io.ReadAll(io.LimitReader(a.in, maxPrompt+1))
	if err != nil {
		return "", fmt.Errorf("reading the prompt from standard input: %w", err)
	}
	if len(text) > maxPrompt {
		return "", fmt.Errorf("the prompt on standard input is longer than %d MiB", maxPrompt>>20)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// interactive reports whether standard input is a person.
func (a *app) interactive() bool {
	f, ok := a.in.(*os.File)
	return ok && terminal(f)
}
