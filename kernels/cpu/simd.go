//go:build goexperiment.simd

package cpu

import (
	"simd"
	"unsafe"
)

// The portable form: one source for WASM SIMD128, NEON, AVX2 and AVX-512 through package simd,
// which decides the width of a vector when the program starts. Loads go through at16, a slice of
// known length, so that they are not checked in the loop.

// widest is the most lanes that a vector can have: 512 bits.
const widest = 16

// at16 is the numbers from p[i] on; the caller knows that a vector of them is there.
func at16(p *float32, i int) []float32 { return (*[widest]float32)(unsafe.Pointer(at(p, i)))[:] }

// load and store move one vector at p[i]. load stands in the innermost loops and is written out: each
// call that is inlined leaves a no-op there for the debugger.
func load(p *float32, i int) simd.Float32s {
	return simd.LoadFloat32s((*[widest]float32)(unsafe.Add(unsafe.Pointer(p), 4*i))[:])
}

func store(p *float32, i int, v simd.Float32s) { v.Store(at16(p, i)) }

// sum adds the lanes of v in their order.
func sum(v simd.Float32s) float32 {
	var lanes [widest]float32
	v.Store(lanes[:])
	s := float32(0)
	for _, x := range lanes[:v.Len()] {
		s += x
	}
	return s
}

func addSimd(y, x []float32) {
	n, w := len(y), simd.Float32s{}.Len()
	yp, xp := unsafe.SliceData(y), unsafe.SliceData(x)
	i := 0
	for ; i <= n-w; i += w {
		store(yp, i, load(yp, i).Add(load(xp, i)))
	}
	addLoop(y[i:], x[i:])
}

func axpySimd(y []float32, a float32, x []float32) {
	n, w := len(y), simd.Float32s{}.Len()
	yp, xp, av := unsafe.SliceData(y), unsafe.SliceData(x), simd.BroadcastFloat32s(a)
	i := 0
	for ; i <= n-w; i += w {
		store(yp, i, load(xp, i).MulAdd(av, load(yp, i)))
	}
	axpyLoop(y[i:], a, x[i:])
}

func scaleSimd(y, x []float32, a float32) {
	n, w := len(y), simd.Float32s{}.Len()
	yp, xp, av := unsafe.SliceData(y), unsafe.SliceData(x), simd.BroadcastFloat32s(a)
	i := 0
	for ; i <= n-w; i += w {
		store(yp, i, load(xp, i).Mul(av))
	}
	scaleLoop(y[i:], x[i:], a)
}

func mulScaleSimd(y, a []float32, s float32, b []float32) {
	n, w := len(y), simd.Float32s{}.Len()
	yp, ap, bp := unsafe.SliceData(y), unsafe.SliceData(a), unsafe.SliceData(b)
	sv := simd.BroadcastFloat32s(s)
	i := 0
	for ; i <= n-w; i += w {
		store(yp, i, load(ap, i).Mul(sv).Mul(load(bp, i)))
	}
	mulScaleLoop(y[i:], a[i:], s, b[i:])
}

func mulAccSimd(y, a, b []float32, s float32) {
	n, w := len(y), simd.Float32s{}.Len()
	yp, ap, bp := unsafe.SliceData(y), unsafe.SliceData(a), unsafe.SliceData(b)
	sv := simd.BroadcastFloat32s(s)
	i := 0
	for ; i <= n-w; i += w {
		store(yp, i, load(ap, i).Mul(load(bp, i)).MulAdd(sv, load(yp, i)))
	}
	mulAccLoop(y[i:], a[i:], b[i:], s)
}

