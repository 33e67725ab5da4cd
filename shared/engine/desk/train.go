package desk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/train"
)

// Bounds of a training in an engine that also answers people.
const (
	mostSteps   = 10000
	mostAnswers = 1024 // of a step
	mostSamples = 3    // answers of a step that are shown
)

// train trains a z-vector by REINFORCE and keeps it under its name.
func (j *job) train(q protocol.Train) (protocol.Trained, error) {
	var result protocol.Trained
	r, err := j.reinforcer(q)
	if err != nil {
		return result, err
	}
	if q.Paused {
		j.gate.set(true, 1)
	}
	if err := j.gate.pass(j.ctx); err != nil {
		return result, err
	}
	shown := 0
	r.OnAnswer = func(step int, prompt, output string, score float64) {
		if shown++; shown <= mostSamples {
			j.tell(protocol.EventSample, protocol.Sample{Step: step, Prompt: prompt, Text: output,
				Reward: score})
		}
	}
	var store checkpoint.Memory
	p, err := train.Run(j.ctx, r, &store, train.Options{Steps: q.Steps, EvalEvery: q.EvalEvery,
		Report: func(e train.Event) {
			j.tell(protocol.EventStep, protocol.Step{Step: e.Step, Steps: e.Steps,
				Eval: e.Kind == "eval", Metrics: e.Metrics, Best: e.Best, Seconds: e.Seconds})
			if shown = 0; e.Kind == "step" && e.Step < e.Steps {
				j.gate.pass(j.ctx) // the training itself sees that ctx ended
			}
		}})
	if err != nil {
		if result.Stopped = errors.Is(err, context.Canceled) && p.Step > 0; !result.Stopped {
			return result, err
		}
	}
	e, err := trained(r, p, &store)
	if err != nil {
		return result, err
	}
	result.Expert, err = j.own(q.Name, e)
	return result, err
}

// reinforcer makes the trainer that a face asks for.
func (j *job) reinforcer(q protocol.Train) (*train.Reinforcer, error) {
	for _, bound := range []struct {
		what      string
		n, lo, hi int
	}{
		{"steps", q.Steps, 1, mostSteps}, {"prompts", q.Prompts, 1, mostAnswers},
		{"samples", q.Samples, 2, mostAnswers},
		{"prompts × samples", q.Prompts * q.Samples, 2, mostAnswers},
		{"evalEvery", q.EvalEvery, 1, mostSteps}, {"evalItems", q.EvalItems, 1, mostItems},
	} {
		if err := within(bound.what, bound.n, bound.lo, bound.hi); err != nil {
			return nil, err
		}
	}
	if err := j.freeName(q.Name); err != nil {
		return nil, err
	}
	cfg, err := train.Preset("default")
	if err != nil {
		return nil, err
	}
	cfg.Task, cfg.Seed, cfg.Scope = q.Task, q.Seed, q.Scope
	cfg.Prompts, cfg.Samples, cfg.Temperature = q.Prompts, q.Samples, q.Temperature
	cfg.KL, cfg.Schedule.Peak, cfg.ValidItems = q.KL, q.Rate, q.EvalItems
	scope, err := svf.ParseScope(q.Scope)
	if err != nil {
		return nil, err
	}
	bases, err := j.d.s.Bases(j.ctx, scope)
	if err != nil {
		return nil, err
	}
	if _, err := j.d.s.As(j.ctx, engine.Base()); err != nil { // no expert's weights in the base
		return nil, err
	}
	m := j.d.s.Model
	r, err := train.NewReinforcer(cfg, train.Base{Name: m.Name, Model: m.LM, Tok: m.Tok,
		Decomposition: bases, Rows: j.d.cfg.BatchRows})
	if err != nil || q.Reward == "" {
		return r, err
	}
	r.Reward, err = task.Reward(q.Reward)
	return r, err
}

// trained is the best expert of a training, or the last where none was evaluated.
func trained(r *train.Reinforcer, p train.Progress, store checkpoint.Store) (*svf.Expert, error) {
	if p.Evaluated {
		blob, err := store.Open(train.BestFile)
		if err != nil {
			return nil, fmt.Errorf("the best expert: %w", err)
		}
		defer blob.Close()
		return svf.ReadExpert(blob, blob.Size())
	}
	var b bytes.Buffer
	if err := r.WriteResult(io.Writer(&b), p); err != nil {
		return nil, err
	}
	return svf.ReadExpert(bytes.NewReader(b.Bytes()), int64(b.Len()))
}
