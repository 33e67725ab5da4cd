package svf

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Random is an expert of z = 1 + scale·N(0,1): the control that says what any change of that size
// does. It adapts the weights of d that the scope has.
func Random(d *Decomposition, scope Scope, seed uint64, scale float64) *Expert {
	rng := rand.New(rand.NewPCG(seed, 0))
	e := &Expert{Z: map[string][]float32{}, Meta: Meta{
		Parametrisation: Linear, Scope: scope, Base: d.Base, Task: "random", Seed: seed,
		Training: map[string]string{"scale": fmt.Sprint(scale)},
	}}
	for _, m := range d.Matrices {
		if !scope.Has(m.Name) {
			continue
		}
		z := make([]float32, m.R)
		for i := range z {
			z[i] = float32(1 + scale*rng.NormFloat64())
		}
		e.Z[m.Name] = z
	}
	return e
}

// Shuffle permutes the numbers within each vector: the paper's control (its table 5) that keeps
// the sizes of z and loses which singular value each belongs to.
func (e *Expert) Shuffle(seed uint64) *Expert {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := &Expert{Meta: e.Meta.clone(), Z: make(map[string][]float32, len(e.Z))}
	out.Meta.Task = e.Meta.Task + " shuffled"
	for _, name := range e.Names() {
		z := make([]float32, len(e.Z[name]))
		for i, from := range rng.Perm(len(z)) {
			z[i] = e.Z[name][from]
		}
		out.Z[name] = z
	}
	return out
}

// Carry makes the expert one of another base of the same shapes: the i-th number of a vector now
// scales the other weight's i-th singular value (paper, section 4.4 and its table 5: from Llama to
// Mistral). Logits of a SigmoidNuclear expert stay logits.
func (e *Expert) Carry(to *Decomposition, model string) (*Expert, error) {
	if err := e.CheckShapes(to); err != nil {
		return nil, err
	}
	out := &Expert{Meta: e.Meta.clone(), Z: e.Z}
	if out.Meta.Training == nil {
		out.Meta.Training = map[string]string{}
	}
	out.Meta.Training["carried_from"] = fmt.Sprintf("%s (%s)", e.Meta.Model, e.Meta.Base.Short())
	out.Meta.Base, out.Meta.Model = to.Base, model
	return out, nil
}

// Difference compares the z of one weight in two experts, θ = z − 1 in each.
type Difference struct {
	Name   string
	Cosine float64 // of θ_a and θ_b; 0 where either is all zeros
	L2     float64 // |z_a − z_b|
	Max    float64 // the largest |z_a − z_b|, at index MaxAt
	MaxAt  int
}

// Diff compares two experts weight by weight, in the order of CompareNames. A weight that one of
// them leaves alone counts as z = 1 there.
func Diff(a, b *Expert) ([]Difference, error) {
	if err := needLinear(a, b); err != nil {
		return nil, err
	}
	var list []Difference
	for _, name := range Names(a, b) {
		x, y := a.Z[name], b.Z[name]
		if x != nil && y != nil && len(x) != len(y) {
			return nil, fmt.Errorf("svf: %s has %d numbers in expert %q and %d in %q",
				name, len(x), a.Meta.Task, len(y), b.Meta.Task)
		}
		d := Difference{Name: name}
		var xx, yy, xy, sum float64
		for i := range max(len(x), len(y)) {
			tx, ty := theta(x, i), theta(y, i)
			xx, yy, xy = xx+tx*tx, yy+ty*ty, xy+tx*ty
			sum += (tx - ty) * (tx - ty)
			if off := math.Abs(tx - ty); off > d.Max {
				d.Max, d.MaxAt = off, i
			}
		}
		d.L2 = math.Sqrt(sum)
		if xx > 0 && yy > 0 {
			d.Cosine = xy / math.Sqrt(xx) / math.Sqrt(yy)
		}
		list = append(list, d)
	}
	return list, nil
}

// theta is z[i] − 1, 0 for an absent vector.
func theta(z []float32, i int) float64 {
	if z == nil {
		return 0
	}
	return float64(z[i]) - 1
}

// Stat is the size of one weight's z.
type Stat struct {
	Name     string
	Layer    int // -1 where the name is no layer's weight
	Role     Role
	R        int
	MeanAbs  float64 // mean |z − 1|
	L2       float64 // |z − 1|
	Min, Max float32 // of z
}

// Stats measures each weight's z, in the order of CompareNames.
func (e *Expert) Stats() ([]Stat, error) {
	if err := needLinear(e); err != nil {
		return nil, err
	}
	var list []Stat
	for _, name := range e.Names() {
		z := e.Z[name]
		if len(z) == 0 {
			return nil, fmt.Errorf("svf: expert %q: %s has no numbers", e.Meta.Task, name)
		}
		s := Stat{Name: name, Layer: -1, R: len(z), Min: z[0], Max: z[0]}
		if layer, role, ok := ParseName(name); ok {
			s.Layer, s.Role = layer, role
		}
		var sum, squares float64
		for i, v := range z {
			t := theta(z, i)
			sum, squares = sum+math.Abs(t), squares+t*t
			s.Min, s.Max = min(s.Min, v), max(s.Max, v)
		}
		s.MeanAbs, s.L2 = sum/float64(len(z)), math.Sqrt(squares)
		list = append(list, s)
	}
	return list, nil
}
