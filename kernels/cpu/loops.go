package cpu

import (
	"math"
	"unsafe"
)

// loops is the form that runs anywhere and says what the others mean.
var loops = form{
	name:        "loops",
	tile:        tileLoops(false),
	tileRow:     tileLoops(true),
	panelF32:    panelF32Loop,
	panelF16:    panelF16Loop,
	panelBF16:   panelBF16Loop,
	panelQ8:     panelQ8Loop,
	widenF16:    widenF16Loop,
	widenBF16:   widenBF16Loop,
	packT:       packTLoop,
	dot:         dotLoop,
	dot3:        dot3Loop,
	add:         addLoop,
	mul:         mulLoop,
	axpy:        axpyLoop,
	scale:       scaleLoop,
	mulScale:    mulScaleLoop,
	mulAcc:      mulAccLoop,
	max:         maxLoop,
	expSum:      expSumLoop,
	dots:        dotsLoop,
	weighted:    weightedLoop,
	softmaxGrad: softmaxGradLoop,
	rope:        ropeLoop,
	rmsGrad:     rmsGradLoop,
	swiglu:      swigluLoop,
	swigluGrad:  swigluGradLoop,
	adamw:       adamwLoop,
	dot64:       dot64Loop,
	axpy64:      axpy64Loop,
}

// tileLoops are the tiles of 1 … 4 rows.
func tileLoops(rowMajor bool) []gemmFunc {
	fs := make([]gemmFunc, 5)
	for rows := 1; rows < len(fs); rows++ {
		fs[rows] = func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int,
			acc int, mask uint32) {
			ai, ap := 1, lda // A(i,p) = a[i*ai+p*ap]
			if rowMajor {
				ai, ap = lda, 1
			}
			as := unsafe.Slice(a, (rows-1)*ai+max(k-1, 0)*ap+1)
			bs := unsafe.Slice(b, max(k-1, 0)*ldb+nr)
			for i := range rows {
				tileRowLoop(k, as[i*ai:], ap, bs, ldb, unsafe.Slice(at(c, i*ldc), nr), acc, mask)
			}
		}
	}
	return fs
}

// tileRowLoop is one row of a tile, A(p) = a[p*ap].
func tileRowLoop(k int, a []float32, ap int, b []float32, ldb int, c []float32, acc int,
	mask uint32) {
	var sum [nr]float32
	if acc != 0 {
		for j := range sum {
			if mask>>j&1 != 0 {
				sum[j] = c[j]
			}
		}
	}
	for p := range k {
		x := a[p*ap]
		for j, v := range (*[nr]float32)(b[p*ldb:]) {
			sum[j] += x * v
		}
	}
	if mask == allColumns {
		copy(c, sum[:])
		return
	}
	for j, v := range sum {
		if mask>>j&1 != 0 {
			c[j] = v
		}
	}
}

func panelF32Loop(y, w, x []float32) {
	var sum [nr]float32
	for l, xl := range x {
		for j, v := range (*[nr]float32)(w[l*nr:]) {
			sum[j] += xl * v
		}
	}
	copy(y, sum[:])
}

func panelF16Loop(y []float32, w []uint16, x []float32) {
	var sum [nr]float32
	for l, xl := range x {
		for j, v := range (*[nr]uint16)(w[l*nr:]) {
			sum[j] += xl * fromF16(v)
		}
	}
	copy(y, sum[:])
}

func panelBF16Loop(y []float32, w []uint16, x []float32) {
	var row, sum [nr]float32
	for l, xl := range x {
		widenBF16Loop(row[:], w[l*nr:l*nr+nr])
		for j, v := range row {
			sum[j] += xl * v
		}
	}
	copy(y, sum[:])
}

func panelQ8Loop(y []float32, w *q8Panel, x []float32) {
	var sum [nr]float32
	for b := range w.blocks {
		var part [nr]float32
		for l, v := range x[b*q8Block : (b+1)*q8Block] {
			for j := range part {
				part[j] += v * float32(w.at(b, l, j))
			}
		}
		for j, v := range part {
			sum[j] += v * w.scale(b, j)
		}
	}
	copy(y, sum[:])
}

