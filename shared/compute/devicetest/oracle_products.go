package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// matrix is row-major [rows cols] in float64.
type matrix struct {
	rows, cols int
	v          []float64
}

func (m matrix) at(i, j int) float64 { return m.v[i*m.cols+j] }
func (m matrix) row(i int) []float64 { return m.v[i*m.cols : (i+1)*m.cols] }

// gemm: c[i,j] = Σ_k op(a,b) + c0[i,j]; c0 may be nil.
func gemm(o compute.Orientation, a, b matrix, c0 []float64) answer {
	m, k, n := a.rows, a.cols, b.rows
	switch o {
	case compute.NN:
		n = b.cols
	case compute.TN:
		m, k, n = a.cols, a.rows, b.cols
	}
	c := newAnswer(m * n)
	for i := range m {
		for j := range n {
			var s, mag float64
			for p := range k {
				var x float64
				switch o {
				case compute.NT:
					x = a.v[i*a.cols+p] * b.v[j*b.cols+p]
				case compute.NN:
					x = a.v[i*a.cols+p] * b.v[p*b.cols+j]
				case compute.TN:
					x = a.v[p*a.cols+i] * b.v[p*b.cols+j]
				}
				s += x
				mag += math.Abs(x)
			}
			if c0 != nil {
				s += c0[i*n+j]
				mag += math.Abs(c0[i*n+j])
			}
			c.v[i*n+j], c.tol[i*n+j] = s, mag*sum(k)
		}
	}
	return c
}

// scaleCols: y[t,j] = x[t,j]·z[r(t),j].
func scaleCols(x, z matrix, rows []int32) answer {
	y := newAnswer(len(x.v))
	for t := range x.rows {
		r := 0
		if rows != nil {
			r = int(rows[t])
		}
		for j := range x.cols {
			v := x.at(t, j) * z.at(r, j)
			y.v[t*x.cols+j], y.tol[t*x.cols+j] = v, unit*math.Abs(v)
		}
	}
	return y
}

// colDot: d[j] += Σ_t a[t,j]·b[t,j].
func colDot(d []float64, a, b matrix) answer {
	y := newAnswer(len(d))
	for j := range d {
		s, mag := d[j], math.Abs(d[j])
		for t := range a.rows {
			s += a.at(t, j) * b.at(t, j)
			mag += math.Abs(a.at(t, j) * b.at(t, j))
		}
		y.v[j], y.tol[j] = s, mag*sum(a.rows)
	}
	return y
}

// oneHot is a gap between the two largest scores at which e^−gap is 0 in f32, so that softmax is 0
// and 1 exactly: the denormal numbers end at e^−104.
const oneHot = 110

// soft is the softmax of one query row over its span, with the error bounds that follow.
type soft struct {
	p      []float64 // weights over the span
	prel   []float64 // relative error of each weight
	lse    float64   // log Σ exp of the scaled scores
	lseTol float64
}

// attend scores one query head q [Dim] against the keys [lo, hi) of the head at column kv.
func attend(q []float64, k matrix, kv, lo, hi int, h compute.Heads) soft {
	n, scale := hi-lo, float64(h.Scale)
	s := soft{p: make([]float64, n), prel: make([]float64, n), lse: math.Inf(-1)}
	if n == 0 {
		return s
	}
	score := 0.0 // absolute error of a score
	top := math.Inf(-1)
	for i := range n {
		var dot, mag float64
		for d := range h.Dim {
			x := q[d] * k.at(lo+i, kv*h.Dim+d)
			dot += x
			mag += math.Abs(x)
		}
		s.p[i] = scale * dot
		score = max(score, math.Abs(scale)*mag*sum(h.Dim))
		top = max(top, s.p[i])
	}
	total, mean, second := 0.0, 0.0, math.Inf(-1)
	for i := range n {
		if s.p[i] < top {
			second = max(second, s.p[i])
		}
		s.prel[i] = exponential(s.p[i]-top) + unit*(math.Abs(s.p[i])+math.Abs(top))
		s.p[i] = math.Exp(s.p[i] - top)
		total += s.p[i]
		mean += s.p[i] * s.prel[i]
	}
	mean = mean/total + sum(n)
	for i := range n {
		s.p[i] /= total
		s.prel[i] += 2*score + mean + divide
	}
	if total == 1 && second < top-4*score-oneHot { // whatever the scores' errors are
		clear(s.prel)
		mean = 0
	}
	s.lse = top + math.Log(total)
	s.lseTol = score + mean + logarithm(math.Log(total)) + 2*unit*math.Abs(s.lse)
	return s
}

