package llama_test

import (
	"math"

	"transformer2/shared/llama"
)

// oracle is the model in float64, one token at a time, written from the equations in the package
// comment and not from forward.go: the tight reference for logits and losses.
type oracle struct {
	llama.Config
	w map[string][]float64
}

func newOracle(m *llama.Model) (*oracle, error) {
	o := &oracle{Config: m.Config, w: map[string][]float64{}}
	err := m.Export(func(spec llama.TensorSpec, data []float32) error {
		wide := make([]float64, len(data))
		for i, v := range data {
			wide[i] = float64(v)
		}
		o.w[spec.Name] = wide
		return nil
	})
	return o, err
}

func matVec(w, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for i := range y {
		for k, v := range x {
			y[i] += w[i*len(x)+k] * v
		}
	}
	return y
}

func (o *oracle) norm(x, g []float64) []float64 {
	sq := 0.0
	for _, v := range x {
		sq += v * v
	}
	r := 1 / math.Sqrt(sq/float64(len(x))+float64(o.Eps))
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v * r * g[i]
	}
	return y
}

func (o *oracle) rope(x []float64, pos int) {
	half := o.HeadDim / 2
	for h := 0; h < len(x); h += o.HeadDim {
		for i := range half {
			angle := float64(pos) * o.frequency(math.Pow(o.RopeTheta, -2*float64(i)/float64(o.HeadDim)))
			a, b := x[h+i], x[h+half+i]
			x[h+i] = a*math.Cos(angle) - b*math.Sin(angle)
			x[h+half+i] = b*math.Cos(angle) + a*math.Sin(angle)
		}
	}
}

// frequency is f with the scaling, told by wavelengths as Llama 3.1 was published.
func (o *oracle) frequency(f float64) float64 {
	r := o.RopeScaling
	switch r.Kind {
	case "linear":
		return f / r.Factor
	case "llama3":
		wavelength := 2 * math.Pi / f
		switch {
		case wavelength < float64(r.Original)/r.HighFactor:
			return f
		case wavelength > float64(r.Original)/r.LowFactor:
			return f / r.Factor
		}
		smooth := (float64(r.Original)/wavelength - r.LowFactor) / (r.HighFactor - r.LowFactor)
		return (1-smooth)*f/r.Factor + smooth*f
	}
	return f
}

// seen is what the sliding window leaves of the keys or values so far.
func (o *oracle) seen(all [][]float64) [][]float64 {
	if o.Window == 0 || len(all) <= o.Window {
		return all
	}
	return all[len(all)-o.Window:]
}

// logits of every position of one sequence.
func (o *oracle) logits(tokens []int32) [][]float64 {
	embed := o.w["model.embed_tokens.weight"]
	head := embed
	if !o.Tied {
		head = o.w["lm_head.weight"]
	}
	keys, values := make([][][]float64, o.Layers), make([][][]float64, o.Layers)
	var out [][]float64
	for pos, id := range tokens {
		x := append([]float64(nil), embed[int(id)*o.Dim:(int(id)+1)*o.Dim]...)
		for l := range o.Layers {
			name := func(s string) []float64 { return o.w[layerName(l, s)] }
			n := o.norm(x, name("input_layernorm"))
			q, k := matVec(name("self_attn.q_proj"), n), matVec(name("self_attn.k_proj"), n)
			v := matVec(name("self_attn.v_proj"), n)
			o.rope(q, pos)
			o.rope(k, pos)
			keys[l], values[l] = append(keys[l], k), append(values[l], v)
			att := make([]float64, len(q))
			for h := range o.Heads {
				g := h / (o.Heads / o.KVHeads)
				o.attend(att[h*o.HeadDim:(h+1)*o.HeadDim], q[h*o.HeadDim:(h+1)*o.HeadDim],
					o.seen(keys[l]), o.seen(values[l]), g*o.HeadDim)
			}
			for i, y := range matVec(name("self_attn.o_proj"), att) {
				x[i] += y
			}
			n = o.norm(x, name("post_attention_layernorm"))
			gate, up := matVec(name("mlp.gate_proj"), n), matVec(name("mlp.up_proj"), n)
			for i, a := range gate {
				up[i] *= a / (1 + math.Exp(-a))
			}
			for i, y := range matVec(name("mlp.down_proj"), up) {
				x[i] += y
			}
		}
		out = append(out, matVec(head, o.norm(x, o.w["model.norm.weight"])))
	}
	return out
}

func (o *oracle) attend(dst, q []float64, keys, values [][]float64, off int) {
	p, total := make([]float64, len(keys)), 0.0
	for s, k := range keys {
		dot := 0.0
		for i, v := range q {
			dot += v * k[off+i]
		}
		p[s] = math.Exp(dot / math.Sqrt(float64(o.HeadDim)))
		total += p[s]
	}
	for s, v := range values {
		for i := range dst {
			dst[i] += p[s] / total * v[off+i]
		}
	}
}

// nll is −Σ weight·log p(target) of one sequence.
func (o *oracle) nll(tokens []int32, weights []float64) float64 {
	sum := 0.0
	for i, row := range o.logits(tokens[:len(tokens)-1]) {
		total := 0.0
		for _, v := range row {
			total += math.Exp(v)
		}
		sum -= weights[i] * (row[tokens[i+1]] - math.Log(total))
	}
	return sum
}