func widenF16Loop(dst []float32, w []uint16) {
	for i := range dst {
		dst[i] = fromF16(w[i])
	}
}

// A row of bf16 holds columns j and j+16 side by side: one 32-bit lane gives both, with a shift
// and a mask, in the order of the columns.
func widenBF16Loop(dst []float32, w []uint16) {
	for o := 0; o < len(dst); o += nr {
		for j := range nr / 2 {
			dst[o+j] = fromBF16(w[o+2*j])
			dst[o+j+nr/2] = fromBF16(w[o+2*j+1])
		}
	}
}

func packTLoop(dst []float32, w int, src []float32, ld, rows, k int) {
	for i := range w {
		if i >= rows {
			for l := range k {
				dst[l*w+i] = 0
			}
			continue
		}
		for l, v := range src[i*ld : i*ld+k] {
			dst[l*w+i] = v
		}
	}
}

func dotLoop(a, b []float32) float32 {
	s := float32(0)
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func dot3Loop(a, b, c []float32) float32 {
	s := float32(0)
	for i, v := range a {
		s += v * b[i] * c[i]
	}
	return s
}

func addLoop(y, x []float32) {
	for i := range y {
		y[i] += x[i]
	}
}

func mulLoop(y, a, b []float32) {
	for i := range y {
		y[i] = a[i] * b[i]
	}
}

func axpyLoop(y []float32, a float32, x []float32) {
	for i := range y {
		y[i] += a * x[i]
	}
}

func scaleLoop(y, x []float32, a float32) {
	for i := range y {
		y[i] = a * x[i]
	}
}

func mulScaleLoop(y, a []float32, s float32, b []float32) {
	for i := range y {
		y[i] = a[i] * s * b[i]
	}
}

func mulAccLoop(y, a, b []float32, s float32) {
	for i := range y {
		y[i] += a[i] * b[i] * s
	}
}

func maxLoop(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

func expSumLoop(y, x []float32, m float32) float32 {
	s := float32(0)
	for i := range y {
		y[i] = exp(x[i] - m)
		s += y[i]
	}
	return s
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

func dotsLoop(y, q, k []float32, stride int) {
	for j := range y {
		y[j] = dotLoop(q, k[j*stride:])
	}
}

func weightedLoop(o, p, v []float32, stride int) {
	clear(o)
	for j, pj := range p {
		axpyLoop(o, pj, v[j*stride:])
	}
}

func softmaxGradLoop(d, p []float32, mean, scale float32) {
	for i := range d {
		d[i] = scale * p[i] * (d[i] - mean)
	}
}

func ropeLoop(a, b, c, s []float32, sign float32) {
	for i := range a {
		x, y, si := a[i], b[i], s[i]*sign
		a[i] = x*c[i] - y*si
		b[i] = y*c[i] + x*si
	}
}

func rmsGradLoop(dx, dy, g, x []float32, r, c float32) {
	for i := range dx {
		dx[i] += r * (dy[i]*g[i] - x[i]*c)
	}
}

func swigluLoop(y, gate, up []float32) {
	for i := range y {
		y[i] = up[i] * gate[i] / (1 + exp(-gate[i]))
	}
}

func swigluGradLoop(dgate, dup, dy, gate, up []float32) {
	for i := range dgate {
		a, u, g := gate[i], up[i], dy[i]
		s := 1 / (1 + exp(-a))
		dgate[i] = g * u * s * (1 + a*(1-s))
		dup[i] = g * a * s
	}
}

func adamwLoop(p, g, m, v []float32, s *adamScalars) {
	for i := range p {
		gi := g[i] * s.gradScale
		m[i] = s.beta1*m[i] + (1-s.beta1)*gi
		v[i] = s.beta2*v[i] + (1-s.beta2)*gi*gi
		root := float32(math.Sqrt(float64(v[i] * s.bias2)))
		p[i] -= s.lr*(m[i]*s.bias1)/(root+s.eps) + s.decay*p[i]
	}
}

func dot64Loop(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func axpy64Loop(y []float64, a float64, x []float64) {
	for i := range y {
		y[i] += a * x[i]
	}
}
