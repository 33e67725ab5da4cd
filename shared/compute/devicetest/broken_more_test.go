package devicetest

import (
	"math"

	"transformer2/shared/compute"
)

// spansWith is a copy of spans with f applied to each.
func spansWith(spans compute.Ints, f func(lo, hi int32) (int32, int32)) compute.Ints {
	v := append([]int32(nil), numbers(spans)...)
	for t := 0; t+1 < len(v); t += 2 {
		if v[t] < v[t+1] {
			v[t], v[t+1] = f(v[t], v[t+1])
		}
	}
	return intsOf(v)
}

// rehead permutes the key heads of k so that query head h reads head h mod KV.
func rehead(k compute.Tensor, h compute.Heads) (compute.Tensor, compute.Heads) {
	wideK := make(floats, k.Rows*h.Q*h.Dim)
	for s := range k.Rows {
		for q := range h.Q {
			at := s*k.Cols + q%h.KV*h.Dim
			copy(wideK[(s*h.Q+q)*h.Dim:(s*h.Q+q+1)*h.Dim], data(k)[at:at+h.Dim])
		}
	}
	h.KV = h.Q
	return compute.Tensor{Buf: wideK, Rows: k.Rows, Cols: h.Q * h.Dim}, h
}

func (d *broken) Attention(o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) {
	switch d.bug {
	case "span ends early":
		spans = spansWith(spans, func(lo, hi int32) (int32, int32) { return lo, hi - 1 })
	case "span starts at zero":
		spans = spansWith(spans, func(lo, hi int32) (int32, int32) { return 0, hi })
	case "sees the next key":
		spans = spansWith(spans, func(lo, hi int32) (int32, int32) {
			return lo, min(hi+1, int32(k.Rows))
		})
	case "heads modulo":
		k, h = rehead(k, h)
		h.KV = q.Cols / h.Dim * v.Cols / k.Cols // back to the caller's
		v, h = rehead(v, h)
	case "no scale":
		h.Scale = 1
	case "no scale in lse":
		d.reference.Attention(o, lse, q, k, v, spans, h)
		h.Scale = 1
		o = filled(o, 0)
	case "keys in bf16":
		k = mapped(k, asBF16)
	case "queries in tf32":
		q = mapped(q, asTF32)
	case "values in f16":
		v = mapped(v, roundF16)
	case "-1e9 for nothing": // the running maximum starts there
		d.reference.Attention(o, lse, q, k, v, spans, h)
		for i, l := range data(lseOf(d, q, k, v, spans, h)) {
			if l < -1e9 && !math.IsInf(float64(l), -1) {
				copy(data(o)[i*h.Dim:(i+1)*h.Dim], repeat(0, h.Dim))
			}
		}
		return
	case "masked, not skipped": // 0·NaN of an unused row
		d.reference.Attention(o, lse, q, k, v, spans, h)
		for i := range data(o) {
			data(o)[i] += 0 * data(v)[v.Len()-1]
		}
		return
	case "no maximum":
		d.plainSoftmax(o, lse, q, k, v, spans, h)
		return
	}
	d.reference.Attention(o, lse, q, k, v, spans, h)
	for t := range o.Rows {
		if numbers(spans)[2*t] != numbers(spans)[2*t+1] {
			continue
		}
		if d.bug == "empty span is NaN" {
			d.reference.Fill(o.Slice(t, t+1), nan32)
		}
		if d.bug == "empty span has lse 0" && !lse.IsZero() {
			d.reference.Fill(lse.Slice(t, t+1), 0)
		}
	}
}

// lseOf is the lse of a call that may not ask for it.
func lseOf(d *broken, q, k, v compute.Tensor, spans compute.Ints, h compute.Heads) compute.Tensor {
	lse := compute.Tensor{Buf: make(floats, q.Rows*h.Q), Rows: q.Rows, Cols: h.Q}
	d.reference.Attention(filled(q, 0), lse, q, k, v, spans, h)
	return lse
}

// plainSoftmax takes exp without subtracting the maximum: it overflows for large scores.
func (d *broken) plainSoftmax(o, lse, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) {
	d.reference.Attention(o, lse, q, k, v, spans, h)
	for i, l := range data(lseOf(d, q, k, v, spans, h)) {
		if l > 88 {
			copy(data(o)[i*h.Dim:(i+1)*h.Dim], repeat(nan32, h.Dim))
		}
	}
}

