package linalg

import (
	"math"
	"math/rand/v2"

	"transformer2/shared/compute"
)

// Quality is how good a basis is, as Probe finds it.
type Quality struct {
	Residual      float64 // |G B g − B σ² g| / |B σ² g|, G the Gram matrix of the basis's side
	Orthogonality float64 // |BᵀB g − g| / |g|
}

// Worst is the larger of both; a NaN is larger than any number.
func (q Quality) Worst() float64 { return larger(q.Residual, q.Orthogonality) }

// probes is how many random vectors g are tried at once. The square of |E g| is that of |E|F in
// the mean, whatever E is.
const probes = 4

// several are numbers of a vector each.
type several [probes]float64

func (s *several) add(f float64, x *several) {
	s[0] += f * x[0]
	s[1] += f * x[1]
	s[2] += f * x[2]
	s[3] += f * x[3]
}

// Probe is Probe of the decomposition.
func (d *Decomposition) Probe(p compute.Dense64, w []float32) Quality {
	return Probe(p, d.Out, d.In, w, d.Sigma, d.Basis)
}

// Probe measures a basis [r r] and sigma [r] of W [out in] against a few random vectors g, the same
// every time: what Residual and Orthogonality find in all directions at the price of another
// decomposition, it finds in some at that of reading W twice. It estimates |E|F/|D|F, where D is
// what the matrix should be and E what it is off by, and so sees a weight that differs a little
// everywhere, as a fine-tuned one does.
func Probe[T float32 | float64](p compute.Dense64, out, in int, w []float32, sigma []float64,
	basis []T) Quality {
	r := min(out, in)
	rng := rand.New(rand.NewPCG(1, 1))
	g, scaled := make([]several, r), make([]several, r)
	for j := range g {
		for i := range g[j] {
			g[j][i] = rng.NormFloat64()
		}
		scaled[j].add(sigma[j]*sigma[j], &g[j])
	}
	x := times(p, r, r, basis, g)
	var gram []several
	if out <= in {
		gram = times(p, out, in, w, timesT(p, out, in, w, x))
	} else {
		gram = timesT(p, out, in, w, times(p, out, in, w, x))
	}
	return Quality{offBy(gram, times(p, r, r, basis, scaled)), offBy(timesT(p, r, r, basis, x), g)}
}

// offBy is |got − want| / |want|, all vectors together; 0 where both vanish.
func offBy(got, want []several) float64 {
	var off, all float64
	for j := range want {
		for i, v := range want[j] {
			d := got[j][i] - v
			off += d * d
			all += v * v
		}
	}
	if off == 0 {
		return 0
	}
	return math.Sqrt(off / all)
}

// times is A x for A [rows cols] and x [cols].
func times[T float32 | float64](p compute.Dense64, rows, cols int, a []T, x []several) []several {
	y := make([]several, rows)
	p.Parallel(rows, grainLevel2/(probes*cols+1)+1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			var s several
			for j, v := range a[i*cols : i*cols+cols] {
				s.add(float64(v), &x[j])
			}
			y[i] = s
		}
	})
	return y
}

// timesT is Aᵀ x for A [rows cols] and x [rows]. Threads share the columns, so no sum depends on
// them.
func timesT[T float32 | float64](p compute.Dense64, rows, cols int, a []T, x []several) []several {
	y := make([]several, cols)
	p.Parallel(cols, grainLevel2/(probes*rows+1)+64, func(lo, hi int) {
		for i := range rows {
			xi := x[i]
			for j, v := range a[i*cols+lo : i*cols+hi] {
				y[lo+j].add(float64(v), &xi)
			}
		}
	})
	return y
}
