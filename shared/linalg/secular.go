package linalg

import "math"

// secular is the equation whose roots are the eigenvalues of diag(d) + rho·z zᵀ, with d strictly
// ascending, z without zeros and rho > 0:
//
//	f(λ) = 1/rho + Σ_i z_i²/(d_i − λ) = 0       one root in each (d_j, d_{j+1}), the last above d
//
// f increases between its poles.
type secular struct {
	d, z []float64 // [k]
	rho  float64
}

const (
	// secularTrust is the number of steps in which the interpolations must have converged (four
	// are usual); from then on every second step halves the bracket.
	secularTrust = 10
	secularSteps = 200 // never reached: 7 halvings of the exponent, 53 of the fraction
)

// sums is f at one point, and what the interpolations need of it.
type sums struct {
	f          float64
	dpsi, dphi float64 // Σ z_i²/(d_i − λ)² over the poles i ≤ split, and over those above
	bound      float64 // of the rounding error in f, in units of roundoff
}

// eval computes f at λ = d[o] + mu. All differences d_i − λ come out with full relative precision,
// because the large parts cancel exactly in d_i − d_o. The bound follows the running sums, which
// start far from the root (Li, LAPACK Working Note 89).
func (q *secular) eval(o, split int, mu float64) sums {
	var psi, phi, dpsi, dphi, run float64
	do := q.d[o]
	z := q.z[:split+1]
	for i, d := range q.d[:split+1] {
		t := z[i] / ((d - do) - mu)
		psi += z[i] * t
		dpsi += t * t
		run += math.Abs(psi)
	}
	for i := len(q.d) - 1; i > split; i-- {
		t := q.z[i] / ((q.d[i] - do) - mu)
		phi += q.z[i] * t
		dphi += t * t
		run += math.Abs(phi)
	}
	inv := 1 / q.rho
	return sums{f: inv + phi + psi, dpsi: dpsi, dphi: dphi,
		bound: 8*(math.Abs(psi)+math.Abs(phi)) + run + 2*inv + math.Abs(mu)*(dpsi+dphi)}
}

// root finds eigenvalue j as d[origin] + mu, where origin is the nearer pole, to the precision with
// which f can be computed. evals is how often f was.
func (q *secular) root(j int) (origin int, mu float64, evals int) {
	k := len(q.d)
	if k == 1 {
		return 0, q.rho * q.z[0] * q.z[0], 0
	}
	split := min(j, k-2) // the two poles of the interpolation are split and split+1
	origin, mu, lo, hi := q.start(j, split)
	prev := math.Inf(1)
	fixed := true
	for evals = 1; evals < secularSteps; evals++ {
		at := q.eval(origin, split, mu)
		if math.Abs(at.f) <= roundoff*at.bound {
			break
		}
		if at.f < 0 {
			lo = mu
		} else {
			hi = mu
		}
		if hi-lo <= 4*roundoff*math.Abs(mu) {
			break
		}
		if math.Abs(at.f) > prev/10 {
			fixed = !fixed
		}
		prev = math.Abs(at.f)
		next := mu + q.step(j, split, origin, mu, at, fixed)
		if !(next > lo && next < hi) || evals > secularTrust && evals%2 == 0 {
			next = between(lo, hi)
		}
		mu = next
	}
	return origin, mu, evals + 1
}

// between halves a bracket without zero: in the exponents while these differ, then in the values.
func between(lo, hi float64) float64 {
	if r := hi / lo; r > 4 || r < 0.25 {
		return math.Copysign(math.Sqrt(math.Abs(lo))*math.Sqrt(math.Abs(hi)), hi)
	}
	return lo + (hi-lo)/2
}

