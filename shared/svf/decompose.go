package svf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
)

// Decompose computes the basis and the singular values of a weight w [out in]. Signs and order are
// fixed by linalg, so that z-vectors mean the same on every machine.
func Decompose(p compute.Dense64, name string, out, in int, w []float32) (Matrix, error) {
	return DecomposeBy(context.Background(), NewF64(p), name, out, in, w)
}

// DecomposeBy is Decompose by any solver.
func DecomposeBy(ctx context.Context, s Solver, name string, out, in int, w []float32) (Matrix,
	error) {
	m := Matrix{Name: name, Out: out, In: in, R: min(out, in), Left: out <= in}
	var err error
	if m.Sigma, m.Basis, err = s.Solve(ctx, out, in, w); err != nil {
		return Matrix{}, fmt.Errorf("svf: %s: %w", name, err)
	}
	m.Weight = checkpoint.HashWeight(out, in, w)
	if a := s.Arithmetic(); a != ArithmeticF64 {
		m.Arithmetic = a
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
	// Solver finds what is not there; nil: linalg's, in f64. Files of another arithmetic are not
	// seen, and not touched, but for those that were imported: see Load.
	Solver Solver
}

// arithmetic is that of the cache's files, "" for f64.
func (c *Cache) arithmetic() string {
	if c.Solver == nil || c.Solver.Arithmetic() == ArithmeticF64 {
		return ""
	}
	return c.Solver.Arithmetic()
}

// fileName names the arithmetic where it is not f64.
func fileName(name string, weight checkpoint.Fingerprint, arithmetic string) string {
	if arithmetic != "" {
		arithmetic = "." + arithmetic
	}
	return fmt.Sprintf("%s.%s%s.svf.safetensors", stem(name), weight.Short(), arithmetic)
}

// Load reads the matrix of a weight [out in] with these numbers. Where the cache has none the
// error is an fs.ErrNotExist; a file that is damaged or was made from other numbers is refused. A
// cache without a solver also takes what was imported (ArithmeticTorch).
func (c *Cache) Load(name string, out, in int, weight checkpoint.Fingerprint) (*Matrix, error) {
	m, err := c.load(name, out, in, weight, c.arithmetic())
	if c.Solver == nil && errors.Is(err, fs.ErrNotExist) {
		if imported, e := c.load(name, out, in, weight, ArithmeticTorch); !errors.Is(e, fs.ErrNotExist) {
			return imported, e
		}
	}
	return m, err
}

func (c *Cache) load(name string, out, in int, weight checkpoint.Fingerprint, arithmetic string) (
	*Matrix, error) {
	file := fileName(name, weight, arithmetic)
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
	case d.Matrices[0].Arithmetic != arithmetic:
		err = fmt.Errorf("svf: %s was decomposed in %s, want %s", name,
			cmp.Or(d.Matrices[0].Arithmetic, ArithmeticF64), cmp.Or(arithmetic, ArithmeticF64))
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
	if strings.ContainsAny(m.Name+m.Arithmetic, `/\:`) {
		return fmt.Errorf("svf: cache: weight name %q, found in %q, cannot be a file's", m.Name,
			m.Arithmetic)
	}
	t := c.Type
	if t == "" {
		t = checkpoint.F32
	}
	one := &Decomposition{Matrices: []Matrix{*m}}
	return c.Store.Create(fileName(m.Name, m.Weight, m.Arithmetic), func(w io.Writer) error {
		return WriteDecomposition(w, one, t)
	})
}

// Matrix loads the matrix of a weight w [out in], or computes and saves it. cached says which. p
// computes where the cache has no solver.
func (c *Cache) Matrix(ctx context.Context, p compute.Dense64, name string, out, in int,
	w []float32) (m Matrix, cached bool, err error) {
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
	solver := c.Solver
	if solver == nil {
		solver = NewF64(p)
	}
	m, err = DecomposeBy(ctx, solver, name, out, in, w)
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
		m, cached, err := c.Matrix(ctx, p, name, out, in, w)
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
