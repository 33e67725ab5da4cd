package adapter

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/kernels/webgpu"
	"transformer2/shared/adapt"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
	"transformer2/shared/train"
	"transformer2/shared/zoo"
)

// devices opens the CPU and the GPU. Tests are left out where there is no driver, but not in CI.
func devices(t *testing.T) (host, gpu *Device) {
	t.Helper()
	host, err := Open(Choice{Kind: CPU}, cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	if list, err := webgpu.List(); err == nil && len(list) == 0 && os.Getenv("CI") == "" {
		t.Skip("no GPU driver (Debian: apt-get install mesa-vulkan-drivers)")
	}
	if gpu, err = Open(Choice{Kind: GPU}, cpu.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gpu.Close() })
	t.Log(gpu.Name())
	return host, gpu
}

// TestSameTokens: the models that ship say the same on the GPU, token for token, also where tokens
// are drawn, of the likeliest by the same numbers.
func TestSameTokens(t *testing.T) {
	host, gpu := devices(t)
	for _, name := range zoo.Names() {
		t.Run(name, func(t *testing.T) {
			kinds := map[sample.Params]int{{}: 200}
			if name == zoo.Default {
				kinds[sample.Params{Temperature: 1, TopK: 12}] = 50
			}
			for p, n := range kinds {
				a, b := continued(t, host, name, p, n), continued(t, gpu, name, p, n)
				for i := range a {
					if i >= len(b) || a[i] != b[i] {
						t.Fatalf("%+v: token %d of %d differs: %v on %s, %v on %s", p, i, len(a), a,
							host.Name(), b, gpu.Name())
					}
				}
			}
		})
	}
}

// continued continues an empty conversation by so many tokens, past where it would stop.
func continued(t *testing.T, dev compute.Device, name string, p sample.Params,
	tokens int) []int32 {
	t.Helper()
	files, err := zoo.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := engine.Open(t.Context(), dev, engine.Source{Name: name, Files: files}, compute.F32)
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.LM.NewGenerator(1, m.LM.Context)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := m.Tok.Chat(nil, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	results, err := g.Run(context.Background(), []llama.Request{{Prompt: prompt, MaxTokens: tokens,
		Sampling: p, Seed: 5}})
	if err != nil {
		t.Fatal(err)
	}
	if got := results[0].Tokens; len(got) == tokens {
		return got
	}
	t.Fatalf("%d tokens came, want %d", len(results[0].Tokens), tokens)
	return nil
}

// lossTol is how far the losses of 50 steps may lie apart.
const lossTol = 1e-3

// TestSameVoices: an expert in the place of the base, and projected, says on the GPU what it says on
// the CPU, and the base is itself again afterwards.
func TestSameVoices(t *testing.T) {
	host, gpu := devices(t)
	said := func(dev *Device, o adapt.VoicesOptions) (all []string) {
		files, err := zoo.Open(zoo.Default)
		if err != nil {
			t.Fatal(err)
		}
		m, err := engine.Open(t.Context(), dev, engine.Source{Name: zoo.Default, Files: files},
			compute.F32)
		if err != nil {
			t.Fatal(err)
		}
		s := engine.NewSession(dev, m, &checkpoint.Memory{})
		s.Adapting = o
		defer s.Free()
		for _, name := range []string{"math", "base", "french"} {
			v, err := s.Voice(name)
			if err != nil {
				t.Fatal(err)
			}
			a, err := s.Generate(t.Context(), v, engine.Request{Prompt: "Where does the dorfin live?",
				MaxTokens: 10})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, a.Text)
		}
		return all
	}
	want := said(host, adapt.VoicesOptions{})
	for _, form := range []adapt.Form{adapt.FormFolded, adapt.FormProjected} {
		got := said(gpu, adapt.VoicesOptions{FoldedOptions: adapt.FoldedOptions{Small: 1}, Form: form})
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q on %s, %q on %s", form, got, gpu.Name(), want, host.Name())
		}
	}
}

// TestSameLosses: 50 steps of pre-training take the same course on the GPU.
func TestSameLosses(t *testing.T) {
	host, gpu := devices(t)
	a, b := pretrain(t, host), pretrain(t, gpu)
	worst := 0.0
	for i := range a {
		d := math.Abs(a[i] - b[i])
		worst = max(worst, d)
		if !(d <= lossTol) {
			t.Fatalf("step %d: the loss is %v on %s, %v on %s", i+1, a[i], host.Name(), b[i],
				gpu.Name())
		}
	}
	t.Logf("losses from %.4f to %.4f, at most %.2g apart", a[0], a[len(a)-1], worst)
	if !(a[len(a)-1] < a[0]-0.5) {
		t.Errorf("the loss went from %v to %v, want it to fall", a[0], a[len(a)-1])
	}
}

// pretrain gives the losses of 50 steps on counting sequences.
func pretrain(t *testing.T, dev compute.Device) []float64 {
	t.Helper()
	const vocab, length, steps = 48, 32, 50
	cfg := train.PretrainConfig{Model: llama.Config{Vocab: vocab, Dim: 32, Hidden: 64, Layers: 2,
		Heads: 4, KVHeads: 2, HeadDim: 8, Context: length, RopeTheta: 10000, Eps: 1e-5, Tied: true},
		Seed: 1, BatchTokens: 8 * length,
		Schedule: train.Schedule{Peak: 1e-2, Final: 1e-3, Warmup: 5, Steps: steps},
		AdamW:    train.AdamW{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, WeightDecay: 0.05, Clip: 1}}
	corpus := func(i int64) train.Example {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		e := train.Example{Tokens: make([]int32, length), Weights: make([]float32, length)}
		at, step := rng.IntN(vocab), 1+rng.IntN(3)
		for k := range length {
			e.Tokens[k], e.Weights[k] = int32((at+k*step)%vocab), 1
		}
		e.Weights[0] = 0
		return e
	}
	p, err := train.NewPretrainer(dev, cfg, corpus, corpus)
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for n := 1; n <= steps; n++ {
		m, err := p.Step(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, m["loss"])
	}
	return losses
}
