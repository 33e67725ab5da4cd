package x86

import (
	"testing"
	"time"
)

// best times work in pieces, keeps the least time of each over all passes and returns their sum
// in ns: what the work takes when nothing else disturbs the core. Each piece is repeated until it
// takes 20 µs, so that the clock's own cost does not count.
func best(b *testing.B, pieces int, f func(piece int)) float64 {
	reps := 1
	for {
		t0 := time.Now()
		for range reps {
			f(0)
		}
		if time.Since(t0) > 20*time.Microsecond {
			break
		}
		reps *= 2
	}
	least := make([]time.Duration, pieces)
	for pass := 0; b.Loop(); pass++ {
		for p := range pieces {
			t0 := time.Now()
			for range reps {
				f(p)
			}
			if d := time.Since(t0); pass == 0 || d < least[p] {
				least[p] = d
			}
		}
	}
	sum := time.Duration(0)
	for _, d := range least {
		sum += d
	}
	b.ReportMetric(0, "ns/op")
	return float64(sum) / float64(reps)
}