// dotSimd keeps four sums, to hide the latency of an addition.
func dotSimd(a, b []float32) float32 {
	n, w := len(a), simd.Float32s{}.Len()
	ap, bp := unsafe.SliceData(a), unsafe.SliceData(b)
	var s0, s1, s2, s3 simd.Float32s
	i := 0
	for ; i <= n-4*w; i += 4 * w {
		s0 = load(ap, i).MulAdd(load(bp, i), s0)
		s1 = load(ap, i+w).MulAdd(load(bp, i+w), s1)
		s2 = load(ap, i+2*w).MulAdd(load(bp, i+2*w), s2)
		s3 = load(ap, i+3*w).MulAdd(load(bp, i+3*w), s3)
	}
	for ; i <= n-w; i += w {
		s0 = load(ap, i).MulAdd(load(bp, i), s0)
	}
	return sum(s0.Add(s1).Add(s2.Add(s3))) + dotLoop(a[i:], b[i:])
}

func dot3Simd(a, b, c []float32) float32 {
	n, w := len(a), simd.Float32s{}.Len()
	ap, bp, cp := unsafe.SliceData(a), unsafe.SliceData(b), unsafe.SliceData(c)
	var s0, s1 simd.Float32s
	i := 0
	for ; i <= n-2*w; i += 2 * w {
		s0 = load(ap, i).Mul(load(bp, i)).MulAdd(load(cp, i), s0)
		s1 = load(ap, i+w).Mul(load(bp, i+w)).MulAdd(load(cp, i+w), s1)
	}
	return sum(s0.Add(s1)) + dot3Loop(a[i:], b[i:], c[i:])
}

func maxSimd(x []float32) float32 {
	n, w := len(x), simd.Float32s{}.Len()
	xp := unsafe.SliceData(x)
	m := maxLoop(x[:min(n, 1)])
	m0 := simd.BroadcastFloat32s(m)
	m1 := m0
	i := 0
	for ; i <= n-2*w; i += 2 * w {
		a, b := load(xp, i), load(xp, i+w)
		m0 = a.IfElse(a.Greater(m0), m0) // a NaN is not greater
		m1 = b.IfElse(b.Greater(m1), m1)
	}
	var lanes [2 * widest]float32
	m0.Store(lanes[:widest])
	m1.Store(lanes[widest:])
	return max(m, maxLoop(lanes[:w]), maxLoop(lanes[widest:widest+w]), maxLoop(x[i:]))
}

func dotsSimd(y, q, k []float32, stride int) {
	for j := range y {
		y[j] = dotSimd(q, k[j*stride:])
	}
}

// weightedSimd keeps a vector of o in a register while the rows pass.
func weightedSimd(o, p, v []float32, stride int) {
	n, w := len(o), simd.Float32s{}.Len()
	op, vp := unsafe.SliceData(o), unsafe.SliceData(v)
	i := 0
	for ; i <= n-2*w; i += 2 * w {
		var a, b simd.Float32s
		for j, x := range p {
			xv := simd.BroadcastFloat32s(x)
			a = load(vp, j*stride+i).MulAdd(xv, a)
			b = load(vp, j*stride+i+w).MulAdd(xv, b)
		}
		store(op, i, a)
		store(op, i+w, b)
	}
	if i < n {
		weightedLoop(o[i:], p, v[min(i, len(v)):], stride)
	}
}

func softmaxGradSimd(d, p []float32, mean, scale float32) {
	n, w := len(d), simd.Float32s{}.Len()
	dp, pp := unsafe.SliceData(d), unsafe.SliceData(p)
	mv, sv := simd.BroadcastFloat32s(mean), simd.BroadcastFloat32s(scale)
	i := 0
	for ; i <= n-w; i += w {
		store(dp, i, load(dp, i).Sub(mv).Mul(load(pp, i)).Mul(sv))
	}
	softmaxGradLoop(d[i:], p[i:], mean, scale)
}

