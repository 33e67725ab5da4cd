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
	"transformer2/shared/linalg"
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
	_, err = m.whole()
	return m, err
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
	// Known are fingerprints of weights by name: one of these whose decomposition is in the store is
	// not read again.
	Known map[string]checkpoint.Fingerprint
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
	return c.load(name, out, in, weight, true)
}

// load is Load of a whole matrix, or of one whose basis is left in the store.
func (c *Cache) load(name string, out, in int, weight checkpoint.Fingerprint, whole bool) (*Matrix,
	error) {
	m, err := load(c.Store, name, out, in, weight, c.arithmetic(), whole)
	if c.Solver == nil && errors.Is(err, fs.ErrNotExist) {
		imported, e := load(c.Store, name, out, in, weight, ArithmeticTorch, whole)
		if !errors.Is(e, fs.ErrNotExist) {
			return imported, e
		}
	}
	return m, err
}

func load(store checkpoint.Store, name string, out, in int, weight checkpoint.Fingerprint,
	arithmetic string, whole bool) (*Matrix, error) {
	file := fileName(name, weight, arithmetic)
	blob, err := store.Open(file)
	if err != nil {
		return nil, fmt.Errorf("svf: cache: %w", err)
	}
	defer blob.Close()
	d, err := readDecomposition(blob, blob.Size(), whole)
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

// Found says how Matrix came by a decomposition.
type Found struct {
	Cached bool // it was in the store; else it was computed, and Quality is what it is
	linalg.Quality
}

// mostError bounds what a solver's basis may be off before it is kept. In f64, rounded to f32, it
// is 1e-7, on a GPU some 1e-6; a basis that is none is off by 1e-2 and more.
const mostError = 1e-4

// Matrix loads the matrix of a weight w [out in], or computes, checks and saves it. p computes
// where the cache has no solver.
func (c *Cache) Matrix(ctx context.Context, p compute.Dense64, name string, out, in int,
	w []float32) (m Matrix, f Found, err error) {
	if len(w) != out*in {
		return m, f, fmt.Errorf("svf: %s: %d numbers, want %d×%d", name, len(w), out, in)
	}
	have, err := c.Load(name, out, in, checkpoint.HashWeight(out, in, w))
	if err == nil {
		return *have, Found{Cached: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return m, f, err
	}
	solver := c.Solver
	if solver == nil {
		solver = NewF64(p)
	}
	if m, err = DecomposeBy(ctx, solver, name, out, in, w); err != nil {
		return m, f, err
	}
	f.Quality = m.Quality(p, w)
	if e := f.Worst(); !(e <= mostError) {
		return m, f, fmt.Errorf("svf: %s: what was computed is no basis: residual %.1e, orthogonality "+
			"%.1e, want at most %.0e", name, f.Residual, f.Orthogonality, mostError)
	}
	return m, f, c.Save(&m)
}

// Quality measures how good the basis that m holds is for its weight w.
func (m *Matrix) Quality(p compute.Dense64, w []float32) linalg.Quality {
	return linalg.Probe(p, m.Out, m.In, w, m.Sigma, m.Basis)
}

// release leaves the basis to the store, if that has it: one that keeps nothing is no reason to
// fail.
func (c *Cache) release(m *Matrix) {
	blob, err := c.Store.Open(fileName(m.Name, m.Weight, m.Arithmetic))
	if err != nil {
		return
	}
	blob.Close()
	m.Basis, m.kept = nil, c.Store
}

// Progress reports a matrix of a model: the Done-th of Total.
type Progress struct {
	Name        string
	Done, Total int
	Cached      bool // it was in the cache
}

// Model decomposes a checkpoint's weights within a scope, one at a time: its memory is one weight
// and its basis, for those that it gives are left in the store (see Matrix.Vectors). Each matrix is
// in the cache before the next begins. The fingerprint is of all linear weights, whatever the
// scope. report may be nil; where ctx ends, so does the work.
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
		m, f, err := c.of(ctx, p, src, name, scope.Has(name), &w)
		if err != nil {
			return nil, err
		}
		hashes[name] = m.Weight
		if !scope.Has(name) {
			continue
		}
		c.release(&m)
		d.Matrices = append(d.Matrices, m)
		if report != nil {
			report(Progress{Name: name, Done: len(d.Matrices), Total: total, Cached: f.Cached})
		}
	}
	d.Base = checkpoint.HashModel(hashes)
	return d, nil
}

// of is Matrix for a weight of a source, which is read into w where it has to be. One out of scope
// is only hashed.
func (c *Cache) of(ctx context.Context, p compute.Dense64, src checkpoint.Source, name string,
	within bool, w *[]float32) (m Matrix, f Found, err error) {
	info, _ := src.Tensor(name)
	if len(info.Shape) != 2 {
		return m, f, fmt.Errorf("svf: %s is %v, want a matrix", name, info)
	}
	out, in := info.Shape[0], info.Shape[1]
	if known, ok := c.Known[name]; ok {
		if !within {
			return Matrix{Weight: known}, f, nil
		}
		if have, err := c.load(name, out, in, known, false); err == nil {
			have.kept = c.Store // which Vectors reads
			return *have, Found{Cached: true}, nil
		}
	}
	*w = slices.Grow((*w)[:0], out*in)[:out*in]
	if err := src.ReadInto(name, *w, checkpoint.Finite); err != nil {
		return m, f, err
	}
	if !within {
		return Matrix{Weight: checkpoint.HashWeight(out, in, *w)}, f, nil
	}
	return c.Matrix(ctx, p, name, out, in, *w)
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
