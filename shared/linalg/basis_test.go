package linalg

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// weight is a W [out in] by name; spectra of trained weights are near "normal" and "power law".
type weight struct {
	name string
	make func(out, in int, rng *rand.Rand) []float32
}

func entries(f func(i, j int, rng *rand.Rand) float64) func(int, int, *rand.Rand) []float32 {
	return func(out, in int, rng *rand.Rand) []float32 {
		w := make([]float32, out*in)
		for i := range w {
			w[i] = float32(f(i/in, i%in, rng))
		}
		return w
	}
}

// spectrum is A diag(f(i, r)) B with normal A and B, rounded to float32.
func spectrum(f func(i, r int) float64) func(int, int, *rand.Rand) []float32 {
	return func(out, in int, rng *rand.Rand) []float32 {
		r := min(out, in)
		a, b := make([]float64, out*r), make([]float64, r*in)
		for i := range a {
			a[i] = rng.NormFloat64() * f(i%r, r)
		}
		for i := range b {
			b[i] = rng.NormFloat64()
		}
		c := make([]float64, out*in)
		Plain{}.Gemm64(out, in, r, 1, a, r, 1, b, in, 1, c, in)
		w := make([]float32, out*in)
		for i, v := range c {
			w[i] = float32(v)
		}
		return w
	}
}

var weights = []weight{
	{"normal", entries(func(_, _ int, r *rand.Rand) float64 { return r.NormFloat64() })},
	{"power law", spectrum(func(i, r int) float64 { return 1 / float64(1+i) })},
	{"geometric to 1e-9", spectrum(func(i, r int) float64 {
		return math.Pow(1e-9, float64(i)/float64(max(r-1, 1)))
	})},
	{"one towers", spectrum(func(i, r int) float64 {
		if i == 0 {
			return 1e4
		}
		return 1
	})},
	{"rank 2", entries(func(i, j int, _ *rand.Rand) float64 {
		return float64(i+1) + float64(j%3) // exact in float32
	})},
	{"zero", entries(func(_, _ int, _ *rand.Rand) float64 { return 0 })},
	{"identity", entries(func(i, j int, _ *rand.Rand) float64 {
		if i == j {
			return 1
		}
		return 0
	})},
	{"graded rows", entries(func(i, _ int, r *rand.Rand) float64 {
		return r.NormFloat64() * math.Pow(10, -float64(i)/4)
	})},
	{"1e30", entries(func(_, _ int, r *rand.Rand) float64 { return 1e30 * r.NormFloat64() })},
	{"1e-40", entries(func(_, _ int, r *rand.Rand) float64 { return 1e-40 * r.NormFloat64() })},
	{"signs", entries(func(_, _ int, r *rand.Rand) float64 { return float64(2*r.IntN(2) - 1) })},
}

var shapes = [][2]int{{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 5}, {5, 1}, {2, 3}, {4, 4}, {33, 10},
	{10, 33}, {65, 65}, {100, 150}, {150, 100}, {40, 1100}, {1100, 30}}

func eachWeight(t *testing.T, f func(t *testing.T, out, in int, w []float32)) {
	for _, k := range weights {
		t.Run(k.name, func(t *testing.T) {
			for _, s := range shapes {
				t.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(t *testing.T) {
					f(t, s[0], s[1], k.make(s[0], s[1], newRand(uint64(s[0]+s[1]))))
				})
			}
		})
	}
}

// floats widens w.
func floats(w []float32) []float64 {
	x := make([]float64, len(w))
	for i, v := range w {
		x[i] = float64(v)
	}
	return x
}

// subtractProduct: x −= U diag(σ∘z) Vᵀ.
func subtractProduct(x []float64, d Decomposition, u, v []float64, z func(k int) float64) {
	us := slices.Clone(u)
	for i := range us {
		us[i] *= d.Sigma[i%d.R] * z(i%d.R)
	}
	Plain{}.Gemm64(d.Out, d.In, d.R, -1, us, d.R, 1, v, 1, d.R, x, d.In)
}

