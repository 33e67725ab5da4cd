package svf

import (
	"fmt"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
)

// The paper's released code saves experts in three layouts, all of logits (see SigmoidNuclear):
//
//	learnable_params_module_list.{3·layer + 0 gate, 1 up, 2 down}   a state dictionary, [R] each
//	model.layers.3.mlp.gate_proj.weight                             its older files, [R] each
//	weights_{k}_k_model_layers_3_mlp_gate_proj_weight               few-shot: expert k's, [R] each,
//	adaptive_weights                                                and α, [K 1] or [K matrices]
const (
	releasedList  = "learnable_params_module_list."
	releasedAlpha = "adaptive_weights"
)

// IsReleasedMixture reports whether a file is of the third layout, whose z needs σ to be known.
func IsReleasedMixture(src checkpoint.Source) bool {
	_, ok := src.Tensor(releasedAlpha)
	return ok
}

// ReadReleased reads an expert that the released code trained on the base that d describes. The
// logits stay as they are: W' is that code's, z = sigmoid(p) with the factor Σσ/Σ(σ∘z). Number i
// belongs to the i-th largest singular value in both programs. A few-shot mixture becomes plain z
// (MixLogits), for which d must hold σ.
func ReadReleased(src checkpoint.Source, d *Decomposition) (*Expert, error) {
	if IsReleasedMixture(src) {
		return readReleasedMixture(src, d)
	}
	vectors := map[string]string{}
	for _, tensor := range src.Names() {
		name := tensor
		if number, ok := strings.CutPrefix(tensor, releasedList); ok {
			var i int
			if _, err := fmt.Sscanf(number+"\n", "%d\n", &i); err != nil || i < 0 {
				return nil, fmt.Errorf("svf: released expert: vector %.60q has no number", tensor)
			}
			name = Name(i/3, Gate+Role(i%3))
		}
		if _, again := vectors[name]; again {
			return nil, fmt.Errorf("svf: released expert: two vectors for %.60s", name)
		}
		vectors[name] = tensor
	}
	return readLogits(src, d, vectors)
}

// readLogits reads the vectors of an expert, by the weights that they are of.
func readLogits(src checkpoint.Source, d *Decomposition, vectors map[string]string) (*Expert,
	error) {
	e := &Expert{Z: map[string][]float32{}, Meta: Meta{Parametrisation: SigmoidNuclear, Base: d.Base,
		Training: map[string]string{"imported_from": "the paper's released code"}}}
	for name, tensor := range vectors {
		m, known := d.Matrix(name)
		if !known {
			return nil, fmt.Errorf("svf: released expert: vector %.60q is for %.60s, which the model "+
				"has not", tensor, name)
		}
		if info, _ := src.Tensor(tensor); !slices.Equal(info.Shape, []int{m.R}) {
			return nil, fmt.Errorf("svf: released expert: vector %.60q is %v, want [%d] for %s", tensor,
				info, m.R, name)
		}
		e.Z[name] = make([]float32, m.R)
		if err := src.ReadInto(tensor, e.Z[name], checkpoint.Finite); err != nil {
			return nil, fmt.Errorf("svf: released expert: %w", err)
		}
	}
	var err error
	e.Meta.Scope, err = smallestScope(e, d)
	if err != nil {
		return nil, fmt.Errorf("svf: released expert: %w", err)
	}
	return e, e.CheckShapes(d)
}

// smallestScope is the union of the roles' sets that an expert has vectors for. Every layer must
// have them: the released code trains all of a kind.
func smallestScope(e *Expert, d *Decomposition) (Scope, error) {
	var scope Scope
	for _, name := range e.Names() {
		if _, r, ok := ParseName(name); ok {
			scope = scope.Union(mustScope(r.String()))
		}
	}
	for _, s := range []string{"mlp", "attention", "all"} {
		whole := mustScope(s)
		same := !slices.ContainsFunc(d.Matrices, func(m Matrix) bool {
			return whole.Has(m.Name) != scope.Has(m.Name)
		})
		if same {
			return whole, nil
		}
	}
	if scope.IsZero() {
		return scope, fmt.Errorf("it has no vectors")
	}
	return scope, nil
}

