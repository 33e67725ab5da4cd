package cpu

import (
	"math"

	"transformer2/shared/compute"
)

// log32 is log x for a positive, normal x, within 1e-7 of max(1, |log x|): Cephes' logf. The sums
// that it is for are at least 1, and math.Log costs as much as the exps of a short row.
func log32(x float32) float32 {
	const half = 0x3f000000
	bits := math.Float32bits(x)
	e := float32(int32(bits>>23) - 126)
	m := math.Float32frombits(bits&0x7fffff | half) // [½, 1)
	if m < math.Sqrt2/2 {
		e--
		m += m
	}
	m--
	z := m * m
	p := float32(7.0376836292e-2)
	p = p*m - 1.1514610310e-1
	p = p*m + 1.1676998740e-1
	p = p*m - 1.2420140846e-1
	p = p*m + 1.4249322787e-1
	p = p*m - 1.6668057665e-1
	p = p*m + 2.0000714765e-1
	p = p*m - 2.4999993993e-1
	p = p*m + 3.3333331174e-1
	y := p*m*z - 2.12194440e-4*e - 0.5*z
	return m + y + 0.693359375*e
}

// softmax writes e[v] = exp(x[v] − max x) and returns 1/Σe and log Σ exp x. e may be x.
func softmax(f *form, e, x []float32) (inv, lse float32) {
	m := f.max(x)
	sum := f.expSum(e, x, m)
	return 1 / sum, m + log32(sum)
}

// logSumExp is log Σ exp x.
func logSumExp(f *form, x []float32) float32 {
	m := f.max(x)
	return m + log32(f.sumExp(x, m))
}

// LogProbs: see compute.Losses.
func (d *Device) LogProbs(lp, logits compute.Tensor, targets compute.Ints) {
	shape("LogProbs", "lp", lp, logits.Rows, 1, logits)
	count("LogProbs", "targets", targets, logits.Rows, logits)
	d.rows(logits.Rows, logits.Cols, opTask{f: logProbRows, y: d.vals("LogProbs", lp),
		x: d.vals("LogProbs", logits), ids: d.ints("LogProbs", targets), n: logits.Cols})
}

func logProbRows(w *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		t.y[i] = 0
		if t.ids[i] >= 0 {
			x := t.x[i*t.n : (i+1)*t.n]
			t.y[i] = x[t.ids[i]] - logSumExp(w.d.f, x)
		}
	}
}

// LogProbsGrad: see compute.Losses.
func (d *Device) LogProbsGrad(g, logits compute.Tensor, targets compute.Ints, wt compute.Tensor) {
	const op = "LogProbsGrad"
	shape(op, "d", g, logits.Rows, logits.Cols, logits)
	shape(op, "w", wt, logits.Rows, 1, logits)
	count(op, "targets", targets, logits.Rows, logits)
	d.rows(logits.Rows, logits.Cols, opTask{f: logProbGradRows, y: d.vals(op, g),
		x: d.vals(op, logits), a: d.vals(op, wt), ids: d.ints(op, targets), n: logits.Cols})
}

func logProbGradRows(w *worker, t *opTask, lo, hi int) {
	for i := lo; i < hi; i++ {
		y := t.y[i*t.n : (i+1)*t.n]
		if t.ids[i] < 0 || t.a[i] == 0 {
			clear(y)
			continue
		}
		x := t.x[i*t.n : (i+1)*t.n]
		w.d.f.expScale(y, x, logSumExp(w.d.f, x), t.a[i])
		y[t.ids[i]] -= t.a[i]
	}
}

// KL: see compute.Losses.
func (d *Device) KL(kl, logits, ref compute.Tensor) {
	shape("KL", "kl", kl, logits.Rows, 1, logits)
	shape("KL", "ref", ref, logits.Rows, logits.Cols, logits)
	d.rows(logits.Rows, 2*logits.Cols, opTask{f: klRows, y: d.vals("KL", kl),
		x: d.vals("KL", logits), a: d.vals("KL", ref), n: logits.Cols})
}

func klRows(w *worker, t *opTask, lo, hi int) {
	f := w.d.f
	for i := lo; i < hi; i++ {
		x, r := t.x[i*t.n:(i+1)*t.n], t.a[i*t.n:(i+1)*t.n]
		t.y[i] = f.kl(x, r, logSumExp(f, x), logSumExp(f, r))
	}
}

