package linalg

import (
	"math"

	"transformer2/shared/compute"
)

const (
	// otherBlock is how many vectors are made orthogonal to all before them at once.
	otherBlock = 32
	// collapsed is the length below which what is left of a unit vector, after the part along the
	// others is taken away, is not worth keeping.
	collapsed = 0.1
)

// Other returns the singular vectors of the side that Basis leaves out, [n R] row-major with
// n = max(Out, In), one a column, so that W = U diag(σ) Vᵀ:
//
//	left: V = Wᵀ U / σ   [In R]        right: U = W V / σ   [Out R]
//
// made orthonormal, the vectors of large σ first, so that they change least. Where σ is rounding
// error the vector is any that completes the set. SVF does not need them; they are for looking at.
func (d *Decomposition) Other(p compute.Dense64, w []float32) []float64 {
	r, n := d.R, max(d.Out, d.In)
	x := make([]float64, r*n) // row j: vector j
	d.project(p, w, 0, func(at, count int, m []float64) {
		for j := range r {
			for s, v := range m[j*count : j*count+count] {
				x[j*n+at+s] = v / d.Sigma[j] // not finite where σ is 0: replaced below
			}
		}
	})
	valid := 0
	for noise := d.noise(); valid < r && d.Sigma[valid] > noise; valid++ {
	}
	o := orthonormal{p: p, n: n, x: x, load: make([]float64, n)}
	for lo := 0; lo < valid; lo += otherBlock {
		o.block(lo, min(lo+otherBlock, valid))
	}
	for j := valid; j < r; j++ {
		o.complete(j, j)
	}
	out := make([]float64, n*r)
	p.Parallel(n, 16384/max(r, 1)+1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j := range r {
				out[i*r+j] = x[j*n+i]
			}
		}
	})
	return out
}

// orthonormal makes the rows of x [·, n] orthonormal, in their order.
type orthonormal struct {
	p    compute.Dense64
	n    int
	x    []float64
	load []float64 // [n] Σ_j x[j][i]² over the finished rows
}

func (o *orthonormal) row(j int) []float64 { return o.x[j*o.n : j*o.n+o.n] }

// block finishes rows [lo, hi): twice against all before, then within (Gram and Schmidt; twice is
// enough, W. Kahan).
func (o *orthonormal) block(lo, hi int) {
	for range 2 {
		o.project(lo, hi, lo)
	}
	for j := lo; j < hi; j++ {
		v := o.row(j)
		for range 2 {
			for q := lo; q < j; q++ {
				subtract(v, o.row(q), dot(v, o.row(q)))
			}
		}
		if length := math.Sqrt(dot(v, v)); !(length > collapsed) {
			o.complete(j, j)
		} else {
			o.finish(j, length)
		}
	}
}

// project takes from rows [lo, hi) their parts along rows [0, k).
func (o *orthonormal) project(lo, hi, k int) {
	c, n := hi-lo, o.n
	if k == 0 {
		return
	}
	s := make([]float64, c*k)
	o.p.Gemm64(c, k, n, 1, o.x[lo*n:], n, 1, o.x, 1, n, s, k)
	o.p.Gemm64(c, n, k, -1, s, k, 1, o.x, n, 1, o.x[lo*n:], n)
}

// complete replaces row j by a unit vector orthogonal to rows [0, k): the rest of the coordinate
// axis that these fill least. Its square is at least 1 − k/n before the projections.
func (o *orthonormal) complete(j, k int) {
	axis := 0
	for i, l := range o.load {
		if l < o.load[axis] {
			axis = i
		}
	}
	v := o.row(j)
	clear(v)
	v[axis] = 1
	var length float64
	for range 3 {
		o.project(j, j+1, k)
		length = math.Sqrt(dot(v, v))
		for i := range v {
			v[i] /= length
		}
	}
	o.finish(j, 1)
}

// finish normalises row j and counts it.
func (o *orthonormal) finish(j int, length float64) {
	for i, v := range o.row(j) {
		v /= length
		o.x[j*o.n+i] = v
		o.load[i] += v * v
	}
}
