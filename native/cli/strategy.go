package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/adapt"
	"transformer2/shared/engine"
	"transformer2/shared/task"
)

// adaptFlags say how the model finds an expert for a prompt by itself.
type adaptFlags struct {
	strategy string
	shots    string // few-shot: a file, or TASK:COUNT
	search   string // few-shot: preset of the search
	seed     uint64 // few-shot: of the choice of examples and of the search
}

// Texts of the flags.
const (
	adaptUsage = "let the model pick the expert: none, prompt (the base is asked what kind of " +
		"question it is), classifier (an expert for that is asked) or few-shot (a mixture is " +
		"searched for)"
	shotsUsage = "examples for few-shot: a file of lines {\"prompt\",\"answer\"}, or TASK:COUNT " +
		"from the validation split of a task or of a file of questions"
	searchUsage = "search of few-shot: default, paper or released-code"
)

func (f *adaptFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.strategy, "adapt", "", adaptUsage)
	f.addSearch(cmd)
}

// addSearch defines what few-shot needs.
func (f *adaptFlags) addSearch(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.shots, "shots", "", shotsUsage)
	cmd.Flags().StringVar(&f.search, "search", "default", searchUsage)
}

// adapts reports whether the flags let the model choose.
func (f *adaptFlags) adapts() bool {
	return f.strategy != "" && f.strategy != string(adapt.StrategyNone)
}

// adaptive is the voice that the flags describe; no strategy stands for the best that the model has
// the experts for.
func (f *adaptFlags) adaptive(ctx context.Context, a *app, s *session) (*engine.Adaptive, error) {
	switch f.strategy {
	case "":
		who, err := s.Adaptive(adapt.StrategyClassifier)
		if err == nil {
			return who, nil
		}
		return s.Adaptive(adapt.StrategyPrompt)
	case string(adapt.StrategyFewShot):
		shots, err := f.examples(a, s)
		if err != nil {
			return nil, err
		}
		return a.searched(ctx, s, engine.FewShot{Shots: shots, Preset: f.search, Seed: f.seed})
	}
	return s.Adaptive(adapt.Strategy(f.strategy))
}

// searched searches for a mixture and shows how far it is.
func (a *app) searched(ctx context.Context, s *session, o engine.FewShot) (*engine.Adaptive,
	error) {
	show, end := a.counter("searching")
	defer end()
	if show != nil {
		o.OnGeneration = func(g adapt.Generation, most int, _ adapt.Cost) { show(g.Index+1, most) }
	}
	return s.FewShot(ctx, o)
}

// shotTokens bounds the answers to examples that are merely written down.
const shotTokens = 64

// drawn are k validation items of the task that ref names.
func (a *app) drawn(s *session, ref string, k int, seed uint64) ([]adapt.Shot, error) {
	t, err := findTask(ref, nil)
	if err == nil {
		err = a.fit(s, t, false, task.Valid)
	}
	if err != nil {
		return nil, fmt.Errorf("--shots: %w", err)
	}
	return adapt.FewShots(t, k, seed)
}

// examples reads what --shots names.
func (f *adaptFlags) examples(a *app, s *session) ([]adapt.Shot, error) {
	if f.shots == "" {
		return nil, errors.New("--adapt few-shot wants examples: --shots FILE, or --shots " +
			"TASK:COUNT")
	}
	if at := strings.LastIndexByte(f.shots, ':'); at >= 0 {
		name, count := f.shots[:at], f.shots[at+1:]
		k, err := strconv.Atoi(count)
		if err != nil && slices.Contains(task.Names(), name) {
			return nil, fmt.Errorf("--shots %q: %q is not a number of examples", f.shots, count)
		}
		if err == nil {
			return a.drawn(s, name, k, f.seed)
		}
	}
	file, err := os.Open(f.shots)
	if err != nil {
		return nil, fmt.Errorf("--shots: %w", err)
	}
	defer file.Close()
	shots, err := adapt.ReadShots(file, shotTokens)
	if err != nil {
		return nil, fmt.Errorf("--shots %s: %w", f.shots, err)
	}
	return shots, nil
}

// check refuses an unknown strategy before a model is loaded for it.
func (f *adaptFlags) check(more ...string) error {
	known := more
	for _, s := range adapt.Strategies() {
		known = append(known, string(s))
	}
	if f.strategy == "" || slices.Contains(known, f.strategy) {
		return nil
	}
	return fmt.Errorf("unknown strategy --adapt %q%s; want one of: %s", f.strategy,
		meant(f.strategy, known),
		strings.Join(known, " "))
}

// errTwoChoices: who answers is said twice.
var errTwoChoices = errors.New("--adapt lets the model choose who answers: want no --expert and " +
	"no --mix with it")