func ropeSimd(x, cs []float32, half int, sign float32) {
	w := simd.Float32s{}.Len()
	if half%w != 0 {
		ropeLoop(x, cs, half, sign)
		return
	}
	xp, cp, gv := unsafe.SliceData(x), unsafe.SliceData(cs), simd.BroadcastFloat32s(sign)
	for o := 0; o < len(x); o += 2 * half {
		for i := 0; i < half; i += w {
			a, b := load(xp, o+i), load(xp, o+half+i)
			c, s := load(cp, i), load(cp, half+i).Mul(gv)
			store(xp, o+i, a.Mul(c).Sub(b.Mul(s)))
			store(xp, o+half+i, b.Mul(c).Add(a.Mul(s)))
		}
	}
}

func rmsGradSimd(dx []float32, r float32, dy, g []float32, c float32, x []float32) {
	n, w := len(dx), simd.Float32s{}.Len()
	dp, yp := unsafe.SliceData(dx), unsafe.SliceData(dy)
	gp, xp := unsafe.SliceData(g), unsafe.SliceData(x)
	rv, cv := simd.BroadcastFloat32s(r), simd.BroadcastFloat32s(c)
	i := 0
	for ; i <= n-w; i += w {
		u := load(yp, i).Mul(load(gp, i)).MulAdd(rv, load(xp, i).Mul(cv))
		store(dp, i, load(dp, i).Add(u))
	}
	rmsGradLoop(dx[i:], r, dy[i:], g[i:], c, x[i:])
}

func adamwSimd(p, g, m, v []float32, s *adamScalars) {
	n, w := len(p), simd.Float32s{}.Len()
	pp, gp := unsafe.SliceData(p), unsafe.SliceData(g)
	mp, vp := unsafe.SliceData(m), unsafe.SliceData(v)
	var c [10]simd.Float32s
	for i, x := range s {
		c[i] = simd.BroadcastFloat32s(x)
	}
	i := 0
	for ; i <= n-w; i += w {
		d := load(gp, i).Mul(c[0])
		mi := load(mp, i).Mul(c[1]).Add(d.Mul(c[2]))
		vi := load(vp, i).Mul(c[3]).Add(d.Mul(d).Mul(c[4]))
		store(mp, i, mi)
		store(vp, i, vi)
		pi := load(pp, i)
		step := mi.Mul(c[5]).Div(vi.Mul(c[6]).Sqrt().Add(c[7]))
		store(pp, i, pi.Sub(pi.MulAdd(c[9], step).Mul(c[8])))
	}
	adamwLoop(p[i:], g[i:], m[i:], v[i:], s)
}

// simdForms is the portable form, where the processor has vectors for it.
func simdForms() []*form {
	if simd.Emulated() {
		return nil
	}
	f := loops
	f.name = "simd"
	f.tile, f.tileRow = simdTiles(false), simdTiles(true)
	f.panelF32 = panelsOf(f.tileRow)
	f.panelF16 = []panelFunc[uint16]{nil, panelF16Simd}
	f.panelBF16 = []panelFunc[uint16]{nil, panelBF16Simd}
	f.widenF16, f.widenBF16, f.widenQ4 = widenF16Simd, widenBF16Simd, widenQ4Simd
	f.pairsBF16 = pairsBF16Simd
	f.dot, f.dot3, f.add, f.axpy = dotSimd, dot3Simd, addSimd, axpySimd
	f.scale, f.mulScale, f.mulAcc = scaleSimd, mulScaleSimd, mulAccSimd
	f.max, f.expSum, f.sumExp = maxSimd, expSumSimd, sumExpSimd
	f.expScale, f.expAdd, f.kl, f.klGrad = expScaleSimd, expAddSimd, klSimd, klGradSimd
	f.dots, f.weighted, f.softmaxGrad = dotsSimd, weightedSimd, softmaxGradSimd
	f.rope, f.rmsGrad = ropeSimd, rmsGradSimd
	f.swiglu, f.swigluGrad, f.adamw = swigluSimd, swigluGradSimd, adamwSimd
	f.tile64, f.tileRow64 = simdTiles64(false), simdTiles64(true)
	f.dot64, f.axpy64, f.symv8 = dot64Simd, axpy64Simd, symv8Simd
	tune(&f)
	return []*form{&f}
}