// start chooses the origin, a first guess, and a bracket [lo, hi] around mu that leaves the pole
// out. The guess solves the equation with all poles but two replaced by their sum at the middle.
func (q *secular) start(j, split int) (origin int, mu, lo, hi float64) {
	k := len(q.d)
	gap := q.d[split+1] - q.d[split]
	z1, z2 := q.z[split]*q.z[split], q.z[split+1]*q.z[split+1]
	zz := dot(q.z, q.z)
	if j == k-1 {
		lo, hi = q.rho*z2, q.rho*zz*(1+4*roundoff*float64(k))
		mid := hi / 2
		c, f := q.without(j, split, mid)
		a, b := z1+z2-c*gap, z2*gap // c·mu² − a·mu − b = 0
		if r := math.Sqrt(a*a + 4*b*c); c <= 0 {
			mu = hi
		} else if a < 0 {
			mu = 2 * b / (r - a)
		} else {
			mu = (a + r) / (2 * c)
		}
		if f <= 0 {
			lo = max(lo, mid)
		} else {
			hi = mid
		}
		return j, clamp(mu, lo, hi), lo, hi
	}
	c, f := q.without(j, split, gap/2)
	if f > 0 { // the root is in the lower half
		a, b := c*gap+z1+z2, z1*gap // c·mu² − a·mu + b = 0
		if r := math.Sqrt(math.Abs(a*a - 4*b*c)); a > 0 {
			mu = 2 * b / (a + r)
		} else {
			mu = (a - r) / (2 * c)
		}
		lo, hi = z1/(1/q.rho+2*zz/gap), gap/2
		return j, clamp(mu, lo, hi), lo, hi
	}
	a, b := c*gap-z1-z2, z2*gap // c·mu² + a·mu − b = 0, mu < 0 written with its sign
	if r := math.Sqrt(math.Abs(a*a + 4*b*c)); a < 0 {
		mu = 2 * b / (a - r)
	} else {
		mu = -(a + r) / (2 * c)
	}
	lo, hi = -gap/2, -z2*gap/(2*zz)
	return j + 1, clamp(mu, lo, hi), lo, hi
}

// without is f at d[split] + x (at d[split+1] + x for the last root), and c: the same without the
// poles split and split+1.
func (q *secular) without(j, split int, x float64) (c, f float64) {
	do := q.d[j]
	for i, d := range q.d[:split] {
		c += q.z[i] * (q.z[i] / ((d - do) - x))
	}
	for i := len(q.d) - 1; i > split+1; i-- {
		c += q.z[i] * (q.z[i] / ((q.d[i] - do) - x))
	}
	c += 1 / q.rho
	f = c
	for i := split; i <= split+1; i++ {
		f += q.z[i] * (q.z[i] / ((q.d[i] - do) - x))
	}
	return c, f
}

func clamp(x, lo, hi float64) float64 {
	if !(x > lo) { // also NaN
		return lo
	}
	return min(x, hi)
}

// step is the correction to mu that solves the interpolation
//
//	f(λ) ≈ c + p/(d_split − λ) + q/(d_{split+1} − λ)
//
// which agrees with f and its slope at mu. The fixed-weight form keeps z² of the origin's pole,
// the middle way fits each side of the root by itself (Li; Bunch, Nielsen and Sorensen).
func (q *secular) step(j, split, o int, mu float64, at sums, fixed bool) float64 {
	d1, d2 := (q.d[split]-q.d[o])-mu, (q.d[split+1]-q.d[o])-mu
	gap := q.d[split+1] - q.d[split]
	slope := at.dpsi + at.dphi
	var c float64
	switch {
	case !fixed || j == len(q.d)-1:
		c = at.f - d1*at.dpsi - d2*at.dphi
	case o == split:
		t := q.z[o] / d1
		c = at.f - d2*slope + gap*t*t
	default:
		t := q.z[o] / d2
		c = at.f - d1*slope - gap*t*t
	}
	last := j == len(q.d)-1
	if last { // beyond both poles f has a root to the right only if c > 0
		c = math.Abs(c)
	}
	a := (d1+d2)*at.f - d1*d2*slope
	b := d1 * d2 * at.f
	r := math.Sqrt(math.Abs(a*a - 4*b*c)) // c·eta² − a·eta + b = 0
	var eta float64
	switch {
	case last && a >= 0:
		eta = (a + r) / (2 * c)
	case last:
		eta = 2 * b / (a - r)
	case a <= 0:
		eta = (a - r) / (2 * c)
	default:
		eta = 2 * b / (a + r)
	}
	if !(at.f*eta < 0) { // the wrong way, or NaN: Newton
		eta = -at.f / slope
	}
	return eta
}
