package cpu

import (
	"math"
	"unsafe"
)

// loops is the form that runs anywhere and says what the others mean.
var loops = form{
	name:        "loops",
	kBlock:      192,
	tile:        tileLoops(false),
	tileRow:     tileLoops(true),
	panelF32:    panelsOf(tileLoops(true)),
	panelF16:    []panelFunc[uint16]{nil, panelF16Loop},
	panelBF16:   []panelFunc[uint16]{nil, panelBF16Loop},
	widenF16:    widenF16Loop,
	widenBF16:   widenBF16Loop,
	packQ8:      packQ8Loop,
	widenQ8:     widenQ8Loop,
	packQ4:      packQ4Loop,
	widenQ4:     widenQ4Loop,
	narrowF16:   narrowF16Loop,
	narrowBF16:  narrowBF16Loop,
	pairsBF16:   pairsBF16Loop,
	q8:          []q8Func{nil, q8Loop},
	quantize:    quantizeLoop,
	packT:       packTLoop,
	copyPanel:   copyPanelLoop,
	dot:         dotLoop,
	dot3:        dot3Loop,
	add:         addLoop,
	axpy:        axpyLoop,
	scale:       scaleLoop,
	mulScale:    mulScaleLoop,
	mulAcc:      mulAccLoop,
	index:       indexLoop,
	max:         maxLoop,
	expSum:      expSumLoop,
	sumExp:      sumExpLoop,
	expScale:    expScaleLoop,
	expAdd:      expAddLoop,
	kl:          klLoop,
	klGrad:      klGradLoop,
	dots:        dotsLoop,
	weighted:    weightedLoop,
	softmaxGrad: softmaxGradLoop,
	rope:        ropeLoop,
	rmsGrad:     rmsGradLoop,
	swiglu:      swigluLoop,
	swigluGrad:  swigluGradLoop,
	adamw:       adamwLoop,
	tile64:      tile64Loops(false),
	tileRow64:   tile64Loops(true),
	dot64:       dot64Loop,
	axpy64:      axpy64Loop,
	symv8:       symv8Loop,
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
				tileRowLoop(k, as[i*ai:], ap, bs, ldb, at(c, i*ldc), acc, mask)
			}
		}
	}
	return fs
}

// tileRowLoop is one row of a tile, A(p) = a[p*ap].
func tileRowLoop(k int, a []float32, ap int, b []float32, ldb int, c *float32, acc int,
	mask uint32) {
	var sum [nr]float32
	if acc != 0 {
		loadRow(&sum, c, mask)
	}
	for p := range k {
		x := a[p*ap]
		for j, v := range (*[nr]float32)(b[p*ldb:]) {
			sum[j] += x * v
		}
	}
	storeRow(c, &sum, mask)
}

// loadRow and storeRow move the columns of mask between a row of the result and its sums.
func loadRow(sum *[nr]float32, c *float32, mask uint32) {
	for j := range sum {
		if mask>>j&1 != 0 {
			sum[j] = *at(c, j)
		}
	}
}

func storeRow(c *float32, sum *[nr]float32, mask uint32) {
	for j, v := range sum {
		if mask>>j&1 != 0 {
			*at(c, j) = v
		}
	}
}

// panelSums and storePanel begin and end one panel of a panelFunc of one row.
func panelSums(sum *[nr]float32, y *float32, q, panels, acc int, mask uint32) {
	*sum = [nr]float32{}
	if acc != 0 {
		loadRow(sum, at(y, q*nr), panelMask(q, panels, mask))
	}
}

func storePanel(y *float32, sum *[nr]float32, q, panels int, mask uint32) {
	storeRow(at(y, q*nr), sum, panelMask(q, panels, mask))
}

func panelMask(q, panels int, mask uint32) uint32 {
	if q == panels-1 {
		return mask
	}
	return allColumns
}

// panelsOf are the panelFuncs of f32 by tileRows: a panel is the packed operand of a tile.
func panelsOf(tileRow []gemmFunc) []panelFunc[float32] {
	fs := make([]panelFunc[float32], len(tileRow))
	for rows := 1; rows < len(fs); rows++ {
		fs[rows] = func(k int, x *float32, ldx int, w *float32, ldw, panels int, y *float32,
			ldy int, acc int, mask uint32) {
			for q := range panels {
				tileRow[rows](k, x, ldx, at(w, q*ldw), nr, at(y, q*nr), ldy, acc,
					panelMask(q, panels, mask))
			}
		}
	}
	return fs
}

func panelF16Loop(k int, x *float32, _ int, w *uint16, ldw, panels int, y *float32, _ int,
	acc int, mask uint32) {
	ws := unsafe.Slice(w, (panels-1)*ldw+k*nr)
	for q := range panels {
		var sum [nr]float32
		panelSums(&sum, y, q, panels, acc, mask)
		for l, xl := range unsafe.Slice(x, k) {
			for j, v := range (*[nr]uint16)(ws[q*ldw+l*nr:]) {
				sum[j] += xl * fromF16(v)
			}
		}
		storePanel(y, &sum, q, panels, mask)
	}
}

