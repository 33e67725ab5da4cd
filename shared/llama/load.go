package llama

import (
	"fmt"
	"slices"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
)

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

// LoadWeights fills a frozen model from a checkpoint. The host holds some rows of a matrix at a
// time, or one tensor where the source is no checkpoint.Ranger.
func (m *Model) LoadWeights(src checkpoint.Source) error {
	return m.loadTensors(src, m.Tensors())
}

// loadTensors is LoadWeights of some tensors.
func (m *Model) loadTensors(src checkpoint.Source, specs []TensorSpec) error {
	if err := m.CheckTensors(src); err != nil {
		return err
	}
	parts, ok := src.(checkpoint.Ranger)
	if !ok {
		return m.fill(specs, wholly(func(name string) ([]float32, error) {
			info, _ := src.Tensor(name)
			data := make([]float32, info.Len())
			return data, src.ReadInto(name, data)
		}))
	}
	return m.fill(specs, func(spec TensorSpec) (reader, error) {
		info, _ := src.Tensor(spec.Name)
		rows := func(lo int, rows []float32) error {
			return parts.ReadRange(spec.Name, lo*spec.Cols, rows, checkpoint.Finite)
		}
		if info.DType != checkpoint.BF16 || spec.Cols%2 != 0 {
			return reader{rows: rows}, nil
		}
		return reader{rows, func(lo int, part []byte) error {
			if err := parts.ReadBytes(spec.Name, lo*spec.Cols, part); err != nil {
				return err
			}
			if !checkpoint.FiniteBF16(part) { // rows says which is not
				return rows(lo, make([]float32, len(part)/2))
			}
			return nil
		}}, nil
	})
}

// Load fills a frozen model from read, which gives the numbers of a named tensor, row-major.
// A length that does not fit or a number that is not finite is refused by name.
func (m *Model) Load(read func(name string) ([]float32, error)) error {
	return m.fill(m.Tensors(), wholly(read))
}

// wholly reads the rows of a tensor from all of its numbers.
func wholly(read func(name string) ([]float32, error)) func(spec TensorSpec) (reader, error) {
	return func(spec TensorSpec) (reader, error) {
		data, err := read(spec.Name)
		if err == nil && len(data) != spec.Rows*spec.Cols {
			err = fmt.Errorf("llama: tensor %q holds %d numbers, want %d×%d", spec.Name, len(data),
				spec.Rows, spec.Cols)
		}
		if err == nil {
			err = checkpoint.CheckFinite(spec.Name, data, checkpoint.Finite)
		}
		return reader{rows: func(lo int, rows []float32) error {
			copy(rows, data[lo*spec.Cols:])
			return nil
		}}, err
	}
}

// reader gives the rows of a tensor from row lo on, and as bytes of bf16 where it has those.
type reader struct {
	rows  func(lo int, rows []float32) error
	bytes func(lo int, rows []byte) error
}

// fill packs tensors of a frozen model.
func (m *Model) fill(specs []TensorSpec, open func(spec TensorSpec) (reader, error)) error {
	linears, norms := m.byName()
	for _, spec := range specs {
		from, err := open(spec)
		if err != nil {
			return err
		}
		if n := norms[spec.Name]; n != nil {
			gain := make([]float32, spec.Cols)
			if err := from.rows(0, gain); err != nil {
				return err
			}
			m.Dev.Write(n.G, gain)
		}
		var to []compute.Weight // two, where the head is the table in another type
		if spec.Name == EmbedName {
			to = append(to, m.Embed)
		}
		if l := linears[spec.Name]; l != nil && l.W != m.Embed {
			to = append(to, l.W)
		}
		for _, w := range to {
			if from.bytes != nil && w.Type() == compute.BF16 {
				err = m.Dev.PackBytes(w, from.bytes)
			} else {
				err = m.Dev.PackFrom(w, from.rows)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
