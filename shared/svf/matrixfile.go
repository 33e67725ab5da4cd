package svf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
)

// The metadata of a decomposition file, format 1. Besides these, each matrix has NAME.shape
// ("OUT IN"), NAME.side, NAME.weight (hash of the weight), NAME.digest (hash of the tensors), and
// NAME.arithmetic where its solver's is not f64.
const (
	matrixKind    = "transformer2 svf decomposition"
	matrixVersion = "1"
	left, right   = "left", "right"
)

func side(isLeft bool) string {
	if isLeft {
		return left
	}
	return right
}

// WriteDecomposition writes a safetensors file of two tensors a matrix: NAME.sigma, F64 [R], and
// NAME.basis [R R], held as t (F32, F16 or BF16). A cache's file is one of a single matrix.
func WriteDecomposition(w io.Writer, d *Decomposition, t checkpoint.DType) error {
	meta := map[string]string{
		"kind":           matrixKind,
		"format_version": matrixVersion,
		"base":           d.Base.String(),
	}
	var tensors []checkpoint.Tensor
	for i := range d.Matrices {
		m := &d.Matrices[i]
		vectors, err := m.whole()
		if err != nil {
			return err
		}
		name := stem(m.Name)
		sigma := checkpoint.FromFloat64(name+".sigma", m.Sigma, m.R)
		basis := checkpoint.FromFloat32(name+".basis", t, vectors, m.R, m.R)
		digest, err := digestOf(sigma.Encode, basis.Encode)
		if err != nil {
			return fmt.Errorf("svf: %s: %w", m.Name, err)
		}
		meta[name+".shape"] = fmt.Sprint(m.Out, m.In)
		meta[name+".side"] = side(m.Left)
		meta[name+".weight"] = m.Weight.String()
		meta[name+".digest"] = digest
		if m.Arithmetic != "" {
			meta[name+".arithmetic"] = m.Arithmetic
		}
		tensors = append(tensors, sigma, basis)
	}
	return checkpoint.Write(w, tensors, meta)
}

func digestOf(parts ...func(io.Writer) error) (string, error) {
	h := sha256.New()
	for _, part := range parts {
		if err := part(h); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ReadDecomposition reads what WriteDecomposition writes, from a file of size bytes. A file whose
// numbers are not those that were written, or are no decomposition, is refused.
func ReadDecomposition(r io.ReaderAt, size int64) (*Decomposition, error) {
	return readDecomposition(r, size, true)
}

// readDecomposition leaves the bases, and with them the check of all numbers, to a later reading
// where whole is false.
func readDecomposition(r io.ReaderAt, size int64, whole bool) (*Decomposition, error) {
	f, err := checkpoint.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("svf: reading a decomposition: %w", err)
	}
	meta := f.Metadata()
	if meta["kind"] != matrixKind || meta["format_version"] != matrixVersion {
		return nil, fmt.Errorf("svf: not a decomposition file: kind %q, format %q, want %q, %q",
			meta["kind"], meta["format_version"], matrixKind, matrixVersion)
	}
	d := &Decomposition{}
	if d.Base, err = checkpoint.ParseFingerprint(meta["base"]); err != nil {
		return nil, fmt.Errorf("svf: decomposition file: %w", err)
	}
	names := f.Names()
	for _, tensor := range names {
		name, isSigma := strings.CutSuffix(tensor, ".sigma")
		if !isSigma {
			if base, ok := strings.CutSuffix(tensor, ".basis"); ok &&
				slices.Contains(names, base+".sigma") {
				continue
			}
			return nil, fmt.Errorf("svf: decomposition file: unknown tensor %q", tensor)
		}
		m, err := readMatrix(f, meta, name, whole)
		if err != nil {
			return nil, err
		}
		d.Matrices = append(d.Matrices, *m)
	}
	slices.SortFunc(d.Matrices, func(a, b Matrix) int { return CompareNames(a.Name, b.Name) })
	return d, nil
}

func readMatrix(f *checkpoint.File, meta map[string]string, name string, whole bool) (*Matrix,
	error) {
	m := &Matrix{Name: name + ".weight", Left: meta[name+".side"] == left,
		Arithmetic: meta[name+".arithmetic"]}
	if meta[name+".side"] != side(m.Left) {
		return nil, fmt.Errorf("svf: %s: side %q, want left or right", m.Name, meta[name+".side"])
	}
	if _, err := fmt.Sscanf(meta[name+".shape"]+"\n", "%d %d\n", &m.Out, &m.In); err != nil {
		return nil, fmt.Errorf("svf: %s: shape %q, want OUT IN", m.Name, meta[name+".shape"])
	}
	m.R = min(m.Out, m.In)
	sigma, _ := f.Tensor(name + ".sigma")
	basis, ok := f.Tensor(name + ".basis")
	if !ok || !slices.Equal(sigma.Shape, []int{m.R}) ||
		!slices.Equal(basis.Shape, []int{m.R, m.R}) {
		return nil, fmt.Errorf("svf: %s: sigma is %v and basis is %v, want [%d] and [%d %d]",
			m.Name, sigma, basis, m.R, m.R, m.R)
	}
	var err error
	if m.Weight, err = checkpoint.ParseFingerprint(meta[name+".weight"]); err == nil {
		m.Sigma, err = f.Float64(name + ".sigma")
	}
	if err == nil && whole {
		m.Basis, err = readBasis(f, name, meta[name+".digest"])
	}
	if err != nil {
		return nil, fmt.Errorf("svf: %s: %w", m.Name, err)
	}
	if !whole {
		return m, m.check()
	}
	_, err = m.whole()
	return m, err
}

// readBasis reads a matrix's basis where its numbers are those that were written.
func readBasis(f *checkpoint.File, name, want string) ([]float32, error) {
	section := func(tensor string) func(io.Writer) error {
		return func(w io.Writer) error {
			s, err := f.Section(tensor)
			if err == nil {
				_, err = io.Copy(w, s)
			}
			return err
		}
	}
	digest, err := digestOf(section(name+".sigma"), section(name+".basis"))
	if err != nil {
		return nil, err
	}
	if digest != want {
		return nil, fmt.Errorf("its numbers are not those that were written (digest %.12s, want %.12s)",
			digest, want)
	}
	return f.Float32(name + ".basis")
}
