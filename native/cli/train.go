package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/train"
)

// trainFlags are `t2 train`'s. Numbers left at their zero value are the preset's.
type trainFlags struct {
	model, task, out, method, preset string
	scope, parametrisation, baseline string
	seed                             uint64
	steps, evalEvery, saveEvery      int
	prompts, samples, validItems     int
	maxTokens                        int
	judge                            string
	lr, kl, temperature, clip        float64
}

func (a *app) trainCmd() *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train --task TASK --out DIR",
		Short: "train an expert: a z-vector for one task",
		Long: `Train a z-vector for a task of the suite or on a file of questions (t2 info --task FILE
shows how it is read), by REINFORCE with a KL penalty (the paper's method) or on the next tokens of
worked answers. The model itself does not change.

The directory holds the run: state.safetensors to resume from (run the same command again),
log.jsonl with a line a step, and best.safetensors, the expert at its best on validation items.

With --json a line a step and an evaluation: {"kind","step","steps","seconds","metrics","best"}.`,
		Example: `  t2 train --task math --steps 100 --out runs/math
  t2 train --model zoo:tako-b --task code --preset paper --out runs/code
  t2 train --task reasoning --method next-token --scope mlp --out runs/ntp
  t2 train --model llama-3-8b --task gsm8k/train.jsonl --out runs/gsm8k`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.train(cmd, f) },
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringVar(&f.task, "task", "", "what to train for: "+taskUsage)
	fl.StringVar(&f.out, "out", "", "directory of the run")
	fl.StringVar(&f.method, "method", "reinforce", "reinforce or next-token")
	fl.StringVar(&f.preset, "preset", "default", "default, paper or released-code (reinforce)")
	fl.StringVar(&f.scope, "scope", "", "matrices with a z: mlp, attention, all, with :FIRST-LAST "+
		"for a range of layers")
	fl.StringVar(&f.parametrisation, "parametrisation", "", "linear or sigmoid-nuclear")
	fl.StringVar(&f.baseline, "baseline", "", "none, batch or leave-one-out (reinforce)")
	fl.Uint64Var(&f.seed, "seed", 1, "of prompts and samples")
	fl.IntVar(&f.steps, "steps", 100, "optimizer steps")
	fl.IntVar(&f.evalEvery, "eval-every", 10, "steps between evaluations on validation items")
	fl.IntVar(&f.saveEvery, "save-every", 5, "steps between saved states")
	fl.IntVar(&f.prompts, "prompts", 0, "prompts a step (next-token: examples a step)")
	fl.IntVar(&f.samples, "samples", 0, "samples of each prompt (reinforce)")
	fl.IntVar(&f.validItems, "valid-items", 0, "items an evaluation asks")
	fl.StringVar(&f.judge, "judge", "", judgeUsage)
	fl.IntVar(&f.maxTokens, "max-tokens", 0, limitUsage)
	fl.Float64Var(&f.lr, "lr", 0, "learning rate")
	fl.Float64Var(&f.clip, "clip", 0, "norm that the gradient is clipped to")
	fl.Float64Var(&f.kl, "kl", 0, "weight of the KL penalty (reinforce)")
	fl.Float64Var(&f.temperature, "temperature", 0, "of the samples (reinforce)")
	cmd.MarkFlagRequired("task")
	cmd.MarkFlagRequired("out")
	return cmd
}

func (a *app) train(cmd *cobra.Command, f trainFlags) error {
	j, err := a.judgeBy(cmd, f.judge)
	if err != nil {
		return err
	}
	return j.end(a.trainBy(cmd, f, j))
}

func (a *app) trainBy(cmd *cobra.Command, f trainFlags, j *judge) error {
	ctx := cmd.Context()
	goal, err := findTask(f.task, j)
	if err == nil {
		err = limit(goal, f.maxTokens)
	}
	if err != nil {
		return err
	}
	s, err := a.open(f.model)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := a.fit(s, goal, f.method == "next-token", task.Train, task.Valid); err != nil {
		return err
	}
	t, err := a.trainer(ctx, s, f, goal, cmd.Flags().Changed)
	if err != nil {
		return err
	}
	dir, err := openRunDir(f.out)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = a.run(ctx, t, dir, train.Options{Steps: f.steps, EvalEvery: f.evalEvery,
		SaveEvery: f.saveEvery})
	if err == nil && !a.json {
		fmt.Fprintf(a.out, "expert: %s/%s\n", f.out, train.BestFile)
	}
	return err
}

// trainer makes what --method says, with the preset's numbers where no flag changes them.
func (a *app) trainer(ctx context.Context, s *session, f trainFlags, goal task.Task,
	changed func(string) bool) (train.Trainer, error) {
	cfg, err := train.Preset(f.preset)
	if err != nil {
		return nil, err
	}
	cfg.Task, cfg.Seed = goal.Name(), f.seed
	cfg.Data, _ = goal.(*task.Data)
	set(changed("scope"), &cfg.Policy.Scope, f.scope)
	set(changed("parametrisation"), &cfg.Policy.Parametrisation,
		svf.Parametrisation(f.parametrisation))
	set(changed("baseline"), &cfg.Baseline, f.baseline)
	set(changed("prompts"), &cfg.Prompts, f.prompts)
	set(changed("samples"), &cfg.Samples, f.samples)
	set(changed("valid-items"), &cfg.ValidItems, f.validItems)
	set(changed("lr"), &cfg.Schedule.Peak, f.lr)
	set(changed("clip"), &cfg.AdamW.Clip, float32(f.clip))
	set(changed("kl"), &cfg.KL, f.kl)
	set(changed("temperature"), &cfg.Temperature, f.temperature)
	scope, err := svf.ParseScope(cfg.Policy.Scope)
	if err != nil {
		return nil, err
	}
	d, err := s.decompose(ctx, scope)
	if err != nil {
		return nil, err
	}
	base := train.Base{Name: modelName(f.model), Model: s.Model.LM, Tok: s.Model.Tok, Decomposition: d}
	switch f.method {
	case "reinforce":
		return train.NewReinforcer(cfg, base)
	case "next-token":
		n := train.DefaultNextToken()
		n.Policy, n.Task, n.Seed, n.ValidItems = cfg.Policy, cfg.Task, cfg.Seed, cfg.ValidItems
		n.Data = cfg.Data
		n.Schedule, n.AdamW = cfg.Schedule, cfg.AdamW
		set(changed("prompts"), &n.Batch, f.prompts)
		return train.NewNextToken(n, base)
	}
	return nil, fmt.Errorf("method %q: want reinforce or next-token", f.method)
}

// modelName is a model's name without the zoo's prefix or the folders before it, which mean nothing
// on another machine.
func modelName(ref string) string {
	return filepath.Base(strings.TrimPrefix(ref, zooPrefix))
}

func set[T any](when bool, dst *T, v T) {
	if when {
		*dst = v
	}
}
