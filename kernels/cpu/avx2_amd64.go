package cpu

import "transformer2/kernels/cpu/x86"

// useY gives f the kernels of AVX2, FMA and F16C.
func useY(f *form) {
	productsY(f)
	vectorsY(f)
	rowsY(f)
	doublesY(f)
}

func productsY(f *form) {
	f.kBlock = 192
	f.tile, f.tileRow = gemmFuncs(x86.GemmY[:]), gemmFuncs(x86.GemmRowY[:])
	f.panelF32 = panelFuncs(x86.PanelF32Y[:])
	f.panelF16, f.panelBF16 = panelFuncs(x86.PanelF16Y[:]), panelFuncs(x86.PanelBF16Y[:])
	f.quantize = func(dst []byte, x []float32) { x86.QuantizeY(p8(dst), p(x), len(x)/q8Block) }
	f.q8 = q8Funcs(x86.Q8Y[:])
	f.panelQ8, f.panelQ4 = panelFuncs(x86.PanelQ8Y[:]), panelFuncs(x86.PanelQ4Y[:])
	f.packQ8 = func(dst []byte, src []float32) {
		x86.PackQ8Y(p8(dst), p(src), len(src)/(nr*q8Block))
	}
	f.widenQ8 = func(dst []float32, src []byte) {
		x86.WidenQ8Y(p(dst), p8(src), len(dst)/(nr*q8Block))
	}
	f.narrowF16 = func(dst []uint16, src []float32) {
		x86.NarrowF16Y(p16(dst), p(src), len(src)/nr)
	}
	f.narrowBF16 = func(dst []uint16, src []float32) {
		x86.NarrowBF16Y(p16(dst), p(src), len(src)/nr)
	}
	f.widenF16 = func(dst []float32, src []uint16) {
		x86.WidenF16Y(p(dst), p16(src), len(dst)/nr)
	}
	f.widenBF16 = func(dst []float32, src []uint16) {
		x86.WidenBF16Y(p(dst), p16(src), len(dst)/nr)
	}
	f.packT = func(dst []float32, scale float32, src []float32, ld, rows, k int) {
		x86.PackTY(p(dst), scale, p(src), ld, rows, k)
	}
	f.copyPanel = func(dst, src []float32, ld, k, cols int) {
		x86.CopyPanelY(p(dst), p(src), ld, k, cols)
	}
}

func vectorsY(f *form) {
	f.dot = func(a, b []float32) float32 { return x86.DotY(p(a), p(b), len(a)) }
	f.dot3 = func(a, b, c []float32) float32 { return x86.Dot3Y(p(a), p(b), p(c), len(a)) }
	f.add = func(y, x []float32) { x86.AddY(p(y), p(x), len(y)) }
	f.axpy = func(y []float32, a float32, x []float32) { x86.AxpyY(a, p(x), p(y), len(y)) }
	f.scale = func(y, x []float32, a float32) { x86.ScaleY(p(y), a, p(x), len(y)) }
	f.mulScale = func(y, a []float32, s float32, b []float32) {
		x86.ScaleMulY(p(y), s, p(a), p(b), len(y))
	}
	f.mulAcc = func(y, a, b []float32, s float32) { x86.MulAddY(p(y), s, p(a), p(b), len(y)) }
	f.rope = func(x, cs []float32, half int, sign float32) {
		x86.RoPEY(p(x), p(cs), len(x)/(2*half), half, sign)
	}
	f.rmsGrad = func(dx []float32, r float32, dy, g []float32, c float32, x []float32) {
		x86.NormGradY(p(dx), r, p(dy), p(g), c, p(x), len(dx))
	}
	f.adamw = func(w, g, m, v []float32, s *adamScalars) {
		x86.AdamWY(p(w), p(g), p(m), p(v), len(w), (*[10]float32)(s))
	}
}

func rowsY(f *form) {
	f.index = func(x []float32, v float32) int { return x86.IndexY(p(x), len(x), v) }
	f.max = func(x []float32) float32 { return x86.MaxY(p(x), len(x)) }
	f.expSum = func(y, x []float32, m float32) float32 {
		return x86.ExpSumY(p(y), p(x), len(y), m)
	}
	f.sumExp = func(x []float32, m float32) float32 { return x86.SumExpY(p(x), len(x), m) }
	f.expScale = func(y, x []float32, m, s float32) { x86.ExpScaleY(p(y), p(x), len(y), m, s) }
	f.expAdd = func(y, x []float32, m, s float32) { x86.ExpAddY(p(y), p(x), len(y), m, s) }
	f.kl = func(x, r []float32, lx, lr float32) float32 {
		return x86.KLY(p(x), p(r), len(x), lx, lr)
	}
	f.klGrad = func(d, x, r []float32, lx, lr, w, kl float32) {
		x86.KLGradY(p(d), p(x), p(r), len(d), lx, lr, w, kl)
	}
	f.dots = func(y, q, k []float32, stride int) {
		x86.DotsY(p(y), p(q), len(q), p(k), stride, len(y))
	}
	f.weighted = func(o, w, v []float32, stride int) {
		x86.WeightedSumY(p(o), p(w), p(v), stride, len(w), len(o))
	}
	f.softmaxGrad = func(d, w []float32, mean, scale float32) {
		x86.SoftmaxGradY(p(d), p(w), len(d), mean, scale)
	}
	f.swiglu = func(y, gate, up []float32) { x86.SwiGLUY(p(y), p(gate), p(up), len(y)) }
	f.swigluGrad = func(dgate, dup, dy, gate, up []float32) {
		x86.SwiGLUGradY(p(dgate), p(dup), p(dy), p(gate), p(up), len(dgate))
	}
}

func doublesY(f *form) {
	f.tile64, f.tileRow64 = gemm64Funcs(x86.Gemm64Y[:]), gemm64Funcs(x86.GemmRow64Y[:])
	f.dot64 = func(a, b []float64) float64 { return x86.Dot64Y(p64(a), p64(b), len(a)) }
	f.axpy64 = func(y []float64, a float64, x []float64) {
		x86.Axpy64Y(a, p64(x), p64(y), len(y))
	}
	f.symv8 = func(n int, a []float64, lda int, x, xr, y, z []float64) {
		x86.Symv8x64Y(n, p64(a), lda, p64(x), p64(xr), p64(y), p64(z))
	}
}
