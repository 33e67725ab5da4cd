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

// Load fills a frozen model from read, which gives the numbers of a named tensor, row-major.
// A length that does not fit or a number that is not finite is refused by name.
func (m *Model) Load(read func(name string) ([]float32, error)) error {
	return m.fill(m.Tensors(), func(spec TensorSpec,
		part func(row int, data []float32) error) error {
		data, err := read(spec.Name)
		if err == nil && len(data) != spec.Rows*spec.Cols {
			err = fmt.Errorf("llama: tensor %q holds %d numbers, want %d×%d", spec.Name, len(data),
				spec.Rows, spec.Cols)
		}
		if err != nil {
			return err
		}
		return part(0, data)
	})
}

// fill writes tensors of a frozen model. read hands over the rows of a tensor, in order and in as
// many parts as it likes.
func (m *Model) fill(specs []TensorSpec, read func(spec TensorSpec,
	part func(row int, data []float32) error) error) error {
	linears, norms := m.byName()
	largest := 0
	for _, spec := range specs {
		if linears[spec.Name] != nil {
			largest = max(largest, spec.Rows*spec.Cols)
		}
	}
	plain, err := m.Dev.NewTensor(1, largest) // every matrix is packed from here
	if err != nil {
		return err
	}
	defer m.Dev.Free(plain.Buf)
	for _, spec := range specs {
		var to []compute.Tensor
		if spec.Name == EmbedName {
			to = append(to, m.Embed)
		}
		l := linears[spec.Name]
		if l != nil {
			to = append(to, plain.Reshape(l.Out, l.In))
		}
		if n := norms[spec.Name]; n != nil {
			to = append(to, n.G)
		}
		err := read(spec, func(row int, data []float32) error {
			if err := checkNumbers(spec, row, data); err != nil {
				return err
			}
			for _, t := range to {
				m.Dev.Write(t.Slice(row, row+len(data)/spec.Cols), data)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if l != nil {
			m.Dev.Pack(l.W, to[len(to)-1])
			if err := m.Dev.Submit(); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNumbers refuses what is not finite in the rows from row on.
func checkNumbers(spec TensorSpec, row int, data []float32) error {
	for i, v := range data {
		if v-v != 0 { // NaN − NaN and Inf − Inf are NaN
			return fmt.Errorf("llama: tensor %q: number %d is %v, want a finite one", spec.Name,
				row*spec.Cols+i, v)
		}
	}
	return nil
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
		return data, m.Dev.Read(data, m.Embed)
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
func (m *Model) ReadLinear(dst []float32, l *Linear) error {
	if !l.Master.IsZero() {
		return m.Dev.Read(dst, l.Master)
	}
	t, err := m.Dev.NewTensor(l.Out, l.In)
	if err != nil {
		return err
	}
	defer m.Dev.Free(t.Buf)
	m.Dev.Unpack(t, l.W)
	return m.Dev.Read(dst, t)
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

// CheckTensors says whether a checkpoint holds every tensor of the config in its shape.
func (c Config) CheckTensors(src checkpoint.Source) error {
	for _, spec := range c.Tensors() {
		want := []int{spec.Rows, spec.Cols}
		if spec.Rows == 1 {
			want = want[1:]
		}
		info, ok := src.Tensor(spec.Name)
		if !ok {
			return fmt.Errorf("llama: the checkpoint has no tensor %q %v", spec.Name, want)
		}
		if !slices.Equal(info.Shape, want) {
			return fmt.Errorf("llama: tensor %q is %v, want %v", spec.Name, info.Shape, want)
		}
	}
	return nil
}

// tablePart is the numbers of the embedding and of the head that are read at once: those of a
// large vocabulary, in f32, are the largest memory that loading would take.
const tablePart = 16 << 20

// LoadWeights fills a frozen model from a checkpoint. The host holds one matrix of a layer at a
// time, and of the embedding and the head a part; less where the device packs rows.
func (m *Model) LoadWeights(src checkpoint.Source) error {
	return m.loadParts(src, m.Tensors(), tablePart)
}

// Reload fills the matrices of these names, which a checkpoint has as LoadWeights found them, once
// more. Where it fails they are undefined.
func (m *Model) Reload(src checkpoint.Source, names ...string) error {
	specs := slices.DeleteFunc(m.Config.Linears(), func(s TensorSpec) bool {
		return !slices.Contains(names, s.Name)
	})
	if len(specs) != len(names) {
		return fmt.Errorf("llama: to load %d matrices again: the model has %d of them", len(names),
			len(specs))
	}
	return m.loadParts(src, specs, tablePart)
}

// loadParts loads some tensors with so many numbers of a table at once.
func (m *Model) loadParts(src checkpoint.Source, specs []TensorSpec, most int) error {
	if err := m.CheckTensors(src); err != nil {
		return err
	}
	parts, ranged := src.(checkpoint.Ranger)
	if p, ok := compute.As[compute.Packer](m.Dev); ok && ranged {
		return m.loadRows(p, parts, specs)
	}
	var data []float32 // one memory serves all
	return m.fill(specs, func(spec TensorSpec, part func(row int, data []float32) error) error {
		rows := spec.Rows
		if ranged && (spec.Name == EmbedName || spec.Name == headName) {
			rows = max(1, min(rows, most/spec.Cols))
		}
		for row := 0; row < spec.Rows; row += rows {
			n := min(rows, spec.Rows-row) * spec.Cols
			data = slices.Grow(data[:0], n)[:n]
			var err error
			if n < spec.Rows*spec.Cols {
				err = parts.ReadRange(spec.Name, row*spec.Cols, data)
			} else {
				err = src.ReadInto(spec.Name, data)
			}
			if err == nil {
				err = part(row, data)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
