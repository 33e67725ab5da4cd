package x86

import "math"

// vecCase holds a one-dimensional kernel to its loop in float64 and both forms to the same bits.
type vecCase struct {
	name  string
	fresh bool // outputs are not read: they come in as NaN
	outs  int
	ins   int
	f     [2]func(out, in []*float32, n int) float32 // Z, Y
	spec  func(out, in [][]float64, n int) float64
	tol   float64 // relative to 1 + |want|, times √n for sums
	flops float64 // per element, for the benchmark
	bytes float64
}

func two(z, y func(out, in []*float32, n int) float32) [2]func(out, in []*float32, n int) float32 {
	return [2]func(out, in []*float32, n int) float32{z, y}
}

// void gives a kernel without a result the signature of one with a result.
func void(f func(out, in []*float32, n int)) func(out, in []*float32, n int) float32 {
	return func(out, in []*float32, n int) float32 { f(out, in, n); return 0 }
}

func silu(a float64) float64 { return a / (1 + math.Exp(-a)) }

var adamConsts = [10]float32{0.5, 0.9, 0.1, 0.99, 0.01, 2, 3, 1e-8, 1e-2, 0.1}

var vecCases = []vecCase{
	{name: "Dot", ins: 2, tol: 1e-6, flops: 2, bytes: 8,
		f: two(func(o, i []*float32, n int) float32 { return DotZ(i[0], i[1], n) },
			func(o, i []*float32, n int) float32 { return DotY(i[0], i[1], n) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				s += i[0][k] * i[1][k]
			}
			return s
		}},
	{name: "Dot3", ins: 3, tol: 1e-6, flops: 3, bytes: 12,
		f: two(func(o, i []*float32, n int) float32 { return Dot3Z(i[0], i[1], i[2], n) },
			func(o, i []*float32, n int) float32 { return Dot3Y(i[0], i[1], i[2], n) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				s += i[0][k] * i[1][k] * i[2][k]
			}
			return s
		}},
	{name: "SumSq", ins: 1, tol: 1e-6, flops: 2, bytes: 4,
		f: two(func(o, i []*float32, n int) float32 { return SumSqZ(i[0], n) },
			func(o, i []*float32, n int) float32 { return SumSqY(i[0], n) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				s += i[0][k] * i[0][k]
			}
			return s
		}},
	{name: "Sum", ins: 1, tol: 1e-6, flops: 1, bytes: 4,
		f: two(func(o, i []*float32, n int) float32 { return SumZ(i[0], n) },
			func(o, i []*float32, n int) float32 { return SumY(i[0], n) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				s += i[0][k]
			}
			return s
		}},
	{name: "Max", ins: 1, flops: 1, bytes: 4,
		f: two(func(o, i []*float32, n int) float32 { return MaxZ(i[0], n) },
			func(o, i []*float32, n int) float32 { return MaxY(i[0], n) }),
		spec: func(o, i [][]float64, n int) float64 {
			s := math.Inf(-1)
			for k := range n {
				s = max(s, i[0][k])
			}
			return s
		}},
	{name: "Axpy", outs: 1, ins: 1, tol: 1e-6, flops: 2, bytes: 12,
		f: two(void(func(o, i []*float32, n int) { AxpyZ(1.5, i[0], o[0], n) }),
			void(func(o, i []*float32, n int) { AxpyY(1.5, i[0], o[0], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] += 1.5 * i[0][k]
			}
			return 0
		}},
	{name: "Scale", fresh: true, outs: 1, ins: 1, tol: 1e-6, flops: 1, bytes: 8,
		f: two(void(func(o, i []*float32, n int) { ScaleZ(o[0], 1.5, i[0], n) }),
			void(func(o, i []*float32, n int) { ScaleY(o[0], 1.5, i[0], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] = 1.5 * i[0][k]
			}
			return 0
		}},
	{name: "Add", outs: 1, ins: 1, tol: 1e-6, flops: 1, bytes: 12,
		f: two(void(func(o, i []*float32, n int) { AddZ(o[0], i[0], n) }),
			void(func(o, i []*float32, n int) { AddY(o[0], i[0], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] += i[0][k]
			}
			return 0
		}},
	{name: "MulAdd", outs: 1, ins: 2, tol: 1e-6, flops: 3, bytes: 16,
		f: two(void(func(o, i []*float32, n int) { MulAddZ(o[0], -0.5, i[0], i[1], n) }),
			void(func(o, i []*float32, n int) { MulAddY(o[0], -0.5, i[0], i[1], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] -= 0.5 * i[0][k] * i[1][k]
			}
			return 0
		}},
	{name: "ScaleMul", fresh: true, outs: 1, ins: 2, tol: 1e-6, flops: 2, bytes: 12,
		f: two(void(func(o, i []*float32, n int) { ScaleMulZ(o[0], 3, i[0], i[1], n) }),
			void(func(o, i []*float32, n int) { ScaleMulY(o[0], 3, i[0], i[1], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] = i[0][k] * 3 * i[1][k]
			}
			return 0
		}},
	{name: "NormGrad", outs: 1, ins: 3, tol: 2e-6, flops: 5, bytes: 20,
		f: two(void(func(o, i []*float32, n int) { NormGradZ(o[0], 3, i[0], i[1], -2, i[2], n) }),
			void(func(o, i []*float32, n int) { NormGradY(o[0], 3, i[0], i[1], -2, i[2], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] += 3*i[0][k]*i[1][k] - 2*i[2][k]
			}
			return 0
		}},
	{name: "AdamW", outs: 3, ins: 1, tol: 2e-6, flops: 15, bytes: 28,
		f: two(void(func(o, i []*float32, n int) { AdamWZ(o[0], i[0], o[1], o[2], n, &adamConsts) }),
			void(func(o, i []*float32, n int) { AdamWY(o[0], i[0], o[1], o[2], n, &adamConsts) })),
		spec: func(o, i [][]float64, n int) float64 {
			var c [10]float64
			for k := range c {
				c[k] = float64(adamConsts[k])
			}
			for k := range n {
				d := c[0] * i[0][k]
				o[1][k] = c[1]*o[1][k] + c[2]*d
				o[2][k] = c[3]*o[2][k] + c[4]*d*d
				o[0][k] -= c[8] * (o[1][k]*c[5]/(math.Sqrt(o[2][k]*c[6])+c[7]) + c[9]*o[0][k])
			}
			return 0
		}},
	{name: "ExpSum", fresh: true, outs: 1, ins: 1, tol: 1e-6, flops: 20, bytes: 8,
		f: two(func(o, i []*float32, n int) float32 { return ExpSumZ(o[0], i[0], n, 0.25) },
			func(o, i []*float32, n int) float32 { return ExpSumY(o[0], i[0], n, 0.25) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				o[0][k] = math.Exp(i[0][k] - 0.25)
				s += o[0][k]
			}
			return s
		}},
	{name: "SumExp", ins: 1, tol: 1e-6, flops: 20, bytes: 4,
		f: two(func(o, i []*float32, n int) float32 { return SumExpZ(i[0], n, 0.25) },
			func(o, i []*float32, n int) float32 { return SumExpY(i[0], n, 0.25) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				s += math.Exp(i[0][k] - 0.25)
			}
			return s
		}},
	{name: "ExpScale", fresh: true, outs: 1, ins: 1, tol: 1e-6, flops: 20, bytes: 8,
		f: two(void(func(o, i []*float32, n int) { ExpScaleZ(o[0], i[0], n, 0.25, -2) }),
			void(func(o, i []*float32, n int) { ExpScaleY(o[0], i[0], n, 0.25, -2) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] = -2 * math.Exp(i[0][k]-0.25)
			}
			return 0
		}},
	{name: "ExpAdd", outs: 1, ins: 1, tol: 1e-6, flops: 20, bytes: 12,
		f: two(void(func(o, i []*float32, n int) { ExpAddZ(o[0], i[0], n, 0.25, -2) }),
			void(func(o, i []*float32, n int) { ExpAddY(o[0], i[0], n, 0.25, -2) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] -= 2 * math.Exp(i[0][k]-0.25)
			}
			return 0
		}},
	{name: "SoftmaxGrad", outs: 1, ins: 1, tol: 1e-6, flops: 3, bytes: 12,
		f: two(void(func(o, i []*float32, n int) { SoftmaxGradZ(o[0], i[0], n, 0.5, 3) }),
			void(func(o, i []*float32, n int) { SoftmaxGradY(o[0], i[0], n, 0.5, 3) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] = 3 * i[0][k] * (o[0][k] - 0.5)
			}
			return 0
		}},
	{name: "KL", ins: 2, tol: 2e-6, flops: 25, bytes: 8,
		f: two(func(o, i []*float32, n int) float32 { return KLZ(i[0], i[1], n, 1, 2) },
			func(o, i []*float32, n int) float32 { return KLY(i[0], i[1], n, 1, 2) }),
		spec: func(o, i [][]float64, n int) (s float64) {
			for k := range n {
				s += math.Exp(i[0][k]-1) * ((i[0][k] - 1) - (i[1][k] - 2))
			}
			return s
		}},
	{name: "KLGrad", outs: 1, ins: 2, tol: 2e-6, flops: 25, bytes: 16,
		f: two(void(func(o, i []*float32, n int) { KLGradZ(o[0], i[0], i[1], n, 1, 2, 3, 0.5) }),
			void(func(o, i []*float32, n int) { KLGradY(o[0], i[0], i[1], n, 1, 2, 3, 0.5) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] += 3 * math.Exp(i[0][k]-1) * ((i[0][k] - 1) - (i[1][k] - 2) - 0.5)
			}
			return 0
		}},
	{name: "SwiGLU", fresh: true, outs: 1, ins: 2, tol: 1e-6, flops: 25, bytes: 12,
		f: two(void(func(o, i []*float32, n int) { SwiGLUZ(o[0], i[0], i[1], n) }),
			void(func(o, i []*float32, n int) { SwiGLUY(o[0], i[0], i[1], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				o[0][k] = silu(i[0][k]) * i[1][k]
			}
			return 0
		}},
	{name: "SwiGLUGrad", fresh: true, outs: 2, ins: 3, tol: 1e-6, flops: 30, bytes: 20,
		f: two(
			void(func(o, i []*float32, n int) { SwiGLUGradZ(o[0], o[1], i[0], i[1], i[2], n) }),
			void(func(o, i []*float32, n int) { SwiGLUGradY(o[0], o[1], i[0], i[1], i[2], n) })),
		spec: func(o, i [][]float64, n int) float64 {
			for k := range n {
				dy, a, u := i[0][k], i[1][k], i[2][k]
				s := 1 / (1 + math.Exp(-a))
				o[0][k], o[1][k] = dy*u*(s+a*s*(1-s)), dy*a*s
			}
			return 0
		}},
}
