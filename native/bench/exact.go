package bench

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/sample"
)

// What engines should agree in: how many tokens, and how often in the likeliest one.
const (
	exactTokens   = 64
	exactPrompt   = 16
	wantAgreement = 0.99
	// exactApart is how far logits may be apart where both multiply the same f32: sums in another order.
	// Measured: 0.00003 (15M), 0.00008 (42M), 0.00012 (110M).
	exactApart = 0.0005
)

// agreement is how alike this program and llama.cpp are on one file.
type agreement struct {
	same  int     // greedy tokens up to the first that differs, of exactTokens
	top1  float64 // share of positions of a given text with the same likeliest token
	apart float64 // most that logits differ, over the standard deviation of a position's logits
}

// agree compares the engines, the other one on a file: what they say behind a prompt, and the scores
// that they give on the way through a text.
func (l *llamaCpp) agree(ctx context.Context, m *llama.Model, file, work string, prompt,
	text []int32) (a agreement, err error) {
	g, err := m.NewGenerator(1, len(prompt)+exactTokens+1)
	if err != nil {
		return a, err
	}
	ours, err := g.Run(ctx, []llama.Request{{Prompt: prompt, MaxTokens: exactTokens}})
	if err != nil {
		return a, err
	}
	if err := l.openExact(ctx, file, max(len(text), len(prompt)+exactTokens)+1); err != nil {
		return a, err
	}
	theirs, err := l.greedy(ctx, prompt, exactTokens)
	if err != nil {
		return a, err
	}
	for a.same < exactTokens && ours[0].Tokens[a.same] == theirs[a.same] {
		a.same++
	}
	scores, err := l.logits(ctx, filepath.Join(work, "logits"), text, m.Vocab)
	if err != nil {
		return a, err
	}
	return a, a.score(m, text, scores)
}

// score compares with the other's scores of a text, [len(text) vocab].
func (a *agreement) score(m *llama.Model, text []int32, theirs []float32) error {
	ws, err := m.NewWorkspace(len(text), false)
	if err != nil {
		return err
	}
	var b llama.Batch
	b.Append(text, 0)
	m.Forward(ws, &b, nil)
	same := 0
	var failed error
	m.EachLogits(ws, func(lo, hi int, logits compute.Tensor) {
		host := make([]float32, logits.Len())
		failed = m.Dev.Read(host, logits)
		for i := lo; i < hi && failed == nil; i++ {
			x, y := host[(i-lo)*m.Vocab:][:m.Vocab], theirs[i*m.Vocab:][:m.Vocab]
			if sample.ArgMax(x) == sample.ArgMax(y) {
				same++
			}
			a.apart = max(a.apart, distance(x, y))
		}
	})
	a.top1 = float64(same) / float64(len(text))
	return failed
}

// distance is the greatest difference of x and y over the standard deviation of y.
func distance(x, y []float32) (most float64) {
	var sum, squares float64
	for i, v := range y {
		most = max(most, math.Abs(float64(x[i])-float64(v)))
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	n := float64(len(y))
	return most / math.Sqrt(squares/n-sum/n*sum/n)
}

// exact says whether the engines say and think the same, but for the order of sums.
func (a agreement) exact() bool {
	return a.same == exactTokens && a.top1 >= wantAgreement && a.apart <= exactApart
}

// String says it for people.
func (a agreement) String() string {
	return fmt.Sprintf("%d of %d greedy tokens, %.4f likeliest tokens, logits %.2g apart",
		a.same, exactTokens, a.top1, a.apart)
}

// check says whether the engines agree on a file: with the other on the same numbers widened to f32,
// which is what is computed here, and in a note with the other on the file itself.
func (r *nativeRun) check(ctx context.Context, s nativeShape, f nativeFormat, file string) error {
	name := fmt.Sprintf("exact %s %s, greedy tokens in common", s.name, f.gguf)
	r.say("%s", name)
	if r.why != nil {
		r.emit(Figure{Name: name, Unit: "tokens", Note: "not measured: " + r.why.Error()})
		return nil
	}
	dev, err := r.device(r.threads())
	if err != nil {
		return err
	}
	defer dev.Close()
	m, err := openGGUF(ctx, dev, file, f.held)
	if err != nil {
		return err
	}
	prompt, text := someTokens(exactPrompt, m.LM.Vocab), someTokens(4*exactTokens, m.LM.Vocab)
	as, err := r.peer.agree(ctx, m.LM, file, r.dir, prompt, text)
	if err != nil {
		return err
	}
	wide := as
	if f.held != compute.F32 {
		file, err = r.peer.quantized(ctx, file, f.gguf+"-as-f32", wideFileType)
		if err == nil {
			wide, err = r.peer.agree(ctx, m.LM, file, r.dir, prompt, text)
		}
		if err != nil {
			return err
		}
	}
	r.emit(Figure{Name: name, Unit: "tokens", Value: float64(wide.same), Peer: exactTokens,
		Against: r.peer.version + " on the same numbers in f32", Want: atLeast(1),
		Ratio: float64(wide.same) / exactTokens,
		Note:  fmt.Sprintf("%v; on the file as it is %v", wide, as)})
	return nil
}

// someTokens are n tokens that depend on nothing but n.
func someTokens(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(uint32(i+1) * 2654435761 % uint32(vocab))
	}
	return ids
}