// attention: o [T Q·Dim] and lse [T Q] of Attention.
func attention(q, k, v matrix, spans []int32, h compute.Heads) (o, lse answer) {
	o, lse = newAnswer(len(q.v)), newAnswer(q.rows*h.Q)
	for t := range q.rows {
		lo, hi := int(spans[2*t]), int(spans[2*t+1])
		for head := range h.Q {
			kv := head / (h.Q / h.KV)
			at := t*q.cols + head*h.Dim
			s := attend(q.v[at:at+h.Dim], k, kv, lo, hi, h)
			lse.v[t*h.Q+head], lse.tol[t*h.Q+head] = s.lse, s.lseTol
			for i, p := range s.p {
				for d := range h.Dim {
					x := p * v.at(lo+i, kv*h.Dim+d)
					o.v[at+d] += x
					o.tol[at+d] += math.Abs(x) * (s.prel[i] + sum(hi-lo))
				}
			}
		}
	}
	return o, lse
}

// attentionGrad: dq, dk, dv of AttentionGrad, by the chain rule through softmax:
//
//	dp[s] = do·v[s]    ds[s] = p[s]·(dp[s] − Σ p·dp)    dq = Scale·Σ ds·k    dk += Scale·ds·q
func attentionGrad(do, q, k, v matrix, spans []int32, h compute.Heads) (dq, dk, dv answer) {
	dq, dk, dv = newAnswer(len(q.v)), newAnswer(len(k.v)), newAnswer(len(v.v))
	o, _ := attention(q, k, v, spans, h)
	readers := q.rows * h.Q / h.KV // rows that a key's gradient may sum over
	scale := float64(h.Scale)
	for t := range q.rows {
		lo, hi := int(spans[2*t]), int(spans[2*t+1])
		for head := range h.Q {
			kv := head / (h.Q / h.KV)
			at := t*q.cols + head*h.Dim
			s := attend(q.v[at:at+h.Dim], k, kv, lo, hi, h)
			dot, dotTol := 0.0, 0.0 // Σ_d do·o, which equals Σ_s p·dp
			for d := range h.Dim {
				x := do.v[at+d] * o.v[at+d]
				dot += x
				dotTol += math.Abs(x)*sum(h.Dim) + math.Abs(do.v[at+d])*o.tol[at+d]
			}
			for i, p := range s.p {
				rel := s.prel[i] + s.lseTol
				dp, mag := 0.0, 0.0
				for d := range h.Dim {
					x := do.v[at+d] * v.at(lo+i, kv*h.Dim+d)
					dp += x
					mag += math.Abs(x)
				}
				ds := p * (dp - dot)
				dsTol := p * ((rel+4*unit)*(math.Abs(dp)+math.Abs(dot)) + mag*sum(h.Dim) + dotTol)
				for d := range h.Dim {
					key := (lo+i)*k.cols + kv*h.Dim + d
					x := scale * ds * k.v[key]
					dq.v[at+d] += x
					dq.tol[at+d] += math.Abs(x)*sum(hi-lo) + math.Abs(scale*k.v[key])*dsTol
					x = scale * ds * q.v[at+d]
					dk.v[key] += x
					dk.tol[key] += math.Abs(x)*sum(readers) + math.Abs(scale*q.v[at+d])*dsTol
					x = p * do.v[at+d]
					dv.v[key] += x
					dv.tol[key] += math.Abs(x) * (rel + sum(readers))
				}
			}
		}
	}
	return dq, dk, dv
}
