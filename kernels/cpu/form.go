package cpu

import (
	"fmt"
	"slices"
	"strings"
)

// nr is the width of a panel: the columns of the result that one tile or one panel of a weight
// covers. 32 numbers are two AVX-512 registers, four of AVX2, eight of NEON or WASM SIMD.
const nr = 32

// A gemmFunc is the matrix product's inner loop: a tile of rows×32 of the result. For i < rows and
// the columns j < 32 whose bit is set in mask:
//
//	s := 0, or c[i*ldc+j] if acc != 0
//	for p := range k { s += A(i,p)·b[p*ldb+j] }
//	c[i*ldc+j] = s
//
// A(i,p) is a[p*lda+i] in a tile and a[i*lda+p] in a tileRow. The sum is one chain in the order of
// p: cutting k in two calls, the second with acc, gives the same bits, and so does any number of
// rows. b is read for all 32 columns whatever the mask (all storage is padded for that).
type gemmFunc func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int,
	acc int, mask uint32)

// A panelFunc multiplies rows of x with consecutive panels of a weight. For q < panels, i < rows
// and j < 32 (in the last panel where mask has bit j):
//
//	s := 0, or y[i*ldy+32*q+j] if acc != 0
//	for p := range k { s += x[i*ldx+p]·w(q*ldw+32*p, j) }
//	y[i*ldy+32*q+j] = s
//
// The order of the sum is that of gemmFunc. w(o, j) is w[o+j] in F32 and F16; in BF16 it is
// w[o+2*j] for j < 16 and w[o+2*(j−16)+1] above, so that 32 bits hold columns j and j+16. Q8 and
// Q4 are what widenQ8 and widenQ4 make of w; their ldw counts bytes and k is a multiple of 32.
type panelFunc[T float32 | uint16 | byte] func(k int, x *float32, ldx int, w *T, ldw, panels int,
	y *float32, ldy int, acc int, mask uint32)

