package cpu

import (
	"fmt"
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

// A form is one way to run the inner loops. Each field is documented by the loop it equals; n is
// the length of the first argument and the others are at least as long. Lengths need no multiple.
type form struct {
	name string

	// tile[i] and tileRow[i] compute i rows of a result, for 1 ≤ i ≤ mr() (see gemmFunc).
	tile, tileRow []gemmFunc

	// panelF32, panelF16 and panelBF16 are the product of a panel with one row, w [len(x)][nr]:
	//
	//	for j < nr: y[j] = Σ_l w[l*nr+j]·x[l]
	panelF32  func(y, w, x []float32)
	panelF16  func(y []float32, w []uint16, x []float32)
	panelBF16 func(y []float32, w []uint16, x []float32)
	// panelQ8 is the same for Q8 (see quant.go for the layout of w and its scales).
	panelQ8 func(y []float32, w *q8Panel, x []float32)

	// widenF16 and widenBF16 turn packed rows of nr into f32: dst[i] = float(w[i]).
	widenF16  func(dst []float32, w []uint16)
	widenBF16 func(dst []float32, w []uint16)

	// packT transposes rows into a strip of width w, zeros past the last row:
	//
	//	for l < k, i < w: dst[l*w+i] = i < rows ? src[i*ld+l] : 0
	packT func(dst []float32, w int, src []float32, ld, rows, k int)

	dot  func(a, b []float32) float32    // Σ a[i]·b[i]
	dot3 func(a, b, c []float32) float32 // Σ a[i]·b[i]·c[i]
	add  func(y, x []float32)            // y[i] += x[i]
	mul  func(y, a, b []float32)         // y[i] = a[i]·b[i]
	// axpy: y[i] += a·x[i]
	axpy func(y []float32, a float32, x []float32)
	// scale: y[i] = a·x[i]
	scale func(y, x []float32, a float32)
	// mulScale: y[i] = a[i]·s·b[i]
	mulScale func(y, a []float32, s float32, b []float32)
	// mulAcc: y[i] += a[i]·b[i]·s
	mulAcc func(y, a, b []float32, s float32)
	// max: max(m, x[i]...) from m = −Inf; NaN is passed over
	max func(x []float32) float32
	// expSum: y[i] = exp(x[i]−m), and their sum. y may be x.
	expSum func(y, x []float32, m float32) float32
	// dots: y[j] = Σ_i q[i]·k[j*stride+i], i < len(q)
	dots func(y, q, k []float32, stride int)
	// weighted: o[i] = Σ_j p[j]·v[j*stride+i], i < len(o)
	weighted func(o, p, v []float32, stride int)
	// softmaxGrad: d[i] = scale·p[i]·(d[i] − mean)
	softmaxGrad func(d, p []float32, mean, scale float32)
	// rope: a[i], b[i] = a[i]·c[i] − b[i]·s[i]·sign, b[i]·c[i] + a[i]·s[i]·sign
	rope func(a, b, c, s []float32, sign float32)
	// rmsGrad: dx[i] += r·(dy[i]·g[i] − x[i]·c)
	rmsGrad func(dx, dy, g, x []float32, r, c float32)
	// swiglu: y[i] = up[i]·gate[i]/(1+exp(−gate[i])). y may be gate or up.
	swiglu func(y, gate, up []float32)
	// swigluGrad: s = 1/(1+exp(−gate)); dgate = dy·up·s·(1+gate·(1−s)); dup = dy·gate·s
	swigluGrad func(dgate, dup, dy, gate, up []float32)
	// adamw is one step on p, m, v (compute.Losses) with the bias corrections in s.
	adamw  func(p, g, m, v []float32, s *adamScalars)
	dot64  func(a, b []float64) float64
	axpy64 func(y []float64, a float64, x []float64)
}

// maxRows is no less than mr of any form.
const maxRows = 16

// mr is the most rows of a tile.
func (f *form) mr() int { return len(f.tile) - 1 }

// adamScalars are AdamW's constants of one step, in the form that the loop wants them.
type adamScalars struct {
	beta1, beta2, eps, gradScale float32
	lr                           float32 // LR
	decay                        float32 // LR·WeightDecay
	bias1, bias2                 float32 // 1/(1−β1^t), 1/(1−β2^t)
}

// candidates are the forms of this build that run here, best first; the loops are always last.
func candidates() []*form { return append(append(fastForms(), simdForms()...), &loops) }

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