func (d *broken) AttentionGrad(dq, dk, dv, do, o, lse, q, k, v compute.Tensor,
	spans compute.Ints, h compute.Heads) {
	switch d.bug {
	case "dk adds":
		before := mapped(dk, func(x float32) float32 { return x })
		defer d.reference.Add(dk, before)
	case "dv left where unseen":
		before := mapped(dv, func(x float32) float32 { return x })
		defer func() {
			for i, x := range data(dv) {
				if x == 0 {
					data(dv)[i] = data(before)[i]
				}
			}
		}()
	case "dk unscaled":
		defer func() {
			d.reference.Copy(dk, mapped(dk, func(x float32) float32 { return x / h.Scale }))
		}()
	case "no row term": // ds = p·dp without − Σ p·dp
		d.reference.AttentionGrad(dq, dk, dv, do, o, lse, q, k, v, spans, h)
		d.dropRowTerm(dq, do, o, q, k, v, spans, h)
		return
	case "grad span ends early":
		spans = spansWith(spans, func(lo, hi int32) (int32, int32) { return lo, hi - 1 })
	case "grad in bf16":
		do = mapped(do, asBF16)
	case "grad in tf32":
		do = mapped(do, asTF32)
	}
	d.reference.AttentionGrad(dq, dk, dv, do, o, lse, q, k, v, spans, h)
}

func (d *broken) dropRowTerm(dq, do, o, q, k, v compute.Tensor, spans compute.Ints,
	h compute.Heads) {
	d.reference.Fill(dq, 0)
	k64, v64, do64 := wideOf(k), wideOf(v), wideOf(do)
	for t := range q.Rows {
		lo, hi := int(numbers(spans)[2*t]), int(numbers(spans)[2*t+1])
		for head := range h.Q {
			kv, at := head/(h.Q/h.KV), t*q.Cols+head*h.Dim
			s := attend(wideOf(q).v[at:at+h.Dim], k64, kv, lo, hi, h)
			for i, p := range s.p {
				row := (lo+i)*k.Cols + kv*h.Dim
				dp := dot(do64.v[at:at+h.Dim], v64.v[row:row+h.Dim])
				for j := range h.Dim {
					data(dq)[at+j] += float32(float64(h.Scale) * p * dp * k64.v[row+j])
				}
			}
		}
	}
}

// idsWith is a copy of ids with f applied.
func idsWith(ids compute.Ints, f func(int32) int32) compute.Ints {
	v := append([]int32(nil), numbers(ids)...)
	for i := range v {
		v[i] = f(v[i])
	}
	return intsOf(v)
}

func clamp(rows int) func(int32) int32 {
	return func(id int32) int32 { return max(0, min(id, int32(rows-1))) }
}

func (d *broken) GatherRows(y, table compute.Tensor, ids compute.Ints) {
	switch d.bug {
	case "gather clamps":
		ids = idsWith(ids, clamp(table.Rows))
	case "late":
		d.later = append(d.later, func() { d.reference.GatherRows(y, table, ids) })
		return
	}
	d.reference.GatherRows(y, table, ids)
}

func (d *broken) ScatterAddRows(dtable, dy compute.Tensor, ids compute.Ints) {
	switch d.bug {
	case "scatter clamps":
		ids = idsWith(ids, clamp(dtable.Rows))
	case "scatter in reverse":
		for t := ids.N - 1; t >= 0; t-- {
			d.reference.ScatterAddRows(dtable, dy.Slice(t, t+1), ids.Slice(t, t+1))
		}
		return
	case "last one wins":
		for t, id := range numbers(ids) {
			if id >= 0 && int(id) < dtable.Rows {
				d.reference.Copy(dtable.Slice(int(id), int(id)+1), dy.Slice(t, t+1))
			}
		}
		return
	}
	d.reference.ScatterAddRows(dtable, dy, ids)
}

func (d *broken) ScatterRows(dst, src compute.Tensor, ids compute.Ints) {
	if d.bug == "scatter in place" {
		d.reference.Copy(dst.Slice(0, src.Rows), src)
		return
	}
	d.reference.ScatterRows(dst, src, ids)
}

func (d *broken) ArgMax(ids compute.Ints, x compute.Tensor) {
	d.reference.ArgMax(ids, x)
	for t := range numbers(ids) {
		row := data(x.Slice(t, t+1))
		switch d.bug {
		case "last of ties":
			for j, v := range row {
				if v == row[numbers(ids)[t]] {
					numbers(ids)[t] = int32(j)
				}
			}
		case "NaN wins":
			for j, v := range row {
				if v != v {
					numbers(ids)[t] = int32(j)
				}
			}
		case "starts at column 0": // best = x[0], which a NaN keeps
			if row[0] != row[0] {
				numbers(ids)[t] = 0
			}
		}
	}
}

