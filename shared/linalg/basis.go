package linalg

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"transformer2/shared/compute"
)

// Decomposition is one side of W = U diag(σ) Vᵀ, W [Out In]: all that rescaling σ needs.
type Decomposition struct {
	Out, In int
	R       int       // min(Out, In)
	Left    bool      // Basis is U, the output side's (Out ≤ In); else V, the input side's
	Sigma   []float64 // [R] descending
	Basis   []float64 // [R R] row-major, column j is the singular vector of Sigma[j]
}

// Basis decomposes W [out in], row-major, by way of the Gram matrix of its smaller side. Order and
// signs are fixed, so that one z means the same on every machine: σ descends, and the component of
// largest magnitude is positive in each vector (of several within 1e-6 of the largest the first).
// Vectors of equal σ are any orthonormal basis of their space, as in every singular value
// decomposition.
//
// A Gram matrix squares σ and loses what is below 1e-8·σ₁. So σ is measured anew as the norms of
// the rows of Uᵀ W (the columns of W V), to 1e-15·σ₁ absolutely, and the vectors of small σ are
// separated from each other in a second pass (see refine).
//
// NaN or an infinity in w, and a shape that does not fit, are errors.
func Basis(p compute.Dense64, out, in int, w []float32) (Decomposition, error) {
	if out < 0 || in < 0 || len(w) != out*in {
		return Decomposition{}, fmt.Errorf("linalg: Basis: %d numbers, want %d×%d", len(w), out, in)
	}
	for i, v := range w {
		if v-v != 0 { // NaN and infinities
			return Decomposition{}, fmt.Errorf(
				"linalg: Basis: entry (%d, %d) is %v, want a finite number", i/in, i%in, v)
		}
	}
	d := Decomposition{Out: out, In: in, R: min(out, in), Left: out <= in}
	g := Gram(p, out, in, w, d.Left)
	_, basis, err := EigenSym(p, d.R, g, d.R)
	if err != nil {
		return Decomposition{}, err
	}
	d.Basis, d.Sigma = basis, make([]float64, d.R)
	d.measure(p, w, 0)
	if err := d.refine(p, w); err != nil {
		return Decomposition{}, err
	}
	d.arrange(p)
	return d, nil
}

// project calls visit on successive parts m [k len] of M = Bᵀ W (right: Bᵀ Wᵀ), B the columns
// [from, from+k) of the basis and at the place of the part on the other side.
func (d *Decomposition) project(p compute.Dense64, w []float32, from int,
	visit func(at, len int, m []float64)) {
	k, other := d.R-from, max(d.Out, d.In)
	if k == 0 {
		return
	}
	buf := make([]float64, d.R*min(other, GramChunk))
	m := make([]float64, k*min(other, GramChunk))
	for at := 0; at < other; at += GramChunk {
		c := widen(p, d.Out, d.In, w, d.Left, at, min(GramChunk, other-at), buf)
		part := m[:k*c.len]
		clear(part)
		p.Gemm64(k, c.len, d.R, 1, d.Basis[from:], 1, d.R, c.x, c.ns, c.ss, part, c.len)
		visit(at, c.len, part)
	}
}

// measure sets Sigma[i] = |row i of M| from index from on.
func (d *Decomposition) measure(p compute.Dense64, w []float32, from int) {
	sigma := d.Sigma[from:]
	clear(sigma)
	d.project(p, w, from, func(_, n int, m []float64) {
		p.Parallel(len(sigma), 16384/n+1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row := m[i*n : i*n+n]
				sigma[i] += dot(row, row)
			}
		})
	})
	for i, s := range sigma {
		sigma[i] = math.Sqrt(s)
	}
}

// signTie is how close to the largest magnitude a component counts as equal to it: exact ties in
// the mathematics must not be decided by rounding.
const signTie = 1e-6

// arrange sorts by descending σ (stable) and fixes the signs.
func (d *Decomposition) arrange(p compute.Dense64) {
	r := d.R
	order := make([]int, r)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(d.Sigma[b], d.Sigma[a]) })
	sigma := make([]float64, r)
	for j, c := range order {
		sigma[j] = d.Sigma[c]
	}
	sign := d.signs()
	p.Parallel(r, 16384/max(r, 1)+1, func(lo, hi int) {
		old := make([]float64, r)
		for i := lo; i < hi; i++ {
			row := d.Basis[i*r : i*r+r]
			copy(old, row)
			for j, c := range order {
				row[j] = sign[c] * old[c]
			}
		}
	})
	d.Sigma = sigma
}

// signs are those that make the component of largest magnitude positive in each vector.
func (d *Decomposition) signs() []float64 {
	r := d.R
	top := make([]float64, r)
	for i := range r {
		for j, v := range d.Basis[i*r : i*r+r] {
			top[j] = max(top[j], math.Abs(v))
		}
	}
	sign := make([]float64, r)
	for i := range r {
		for j, v := range d.Basis[i*r : i*r+r] {
			if sign[j] == 0 && math.Abs(v) >= (1-signTie)*top[j] {
				sign[j] = math.Copysign(1, v)
			}
		}
	}
	return sign
}

// FixSigns gives the vectors of a decomposition from elsewhere the signs that Basis gives its own.
func (d *Decomposition) FixSigns(p compute.Dense64) {
	sign := d.signs()
	p.Parallel(d.R, 16384/max(d.R, 1)+1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j, s := range sign {
				d.Basis[i*d.R+j] *= s
			}
		}
	})
}
