package bench

import (
	"context"
	"fmt"
	"time"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
)

// watched is a device that measures the time of its matrix products.
type watched struct {
	compute.Device
	on       bool
	products time.Duration
}

func (d *watched) time(f func()) {
	if !d.on {
		f()
		return
	}
	begin := time.Now()
	f()
	d.products += time.Since(begin)
}

func (d *watched) MatMul(y, x compute.Tensor, w compute.Weight) {
	d.time(func() { d.Device.MatMul(y, x, w) })
}

func (d *watched) MatMulT(dx, dy compute.Tensor, w compute.Weight, acc bool) {
	d.time(func() { d.Device.MatMulT(dx, dy, w, acc) })
}

func (d *watched) Gemm(o compute.Orientation, c, a, b compute.Tensor, acc bool) {
	d.time(func() { d.Device.Gemm(o, c, a, b, acc) })
}

// decode continues one sequence to the end of the context, token by token, on one thread: with and
// without a look at the clock around every product, in turns.
func decode(ctx context.Context, env Env) ([]Figure, error) {
	plain, err := env.device(1)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	dev := &watched{Device: plain}
	m, model, err := env.session.open(dev)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("decode %s, f32, 1 thread", model)
	env.say("%s", name)
	g, err := m.LM.NewGenerator(1, m.LM.Context)
	if err != nil {
		return nil, err
	}
	prompt, err := m.Tok.Chat(nil, nil, true)
	if err != nil {
		return nil, err
	}
	tokens := m.LM.Context - len(prompt)
	request := []llama.Request{{Prompt: prompt, MaxTokens: tokens}}
	run := func(on bool, share *[]float64) side {
		return side{run: func(ctx context.Context) (float64, error) {
			dev.on, dev.products = on, 0
			begin := time.Now()
			results, err := g.Run(ctx, request)
			took := time.Since(begin)
			if err == nil && len(results[0].Tokens) != tokens {
				err = fmt.Errorf("%d tokens came, want %d", len(results[0].Tokens), tokens)
			}
			if share != nil {
				*share = append(*share, 1-dev.products.Seconds()/took.Seconds())
			}
			return took.Seconds() / float64(tokens), err
		}}
	}
	var share []float64
	s, err := plan{budget: env.short(4 * time.Second), least: 3, warm: true}.turns(ctx,
		run(false, nil), run(true, &share))
	if err != nil {
		return nil, err
	}
	return []Figure{
		{Name: name, Unit: "tokens/s", Value: 1 / s[0].median()},
		{Name: name + ", outside matrix products", Unit: "%", Value: 100 * median(share),
			Note: "attention, norms, rotary positions, SwiGLU, the choice of a token"},
	}, nil
}