func readReleasedMixture(src checkpoint.Source, d *Decomposition) (*Expert, error) {
	info, _ := src.Tensor(releasedAlpha)
	if len(info.Shape) != 2 || info.Len() == 0 {
		return nil, fmt.Errorf("svf: released mixture: %s is %v, want a row an expert", releasedAlpha,
			info)
	}
	flat := make([]float32, info.Len())
	if err := src.ReadInto(releasedAlpha, flat, checkpoint.Finite); err != nil {
		return nil, fmt.Errorf("svf: released mixture: %w", err)
	}
	left := len(src.Names()) - 1
	var experts []*Expert
	var alpha [][]float32
	for row := range slices.Chunk(flat, info.Shape[1]) {
		vectors := map[string]string{}
		prefix := fmt.Sprintf("weights_%d_k_", len(experts))
		for _, m := range d.Matrices {
			tensor := prefix + strings.ReplaceAll(m.Name, ".", "_")
			if _, ok := src.Tensor(tensor); ok {
				vectors[m.Name] = tensor
			}
		}
		left -= len(vectors)
		e, err := readLogits(src, d, vectors)
		if err != nil {
			return nil, err
		}
		e.Meta.Task = fmt.Sprint(len(experts))
		experts, alpha = append(experts, e), append(alpha, row)
	}
	if left != 0 {
		return nil, fmt.Errorf("svf: released mixture: %d of its tensors are for no matrix of the model",
			left)
	}
	e, err := MixLogits(experts, alpha, d)
	if err == nil {
		e.Meta.Training = experts[0].Meta.Training
	}
	return e, err
}

// ArithmeticTorch is that of the decompositions which the released code keeps: torch.svd, in f32.
// A Cache without a solver takes them where it has none in f64.
const ArithmeticTorch = "torch"

// releasedBound is what linalg's Probe of a decomposition by torch must be below. PyTorch 1.13 gives
// up to 1.2e-6 for a side of 64 and 2.5e-6 for 1,024, whether σ are alike or fall by 1e-4; a weight
// that differs by 1e-4 everywhere gives about that.
const releasedBound = 2e-5

// IsReleasedDecomposition reports whether a file holds decompositions: NAME.U, NAME.S and NAME.V.
func IsReleasedDecomposition(src checkpoint.Source) bool {
	return slices.ContainsFunc(src.Names(), func(name string) bool {
		return strings.HasSuffix(name, ".weight.S")
	})
}

// ReadReleasedMatrix reads the decomposition of a weight w [out in] from what the released code
// keeps: NAME.S [R], and of NAME.U [out R] and NAME.V [in R] the smaller. Its order is kept, for
// experts count by it; signs become linalg's, of which W' takes no notice. Factors that are not
// this weight's are refused; residual and orthogonality are linalg's Probe, which takes seconds
// where the decomposition would take minutes.
func ReadReleasedMatrix(p compute.Dense64, src checkpoint.Source, name string, out, in int,
	w []float32) (m Matrix, residual, orthogonality float64, err error) {
	m = Matrix{Name: name, Weight: checkpoint.HashWeight(out, in, w), Out: out, In: in,
		R: min(out, in), Left: out <= in, Arithmetic: ArithmeticTorch}
	side := ".V"
	if m.Left {
		side = ".U"
	}
	sigma, err := releasedTensor(src, name+".S", m.R)
	if err == nil {
		m.Basis, err = releasedTensor(src, name+side, m.R, m.R)
	}
	if err != nil {
		return m, 0, 0, err
	}
	d := linalg.Decomposition{Out: out, In: in, R: m.R, Left: m.Left, Sigma: widened(sigma),
		Basis: widened(m.Basis)}
	d.FixSigns(p)
	m.Sigma = d.Sigma
	for i, v := range d.Basis {
		m.Basis[i] = float32(v)
	}
	if err := m.check(); err != nil {
		return m, 0, 0, err
	}
	residual, orthogonality = d.Probe(p, w)
	if !(residual <= releasedBound && orthogonality <= releasedBound) {
		err = fmt.Errorf("svf: released decomposition: %s is not this model's: residual %.1e, "+
			"orthogonality %.1e, want at most %.0e", name, residual, orthogonality, releasedBound)
	}
	return m, residual, orthogonality, err
}

// releasedTensor reads a tensor of a shape.
func releasedTensor(src checkpoint.Source, name string, shape ...int) ([]float32, error) {
	info, ok := src.Tensor(name)
	if !ok || !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("svf: released decomposition: %.80q is %v, want %v", name, info, shape)
	}
	x := make([]float32, info.Len())
	if err := src.ReadInto(name, x, checkpoint.Finite); err != nil {
		return nil, fmt.Errorf("svf: released decomposition: %w", err)
	}
	return x, nil
}

func widened(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}
