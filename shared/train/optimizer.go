package train

import (
	"fmt"
	"math"

	"transformer2/shared/compute"
)

// AdamW are the optimizer's constants; the rate comes from a Schedule.
type AdamW struct {
	Beta1       float32 `json:"beta1"`
	Beta2       float32 `json:"beta2"`
	Eps         float32 `json:"eps"`
	WeightDecay float32 `json:"weightDecay"`
	Clip        float32 `json:"clip"` // the gradient's norm is scaled down to this; 0: no clipping
}

// Schedule is the learning rate: a linear warm-up to Peak, then a half cosine down to Final at
// step Steps. Steps = 0 stays at Peak.
type Schedule struct {
	Peak   float64 `json:"peak"`
	Final  float64 `json:"final"`
	Warmup int     `json:"warmup"`
	Steps  int     `json:"steps"`
}

// At is the rate of step n, which counts from 1.
func (s Schedule) At(n int) float64 {
	if n <= s.Warmup {
		return s.Peak * float64(n) / float64(s.Warmup)
	}
	if s.Steps <= s.Warmup {
		return s.Peak
	}
	done := min(1, float64(n-s.Warmup)/float64(s.Steps-s.Warmup))
	return s.Final + (s.Peak-s.Final)*(1+math.Cos(math.Pi*done))/2
}

// param is a trained tensor with its gradient and moments.
type param struct {
	name    string
	p, g    compute.Tensor
	m, v    compute.Tensor
	noDecay bool
}

// optimizer updates a group of parameters.
type optimizer struct {
	AdamW
	dev    compute.Device
	params []param
	norm   compute.Tensor // [1 1]
}

func newOptimizer(dev compute.Device, cfg AdamW) (*optimizer, error) {
	norm, err := dev.NewTensor(1, 1)
	return &optimizer{AdamW: cfg, dev: dev, norm: norm}, err
}

// add puts p with gradient g under the optimizer.
func (o *optimizer) add(name string, p, g compute.Tensor, decay bool) error {
	m, err := o.dev.NewTensor(p.Rows, p.Cols)
	if err != nil {
		return err
	}
	v, err := o.dev.NewTensor(p.Rows, p.Cols)
	if err != nil {
		return err
	}
	o.params = append(o.params, param{name: name, p: p, g: g, m: m, v: v, noDecay: !decay})
	return nil
}

func (o *optimizer) zeroGrad() {
	for _, p := range o.params {
		o.dev.Fill(p.g, 0)
	}
}

// step clips and applies the gradients, and gives their norm before clipping. Gradients that are
// not finite are refused: applying them would ruin every weight.
func (o *optimizer) step(n int, lr float64) (norm float64, err error) {
	o.dev.Fill(o.norm, 0)
	for _, p := range o.params {
		o.dev.SumSquares(o.norm, p.g)
	}
	var sq [1]float32
	if err := o.dev.Read(sq[:], o.norm); err != nil {
		return 0, err
	}
	norm = math.Sqrt(float64(sq[0]))
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("train: step %d: the gradient's norm is %v; lower the learning rate", n, norm)
	}
	a := compute.AdamWParams{LR: float32(lr), Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps,
		Step: n, GradScale: 1}
	if o.Clip > 0 && norm > float64(o.Clip) {
		a.GradScale = float32(float64(o.Clip) / norm)
	}
	for _, p := range o.params {
		a.WeightDecay = o.WeightDecay
		if p.noDecay {
			a.WeightDecay = 0
		}
		o.dev.AdamW(p.p, p.g, p.m, p.v, a)
	}
	return norm, nil
}
