package devicetest

import (
	"testing"

	"transformer2/shared/compute"
)

func TestReference(t *testing.T) {
	Run(t, func(t *testing.T) compute.Device { return new(reference) })
}

func TestReferenceQuick(t *testing.T) {
	RunOptions(t, func(t *testing.T) compute.Device { return new(reference) }, quick)
}

// counter counts what a device pays for: buffers made and numbers read.
type counter struct {
	reference
	buffers, reads int
}

func (d *counter) NewTensor(rows, cols int) (compute.Tensor, error) {
	d.buffers++
	return d.reference.NewTensor(rows, cols)
}

func (d *counter) Read(dst []float32, src compute.Tensor) error {
	d.reads++
	return d.reference.Read(dst, src)
}

// TestOptionsScale: the options do make the suite smaller.
func TestOptionsScale(t *testing.T) {
	cost := func(o Options) *counter {
		d := new(counter)
		for _, c := range checks {
			c.against(t, d, o)
		}
		return d
	}
	full, small := cost(Options{Once: true}), cost(quick)
	t.Logf("full: %d buffers, %d reads; quick: %d, %d", full.buffers, full.reads, small.buffers,
		small.reads)
	if 3*small.reads > 2*full.reads || 3*small.buffers > 2*full.buffers {
		t.Errorf("quick reads %d of %d times and makes %d of %d buffers", small.reads, full.reads,
			small.buffers, full.buffers)
	}
}