func TestBasisProperties(t *testing.T) {
	eachWeight(t, func(t *testing.T, out, in int, w []float32) {
		d, err := Basis(Plain{}, out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		r := min(out, in)
		if d.Out != out || d.In != in || d.R != r || d.Left != (out <= in) || len(d.Sigma) != r ||
			len(d.Basis) != r*r {
			t.Fatalf("%d×%d: got %d×%d, R %d, left %v, %d σ, %d numbers", out, in, d.Out, d.In, d.R,
				d.Left, len(d.Sigma), len(d.Basis))
		}
		for i, s := range d.Sigma {
			if !(s >= 0) || i > 0 && s > d.Sigma[i-1] {
				t.Errorf("σ[%d] = %v after %v", i, s, d.Sigma[max(i-1, 0)])
			}
		}
		if o := d.Orthogonality(Plain{}); !(o <= bound(r)) {
			t.Errorf("orthogonality %.1e, want at most %.1e", o, bound(r))
		}
		if res := d.Residual(Plain{}, w); !(res <= bound(r)) {
			t.Errorf("residual %.1e, want at most %.1e", res, bound(r))
		}
		for j := range r {
			var top float64
			for i := range r {
				if v := d.Basis[i*r+j]; math.Abs(v) > math.Abs(top)*(1+2*signTie) {
					top = v
				}
			}
			if top <= 0 {
				t.Errorf("the largest component of vector %d is %v, want it positive", j, top)
			}
		}
	})
}

// relOther bounds U diag(σ) Vᵀ against W, relative to σ₁: what is lost when V, computed from small
// σ, is made orthonormal. Measured 8e-15 at worst over all weights and shapes.
const relOther = 1e-13

func TestOther(t *testing.T) {
	eachWeight(t, func(t *testing.T, out, in int, w []float32) {
		d, err := Basis(Plain{}, out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		r, n := d.R, max(out, in)
		o := d.Other(Plain{}, w)
		if r == 0 {
			return
		}
		g := make([]float64, r*r)
		Plain{}.Gemm64(r, r, n, 1, o, 1, r, o, r, 1, g, r)
		for i := range r {
			g[i*r+i]--
		}
		if e := nanMax(g); !(e <= bound(n)) {
			t.Errorf("orthogonality %.1e, want at most %.1e", e, bound(n))
		}
		u, v := d.Basis, o
		if !d.Left {
			u, v = o, d.Basis
		}
		x := floats(w)
		subtractProduct(x, d, u, v, func(int) float64 { return 1 })
		if e := nanMax(x); !(e <= relOther*d.Sigma[0]) {
			t.Errorf("|W − UΣVᵀ| is %.1e of σ₁, want at most %.0e", e/d.Sigma[0], relOther)
		}
	})
}

// relScaled bounds (I + U diag(z−1) Uᵀ) W against U diag(σz) Vᵀ, relative to σ₁, for z in [−1, 2).
// Measured 6e-15 at worst.
const relScaled = 1e-13

// What SVF rests on: one basis is enough.
func TestOneBasisScales(t *testing.T) {
	eachWeight(t, func(t *testing.T, out, in int, w []float32) {
		d, err := Basis(Plain{}, out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		r := d.R
		if r == 0 {
			return
		}
		rng := newRand(3)
		z := make([]float64, r)
		for i := range z {
			z[i] = 3*rng.Float64() - 1
		}
		// S = I + B diag(z−1) Bᵀ [r r]; W' = S W or W S.
		scaled, s := make([]float64, r*r), make([]float64, r*r)
		for i := range scaled {
			scaled[i] = d.Basis[i] * (z[i%r] - 1)
			if i%(r+1) == 0 {
				s[i] = 1
			}
		}
		Plain{}.Gemm64(r, r, r, 1, scaled, r, 1, d.Basis, 1, r, s, r)
		got := make([]float64, out*in)
		u, v := d.Basis, d.Other(Plain{}, w)
		if d.Left {
			Plain{}.Gemm64(out, in, out, 1, s, r, 1, floats(w), in, 1, got, in)
		} else {
			Plain{}.Gemm64(out, in, in, 1, floats(w), in, 1, s, r, 1, got, in)
			u, v = v, u
		}
		subtractProduct(got, d, u, v, func(k int) float64 { return z[k] })
		if e := nanMax(got); !(e <= relScaled*d.Sigma[0]) {
			t.Errorf("the forms differ by %.1e of σ₁, want at most %.0e", e/d.Sigma[0], relScaled)
		}
	})
}

// jacobiSVD is the one-sided Jacobi method on the rows of a [r n], r ≤ n: σ descending.
func jacobiSVD(r, n int, a []float64) []float64 {
	for range 30 {
		var off float64
		for p := range r {
			for q := p + 1; q < r; q++ {
				x, y := a[p*n:p*n+n], a[q*n:q*n+n]
				alpha, beta, gamma := dot(x, x), dot(y, y), dot(x, y)
				if gamma == 0 {
					continue
				}
				off = max(off, math.Abs(gamma)/math.Sqrt(alpha*beta))
				zeta := (beta - alpha) / (2 * gamma)
				t := math.Copysign(1/(math.Abs(zeta)+math.Hypot(1, zeta)), zeta)
				c := 1 / math.Hypot(1, t)
				s := c * t
				for i := range x {
					x[i], y[i] = c*x[i]-s*y[i], s*x[i]+c*y[i]
				}
			}
		}
		if off < 1e-15 {
			break
		}
	}
	sigma := make([]float64, r)
	for i := range sigma {
		sigma[i] = math.Sqrt(dot(a[i*n:i*n+n], a[i*n:i*n+n]))
	}
	slices.Sort(sigma)
	slices.Reverse(sigma)
	return sigma
}

func TestBasisAgainstJacobi(t *testing.T) {
	for _, k := range weights {
		for _, s := range [][2]int{{1, 1}, {2, 5}, {10, 10}, {33, 40}, {60, 60}} {
			w := k.make(s[0], s[1], newRand(9))
			d, err := Basis(Plain{}, s[0], s[1], w)
			if err != nil {
				t.Fatal(err)
			}
			want := jacobiSVD(s[0], s[1], floats(w))
			for i, v := range d.Sigma {
				if !(math.Abs(v-want[i]) <= bound(s[0])*want[0]) {
					t.Errorf("%s %v: σ[%d] = %v, Jacobi %v", k.name, s, i, v, want[i])
				}
			}
		}
	}
}

func TestBasisAgainstGonum(t *testing.T) {
	for _, s := range [][2]int{{40, 70}, {70, 40}, {90, 90}} {
		out, in := s[0], s[1]
		w := weights[0].make(out, in, newRand(4))
		d, err := Basis(Plain{}, out, in, w)
		if err != nil {
			t.Fatal(err)
		}
		var svd mat.SVD
		if !svd.Factorize(mat.NewDense(out, in, floats(w)), mat.SVDThin) {
			t.Fatal("gonum failed")
		}
		sigma := svd.Values(nil)
		var b mat.Dense
		if d.Left {
			svd.UTo(&b)
		} else {
			svd.VTo(&b)
		}
		for j, v := range d.Sigma {
			if !(math.Abs(v-sigma[j]) <= bound(d.R)*sigma[0]) {
				t.Errorf("%v: σ[%d] = %v, gonum %v", s, j, v, sigma[j])
			}
			var cos float64
			for i := range d.R {
				cos += d.Basis[i*d.R+j] * b.At(i, j)
			}
			if math.Abs(math.Abs(cos)-1) > 1e-12 { // the gaps of these three allow for 1e-13
				t.Errorf("%v: vector %d is turned from gonum's: cosine %v", s, j, cos)
			}
		}
	}
}

func TestBasisIgnoresThreads(t *testing.T) {
	for _, s := range [][2]int{{150, 700}, {700, 150}, {260, 260}} {
		w := weights[2].make(s[0], s[1], newRand(1))
		a, err := Basis(Plain{}, s[0], s[1], w)
		if err != nil {
			t.Fatal(err)
		}
		other := a.Other(Plain{}, w)
		for seed := range uint64(3) {
			p := threaded{rng: newRand(seed)}
			b, err := Basis(p, s[0], s[1], w)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a.Sigma, b.Sigma) || !slices.Equal(a.Basis, b.Basis) ||
				!slices.Equal(other, b.Other(p, w)) {
				t.Errorf("%v: other bits with the split of seed %d", s, seed)
			}
		}
	}
}

// A basis that is not that of W must show.
func TestResidualSeesErrors(t *testing.T) {
	for _, s := range [][2]int{{20, 30}, {30, 20}} {
		w := weights[0].make(s[0], s[1], newRand(2))
		for name, spoil := range map[string]func(*Decomposition){
			"σ":         func(d *Decomposition) { d.Sigma[3] *= 1 + 1e-8 },
			"component": func(d *Decomposition) { d.Basis[7] += 1e-8 },
			"NaN":       func(d *Decomposition) { d.Basis[7] = math.NaN() },
			"turn": func(d *Decomposition) {
				for i := range d.R {
					row := d.Basis[i*d.R:]
					row[0], row[5] = row[0]-1e-8*row[5], row[5]+1e-8*row[0]
				}
			},
		} {
			d, err := Basis(Plain{}, s[0], s[1], w)
			if err != nil {
				t.Fatal(err)
			}
			spoil(&d)
			if res := d.Residual(Plain{}, w); res < 1e-10 {
				t.Errorf("%v, %s spoiled by 1e-8: residual %.1e", s, name, res)
			}
			if o := d.Orthogonality(Plain{}); (name == "component" || name == "NaN") && o < 1e-10 {
				t.Errorf("%v, %s spoiled by 1e-8: orthogonality %.1e", s, name, o)
			}
		}
	}
}

func TestBasisRejects(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		bad := float32(v)
		w := make([]float32, 12)
		w[5] = bad
		if _, err := Basis(Plain{}, 3, 4, w); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
	for _, s := range [][2]int{{3, 5}, {-3, -4}, {0, 4}} {
		if _, err := Basis(Plain{}, s[0], s[1], make([]float32, 12)); err == nil {
			t.Errorf("12 numbers as %v: no error", s)
		}
	}
}
