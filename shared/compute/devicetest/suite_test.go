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

// TestOptionsScale: each option does make the suite smaller.
func TestOptionsScale(t *testing.T) {
	cost := func(o Options) *counter {
		d := new(counter)
		for _, c := range checks {
			if c.name == "Gemm" || c.name == "Attention" {
				c.against(t, d, o)
			}
		}
		return d
	}
	full := cost(Options{})
	if once := cost(Options{Once: true}); once.reads*2 != full.reads {
		t.Errorf("once: %d reads, want half of %d", once.reads, full.reads)
	}
	for _, o := range []Options{{MaxDim: 40}, {Every: 2}} {
		if d := cost(o); d.buffers*4 > full.buffers*3 || d.buffers < full.buffers/8 {
			t.Errorf("%+v: %d buffers of %d", o, d.buffers, full.buffers)
		}
	}
}
