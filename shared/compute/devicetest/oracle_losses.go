package devicetest

import "math"

// maxShift caps the error of an exponent that is taken as x − lse: at magnitudes where rounding x
// could move it by more, softmax is 0 or 1 unless two logits tie to the last bit.
const maxShift = 1e-3

// logSoft is the log softmax of one row, with bounds.
type logSoft struct {
	lp, p  []float64
	lpTol  []float64 // absolute
	prel   []float64 // relative
	lseTol float64
}

func logSoftmax(x []float64) logSoft {
	n := len(x)
	s := logSoft{lp: make([]float64, n), p: make([]float64, n), lpTol: make([]float64, n),
		prel: make([]float64, n)}
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	total, mean := 0.0, 0.0
	for _, v := range x {
		e := math.Exp(v - top)
		total += e
		if e > 0 {
			mean += e * (exponential(v-top) + unit*math.Abs(v-top))
		}
	}
	lse := top + math.Log(total)
	s.lseTol = mean/total + sum(n) + logarithm(math.Log(total)) + unit*math.Abs(lse)
	for i, v := range x {
		s.lp[i] = v - lse
		if v == top { // v − lse would lose log(total) beside a large v
			s.lp[i] = -math.Log(total)
		}
		s.p[i] = math.Exp(v-top) / total
		shift := unit * (math.Abs(v) + math.Abs(lse) + math.Abs(top))
		s.lpTol[i] = s.lseTol + 2*shift
		s.prel[i] = min(s.lseTol+2*shift, maxShift) + divide
		if s.p[i] > 0 {
			s.prel[i] += exponential(s.lp[i])
		}
	}
	return s
}

// logProbs: lp[t] = log softmax(logits[t])[targets[t]], 0 for a negative target.
func logProbs(logits matrix, targets []int32) answer {
	y := newAnswer(logits.rows)
	for t, target := range targets {
		if target >= 0 {
			s := logSoftmax(logits.row(t))
			y.v[t], y.tol[t] = s.lp[target], s.lpTol[target]
		}
	}
	return y
}

// logProbsGrad: d[t,v] = w[t]·(p[v] − [v = target]).
func logProbsGrad(logits matrix, targets []int32, w []float64) answer {
	y := newAnswer(len(logits.v))
	for t, target := range targets {
		if target < 0 {
			continue
		}
		s := logSoftmax(logits.row(t))
		for j, p := range s.p {
			i := t*logits.cols + j
			hit := 0.0
			if j == int(target) {
				hit = 1
			}
			y.v[i] = w[t] * (p - hit)
			y.tol[i] = math.Abs(w[t]) * (p*s.prel[j] + 2*unit*(p+hit))
		}
	}
	return y
}

// klRow is one row of KL: its value, its terms' ratios log p − log q, and bounds.
type klRow struct {
	p, q      logSoft
	v, tol    float64
	ratio     []float64
	ratioTol  []float64
	magnitude float64
}

func klOf(logits, ref []float64) klRow {
	k := klRow{p: logSoftmax(logits), q: logSoftmax(ref)}
	k.ratio, k.ratioTol = make([]float64, len(logits)), make([]float64, len(logits))
	for j, p := range k.p.p {
		r := k.p.lp[j] - k.q.lp[j]
		k.ratio[j] = r
		k.ratioTol[j] = k.p.lpTol[j] + k.q.lpTol[j] + unit*math.Abs(r)
		if p > 0 {
			k.v += p * r
			k.magnitude += p * math.Abs(r)
			k.tol += p * (k.ratioTol[j] + math.Abs(r)*k.p.prel[j])
		}
	}
	k.tol += k.magnitude * sum(len(logits))
	return k
}

// kl: kl[t] = Σ_v p·(log p − log q).
func kl(logits, ref matrix) answer {
	y := newAnswer(logits.rows)
	for t := range y.v {
		k := klOf(logits.row(t), ref.row(t))
		y.v[t], y.tol[t] = k.v, k.tol
	}
	return y
}

// klGrad: d[t,v] += w[t]·p[v]·(log p[v] − log q[v] − KL[t]).
func klGrad(d []float64, logits, ref matrix, w []float64) answer {
	y := newAnswer(len(d))
	for t := range logits.rows {
		k := klOf(logits.row(t), ref.row(t))
		for j, p := range k.p.p {
			i := t*logits.cols + j
			y.v[i] = d[i]
			if p > 0 {
				y.v[i] += w[t] * p * (k.ratio[j] - k.v)
				size := math.Abs(k.ratio[j]) + math.Abs(k.v)
				y.tol[i] = math.Abs(w[t]) * p *
					(size*(k.p.prel[j]+4*unit) + k.ratioTol[j] + k.tol)
			}
			y.tol[i] += unit * (math.Abs(d[i]) + math.Abs(y.v[i]))
		}
	}
	return y
}

// klForwardGrad: d[t,v] += w[t]·(p[v] − q[v]).
func klForwardGrad(d []float64, logits, ref matrix, w []float64) answer {
	y := newAnswer(len(d))
	for t := range logits.rows {
		p, q := logSoftmax(logits.row(t)), logSoftmax(ref.row(t))
		for j := range p.p {
			i := t*logits.cols + j
			y.v[i] = d[i] + w[t]*(p.p[j]-q.p[j])
			y.tol[i] = math.Abs(w[t])*(p.p[j]*(p.prel[j]+2*unit)+q.p[j]*(q.prel[j]+2*unit)) +
				unit*(math.Abs(d[i])+math.Abs(y.v[i]))
		}
	}
	return y
}

// sumSquares: sum[0] += Σ x².
func sumSquares(s0 float64, x []float64) answer {
	s, mag := s0, math.Abs(s0)
	for _, v := range x {
		s += v * v
		mag += v * v
	}
	return answer{[]float64{s}, []float64{mag * sum(len(x))}}
}
