//go:build goexperiment.simd

package cpu

import (
	"simd"
	"unsafe"
)

// Constants of expv: 2^n·2^f with n = round(x·log2 e); ln 2 in two parts, and the polynomial of
// Cephes' expf on |r| ≤ ln2/2, relative error 2e-7.
const (
	expLow, expHigh = -87.3, 88.7 // below exp is 0, above it is +Inf (from 88.4 on)
	log2e           = 1.44269504088896341
	ln2High         = 0.693359375
	ln2Low          = -2.12194440e-4
	expMagic        = 12582912 + 127 // 1.5·2^23: adding it rounds; its low bits are n + 127
)

// expv is exp of each lane.
func expv(x simd.Float32s) simd.Float32s {
	low := simd.BroadcastFloat32s(expLow)
	zero := x.Less(low)
	x = x.Max(low).Min(simd.BroadcastFloat32s(expHigh))
	magic := simd.BroadcastFloat32s(expMagic)
	t := x.MulAdd(simd.BroadcastFloat32s(log2e), magic)
	n := t.Sub(magic)
	r := n.MulAdd(simd.BroadcastFloat32s(-ln2High), x)
	r = n.MulAdd(simd.BroadcastFloat32s(-ln2Low), r)
	p := simd.BroadcastFloat32s(1.9875691500e-4)
	p = p.MulAdd(r, simd.BroadcastFloat32s(1.3981999507e-3))
	p = p.MulAdd(r, simd.BroadcastFloat32s(8.3334519073e-3))
	p = p.MulAdd(r, simd.BroadcastFloat32s(4.1665795894e-2))
	p = p.MulAdd(r, simd.BroadcastFloat32s(1.6666665459e-1))
	p = p.MulAdd(r, simd.BroadcastFloat32s(5.0000001201e-1))
	p = p.MulAdd(r.Mul(r), r).Add(simd.BroadcastFloat32s(1))
	y := p.Mul(t.ToBits().ShiftAllLeft(23).BitsToFloat32())
	return simd.Float32s{}.IfElse(zero, y)
}

// The functions around expv come in two: whole vectors, and the numbers that are left over. On
// amd64 a scalar that lives across the loop of the first would be reloaded in it by an SSE
// instruction, which stalls for 100 ns between AVX ones.

// whole is the part of n that fills vectors.
func whole(n int) int { return n - n%simd.Float32s{}.Len() }

func expSumSimd(y, x []float32, m float32) float32 {
	n := whole(len(y))
	return expSumVectors(y[:n], x, m) + expSumLoop(y[n:], x[n:], m)
}

func expSumVectors(y, x []float32, m float32) float32 {
	yp, xp, mv := unsafe.SliceData(y), unsafe.SliceData(x), simd.BroadcastFloat32s(m)
	var s simd.Float32s
	for i := 0; i < len(y); i += mv.Len() {
		e := expv(load(xp, i).Sub(mv))
		store(yp, i, e)
		s = s.Add(e)
	}
	return sum(s)
}

func sumExpSimd(x []float32, m float32) float32 {
	n := whole(len(x))
	return sumExpVectors(x[:n], m) + sumExpLoop(x[n:], m)
}

func sumExpVectors(x []float32, m float32) float32 {
	xp, mv := unsafe.SliceData(x), simd.BroadcastFloat32s(m)
	var s simd.Float32s
	for i := 0; i < len(x); i += mv.Len() {
		s = s.Add(expv(load(xp, i).Sub(mv)))
	}
	return sum(s)
}

func expScaleSimd(y, x []float32, m, s float32) {
	n := whole(len(y))
	expScaleVectors(y[:n], x, m, s)
	expScaleLoop(y[n:], x[n:], m, s)
}

func expScaleVectors(y, x []float32, m, s float32) {
	yp, xp := unsafe.SliceData(y), unsafe.SliceData(x)
	mv, sv := simd.BroadcastFloat32s(m), simd.BroadcastFloat32s(s)
	for i := 0; i < len(y); i += mv.Len() {
		store(yp, i, expv(load(xp, i).Sub(mv)).Mul(sv))
	}
}

