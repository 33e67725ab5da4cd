package llama

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
)

// EmbedName is the embedding table's name in a checkpoint.
const EmbedName = "model.embed_tokens.weight"

// headName is the head's, where it is not the table.
const headName = "lm_head.weight"

func isResidual(name string) bool {
	return strings.HasSuffix(name, "o_proj.weight") || strings.HasSuffix(name, "down_proj.weight")
}

// isScore tells the matrices whose products are attention scores.
func isScore(name string) bool {
	return strings.HasSuffix(name, "q_proj.weight") || strings.HasSuffix(name, "k_proj.weight")
}

// TensorSpec is a tensor that a checkpoint of a config must hold.
type TensorSpec struct {
	Name       string
	Rows, Cols int // gains are [1 C] here and [C] in files
}

// Tensors lists what a checkpoint holds, in order.
func (c Config) Tensors() []TensorSpec {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	specs := []TensorSpec{{EmbedName, c.Vocab, c.Dim}}
	for i := range c.Layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		specs = append(specs,
			TensorSpec{p + "self_attn.q_proj.weight", q, c.Dim},
			TensorSpec{p + "self_attn.k_proj.weight", kv, c.Dim},
			TensorSpec{p + "self_attn.v_proj.weight", kv, c.Dim},
			TensorSpec{p + "self_attn.o_proj.weight", c.Dim, q},
			TensorSpec{p + "mlp.gate_proj.weight", c.Hidden, c.Dim},
			TensorSpec{p + "mlp.up_proj.weight", c.Hidden, c.Dim},
			TensorSpec{p + "mlp.down_proj.weight", c.Dim, c.Hidden},
			TensorSpec{p + "input_layernorm.weight", 1, c.Dim},
			TensorSpec{p + "post_attention_layernorm.weight", 1, c.Dim})
	}
	specs = append(specs, TensorSpec{"model.norm.weight", 1, c.Dim})
	if !c.Tied {
		specs = append(specs, TensorSpec{headName, c.Vocab, c.Dim})
	}
	return specs
}

// Linears are the matrices of the blocks among the tensors: those that SVF may adapt.
func (c Config) Linears() []TensorSpec {
	return slices.DeleteFunc(c.Tensors(), func(s TensorSpec) bool {
		return !strings.HasSuffix(s.Name, "_proj.weight")
	})
}

// byName finds the matrices, the head among them, and the gains by their names in a checkpoint.
func (m *Model) byName() (map[string]*Linear, map[string]*Norm) {
	linears := map[string]*Linear{}
	for _, l := range append(m.Linears(), &m.Head) {
		linears[l.Name] = l
	}
	norms := map[string]*Norm{}
	for _, n := range m.norms() {
		norms[n.Name] = n
	}
	return linears, norms
}

// Export reads every tensor of m back, in the checkpoint's order.
func (m *Model) Export(emit func(spec TensorSpec, data []float32) error) error {
	for _, spec := range m.Tensors() {
		data, err := m.ReadTensor(spec.Name)
		if err == nil {
			err = emit(spec, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadTensor reads a tensor of the checkpoint back from the device, row-major.
func (m *Model) ReadTensor(name string) ([]float32, error) {
	linears, norms := m.byName()
	if name == EmbedName {
		data := make([]float32, m.Embed.Len())
		return data, m.read(data, m.Embed, m.EmbedMaster)
	}
	if n := norms[name]; n != nil {
		data := make([]float32, n.G.Len())
		return data, m.Dev.Read(data, n.G)
	}
	l := linears[name]
	if l == nil {
		return nil, fmt.Errorf("llama: the model has no tensor %q", name)
	}
	data := make([]float32, l.Out*l.In)
	return data, m.ReadLinear(data, l)
}

// ReadLinear copies the weight of l, as the products see it, to dst [out·in].
func (m *Model) ReadLinear(dst []float32, l *Linear) error { return m.read(dst, l.W, l.Master) }

// readPart is the numbers of a weight that are read back at once: a device need not have room for
// all of them in f32.
var readPart = 1 << 24

// read copies a weight, or its master where there is one, to dst.
func (m *Model) read(dst []float32, w compute.Weight, master compute.Tensor) error {
	if !master.IsZero() {
		return m.Dev.Read(dst, master)
	}
	out, in := w.Dims()
	a := newAllocator(m.Dev)
	defer a.Free()
	most := max(1, min(out, readPart/in))
	t, ids := a.tensor(most, in), a.ints(most)
	if a.err != nil {
		return a.err
	}
	rows := make([]int32, most)
	for lo := 0; lo < out; lo += most {
		n := min(most, out-lo)
		for i := range rows {
			rows[i] = int32(lo + i)
		}
		m.Dev.WriteInts(ids, rows)
		m.Dev.UnpackRows(t.Slice(0, n), w, ids.Slice(0, n))
		if err := m.Dev.Read(dst[lo*in:(lo+n)*in], t.Slice(0, n)); err != nil {
			return err
		}
	}
	return nil
}

// WriteWeights writes m as a safetensors checkpoint: matrices in bf16, gains in f32.
func WriteWeights(w io.Writer, m *Model) error {
	var tensors []checkpoint.Tensor
	err := m.Export(func(spec TensorSpec, data []float32) error {
		if spec.Rows == 1 {
			tensors = append(tensors, checkpoint.FromFloat32(spec.Name, checkpoint.F32, data, spec.Cols))
		} else {
			tensors = append(tensors,
				checkpoint.FromFloat32(spec.Name, checkpoint.BF16, data, spec.Rows, spec.Cols))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkpoint.Write(w, tensors, nil)
}
