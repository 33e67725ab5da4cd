package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorder makes sides that write down when they were run.
type recorder struct{ order strings.Builder }

func (r *recorder) side(name string, peer bool, fail error) side {
	return side{peer: peer, run: func(context.Context) (float64, error) {
		r.order.WriteString(name)
		return float64(r.order.Len()), fail
	}}
}

func TestTurnsAlternate(t *testing.T) {
	var r recorder
	s, err := plan{least: 3, warm: true}.turns(t.Context(), r.side("a", false, nil),
		r.side("b", true, nil))
	if err != nil || r.order.String() != "abababab" {
		t.Fatalf("order %s, %v", r.order.String(), err)
	}
	if !slices.Equal(s[0].seconds, []float64{3, 5, 7}) ||
		!slices.Equal(s[1].seconds, []float64{4, 6, 8}) {
		t.Errorf("%v, want the first turn left out", s)
	}
}

func TestTurnsKeepToTheBudget(t *testing.T) {
	nap := side{run: func(context.Context) (float64, error) {
		time.Sleep(time.Millisecond)
		return 1, nil
	}}
	s, err := plan{budget: 20 * time.Millisecond}.turns(t.Context(), nap)
	if n := len(s[0].seconds); err != nil || n < 1 || n > 20 {
		t.Errorf("%d turns of 1 ms in 20 ms, %v", n, err)
	}
	var r recorder
	s, err = plan{budget: time.Hour}.turns(t.Context(), r.side("a", false, nil))
	if len(s[0].seconds) != maxTurns || err != nil {
		t.Errorf("%d turns, %v, want %d", len(s[0].seconds), err, maxTurns)
	}
}

func TestTurnsGoOnWithoutAPeer(t *testing.T) {
	var r recorder
	gone := missing{"python3-scipy"}
	s, err := plan{least: 2}.turns(t.Context(), r.side("p", true, gone), r.side("a", false, nil))
	if err != nil || r.order.String() != "paa" {
		t.Fatalf("order %s, %v", r.order.String(), err)
	}
	if !errors.Is(s[0].err, gone) || len(s[0].seconds) != 0 || len(s[1].seconds) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestTurnsFailWithTheirOwn(t *testing.T) {
	var r recorder
	broken := errors.New("broken")
	_, err := plan{least: 2}.turns(t.Context(), r.side("a", false, nil), r.side("b", false, broken))
	if !errors.Is(err, broken) || r.order.String() != "ab" {
		t.Errorf("order %s, %v", r.order.String(), err)
	}
}

func TestTurnsEndWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	stop := side{peer: true, run: func(context.Context) (float64, error) {
		if n++; n == 2 {
			cancel()
		}
		return 1, ctx.Err()
	}}
	if _, err := (plan{least: 5}).turns(ctx, stop); !errors.Is(err, context.Canceled) || n != 2 {
		t.Errorf("%v after %d runs", err, n)
	}
}

// Of several calls the fastest counts, and there are calls until the time is over.
func TestFastest(t *testing.T) {
	naps := []time.Duration{40, 2, 40, 40, 40, 40, 40, 40, 40, 40}
	n := 0
	const least = 100 * time.Millisecond
	begin := time.Now()
	got := fastest(least, func() {
		time.Sleep(naps[min(n, len(naps)-1)] * time.Millisecond)
		n++
	})
	if n < 2 || got < 2e-3 || got >= 40e-3 || time.Since(begin) < least {
		t.Errorf("fastest of %d naps took %v s, want that of 2 ms", n, got)
	}
}
