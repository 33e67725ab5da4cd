package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"transformer2/shared/plan"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/train"
)

// trainFlags are `t2 train`'s. Numbers left at their zero value are the preset's.
type trainFlags struct {
	model, task, out, method, preset string
	scope, parametrisation, baseline string
	form                             string
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

--form says how it is held meanwhile. folded: each new z is folded into weights in f32, which costs
five to seven times the matrices' memory in f32 and answers at full speed. projected: z acts on the
activations; weights stay as --weights has them, beside their singular bases (in f16, if the weights
are not f32). auto folds models of up to 100 million numbers. A run may go on in another form.

The directory holds the run: state.safetensors to resume from (run the same command again),
log.jsonl with a line a step, and best.safetensors, the expert at its best on validation items.

With --json a line a step and an evaluation: {"kind","step","steps","seconds","metrics","best"}.`,
		Example: `  t2 train --task math --steps 100 --out runs/math
  t2 train --model zoo:tako-b --task code --preset paper --out runs/code
  t2 train --task reasoning --method next-token --scope mlp --out runs/ntp
  t2 train --model Llama-3.1-8B --weights bf16 --context 1024 --scope mlp --task math --out 8b
  t2 train --model Llama-3.1-8B --weights bf16 --task gsm8k/train.jsonl --out runs/gsm8k`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.train(cmd, f) },
	}
	fl := cmd.Flags()
	modelFlag(cmd, &f.model)
	fl.StringVar(&f.task, "task", "", "what to train for: "+taskUsage)
	fl.StringVar(&f.out, "out", "", "directory of the run")
	fl.StringVar(&f.method, "method", reinforce, "reinforce or next-token")
	fl.StringVar(&f.preset, "preset", "default", "default, paper or released-code (reinforce)")
	fl.StringVar(&f.scope, "scope", "", "matrices with a z: mlp, attention, all, with :FIRST-LAST "+
		"for a range of layers")
	fl.StringVar(&f.form, "form", string(train.Auto), "auto, folded or projected")
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
	return j.end(a.trainFor(cmd, f, j))
}

// trainFor trains for what --task names, judged by j if there is such a judge.
func (a *app) trainFor(cmd *cobra.Command, f trainFlags, j *judge) error {
	goal, err := findTask(f.task, j)
	if err != nil {
		return err
	}
	if err := limit(goal, f.maxTokens); err != nil {
		return err
	}
	cfg, err := f.config(cmd.Flags().Changed)
	if err != nil {
		return err
	}
	cfg.Task = goal.Name()
	cfg.Data, _ = goal.(*task.Data)
	a.training = plan.Training{Scope: cfg.Scope, Form: train.Form(f.form),
		Answers: cfg.Prompts * cfg.Samples}
	if f.method == nextToken {
		a.training.Answers = train.MaxSlots
	}
	return a.withModel(f.model, func(s *session) error {
		if err := a.fit(s, goal, f.method == nextToken, task.Train, task.Valid); err != nil {
			return err
		}
		t, err := s.trainer(cmd.Context(), cfg, f, cmd.Flags().Changed)
		if err != nil {
			return err
		}
		dir, err := openRunDir(f.out)
		if err != nil {
			return err
		}
		defer dir.Close()
		err = a.run(cmd.Context(), t, dir, train.Options{Steps: f.steps, EvalEvery: f.evalEvery,
			SaveEvery: f.saveEvery})
		if err == nil && !a.json {
			fmt.Fprintf(a.out, "expert: %s/%s\n", f.out, train.BestFile)
		}
		return err
	})
}

// The methods of training.
const (
	reinforce = "reinforce"
	nextToken = "next-token"
)

// config is the preset's numbers where no flag changes them.
func (f trainFlags) config(changed func(string) bool) (train.ReinforceConfig, error) {
	cfg, err := train.Preset(f.preset)
	if err != nil {
		return cfg, err
	}
	if f.method != reinforce && f.method != nextToken {
		return cfg, fmt.Errorf("method %q: want %s or %s", f.method, reinforce, nextToken)
	}
	cfg.Seed = f.seed
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
	return cfg, nil
}

// trainer makes what --method says.
func (s *session) trainer(ctx context.Context, cfg train.ReinforceConfig, f trainFlags,
	changed func(string) bool) (train.Trainer, error) {
	scope, err := svf.ParseScope(cfg.Scope)
	if err != nil {
		return nil, err
	}
	d, err := s.decompose(ctx, scope)
	if err != nil {
		return nil, err
	}
	base := train.Base{Name: modelName(f.model), Model: s.Model.LM, Tok: s.Model.Tok,
		Decomposition: d, Form: train.Form(f.form)}
	if f.method == reinforce {
		return train.NewReinforcer(cfg, base)
	}
	n := train.DefaultNextToken()
	n.Policy, n.Task, n.Seed, n.ValidItems = cfg.Policy, cfg.Task, cfg.Seed, cfg.ValidItems
	n.Data = cfg.Data
	n.Schedule, n.AdamW = cfg.Schedule, cfg.AdamW
	set(changed("prompts"), &n.Batch, f.prompts)
	return train.NewNextToken(n, base)
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