func (d *broken) LogProbs(lp, logits compute.Tensor, targets compute.Ints) {
	switch d.bug {
	case "logits overflow":
		d.reference.LogProbs(lp, logits, targets)
		for t := range lp.Rows {
			for _, v := range data(logits.Slice(t, t+1)) {
				if v > 88 {
					data(lp)[t] = float32(math.Inf(-1))
				}
			}
		}
		return
	case "ignored target counts":
		targets = idsWith(targets, clamp(logits.Cols))
	case "logits in bf16":
		logits = mapped(logits, asBF16)
	}
	d.reference.LogProbs(lp, logits, targets)
}

func (d *broken) LogProbsGrad(g, logits compute.Tensor, targets compute.Ints,
	w compute.Tensor) {
	switch d.bug {
	case "loss weights ignored":
		w = filled(w, 1)
	case "ignored target left":
		before := mapped(g, func(x float32) float32 { return x })
		d.reference.LogProbsGrad(g, logits, targets, w)
		for t, target := range numbers(targets) {
			if target < 0 {
				d.reference.Copy(g.Slice(t, t+1), before.Slice(t, t+1))
			}
		}
		return
	case "mean over rows":
		n := float32(logits.Rows)
		w = mapped(w, func(x float32) float32 { return x / n })
	}
	d.reference.LogProbsGrad(g, logits, targets, w)
}

func (d *broken) KL(y, logits, ref compute.Tensor) {
	switch d.bug {
	case "kl reversed":
		logits, ref = ref, logits
	case "kl 0 times infinity":
		d.reference.KL(y, logits, ref)
		for t := range y.Rows {
			for _, p := range logSoftmax(wideOf(logits.Slice(t, t+1)).v).p {
				if p == 0 {
					data(y)[t] = nan32
				}
			}
		}
		return
	}
	d.reference.KL(y, logits, ref)
}

func (d *broken) KLGrad(g, logits, ref, w compute.Tensor) {
	switch d.bug {
	case "kl grad overwrites":
		d.reference.Fill(g, 0)
	case "kl grad is forward":
		d.reference.KLForwardGrad(g, logits, ref, w)
		return
	case "kl grad of raw logits": // p·(log p − log q), without − KL
		for t := range logits.Rows {
			k := klOf(wideOf(logits.Slice(t, t+1)).v, wideOf(ref.Slice(t, t+1)).v)
			for j, p := range k.p.p {
				data(g.Slice(t, t+1))[j] += data(w)[t] * float32(p*k.ratio[j])
			}
		}
		return
	}
	d.reference.KLGrad(g, logits, ref, w)
}

func (d *broken) KLForwardGrad(g, logits, ref, w compute.Tensor) {
	if d.bug == "kl forward reversed" {
		logits, ref = ref, logits
	}
	d.reference.KLForwardGrad(g, logits, ref, w)
}

func (d *broken) SumSquares(sum, x compute.Tensor) {
	if d.bug == "sum overwrites" {
		d.reference.Fill(sum, 0)
	}
	d.reference.SumSquares(sum, x)
}

func (d *broken) AdamW(p, g, m, v compute.Tensor, a compute.AdamWParams) {
	switch d.bug {
	case "no bias correction":
		a.Step = 1 << 20
	case "step from zero":
		a.Step++
	case "decay in the gradient":
		g = mapped(g, func(x float32) float32 { return x })
		for i, x := range data(p) {
			data(g)[i] += a.WeightDecay * x
		}
		a.WeightDecay = 0
	case "gradient unscaled":
		a.GradScale = 1
	case "decay of one step later":
		defer func(wd float32) {
			d.reference.Copy(p, mapped(p, func(x float32) float32 { return x - a.LR*wd*x }))
		}(a.WeightDecay)
		a.WeightDecay = 0
	case "power on the device": // log(0.999) with the error that WGSL allows near one
		power := float64(a.Step) * (math.Log(float64(a.Beta2)) + logAbs)
		exact := 1 - math.Pow(float64(a.Beta2), float64(a.Step))
		a.LR *= float32(math.Sqrt((1 - math.Exp(power)) / exact))
	}
	d.reference.AdamW(p, g, m, v, a)
}
