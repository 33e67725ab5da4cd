package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"transformer2/shared/adapt"
	"transformer2/shared/engine"
	"transformer2/shared/task"
)

// candidate is who is measured: a voice, or a strategy that picks one.
type candidate struct {
	name      string
	evaluate  func(q engine.Quiz, show func(done, total int)) (engine.Report, error)
	confusion adapt.Confusion   // of a strategy's first passes
	found     *adapt.Adaptation // by few-shot, for the last quiz
	close     func()
}

// candidates are those that the flags name; the base where they name none.
func (a *app) candidates(cmd *cobra.Command, s *session, f evalFlags) ([]*candidate, error) {
	ctx := cmd.Context()
	voices, err := f.voices(ctx, cmd, s)
	if err != nil {
		return nil, err
	}
	if len(voices) == 0 && len(f.adapt) == 0 {
		voices = []engine.Voice{engine.Base()}
	}
	var all []*candidate
	for _, v := range voices {
		all = append(all, &candidate{name: v.Name, close: func() {},
			evaluate: func(q engine.Quiz, show func(done, total int)) (engine.Report, error) {
				return s.Evaluate(ctx, v, q, show)
			}})
	}
	for _, strategy := range f.adapt {
		c := &candidate{name: "adapt:" + strategy, close: func() {}}
		all = append(all, c)
		if strategy == string(adapt.StrategyFewShot) {
			c.evaluate = func(q engine.Quiz, show func(done, total int)) (engine.Report, error) {
				return a.evalFewShot(ctx, s, f.few, q, c, show)
			}
			continue
		}
		who, err := s.Adaptive(adapt.Strategy(strategy))
		if err != nil {
			return nil, err
		}
		c.close = who.Close
		c.evaluate = func(q engine.Quiz, show func(done, total int)) (engine.Report, error) {
			return who.Evaluate(ctx, q, &c.confusion, show)
		}
	}
	return all, nil
}

// evalFewShot searches for a mixture on examples of the quiz's task, or of a file, and measures it.
func (a *app) evalFewShot(ctx context.Context, s *session, f adaptFlags, q engine.Quiz,
	c *candidate, show func(done, total int)) (engine.Report, error) {
	shots, err := a.evalShots(s, f, q)
	if err != nil {
		return engine.Report{}, err
	}
	who, err := a.searched(ctx, s, engine.FewShot{Shots: shots, Preset: f.search, Seed: f.seed})
	if err != nil {
		return engine.Report{}, err
	}
	defer who.Close()
	c.found = who.Found
	return who.Evaluate(ctx, q, nil, show)
}

// evalShots are validation items of the quiz's task, or what --shots names, none of the quiz's among
// it.
func (a *app) evalShots(s *session, f adaptFlags, q engine.Quiz) ([]adapt.Shot, error) {
	k, err := strconv.Atoi(f.shots)
	if err != nil {
		shots, err := f.examples(a, s)
		if err != nil {
			return nil, err
		}
		asked := map[string]bool{}
		for _, it := range q.Items() {
			asked[it.Prompt] = true
		}
		for _, s := range shots {
			if asked[s.Question.Prompt] {
				return nil, fmt.Errorf("--shots %s: %.60q is measured in %s, too: want other examples",
					f.shots, s.Question.Prompt, q.Task.Name())
			}
		}
		return shots, nil
	}
	if q.Split == task.Valid {
		return nil, errors.New("few-shot takes its examples from the validation split, so it cannot " +
			"be measured there: want --split test, or --shots FILE")
	}
	if err := filled(q.Task, task.Valid); err != nil {
		return nil, fmt.Errorf("few-shot takes its examples from the validation split: %w; or name "+
			"others with --shots", err)
	}
	return adapt.FewShots(q.Task, k, f.seed)
}
