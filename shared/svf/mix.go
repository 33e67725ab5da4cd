package svf

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Share is one expert's part of a mixture.
type Share struct {
	Name  string
	Alpha float32
}

// ParseMix reads a mixture such as "math=0.7,code=0.3", in the order given. Whether the names
// exist is for the caller to say.
func ParseMix(s string) ([]Share, error) {
	if strings.TrimSpace(s) == "" {
		return nil, fmt.Errorf("svf: mixture is empty, want NAME=NUMBER,NAME=NUMBER and so on")
	}
	var shares []Share
	for _, text := range strings.Split(s, ",") {
		name, number, ok := strings.Cut(text, "=")
		name, number = strings.TrimSpace(name), strings.TrimSpace(number)
		if !ok || name == "" {
			return nil, fmt.Errorf("svf: mixture %q: %q is not NAME=NUMBER", s, text)
		}
		alpha, err := strconv.ParseFloat(number, 32)
		switch {
		case err != nil || math.IsNaN(alpha) || math.IsInf(alpha, 0):
			return nil, fmt.Errorf("svf: mixture %q: %s's share %q is not a number",
				s, name, number)
		case alpha < 0:
			return nil, fmt.Errorf("svf: mixture %q: %s's share %v is negative", s, name, alpha)
		case slices.ContainsFunc(shares, func(o Share) bool { return o.Name == name }):
			return nil, fmt.Errorf("svf: mixture %q: %s appears twice", s, name)
		}
		shares = append(shares, Share{name, float32(alpha)})
	}
	return shares, nil
}

// PerExpert is one weight α an expert, for Mix.
func PerExpert(alpha ...float32) [][]float32 {
	rows := make([][]float32, len(alpha))
	for i, a := range alpha {
		rows[i] = []float32{a}
	}
	return rows
}

// Mix combines experts of one base, each given as z-vectors:
//
//	z = 1 + Σₖ αₖ (zₖ − 1)
//
// A weight that an expert leaves alone has z = 1 there. alpha[k] is expert k's one α, or one for
// each of Names(experts...) in that order. α = 0 is the base and a one-hot α is that expert,
// exactly. The paper mixes z' = Σ αₖ zₖ (its section 3.2); both agree where Σ αₖ = 1.
func Mix(experts []*Expert, alpha [][]float32) (*Expert, error) {
	if err := needLinear(experts...); err != nil {
		return nil, err
	}
	mix, names, err := newMix(experts, alpha)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		sum, rest, err := combine(experts, alpha, name, i)
		if err != nil {
			return nil, err
		}
		z := make([]float32, len(sum))
		for j := range z {
			// (1−Σα) + Σ αz instead of 1 + Σ α(z−1): no digit of a z near 0 is lost, and in f64
			// a one-hot α gives z itself.
			z[j] = float32(rest + sum[j])
		}
		mix.Z[name] = z
	}
	return mix, mix.checkNumbers()
}

// MixLogits combines SigmoidNuclear experts as the paper's released code does in its few-shot
// search: logits are mixed as they are, without the sigmoid, and rescaled to the nuclear norm:
//
//	z = Σₖ αₖ pₖ      z̃ = z·Σσ/Σ(σ∘z)
//
// A one-hot α does not reproduce the expert, α = 0 has no meaning and is refused, and only the
// ratios of the α matter. It is here to reproduce that code; Mix of Effective experts is the sound
// way. d gives the singular values.
func MixLogits(experts []*Expert, alpha [][]float32, d *Decomposition) (*Expert, error) {
	for _, e := range experts {
		if e.Meta.Parametrisation != SigmoidNuclear {
			return nil, fmt.Errorf("svf: expert %q holds %s parameters, want %s logits",
				e.Meta.Task, e.Meta.Parametrisation, SigmoidNuclear)
		}
	}
	mix, names, err := newMix(experts, alpha)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		m, ok := d.Matrix(name)
		if !ok {
			return nil, fmt.Errorf("svf: the model has no decomposed weight %s", name)
		}
		sum, _, err := combine(experts, alpha, name, i)
		if err != nil {
			return nil, err
		}
		norm, err := keepNuclear(sum, m.Sigma)
		if err != nil {
			return nil, fmt.Errorf("%w (%s of a mixture of logits)", err, name)
		}
		z := make([]float32, len(sum))
		for j := range z {
			z[j] = float32(norm.factor * sum[j])
		}
		mix.Z[name] = z
	}
	mix.Meta.Parametrisation = Linear
	return mix, mix.checkNumbers()
}

// newMix checks that the experts go together and begins their mixture.
func newMix(experts []*Expert, alpha [][]float32) (*Expert, []string, error) {
	if len(experts) == 0 || len(alpha) != len(experts) {
		return nil, nil, fmt.Errorf("svf: mixing %d experts with %d rows of α",
			len(experts), len(alpha))
	}
	names := Names(experts...)
	first := experts[0].Meta
	meta := Meta{Parametrisation: first.Parametrisation, Scope: first.Scope, Base: first.Base,
		Model: first.Model}
	tasks := make([]string, len(experts))
	for k, e := range experts {
		if e.Meta.Base != first.Base {
			return nil, nil, fmt.Errorf("svf: expert %q is of base %s, expert %q of base %s",
				e.Meta.Task, e.Meta.Base.Short(), first.Task, first.Base.Short())
		}
		if n := len(alpha[k]); n != 1 && n != len(names) {
			return nil, nil, fmt.Errorf("svf: expert %q has %d α, want 1 or %d",
				e.Meta.Task, n, len(names))
		}
		if i := firstNonFinite(alpha[k]); i >= 0 {
			return nil, nil, fmt.Errorf("svf: expert %q: α %d is %v", e.Meta.Task, i, alpha[k][i])
		}
		meta.Scope = meta.Scope.Union(e.Meta.Scope)
		tasks[k] = e.Meta.Task
		if len(alpha[k]) == 1 {
			tasks[k] = fmt.Sprintf("%s=%v", e.Meta.Task, alpha[k][0])
		}
	}
	meta.Task = strings.Join(tasks, ",")
	return &Expert{Meta: meta, Z: make(map[string][]float32, len(names))}, names, nil
}

// combine is Σₖ αₖ zₖ of weight i of the mixture over the experts that have it, and 1 − Σₖ αₖ of
// these experts.
func combine(experts []*Expert, alpha [][]float32, name string, i int) ([]float64, float64, error) {
	var sum []float64
	rest := 1.0
	for k, e := range experts {
		z, ok := e.Z[name]
		if !ok {
			continue
		}
		if sum == nil {
			sum = make([]float64, len(z))
		}
		if len(z) != len(sum) {
			return nil, 0, fmt.Errorf("svf: expert %q: %s has %d numbers, another expert's has %d",
				e.Meta.Task, name, len(z), len(sum))
		}
		a := float64(alpha[k][min(i, len(alpha[k])-1)])
		rest -= a
		for j := range z {
			sum[j] += a * float64(z[j])
		}
	}
	return sum, rest, nil
}
