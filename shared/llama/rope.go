package llama

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// RopeScaling stretches rotary positions beyond the context that a model was first trained for,
// under the names of config.json. The zero value does nothing. The kinds are "linear" and "llama3".
type RopeScaling struct {
	Kind       string  `json:"rope_type"`
	Factor     float64 `json:"factor"`
	LowFactor  float64 `json:"low_freq_factor,omitempty"`
	HighFactor float64 `json:"high_freq_factor,omitempty"`
	Original   int     `json:"original_max_position_embeddings,omitempty"`
	// Divisors, if set, are what each of the D/2 frequencies is divided by, as a GGUF holds them; the
	// other fields are then not looked at.
	Divisors []float32 `json:"-"`
}

// IsZero reports whether nothing is stretched.
func (r RopeScaling) IsZero() bool { return r.Kind == "" && len(r.Divisors) == 0 }

// UnmarshalJSON reads a rope_scaling, whose kind older files call "type".
func (r *RopeScaling) UnmarshalJSON(data []byte) error {
	type plain RopeScaling
	file := struct {
		*plain
		Old string `json:"type"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	if r.Kind == "" {
		r.Kind = file.Old
	}
	if r.Kind == "default" {
		*r = RopeScaling{}
	}
	return nil
}

func (r RopeScaling) validate(half int) error {
	positive := func(name string, v float64) error {
		if v > 0 && !math.IsInf(v, 0) {
			return nil
		}
		return fmt.Errorf("rope_scaling: %s is %g, want a positive number", name, v)
	}
	switch {
	case len(r.Divisors) > 0:
		if len(r.Divisors) != half {
			return fmt.Errorf("rope_scaling: %d divisors, want %d", len(r.Divisors), half)
		}
		for _, d := range r.Divisors {
			if err := positive("a divisor", float64(d)); err != nil {
				return err
			}
		}
		return nil
	case r.Kind == "":
		return nil
	case r.Kind == "linear":
		return positive("factor", r.Factor)
	case r.Kind != "llama3":
		return fmt.Errorf("rope_scaling of type %.40q, want linear or llama3", r.Kind)
	case r.HighFactor <= r.LowFactor:
		return fmt.Errorf("rope_scaling: high_freq_factor %g is not above low_freq_factor %g",
			r.HighFactor, r.LowFactor)
	}
	for _, f := range []struct {
		name string
		v    float64
	}{{"factor", r.Factor}, {"low_freq_factor", r.LowFactor},
		{"original_max_position_embeddings", float64(r.Original)}} {
		if err := positive(f.name, f.v); err != nil {
			return err
		}
	}
	return nil
}

// RopeDivisors are what the D/2 frequencies are divided by; nil where by nothing. For llama3, with
// the wavelength λ = 2π/f and how often it fits into the original context, n = original/λ:
//
//	n < low: factor    n > high: 1    between: 1/((1−s)/factor + s), s = (n − low)/(high − low)
func (c Config) RopeDivisors() []float64 {
	r := c.RopeScaling
	if r.IsZero() {
		return nil
	}
	divisors := make([]float64, c.HeadDim/2)
	for i := range divisors {
		switch {
		case len(r.Divisors) > 0:
			divisors[i] = float64(r.Divisors[i])
		case r.Kind == "linear":
			divisors[i] = r.Factor
		default:
			n := float64(r.Original) * c.ropeFrequency(i) / (2 * math.Pi)
			s := min(1, max(0, (n-r.LowFactor)/(r.HighFactor-r.LowFactor)))
			divisors[i] = 1 / ((1-s)/r.Factor + s)
		}
	}
	return divisors
}

// Named is c with its divisors, as a GGUF holds them, under the names that a config.json has for
// them: linear, or llama3 with the bounds 1 and 4 of every Llama so far. Others have no name there.
func (c Config) Named() (Config, error) {
	divisors := c.RopeScaling.Divisors
	if len(divisors) == 0 {
		return c, nil
	}
	factor, low := float64(slices.Max(divisors)), float64(slices.Min(divisors))
	r := RopeScaling{Kind: "linear", Factor: factor}
	if low != factor {
		r = RopeScaling{Kind: "llama3", Factor: factor, LowFactor: 1, HighFactor: 4}
		for i, d := range divisors { // one between tells the original context
			if s := (1/float64(d) - 1/factor) / (1 - 1/factor); s > 0 && s < 1 {
				n := s*(r.HighFactor-r.LowFactor) + r.LowFactor
				r.Original = int(math.Round(2 * math.Pi * n / c.ropeFrequency(i)))
			}
		}
	}
	named := c
	named.RopeScaling = r
	if err := r.validate(len(divisors)); err != nil {
		return c, fmt.Errorf("config.json has no name for the model's rope divisors: %w", err)
	}
	for i, d := range named.RopeDivisors() {
		if math.Abs(d/float64(divisors[i])-1) > 1e-6 { // they are rounded to f32
			return c, fmt.Errorf("config.json has no name for the model's rope divisors: the %d-th is %g, "+
				"as %s by %g it were %g", i, divisors[i], r.Kind, factor, d)
		}
	}
	return named, nil
}

// ropeFrequency is the angle that pair i of a head turns by from one position to the next.
func (c Config) ropeFrequency(i int) float64 {
	return math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
}

// ropeTable is cos in the first half of a row and sin in the second, one row a position.
func ropeTable(c Config) []float32 {
	half := c.HeadDim / 2
	divisors := c.RopeDivisors()
	if divisors == nil {
		divisors = slices.Repeat([]float64{1}, half)
	}
	turns := make([]float64, half) // a position
	for i := range turns {
		turns[i] = c.ropeFrequency(i) / divisors[i]
	}
	table := make([]float32, c.Context*c.HeadDim)
	for pos := range c.Context {
		row := table[pos*c.HeadDim:]
		for i, turn := range turns {
			angle := float64(pos) * turn
			row[i], row[half+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	return table
}