func expAddSimd(y, x []float32, m, s float32) {
	n := whole(len(y))
	expAddVectors(y[:n], x, m, s)
	expAddLoop(y[n:], x[n:], m, s)
}

func expAddVectors(y, x []float32, m, s float32) {
	yp, xp := unsafe.SliceData(y), unsafe.SliceData(x)
	mv, sv := simd.BroadcastFloat32s(m), simd.BroadcastFloat32s(s)
	for i := 0; i < len(y); i += mv.Len() {
		store(yp, i, expv(load(xp, i).Sub(mv)).MulAdd(sv, load(yp, i)))
	}
}

func klSimd(x, r []float32, lx, lr float32) float32 {
	n := whole(len(x))
	return klVectors(x[:n], r, lx, lr) + klLoop(x[n:], r[n:], lx, lr)
}

func klVectors(x, r []float32, lx, lr float32) float32 {
	xp, rp := unsafe.SliceData(x), unsafe.SliceData(r)
	lxv, lrv := simd.BroadcastFloat32s(lx), simd.BroadcastFloat32s(lr)
	var s simd.Float32s
	for i := 0; i < len(x); i += lxv.Len() {
		lp := load(xp, i).Sub(lxv)
		s = expv(lp).MulAdd(lp.Sub(load(rp, i).Sub(lrv)), s)
	}
	return sum(s)
}

func klGradSimd(d, x, r []float32, lx, lr, w, kl float32) {
	n := whole(len(d))
	klGradVectors(d[:n], x, r, lx, lr, w, kl)
	klGradLoop(d[n:], x[n:], r[n:], lx, lr, w, kl)
}

func klGradVectors(d, x, r []float32, lx, lr, w, kl float32) {
	dp, xp, rp := unsafe.SliceData(d), unsafe.SliceData(x), unsafe.SliceData(r)
	lxv, lrv := simd.BroadcastFloat32s(lx), simd.BroadcastFloat32s(lr)
	wv, klv := simd.BroadcastFloat32s(w), simd.BroadcastFloat32s(kl)
	for i := 0; i < len(d); i += lxv.Len() {
		lp := load(xp, i).Sub(lxv)
		g := lp.Sub(load(rp, i).Sub(lrv)).Sub(klv).Mul(expv(lp))
		store(dp, i, g.MulAdd(wv, load(dp, i)))
	}
}

// sigmoid is 1/(1+exp(−a)).
func sigmoid(a simd.Float32s) simd.Float32s {
	one := simd.BroadcastFloat32s(1)
	return one.Div(one.Add(expv(a.Neg())))
}

func swigluSimd(y, gate, up []float32) {
	n, w := len(y), simd.Float32s{}.Len()
	yp, gp, up0 := unsafe.SliceData(y), unsafe.SliceData(gate), unsafe.SliceData(up)
	i := 0
	for ; i <= n-w; i += w {
		a := load(gp, i)
		store(yp, i, a.Mul(sigmoid(a)).Mul(load(up0, i)))
	}
	swigluLoop(y[i:], gate[i:], up[i:])
}

func swigluGradSimd(dgate, dup, dy, gate, up []float32) {
	n, w := len(dgate), simd.Float32s{}.Len()
	dg, du, dp := unsafe.SliceData(dgate), unsafe.SliceData(dup), unsafe.SliceData(dy)
	gp, up0 := unsafe.SliceData(gate), unsafe.SliceData(up)
	one := simd.BroadcastFloat32s(1)
	i := 0
	for ; i <= n-w; i += w {
		a, u, g := load(gp, i), load(up0, i), load(dp, i)
		s := sigmoid(a)
		gs := g.Mul(s)
		store(dg, i, gs.Mul(u).Mul(a.MulAdd(one.Sub(s), one)))
		store(du, i, gs.Mul(a))
	}
	swigluGradLoop(dgate[i:], dup[i:], dy[i:], gate[i:], up[i:])
}
