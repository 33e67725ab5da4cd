//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"math"

	"transformer2/shared/compute"
)

// LogProbs: see compute.Losses.
func (d *Device) LogProbs(lp, logits compute.Tensor, targets compute.Ints) {
	const op = "LogProbs"
	shape(op, "lp", lp, logits.Rows, 1, logits)
	count(op, "targets", targets, logits.Rows, logits)
	lb, lo := d.vals(op, lp)
	xb, xo := d.vals(op, logits)
	ib, io := d.ints(op, targets)
	d.run(plain("log_probs"), line(logits.Rows), bufs{lb, xb, ib}, uint32(logits.Rows),
		uint32(logits.Cols), lo, xo, io)
}

// LogProbsGrad: see compute.Losses.
func (d *Device) LogProbsGrad(g, logits compute.Tensor, targets compute.Ints, w compute.Tensor) {
	const op = "LogProbsGrad"
	shape(op, "d", g, logits.Rows, logits.Cols, logits)
	shape(op, "w", w, logits.Rows, 1, logits)
	count(op, "targets", targets, logits.Rows, logits)
	gb, gOff := d.vals(op, g)
	xb, xo := d.vals(op, logits)
	ib, io := d.ints(op, targets)
	wb, wo := d.vals(op, w)
	d.run(plain("log_probs_grad"), line(logits.Rows), bufs{gb, xb, ib, wb}, uint32(logits.Rows),
		uint32(logits.Cols), gOff, xo, io, wo)
}

// KL: see compute.Losses.
func (d *Device) KL(kl, logits, ref compute.Tensor) {
	shape("KL", "kl", kl, logits.Rows, 1, logits)
	shape("KL", "ref", ref, logits.Rows, logits.Cols, logits)
	kb, ko := d.vals("KL", kl)
	xb, xo := d.vals("KL", logits)
	rb, ro := d.vals("KL", ref)
	d.run(plain("kl"), line(logits.Rows), bufs{kb, xb, rb}, uint32(logits.Rows),
		uint32(logits.Cols), ko, xo, ro)
}

// KLGrad: see compute.Losses.
func (d *Device) KLGrad(g, logits, ref, w compute.Tensor) {
	d.klGrad("KLGrad", "kl_grad", g, logits, ref, w)
}

// KLForwardGrad: see compute.Losses.
func (d *Device) KLForwardGrad(g, logits, ref, w compute.Tensor) {
	d.klGrad("KLForwardGrad", "kl_forward_grad", g, logits, ref, w)
}

func (d *Device) klGrad(op, kernel string, g, logits, ref, w compute.Tensor) {
	shape(op, "d", g, logits.Rows, logits.Cols, logits)
	shape(op, "ref", ref, logits.Rows, logits.Cols, logits)
	shape(op, "w", w, logits.Rows, 1, logits)
	gb, gOff := d.vals(op, g)
	xb, xo := d.vals(op, logits)
	rb, ro := d.vals(op, ref)
	wb, wo := d.vals(op, w)
	d.run(plain(kernel), line(logits.Rows), bufs{gb, xb, rb, wb}, uint32(logits.Rows),
		uint32(logits.Cols), gOff, xo, ro, wo)
}

// SumSquares: see compute.Losses.
func (d *Device) SumSquares(sum, x compute.Tensor) {
	const block = 8192 // sum_squares.wgsl
	shape("SumSquares", "sum", sum, 1, 1, x)
	sb, so := d.vals("SumSquares", sum)
	xb, xo := d.vals("SumSquares", x)
	blocks := (x.Len() + block - 1) / block
	if blocks == 0 {
		return
	}
	part := d.scratchBuffer(scratchPart, blocks)
	d.run(plain("sum_squares"), line(blocks), bufs{part, xb}, uint32(x.Len()), xo)
	d.run(plain("sum_up"), line(1), bufs{sb, part}, uint32(blocks), so)
}

// AdamW: see compute.Losses.
func (d *Device) AdamW(p, g, m, v compute.Tensor, a compute.AdamWParams) {
	const op = "AdamW"
	shape(op, "g", g, p.Rows, p.Cols, p)
	shape(op, "m", m, p.Rows, p.Cols, p)
	shape(op, "v", v, p.Rows, p.Cols, p)
	pb, po := d.vals(op, p)
	mb, mo := d.vals(op, m)
	vb, vo := d.vals(op, v)
	gb, gOff := d.vals(op, g)
	correct := func(beta float32) uint32 { // in f32, 1 − 0.999^1 would be off by 6e-5
		return f32(float32(1 / (1 - math.Pow(float64(beta), float64(a.Step)))))
	}
	d.run(plain("adamw"), threads(p.Len()), bufs{pb, mb, vb, gb}, uint32(p.Len()), po, mo, vo, gOff,
		f32(a.GradScale), f32(a.Beta1), f32(1-a.Beta1), f32(a.Beta2), f32(1-a.Beta2),
		correct(a.Beta1), correct(a.Beta2), f32(a.Eps), f32(a.LR), f32(a.WeightDecay))
}