func panelBF16Loop(k int, x *float32, _ int, w *uint16, ldw, panels int, y *float32, _ int,
	acc int, mask uint32) {
	ws := unsafe.Slice(w, (panels-1)*ldw+k*nr)
	for q := range panels {
		var sum [nr]float32
		panelSums(&sum, y, q, panels, acc, mask)
		for l, xl := range unsafe.Slice(x, k) {
			row := (*[nr]uint16)(ws[q*ldw+l*nr:])
			for j := range nr / 2 {
				sum[j] += xl * fromBF16(row[2*j])
				sum[j+nr/2] += xl * fromBF16(row[2*j+1])
			}
		}
		storePanel(y, &sum, q, panels, mask)
	}
}

func pairsBF16Loop(dst []uint16, pairs []float32) {
	for ; len(pairs) > 0; dst, pairs = dst[2*nr:], pairs[nr:] {
		for j := range nr / 2 {
			a, b := math.Float32bits(pairs[j]), math.Float32bits(pairs[j+nr/2])
			dst[2*j], dst[2*j+1] = uint16(a), uint16(b)
			dst[nr+2*j], dst[nr+2*j+1] = uint16(a>>16), uint16(b>>16)
		}
	}
}

func widenF16Loop(dst []float32, w []uint16) {
	for i := range dst {
		dst[i] = fromF16(w[i])
	}
}

func widenBF16Loop(dst []float32, w []uint16) {
	for o := 0; o < len(dst); o += nr {
		for j := range nr / 2 {
			dst[o+j] = fromBF16(w[o+2*j])
			dst[o+j+nr/2] = fromBF16(w[o+2*j+1])
		}
	}
}

func narrowF16Loop(dst []uint16, src []float32) {
	for i, v := range src {
		dst[i] = toF16(v)
	}
}

func narrowBF16Loop(dst []uint16, src []float32) {
	for o := 0; o < len(dst); o += nr {
		for j := range nr / 2 {
			dst[o+2*j] = toBF16(src[o+j])
			dst[o+2*j+1] = toBF16(src[o+j+nr/2])
		}
	}
}

// packTLoop takes four rows at a time, whose columns lie together in the panel.
func packTLoop(dst []float32, scale float32, src []float32, ld, rows, k int) {
	if rows < nr {
		clear(dst[:k*nr])
	}
	const block = 16 // columns of src are a cache line, rows of dst stay near
	for l0 := 0; l0 < k; l0 += block {
		n, i := min(block, k-l0), 0
		for ; i+4 <= rows; i += 4 {
			s := src[i*ld+l0:]
			s0, s1, s2, s3 := s[:n], s[ld:][:n], s[2*ld:][:n], s[3*ld:][:n]
			d := dst[l0*nr+i:]
			for l, v := range s0 {
				d4 := (*[4]float32)(d[l*nr:])
				d4[0], d4[1], d4[2], d4[3] = scale*v, scale*s1[l], scale*s2[l], scale*s3[l]
			}
		}
		for ; i < rows; i++ {
			d := dst[l0*nr+i:]
			for l, v := range src[i*ld+l0:][:n] {
				d[l*nr] = scale * v
			}
		}
	}
}

func copyPanelLoop(dst, src []float32, ld, k, cols int) {
	for l := range k {
		row := dst[l*nr : (l+1)*nr]
		clear(row[copy(row, src[l*ld:l*ld+cols]):])
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

func indexLoop(x []float32, v float32) int {
	for i, xi := range x {
		if xi == v {
			return i
		}
	}
	return len(x)
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

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

func expSumLoop(y, x []float32, m float32) float32 {
	s := float32(0)
	for i := range y {
		y[i] = exp(x[i] - m)
		s += y[i]
	}
	return s
}

func sumExpLoop(x []float32, m float32) float32 {
	s := float32(0)
	for _, v := range x {
		s += exp(v - m)
	}
	return s
}

func expScaleLoop(y, x []float32, m, s float32) {
	for i := range y {
		y[i] = s * exp(x[i]-m)
	}
}

func expAddLoop(y, x []float32, m, s float32) {
	for i := range y {
		y[i] += s * exp(x[i]-m)
	}
}

func klLoop(x, r []float32, lx, lr float32) float32 {
	s := float32(0)
	for i, v := range x {
		s += exp(v-lx) * ((v - lx) - (r[i] - lr))
	}
	return s
}

func klGradLoop(d, x, r []float32, lx, lr, w, kl float32) {
	for i := range d {
		d[i] += w * exp(x[i]-lx) * ((x[i] - lx) - (r[i] - lr) - kl)
	}
}

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

func ropeLoop(x, cs []float32, half int, sign float32) {
	for ; len(x) >= 2*half; x = x[2*half:] {
		for i := range half {
			a, b, c, s := x[i], x[half+i], cs[i], cs[half+i]*sign
			x[i] = a*c - b*s
			x[half+i] = b*c + a*s
		}
	}
}

func rmsGradLoop(dx []float32, r float32, dy, g []float32, c float32, x []float32) {
	for i := range dx {
		dx[i] += r*dy[i]*g[i] + c*x[i]
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

func adamwLoop(p, g, m, v []float32, c *adamScalars) {
	for i := range p {
		d := g[i] * c[0]
		m[i] = c[1]*m[i] + c[2]*d
		v[i] = c[3]*v[i] + c[4]*d*d
		root := float32(math.Sqrt(float64(v[i] * c[6])))
		p[i] -= c[8] * (m[i]*c[5]/(root+c[7]) + c[9]*p[i])
	}
}
