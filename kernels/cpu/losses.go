package cpu

import (
	"math"

	"transformer2/shared/compute"
)

// softmax writes e[v] = exp(x[v] − max x) and returns 1/Σe and log Σ exp x. e may be x.
func softmax(f *form, e, x []float32) (inv, lse float32) {
	m := f.max(x)
	sum := f.expSum(e, x, m)
	return 1 / sum, m + float32(math.Log(float64(sum)))
}

// LogProbs: see compute.Losses.
func (d *Device) LogProbs(lp, logits compute.Tensor, targets compute.Ints) {
	shape("LogProbs", "lp", lp, logits.Rows, 1, logits)
	count("LogProbs", "targets", targets, logits.Rows, logits)
	d.rows(logits.Rows, logits.Cols, opTask{f: logProbRows, y: d.vals("LogProbs", lp),
		x: d.vals("LogProbs", logits), ids: d.ints("LogProbs", targets), n: logits.Cols})
}

func logProbRows(w *worker, t *opTask, lo, hi int) {
	e := w.scratch(slotA, t.n)
	for i := lo; i < hi; i++ {
		t.y[i] = 0
		if t.ids[i] < 0 {
			continue
		}
		x := t.x[i*t.n : (i+1)*t.n]
		_, lse := softmax(w.d.f, e, x)
		t.y[i] = x[t.ids[i]] - lse
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
		inv, _ := softmax(w.d.f, y, t.x[i*t.n:(i+1)*t.n])
		w.d.f.scale(y, y, inv*t.a[i])
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
	p, diff := w.scratch(slotA, t.n), w.scratch(slotB, t.n)
	for i := lo; i < hi; i++ {
		t.y[i], _, _ = klRow(w.d.f, p, diff, t.x[i*t.n:(i+1)*t.n], t.a[i*t.n:(i+1)*t.n])
	}
}

// klRow is D_KL(p‖q) = Σ p·(x−r) − (log Σ exp x − log Σ exp r) for p = softmax(x), q = softmax(r).
// It leaves p unnormalised in p with its factor inv, x−r in diff, and the shift that makes
// log p − log q = diff − shift.
func klRow(f *form, p, diff, x, r []float32) (kl, inv, shift float32) {
	_, lseR := softmax(f, p, r)
	inv, lse := softmax(f, p, x)
	f.scale(diff, r, -1)
	f.add(diff, x)
	shift = lse - lseR
	return f.dot(p, diff)*inv - shift, inv, shift
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
	p, diff := w.scratch(slotA, t.n), w.scratch(slotB, t.n)
	for i := lo; i < hi; i++ {
		if t.b[i] == 0 {
			continue
		}
		kl, inv, shift := klRow(w.d.f, p, diff, t.x[i*t.n:(i+1)*t.n], t.a[i*t.n:(i+1)*t.n])
		y, c := t.y[i*t.n:(i+1)*t.n], t.b[i]*inv
		w.d.f.mulAcc(y, p, diff, c)
		w.d.f.axpy(y, -c*(shift+kl), p)
	}
}

func klForwardGradRows(w *worker, t *opTask, lo, hi int) {
	e := w.scratch(slotA, t.n)
	for i := lo; i < hi; i++ {
		if t.b[i] == 0 {
			continue
		}
		y := t.y[i*t.n : (i+1)*t.n]
		inv, _ := softmax(w.d.f, e, t.x[i*t.n:(i+1)*t.n])
		w.d.f.axpy(y, t.b[i]*inv, e)
		inv, _ = softmax(w.d.f, e, t.a[i*t.n:(i+1)*t.n])
		w.d.f.axpy(y, -t.b[i]*inv, e)
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
		a: d.vals("AdamW", m), b: d.vals("AdamW", v), adam: adamScalars{
			beta1: a.Beta1, beta2: a.Beta2, eps: a.Eps, gradScale: a.GradScale, lr: a.LR,
			decay: a.LR * a.WeightDecay, bias1: correct(a.Beta1), bias2: correct(a.Beta2)}})
}

func adamwElems(w *worker, t *opTask, lo, hi int) {
	lo, hi = span(lo, hi, len(t.y))
	w.d.f.adamw(t.y[lo:hi], t.x[lo:hi], t.a[lo:hi], t.b[lo:hi], &t.adam)
}
