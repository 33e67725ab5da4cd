// Package train turns data and rewards into weights: pre-training of all of a model, next-token
// training of a z-vector, and REINFORCE with a KL penalty on a z-vector (paper, section 3.2).
//
// A trainer is a function of its configuration and a step number: whatever is random in step n is
// drawn from (seed, n). So its whole state is a handful of tensors and counters, and a run that
// was killed and resumed ends in the same bytes as one that was not.
package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"transformer2/shared/checkpoint"
)

// Metrics are the numbers of a step: loss, reward, kl, gradNorm, tokens, ...
type Metrics map[string]float64

// Trainer is something that gets better step by step.
type Trainer interface {
	// Step does optimizer step number step, which counts from 1.
	Step(ctx context.Context, step int) (Metrics, error)
	// Eval measures on the validation split; more score is better.
	Eval(ctx context.Context) (score float64, m Metrics, err error)
	// SaveState writes all that Step and Eval depend on; LoadState is its inverse and refuses a
	// state that was made under another configuration.
	SaveState(w io.Writer, p Progress) error
	LoadState(r checkpoint.Blob) (Progress, error)
	// WriteResult writes what the training is for: a checkpoint, an expert.
	WriteResult(w io.Writer, p Progress) error
}

// Progress is where a run is, besides its tensors.
type Progress struct {
	Step      int     `json:"step"`      // the last step done
	BestStep  int     `json:"bestStep"`  // the step of the best evaluation
	BestScore float64 `json:"bestScore"` // its score
	Evaluated bool    `json:"evaluated"` // whether there was one
	EvalDue   bool    `json:"evalDue"`   // Step is done, its evaluation was cut off
}

// The names of a run's files.
const (
	StateFile = "state.safetensors" // resume from here
	BestFile  = "best.safetensors"  // the result at the best evaluation
	LogFile   = "log.jsonl"         // a line a step and a line an evaluation
)

// Options are how long and how often.
type Options struct {
	Steps     int
	EvalEvery int       // 0: at the end only
	SaveEvery int       // 0: at evaluations and at the end
	Log       io.Writer // gets a line of JSON for every Event; none if nil
	// Report, if set, hears of every step and evaluation.
	Report func(Event)
}

// Event is a line of the run log.
type Event struct {
	Kind    string  `json:"kind"` // "step", "eval", "resume"
	Step    int     `json:"step"`
	Steps   int     `json:"steps"`
	Seconds float64 `json:"seconds"` // since this process began to train
	Metrics Metrics `json:"metrics,omitempty"`
	Best    bool    `json:"best,omitempty"`
}

// run is one call of Run.
type run struct {
	Options
	t     Trainer
	store checkpoint.Store
	p     Progress
	start time.Time
}

// Run trains until o.Steps steps are done, from the state in store if there is one. When ctx ends
// it saves the state and returns ctx's error: nothing is lost, and Run goes on from there.
func Run(ctx context.Context, t Trainer, store checkpoint.Store, o Options) (Progress, error) {
	r := &run{Options: o, t: t, store: store, start: time.Now()}
	if err := r.resume(); err != nil {
		return r.p, err
	}
	for r.p.Step < o.Steps || r.p.EvalDue {
		if err := r.step(ctx); err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				return r.p, errors.Join(err, r.save())
			}
			return r.p, err
		}
	}
	return r.p, nil
}

func (r *run) resume() error {
	f, err := r.store.Open(StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if r.p, err = r.t.LoadState(f); err != nil {
		return fmt.Errorf("train: resume from %s: %w", StateFile, err)
	}
	return r.emit(Event{Kind: "resume", Step: r.p.Step})
}

// step does one step, and what is due after it. A cancelled step leaves the trainer as it was.
func (r *run) step(ctx context.Context) error {
	if !r.p.EvalDue {
		m, err := r.t.Step(ctx, r.p.Step+1)
		if err != nil {
			return err
		}
		r.p.Step++
		if err := r.emit(Event{Kind: "step", Step: r.p.Step, Metrics: m}); err != nil {
			return err
		}
	}
	n := r.p.Step
	r.p.EvalDue = n == r.Steps || r.EvalEvery > 0 && n%r.EvalEvery == 0
	if r.p.EvalDue {
		if err := r.eval(ctx); err != nil {
			return err
		}
		r.p.EvalDue = false
		return r.save()
	}
	if r.SaveEvery > 0 && n%r.SaveEvery == 0 {
		return r.save()
	}
	return nil
}

func (r *run) eval(ctx context.Context) error {
	score, m, err := r.t.Eval(ctx)
	if err != nil {
		return err
	}
	best := !r.p.Evaluated || score > r.p.BestScore
	if best {
		r.p.Evaluated, r.p.BestStep, r.p.BestScore = true, r.p.Step, score
		err := r.store.Create(BestFile, func(w io.Writer) error { return r.t.WriteResult(w, r.p) })
		if err != nil {
			return err
		}
	}
	return r.emit(Event{Kind: "eval", Step: r.p.Step, Metrics: m, Best: best})
}

func (r *run) save() error {
	return r.store.Create(StateFile, func(w io.Writer) error { return r.t.SaveState(w, r.p) })
}

func (r *run) emit(e Event) error {
	e.Steps, e.Seconds = r.Steps, time.Since(r.start).Seconds()
	if r.Report != nil {
		r.Report(e)
	}
	if r.Log == nil {
		return nil
	}
	if err := json.NewEncoder(r.Log).Encode(e); err != nil {
		return fmt.Errorf("train: run log: %w", err)
	}
	return nil
}