// A form is one way to run the inner loops. Each field is documented by the loop it equals; n is
// the length of the first argument and the others are at least as long. Lengths need no multiple.
type form struct {
	name string

	// kBlock·32 numbers of a panel stay in the first-level cache while strips of rows pass over
	// them: the higher a tile, the less often they are read, and the more may come from the second.
	kBlock int

	// tile[i] and tileRow[i] compute i rows of a result, for 1 ≤ i ≤ mr() (see gemmFunc).
	tile, tileRow []gemmFunc

	// panelF32[i], panelF16[i] and panelBF16[i] multiply i rows of x with panels of a weight, for
	// 1 ≤ i < len (see panelFunc).
	panelF32            []panelFunc[float32]
	panelF16, panelBF16 []panelFunc[uint16]
	panelQ8, panelQ4    []panelFunc[byte] // may be missing: then panels are widened first

	// widenF16 and widenBF16 turn packed rows of nr into f32: dst[i] = float(w[i]). Narrow is
	// their inverse, rounding half to even.
	widenF16, widenBF16 func(dst []float32, w []uint16)
	// packQ8 rounds a panel src [blocks*32][nr] to Q8, widenQ8 is its inverse (see quant.go).
	packQ8  func(dst []byte, src []float32)
	widenQ8 func(dst []float32, src []byte)
	// packQ4 and widenQ4 are the same for Q4 (see quant4.go).
	packQ4  func(dst []byte, src []float32)
	widenQ4 func(dst []float32, src []byte)

	narrowF16, narrowBF16 func(dst []uint16, src []float32)
	// pairsBF16 makes rows of a panel of BF16 from what packT makes of rows whose words are pairs of
	// them, inputs 2l and 2l+1: pairs[l*nr+j] has those of column j, the first in its lower half.
	pairsBF16 func(dst []uint16, pairs []float32)
	// q8[i] multiplies i rows of rounded x with panels of Q8 (see q8Func); quantize rounds a row.
	q8       []q8Func
	quantize func(dst []byte, x []float32)
	// packT transposes rows into a panel, zeros past the last row:
	//
	//	for l < k, i < nr: dst[l*nr+i] = i < rows ? scale·src[i*ld+l] : 0
	packT func(dst []float32, scale float32, src []float32, ld, rows, k int)
	// copyPanel copies columns into a panel, zeros past the last column:
	//
	//	for l < k, i < nr: dst[l*nr+i] = i < cols ? src[l*ld+i] : 0
	copyPanel func(dst, src []float32, ld, k, cols int)

	dot  func(a, b []float32) float32    // Σ a[i]·b[i]
	dot3 func(a, b, c []float32) float32 // Σ a[i]·b[i]·c[i]
	add  func(y, x []float32)            // y[i] += x[i]
	// axpy: y[i] += a·x[i]
	axpy func(y []float32, a float32, x []float32)
	// scale: y[i] = a·x[i]. y may be x.
	scale func(y, x []float32, a float32)
	// mulScale: y[i] = a[i]·s·b[i]. y may be a.
	mulScale func(y, a []float32, s float32, b []float32)
	// mulAcc: y[i] += a[i]·b[i]·s
	mulAcc func(y, a, b []float32, s float32)
	// index: the least i with x[i] = v, or len(x)
	index func(x []float32, v float32) int
	// max: max(−Inf, x[i]...); NaN is passed over.
	max func(x []float32) float32
	// expSum: y[i] = exp(x[i]−m), and their sum. y may be x.
	expSum func(y, x []float32, m float32) float32
	// sumExp: Σ exp(x[i]−m)
	sumExp func(x []float32, m float32) float32
	// expScale: y[i] = s·exp(x[i]−m). y may be x.
	expScale func(y, x []float32, m, s float32)
	// expAdd: y[i] += s·exp(x[i]−m)
	expAdd func(y, x []float32, m, s float32)
	// kl: Σ exp(x[i]−lx)·((x[i]−lx) − (r[i]−lr))
	kl func(x, r []float32, lx, lr float32) float32
	// klGrad: d[i] += w·exp(x[i]−lx)·((x[i]−lx) − (r[i]−lr) − kl)
	klGrad func(d, x, r []float32, lx, lr, w, kl float32)
	// dots: y[j] = Σ_i q[i]·k[j*stride+i], i < len(q)
	dots func(y, q, k []float32, stride int)
	// weighted: o[i] = Σ_j p[j]·v[j*stride+i], i < len(o)
	weighted func(o, p, v []float32, stride int)
	// softmaxGrad: d[i] = scale·p[i]·(d[i] − mean)
	softmaxGrad func(d, p []float32, mean, scale float32)
	// rope turns the heads of one row, 2·half numbers each: with c, s = cs[i], sign·cs[half+i] and
	// a, b = x[h*2*half+i], x[h*2*half+half+i]: a, b = a·c − b·s, b·c + a·s
	rope func(x, cs []float32, half int, sign float32)
	// rmsGrad: dx[i] += r·dy[i]·g[i] + c·x[i]
	rmsGrad func(dx []float32, r float32, dy, g []float32, c float32, x []float32)
	// swiglu: y[i] = up[i]·gate[i]/(1+exp(−gate[i])). y may be gate or up.
	swiglu func(y, gate, up []float32)
	// swigluGrad: s = 1/(1+exp(−gate)); dgate = dy·up·s·(1+gate·(1−s)); dup = dy·gate·s
	swigluGrad func(dgate, dup, dy, gate, up []float32)
	// adamw is one step on p, m, v (compute.Losses) with its constants in s.
	adamw func(p, g, m, v []float32, s *adamScalars)

	// The f64 loops of compute.Dense64: tile64[i] and tileRow64[i] are i rows (see gemm64Func).
	tile64, tileRow64 []gemm64Func
	dot64             func(a, b []float64) float64
	axpy64            func(y []float64, a float64, x []float64)
	// symv8: y[i] += Σ_{j<n} a[i*lda+j]·x[j], z[j] += Σ_i a[i*lda+j]·xr[i] for i < 8
	symv8 func(n int, a []float64, lda int, x, xr, y, z []float64)
}

// maxRows is no less than mr of any form.
const maxRows = 16

// mr is the most rows of a tile.
func (f *form) mr() int { return len(f.tile) - 1 }

// adamScalars are AdamW's constants of one step:
//
//	d = c[0]·g    m = c[1]·m + c[2]·d    v = c[3]·v + c[4]·d²
//	p −= c[8]·(m·c[5]/(√(v·c[6]) + c[7]) + c[9]·p)
type adamScalars [10]float32

// candidates are the forms of this build that run here, best first; the loops are always last.
func candidates() []*form {
	fast, portable := fastForms(), simdForms()
	for _, f := range fast {
		for _, p := range portable { // what was not written in assembly
			f.widenQ4, f.pairsBF16 = p.widenQ4, p.pairsBF16
		}
	}
	return slices.Concat(fast, portable, []*form{&loops})
}

// Forms names the forms that this build can run on this machine, best first.
func Forms() []string {
	var names []string
	for _, f := range candidates() {
		names = append(names, f.name)
	}
	return names
}

// chooseForm finds a form by name, or the best one, and the reason for it.
func chooseForm(name string) (*form, string, error) {
	all := candidates()
	if name == "" {
		return all[0], formReason(all[0].name), nil
	}
	for _, f := range all {
		if f.name == name {
			return f, "the form " + name + " was asked for", nil
		}
	}
	return nil, "", fmt.Errorf("cpu: form %q: want one of %s on this machine", name,
		strings.Join(Forms(), ", "))
}
