//go:build unix

package plan

import (
	"math"
	"math/rand/v2"
	"syscall"
	"testing"

	"transformer2/shared/linalg"
)

// processor is the seconds that this process has computed.
func processor(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// Seconds follow from rates: what one shape tells holds for another. Time is the processor's own,
// as the machine may be busy with other things; it slows what shares its caches all the same, so a
// shape gets several chances, and half as much again is near enough.
func TestSecondsOfDecomposing(t *testing.T) {
	dev := device(t)
	rng := rand.New(rand.NewPCG(3, 3))
	seconds := func(out, in int) float64 {
		w := make([]float32, out*in)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		best := math.Inf(1)
		for range 3 {
			begin := processor(t)
			if _, err := linalg.Basis(dev, out, in, w); err != nil {
				t.Fatal(err)
			}
			best = min(best, processor(t)-begin)
		}
		return best
	}
	for _, s := range [][2]int{{384, 384}, {512, 512}, {512, 1024}, {640, 640}} {
		var off float64
		for range 6 {
			rate := linalg.BasisOps(384, 768) / seconds(384, 768)
			off = linalg.BasisOps(s[0], s[1]) / rate / seconds(s[0], s[1])
			if off < 1.5 && off > 1/1.5 {
				break
			}
		}
		t.Logf("%v: planned over measured %.2f", s, off)
		if off > 1.5 || off < 1/1.5 {
			t.Errorf("%v: planned over measured is %.2f, want about 1", s, off)
		}
	}
}
