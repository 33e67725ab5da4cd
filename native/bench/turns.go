package bench

import (
	"context"
	"math"
	"time"
)

// A side is one of the things that are measured in turns.
type side struct {
	// run does a piece of work and gives the seconds that it took.
	run func(ctx context.Context) (seconds float64, err error)
	// peer says that it may be absent: then its series has the reason and the others go on.
	peer bool
}

// A plan is how long sides are measured.
type plan struct {
	budget time.Duration // no turn begins later than this after the first
	least  int           // but so many turns there are in any case
	warm   bool          // a turn before the first does not count
}

// maxTurns is enough for a median: more would not tell more.
const maxTurns = 51

// turns measures the sides one after the other, again and again.
func (p plan) turns(ctx context.Context, sides ...side) ([]series, error) {
	all := make([]series, len(sides))
	turn := func(counts bool) error {
		for i, s := range sides {
			if err := ctx.Err(); err != nil {
				return err
			}
			if all[i].err != nil {
				continue
			}
			seconds, err := s.run(ctx)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil && s.peer:
				all[i] = series{err: err}
			case err != nil:
				return err
			case counts:
				all[i].seconds = append(all[i].seconds, seconds)
			}
		}
		return nil
	}
	if p.warm {
		if err := turn(false); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	for n := 0; n < max(p.least, 1) || n < maxTurns && time.Since(start) < p.budget; n++ {
		if err := turn(true); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// clock is the least time that two looks at the clock can be apart.
const clock = 1e-9

// timed is the seconds that f takes.
func timed(f func()) float64 {
	begin := time.Now()
	f()
	return math.Max(time.Since(begin).Seconds(), clock)
}

// fastest calls f again and again for d, and gives the seconds of the fastest call: whatever else
// runs on the machine only ever slows a call down. Peers measure the same way.
func fastest(d time.Duration, f func()) float64 {
	best := math.Inf(1)
	for start := time.Now(); ; {
		best = math.Min(best, timed(f))
		if time.Since(start) >= d {
			return best
		}
	}
}

// burst is how long a short piece of work is repeated for one turn.
func (e Env) burst() time.Duration { return e.short(40 * time.Millisecond) }

// burstSide is a side that calls f in a burst.
func (e Env) burstSide(f func()) side {
	return side{run: func(context.Context) (float64, error) { return fastest(e.burst(), f), nil }}
}
