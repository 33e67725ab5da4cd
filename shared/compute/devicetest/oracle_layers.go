package devicetest

import "math"

// add: y[i] += x[i].
func add(y, x []float64) answer {
	a := newAnswer(len(y))
	for i := range y {
		a.v[i] = y[i] + x[i]
		a.tol[i] = unit * math.Abs(a.v[i])
	}
	return a
}

// norms is r[t] = 1/√(mean_j x[t,j]² + eps).
func norms(x matrix, eps float64) []float64 {
	r := make([]float64, x.rows)
	for t := range r {
		s := 0.0
		for _, v := range x.row(t) {
			s += v * v
		}
		r[t] = 1 / math.Sqrt(s/float64(x.cols)+eps)
	}
	return r
}

// rmsNorm: y[t,j] = x[t,j]·r[t]·g[j].
func rmsNorm(x matrix, g []float64, eps float64) answer {
	y, r := newAnswer(len(x.v)), norms(x, eps)
	for t := range x.rows {
		for j := range x.cols {
			v := x.at(t, j) * r[t] * g[j]
			y.v[t*x.cols+j], y.tol[t*x.cols+j] = v, math.Abs(v)*(sum(x.cols)+divide)
		}
	}
	return y
}

// rmsNormGrad: dx and dg of RMSNormGrad, added to what they hold.
func rmsNormGrad(dx, dg []float64, dy, x matrix, g []float64, eps float64) (ax, ag answer) {
	ax, ag = newAnswer(len(dx)), newAnswer(len(dg))
	copy(ag.v, dg)
	mags := make([]float64, len(dg))
	for j := range dg {
		mags[j] = math.Abs(dg[j])
	}
	n := float64(x.cols)
	for t, r := range norms(x, eps) {
		mean, mag := 0.0, 0.0 // of u·x
		for j := range x.cols {
			ux := dy.at(t, j) * g[j] * x.at(t, j)
			mean += ux / n
			mag += math.Abs(ux) / n
		}
		for j := range x.cols {
			i := t*x.cols + j
			u := dy.v[i] * g[j]
			ax.v[i] = dx[i] + r*(u-x.v[i]*r*r*mean)
			m := math.Abs(dx[i]) + r*(math.Abs(u)+math.Abs(x.v[i])*r*r*mag)
			ax.tol[i] = m * (2*sum(x.cols) + 3*divide)
		}
		for j := range dg {
			ag.v[j] += dy.at(t, j) * x.at(t, j) * r
			mags[j] += math.Abs(dy.at(t, j) * x.at(t, j) * r)
		}
	}
	for j := range dg {
		ag.tol[j] = mags[j] * (sum(x.cols) + sum(x.rows) + divide)
	}
	return ax, ag
}

// rope: the rotation of RoPE.
func rope(x, cosSin matrix, pos []int32, dim int, inverse bool) answer {
	y := newAnswer(len(x.v))
	half := dim / 2
	for t := range x.rows {
		turn := cosSin.row(int(pos[t]))
		for at := t * x.cols; at < (t+1)*x.cols; at += dim {
			for i := range half {
				c, s := turn[i], turn[half+i]
				if inverse {
					s = -s
				}
				a, b := x.v[at+i], x.v[at+half+i]
				y.v[at+i], y.v[at+half+i] = a*c-b*s, b*c+a*s
				y.tol[at+i] = 2 * unit * (math.Abs(a*c) + math.Abs(b*s))
				y.tol[at+half+i] = 2 * unit * (math.Abs(b*c) + math.Abs(a*s))
			}
		}
	}
	return y
}

func sigmoid(a float64) float64 { return 1 / (1 + math.Exp(-a)) }

// silu bounds: e^−a has its own error where it matters, then a sum and a quotient.
func siluRel(a float64) float64 {
	return exponential(a)*(1-sigmoid(a)) + 2*unit + divide
}

// swiglu: y = silu(gate)∘up. Where e^−a leaves the range of f32, any σ(a) below flush will do.
func swiglu(gate, up []float64) answer {
	y := newAnswer(len(gate))
	for i, a := range gate {
		y.v[i] = a * sigmoid(a) * up[i]
		y.tol[i] = math.Abs(y.v[i])*siluRel(a) + flush*math.Abs(a*up[i])
	}
	return y
}

// swigluGrad: dgate and dup of SwiGLUGrad, silu'(a) = σ(a)·(1 + a·(1−σ(a))).
func swigluGrad(dy, gate, up []float64) (dgate, dup answer) {
	dgate, dup = newAnswer(len(gate)), newAnswer(len(gate))
	for i, a := range gate {
		s := sigmoid(a)
		dup.v[i] = dy[i] * a * s
		dup.tol[i] = math.Abs(dup.v[i])*siluRel(a) + flush*math.Abs(dy[i]*a)
		dgate.v[i] = dy[i] * up[i] * s * (1 + a*(1-s))
		// 1−σ(a) may be a difference of f32 numbers near one, with an error of unit.
		size := (1+math.Abs(a)*(1-s))*2*siluRel(a) + 4*unit*(1+math.Abs(a))
		dgate.tol[i] = math.Abs(dy[i]*up[i])*s*size +
			flush*(1+math.Abs(a))*math.Abs(dy[i]*up[i])
	}
	return dgate, dup
}

// gatherRows: y[t] = table[ids[t]], zeros for an id outside.
func gatherRows(table matrix, ids []int32) []float64 {
	y := make([]float64, len(ids)*table.cols)
	for t, id := range ids {
		if id >= 0 && int(id) < table.rows {
			copy(y[t*table.cols:(t+1)*table.cols], table.row(int(id)))
		}
	}
	return y
}

// scatterAddRows: table[ids[t]] += dy[t] in the order of t, in f32, because the order is part of
// the contract and makes the sum exact to the bit.
func scatterAddRows(table []float32, cols int, dy []float32, ids []int32) []float32 {
	y := append([]float32(nil), table...)
	for t, id := range ids {
		if id < 0 || int(id) >= len(table)/cols {
			continue
		}
		for j := range cols {
			y[int(id)*cols+j] += dy[t*cols+j]
		}
	}
	return y
}

// argMax: the least j with x[j] = max, NaN left out; −1 when all are NaN.
func argMax(x []float32) int {
	best := -1
	for j, v := range x {
		if v == v && (best < 0 || v > x[best]) {
			best = j
		}
	}
	return best
}
