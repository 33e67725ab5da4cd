package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"transformer2/shared/train"
)

// run trains in dir and shows how it goes: a bar on a terminal, JSON events with --json, a line
// now and then otherwise.
func (a *app) run(ctx context.Context, t train.Trainer, dir *runDir, o train.Options) error {
	o.Log = dir.log
	var done func()
	switch {
	case a.json:
		enc := json.NewEncoder(a.out)
		o.Report = func(e train.Event) { enc.Encode(e) }
	case terminal(a.err):
		o.Report, done = a.bar(o.Steps)
	default:
		o.Report = a.lines()
	}
	p, err := train.Run(ctx, t, dir, o)
	if done != nil {
		done()
	}
	if err != nil && ctx.Err() != nil {
		return &stopped{p.Step, o.Steps, err}
	}
	return err
}

// stopped is a training that was interrupted.
type stopped struct {
	step, steps int
	err         error // the interruption, joined with what went wrong in saving
}

func (s *stopped) Error() string {
	text := fmt.Sprintf("interrupted after step %d of %d", s.step, s.steps)
	if both, ok := s.err.(interface{ Unwrap() []error }); ok && len(both.Unwrap()) > 1 {
		return fmt.Sprintf("%s, and its state was not saved: %v", text, both.Unwrap()[1])
	}
	return text + "; the same command goes on from there"
}

func (s *stopped) Unwrap() error { return s.err }

// bar shows a progress bar with the latest numbers and the time that is left.
func (a *app) bar(steps int) (report func(train.Event), done func()) {
	p := mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(32))
	var latest, best string
	bar := p.AddBar(int64(steps),
		mpb.PrependDecorators(decor.CountersNoUnit("step %d/%d")),
		mpb.AppendDecorators(
			decor.AverageETA(decor.ET_STYLE_GO),
			decor.Any(func(decor.Statistics) string { return "  " + latest + best })))
	rate := newMeter()
	first := true
	report = func(e train.Event) {
		if first { // a resumed run's bar begins where the run goes on
			first = false
			bar.SetCurrent(int64(e.Step))
			bar.DecoratorAverageAdjust(time.Now())
		}
		if e.Kind == "eval" {
			best = "  | " + describe(e.Metrics)
			return
		}
		latest = describe(e.Metrics) + rate.add(e)
		bar.SetCurrent(int64(e.Step))
	}
	return report, func() { bar.Abort(false); p.Wait() }
}

// lines prints an event now and then.
func (a *app) lines() func(train.Event) {
	const every = 10 * time.Second
	rate := newMeter()
	last := time.Now()
	return func(e train.Event) {
		speed := rate.add(e)
		if e.Kind == "step" && e.Step != e.Steps && time.Since(last) < every {
			return
		}
		last = time.Now()
		fmt.Fprintf(a.err, "%s %d/%d  %.0f s  %s%s\n", e.Kind, e.Step, e.Steps, e.Seconds,
			describe(e.Metrics), speed)
	}
}

// meter measures tokens a second since the last event.
type meter struct{ last time.Time }

func newMeter() *meter { return &meter{last: time.Now()} }

func (m *meter) add(e train.Event) string {
	seconds := time.Since(m.last).Seconds()
	m.last = time.Now()
	if tokens := e.Metrics["tokens"]; tokens > 0 && seconds > 0 {
		return fmt.Sprintf("  %.0f tok/s", tokens/seconds)
	}
	return ""
}

// describe lists metrics by name, in a fixed order.
func describe(m train.Metrics) string {
	var parts []string
	for k, v := range m {
		if k != "tokens" {
			parts = append(parts, fmt.Sprintf("%s %.4g", k, v))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "  ")
}

// note tells a person at the terminal something that is not the result.
func (a *app) note(format string, args ...any) {
	if u := look(a.err); u.tty && !a.json {
		u.line("%s", u.faint.Render(fmt.Sprintf(format, args...)))
	}
}

// warn tells whoever reads what the program says besides its results.
func (a *app) warn(format string, args ...any) { fmt.Fprintf(a.err, "t2: "+format+"\n", args...) }

// counter shows a bar of done out of total on a terminal. Its show may be called by several
// goroutines; both functions may be called when there is no terminal.
func (a *app) counter(what string) (show func(done, total int), end func()) {
	if !terminal(a.err) || a.json {
		return nil, func() {}
	}
	p := mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(32))
	var once sync.Once
	var b *mpb.Bar
	show = func(done, total int) {
		once.Do(func() {
			b = p.AddBar(int64(total), mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(what+" "), decor.CountersNoUnit("%d/%d")),
				mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO)))
		})
		b.SetCurrent(int64(done))
	}
	return show, sync.OnceFunc(func() {
		once.Do(func() {})
		if b != nil {
			b.Abort(true) // questions that the context cut short were not counted
		}
		p.Wait()
	})
}

// rounds shows bars one after another, each until its total is done; what is found done already
// (cached) is no reason to show one. Both functions may be called when there is no terminal.
func (a *app) rounds(what string) (report func(done, total int, cached bool), end func()) {
	var show func(done, total int)
	last := func() {}
	report = func(done, total int, cached bool) {
		if !cached && show == nil {
			if show, last = a.counter(what); show == nil {
				show = func(int, int) {}
			}
		}
		if !cached {
			show(done, total)
		}
		if done == total { // before anything else is shown
			last()
			show, last = nil, func() {}
		}
	}
	return report, func() { last() }
}
