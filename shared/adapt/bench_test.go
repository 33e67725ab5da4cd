package adapt_test

import (
	"context"
	"fmt"
	"testing"

	"transformer2/shared/adapt"
	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
)

func BenchmarkFoldedUse(b *testing.B) {
	dev := open(b)
	base, d := fresh(b, dev, small, compute.F32, 1)
	es := []*svf.Expert{expert(b, d, "all", 1, 0.1), expert(b, d, "all", 2, 0.1)}
	f, err := adapt.NewFolded(base, d, adapt.FoldedOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	use(b, f, es[1])
	for i := 0; b.Loop(); i++ {
		if err := f.Use(b.Context(), es[i%2]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProjectedSet(b *testing.B) {
	dev := open(b)
	base, d := fresh(b, dev, small, compute.F32, 1)
	es := []*svf.Expert{expert(b, d, "all", 1, 0.1), expert(b, d, "all", 2, 0.1)}
	p, err := adapt.NewProjected(base, d, 32, adapt.ProjectedOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	set(b, p, 7, es[1])
	for i := 0; b.Loop(); i++ {
		if err := p.Set(b.Context(), 7, es[i%2]); err != nil {
			b.Fatal(err)
		}
	}
}

// The cost of answers in both forms: prompts of 60 tokens, answers of 40, over one or more experts.
func BenchmarkAnswers(b *testing.B) {
	dev := open(b)
	base, d := fresh(b, dev, small, compute.F32, 1)
	const most = 32
	es := make([]*svf.Expert, most)
	for i := range es {
		es[i] = expert(b, d, "all", uint64(i), 0.1)
	}
	for _, c := range []struct{ experts, each int }{{1, 1}, {1, 32}, {4, 1}, {4, 2}, {4, 4}, {4, 8}, {32, 10}} {
		reqs := make([]llama.Request, c.experts*c.each)
		for i := range reqs {
			reqs[i] = llama.Request{Prompt: words(small, 60, uint64(i)), MaxTokens: 40,
				Seq: i / c.each}
		}
		run := func(b *testing.B, g *llama.Generator, m *llama.Model, reqs []llama.Request) {
			g.Use(m)
			if _, err := g.Run(context.Background(), reqs); err != nil {
				b.Fatal(err)
			}
		}
		g, err := base.NewGenerator(min(len(reqs), 64), small.Context)
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("%dx%d", c.experts, c.each)
		b.Run(name+"/base", func(b *testing.B) {
			for b.Loop() {
				run(b, g, base, reqs)
			}
		})
		b.Run(name+"/folded", func(b *testing.B) {
			f, err := adapt.NewFolded(base, d, adapt.FoldedOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			for b.Loop() {
				for k := range c.experts {
					if err := f.Use(b.Context(), es[k]); err != nil {
						b.Fatal(err)
					}
					run(b, g, f.Model(), reqs[k*c.each:(k+1)*c.each])
				}
			}
		})
		b.Run(name+"/projected", func(b *testing.B) {
			p, err := adapt.NewProjected(base, d, c.experts, adapt.ProjectedOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			for b.Loop() {
				if err := p.SetAll(b.Context(), es[:c.experts]); err != nil {
					b.Fatal(err)
				}
				run(b, g, p.Model(), reqs)
			}
		})
	}
}
