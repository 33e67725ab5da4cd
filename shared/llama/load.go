package llama

import (
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
)

// loadRows fills tensors of a frozen model, some rows of a matrix at a time: what is in memory
// besides the weights is a few rows for each of the processors.
func (m *Model) loadRows(p compute.Packer, src checkpoint.Ranger, specs []TensorSpec) error {
	linears, norms := m.byName()
	for _, spec := range specs {
		l, n := linears[spec.Name], norms[spec.Name]
		embed := spec.Name == EmbedName
		read := func(lo int, rows []float32) error {
			err := src.ReadRange(spec.Name, lo*spec.Cols, rows, checkpoint.Finite)
			if err == nil && embed {
				m.Dev.Write(m.Embed.Slice(lo, lo+len(rows)/spec.Cols), rows)
			}
			return err
		}
		var err error
		info, _ := src.Tensor(spec.Name)
		switch {
		case l != nil && !embed && l.W.Type() == compute.BF16 && info.DType == checkpoint.BF16 &&
			spec.Cols%2 == 0:
			err = p.PackBytes(l.W, func(lo int, rows []byte) error {
				if err := src.ReadBytes(spec.Name, lo*spec.Cols, rows); err != nil {
					return err
				}
				if !checkpoint.FiniteBF16(rows) { // read says which is not
					return read(lo, make([]float32, len(rows)/2))
				}
				return nil
			})
		case l != nil:
			err = p.PackFrom(l.W, read)
		case embed:
			err = inRows(spec, read)
		case n != nil:
			gain := make([]float32, spec.Cols)
			if err = read(0, gain); err == nil {
				m.Dev.Write(n.G, gain)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inRows has read give a tensor some rows at a time.
func inRows(spec TensorSpec, read func(lo int, rows []float32) error) error {
	const numbers = 1 << 18 // at a time
	buf := make([]float32, max(numbers/spec.Cols, 1)*spec.Cols)
	for lo := 0; lo < spec.Rows; {
		n := min(len(buf)/spec.Cols, spec.Rows-lo)
		if err := read(lo, buf[:n*spec.Cols]); err != nil {
			return err
		}
		lo += n
	}
	return nil
}