// KLGrad: see compute.Losses.
func (d *Device) KLGrad(g, logits, ref, wt compute.Tensor) {
	d.klGrad("KLGrad", klGradRows, g, logits, ref, wt)
}

// KLForwardGrad: see compute.Losses.
func (d *Device) KLForwardGrad(g, logits, ref, wt compute.Tensor) {
	d.klGrad("KLForwardGrad", klForwardGradRows, g, logits, ref, wt)
}

func (d *Device) klGrad(op string, f func(*worker, *opTask, int, int), g, logits, ref,
	wt compute.Tensor) {
	shape(op, "d", g, logits.Rows, logits.Cols, logits)
	shape(op, "ref", ref, logits.Rows, logits.Cols, logits)
	shape(op, "w", wt, logits.Rows, 1, logits)
	d.rows(logits.Rows, 2*logits.Cols, opTask{f: f, y: d.vals(op, g), x: d.vals(op, logits),
		a: d.vals(op, ref), b: d.vals(op, wt), n: logits.Cols})
}

func klGradRows(w *worker, t *opTask, lo, hi int) {
	f := w.d.f
	for i := lo; i < hi; i++ {
		if t.b[i] == 0 {
			continue
		}
		x, r := t.x[i*t.n:(i+1)*t.n], t.a[i*t.n:(i+1)*t.n]
		lx, lr := logSumExp(f, x), logSumExp(f, r)
		f.klGrad(t.y[i*t.n:(i+1)*t.n], x, r, lx, lr, t.b[i], f.kl(x, r, lx, lr))
	}
}

func klForwardGradRows(w *worker, t *opTask, lo, hi int) {
	f := w.d.f
	for i := lo; i < hi; i++ {
		if t.b[i] == 0 {
			continue
		}
		x, r, d := t.x[i*t.n:(i+1)*t.n], t.a[i*t.n:(i+1)*t.n], t.y[i*t.n:(i+1)*t.n]
		f.expAdd(d, x, logSumExp(f, x), t.b[i])
		f.expAdd(d, r, logSumExp(f, r), -t.b[i])
	}
}

// SumSquares: see compute.Losses. Blocks of elemBlock are summed in f32, the blocks in f64.
func (d *Device) SumSquares(sum, x compute.Tensor) {
	shape("SumSquares", "sum", sum, 1, 1, x)
	xs := d.vals("SumSquares", x)
	part := d.scratch(sharedC, (len(xs)+elemBlock-1)/elemBlock)
	d.elems(len(xs), opTask{f: sumSquaresElems, y: part, x: xs})
	total := 0.0
	for _, v := range part {
		total += float64(v)
	}
	s := d.vals("SumSquares", sum)
	s[0] = float32(float64(s[0]) + total)
}

func sumSquaresElems(w *worker, t *opTask, lo, hi int) {
	for b := lo; b < hi; b++ {
		x := t.x[b*elemBlock : min((b+1)*elemBlock, len(t.x))]
		t.y[b] = w.d.f.dot(x, x)
	}
}

// AdamW: see compute.Losses.
func (d *Device) AdamW(p, g, m, v compute.Tensor, a compute.AdamWParams) {
	shape("AdamW", "g", g, p.Rows, p.Cols, p)
	shape("AdamW", "m", m, p.Rows, p.Cols, p)
	shape("AdamW", "v", v, p.Rows, p.Cols, p)
	correct := func(beta float32) float32 {
		return float32(1 / (1 - math.Pow(float64(beta), float64(a.Step))))
	}
	d.elems(p.Len(), opTask{f: adamwElems, y: d.vals("AdamW", p), x: d.vals("AdamW", g),
		a: d.vals("AdamW", m), b: d.vals("AdamW", v), adam: adamScalars{a.GradScale, a.Beta1,
			1 - a.Beta1, a.Beta2, 1 - a.Beta2, correct(a.Beta1), correct(a.Beta2), a.Eps, a.LR,
			a.WeightDecay}})
}

func adamwElems(w *worker, t *opTask, lo, hi int) {
	lo, hi = span(lo, hi, len(t.y))
	w.d.f.adamw(t.y[lo:hi], t.x[lo:hi], t.a[lo:hi], t.b[lo:hi], &t.adam)
}
