package svf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
)

// Decompose computes the basis and the singular values of a weight w [out in]. Signs and order are
// fixed by linalg, so that z-vectors mean the same on every machine.
func Decompose(p compute.Dense64, name string, out, in int, w []float32) (Matrix, error) {
	d, err := linalg.Basis(p, out, in, w)
	if err != nil {
		return Matrix{}, fmt.Errorf("svf: %s: %w", name, err)
	}
	m := Matrix{Name: name, Weight: checkpoint.HashWeight(out, in, w), Out: out, In: in,
		R: d.R, Left: d.Left, Sigma: d.Sigma, Basis: make([]float32, len(d.Basis))}
	for i, v := range d.Basis {
		m.Basis[i] = float32(v)
	}
	return m, m.check()
}

// Cache keeps decompositions: one file a matrix, named after the weight and the hash of its
// numbers. Each file is whole or absent, so a run that was stopped goes on with the first matrix
// that has none; there is no index that could disagree with the files; and several models may
// share a cache, because the hash keeps their files apart.
type Cache struct {
	Store checkpoint.Store
	Type  checkpoint.DType // of the bases in the files; "" is F32
}

func fileName(name string, weight checkpoint.Fingerprint) string {
	return fmt.Sprintf("%s.%s.svf.safetensors", stem(name), weight.Short())
}

// Load reads the matrix of a weight [out in] with these numbers. Where the cache has none the
// error is an fs.ErrNotExist; a file that is damaged or was made from other numbers is refused.
func (c *Cache) Load(name string, out, in int, weight checkpoint.Fingerprint) (*Matrix, error) {
	file := fileName(name, weight)
	blob, err := c.Store.Open(file)
	if err != nil {
		return nil, fmt.Errorf("svf: cache: %w", err)
	}
	defer blob.Close()
	d, err := ReadDecomposition(blob, blob.Size())
	switch {
	case err != nil:
	case len(d.Matrices) != 1 || d.Matrices[0].Name != name:
		err = fmt.Errorf("svf: it does not hold %s alone", name)
	case d.Matrices[0].Weight != weight:
		err = fmt.Errorf("svf: %s was decomposed from weight %s, this model's is %s",
			name, d.Matrices[0].Weight, weight)
	case d.Matrices[0].Out != out || d.Matrices[0].In != in:
		err = fmt.Errorf("svf: %s is of a weight [%d %d], want [%d %d]",
			name, d.Matrices[0].Out, d.Matrices[0].In, out, in)
	default:
		return &d.Matrices[0], nil
	}
	return nil, fmt.Errorf("%w (cache file %s: delete it to have it computed anew)", err, file)
}

// Save writes the file of a matrix in one step.
func (c *Cache) Save(m *Matrix) error {
	if strings.ContainsAny(m.Name, `/\:`) {
		return fmt.Errorf("svf: cache: weight name %q cannot be a file's", m.Name)
	}
	t := c.Type
	if t == "" {
		t = checkpoint.F32
	}
	one := &Decomposition{Matrices: []Matrix{*m}}
	return c.Store.Create(fileName(m.Name, m.Weight), func(w io.Writer) error {
		return WriteDecomposition(w, one, t)
	})
}

// Matrix loads the matrix of a weight w [out in], or computes and saves it. cached says which.
func (c *Cache) Matrix(p compute.Dense64, name string, out, in int, w []float32) (m Matrix,
	cached bool, err error) {
	if len(w) != out*in {
		return Matrix{}, false, fmt.Errorf("svf: %s: %d numbers, want %d×%d", name, len(w), out, in)
	}
	have, err := c.Load(name, out, in, checkpoint.HashWeight(out, in, w))
	if err == nil {
		return *have, true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Matrix{}, false, err
	}
	m, err = Decompose(p, name, out, in, w)
	if err == nil {
		err = c.Save(&m)
	}
	return m, false, err
}

// Progress reports a matrix of a model: the Done-th of Total.
type Progress struct {
	Name        string
	Done, Total int
	Cached      bool // it was in the cache
}

// Model decomposes a checkpoint's weights within a scope, one at a time: its memory is one weight
// and what is kept so far. Each matrix is in the cache before the next begins. The fingerprint is
// of all linear weights, whatever the scope. report may be nil; where ctx ends, so does the work.
func (c *Cache) Model(ctx context.Context, p compute.Dense64, src checkpoint.Source, scope Scope,
	report func(Progress)) (*Decomposition, error) {
	names, total := linears(src, scope)
	if total == 0 {
		return nil, fmt.Errorf("svf: the checkpoint has no weight in the scope %v", scope)
	}
	d := &Decomposition{}
	hashes := make(map[string]checkpoint.Fingerprint, len(names))
	var w []float32
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, _ := src.Tensor(name)
		if len(info.Shape) != 2 {
			return nil, fmt.Errorf("svf: %s is %v, want a matrix", name, info)
		}
		out, in := info.Shape[0], info.Shape[1]
		w = slices.Grow(w[:0], out*in)[:out*in]
		if err := src.ReadInto(name, w, checkpoint.Finite); err != nil {
			return nil, err
		}
		if !scope.Has(name) {
			hashes[name] = checkpoint.HashWeight(out, in, w)
			continue
		}
		m, cached, err := c.Matrix(p, name, out, in, w)
		if err != nil {
			return nil, err
		}
		hashes[name] = m.Weight
		d.Matrices = append(d.Matrices, m)
		if report != nil {
			report(Progress{Name: name, Done: len(d.Matrices), Total: total, Cached: cached})
		}
	}
	d.Base = checkpoint.HashModel(hashes)
	return d, nil
}

// linears lists all linear weights of a source in order, and how many are in the scope.
func linears(src checkpoint.Source, scope Scope) (names []string, within int) {
	for _, name := range src.Names() {
		if _, _, ok := ParseName(name); ok {
			names = append(names, name)
			if scope.Has(name) {
				within++
			}
		}
	}
	slices.SortFunc(names, CompareNames)
	return names, within
}

// Base is the fingerprint of a model: of all its linear weights.
func Base(src checkpoint.Source) (checkpoint.Fingerprint, error) {
	names, _ := linears(src, Scope{})
	return checkpoint.HashSource(src, names)
}
