package devicetest

import (
	"fmt"
	"strings"

	"transformer2/shared/compute"
)

// checkPanics: a shape that does not fit panics when the op is called, and the message names both
// shapes: "[3 5]" for tensors, the count for ints, and of a weight the side that does not fit.
func checkPanics(e *env) {
	c := e.begin("shapes")
	d := e.dev
	t := func(rows, cols int) compute.Tensor {
		return c.tensor(rows, cols, make([]float32, rows*cols)).Tensor
	}
	n := func(count int) compute.Ints { return c.inInts(make([]int32, count)).Ints }
	w, err := d.NewWeight(compute.F32, 6, 32)
	e.must(err)
	w8, err := d.NewWeight(compute.Q8, 6, 32)
	e.must(err)

	e.panics("Write", "[3 5] 14", func() { d.Write(t(3, 5), make([]float32, 14)) })
	e.panics("Read", "[3 5] 16", func() { d.Read(make([]float32, 16), t(3, 5)) })
	e.panics("WriteInts", "7 6", func() { d.WriteInts(n(7), make([]int32, 6)) })
	e.panics("ReadInts", "7 8", func() { d.ReadInts(make([]int32, 8), n(7)) })
	e.panics("Pack", "[6 32] [6 31]", func() { d.Pack(w, t(6, 31)) })
	e.panics("Pack q8", "[6 32] [32 6]", func() { d.Pack(w8, t(32, 6)) })
	e.panics("Unpack", "[6 32] [5 32]", func() { d.Unpack(t(5, 32), w) })
	e.panics("UnpackRows cols", "[2 31] 32", func() { d.UnpackRows(t(2, 31), w, n(2)) })
	e.panics("UnpackRows ids", "[2 32] 3", func() { d.UnpackRows(t(2, 32), w8, n(3)) })
	e.panics("Copy", "[3 5] [3 4]", func() { d.Copy(t(3, 5), t(3, 4)) })

	e.panics("MatMul inputs", "[2 31] 32", func() { d.MatMul(t(2, 6), t(2, 31), w) })
	e.panics("MatMul outputs", "[2 5] 6", func() { d.MatMul(t(2, 5), t(2, 32), w) })
	e.panics("MatMul rows", "[3 6] [2 32]", func() { d.MatMul(t(3, 6), t(2, 32), w8) })
	e.panics("MatMulT inputs", "[2 31] 32", func() { d.MatMulT(t(2, 31), t(2, 6), w, true) })
	e.panics("MatMulT outputs", "[2 7] 6", func() { d.MatMulT(t(2, 32), t(2, 7), w, false) })
	e.panics("MatMulT rows", "[3 32] [2 6]", func() { d.MatMulT(t(3, 32), t(2, 6), w, false) })
	for o, s := range map[compute.Orientation][3][2]int{
		compute.NT: {{2, 3}, {2, 5}, {3, 4}}, compute.NN: {{2, 3}, {2, 5}, {4, 3}},
		compute.TN: {{2, 3}, {5, 2}, {4, 3}}} {
		e.panics(o.String()+" inner", fmt.Sprint(s[1], " ", s[2]), func() {
			d.Gemm(o, t(s[0][0], s[0][1]), t(s[1][0], s[1][1]), t(s[2][0], s[2][1]), false)
		})
	}
	e.panics("Gemm c", "[2 4] [2 5] [3 5]", func() {
		d.Gemm(compute.NT, t(2, 4), t(2, 5), t(3, 5), false)
	})
	e.panics("ScaleCols x", "[2 5] [2 6]", func() {
		d.ScaleCols(t(2, 5), t(2, 6), t(1, 6), compute.Ints{})
	})
	e.panics("ScaleCols z", "[2 5] [1 6]", func() {
		d.ScaleCols(t(2, 5), t(2, 5), t(1, 6), compute.Ints{})
	})
	e.panics("ScaleCols rows", "[2 5] 3", func() { d.ScaleCols(t(2, 5), t(2, 5), t(1, 5), n(3)) })
	e.panics("ColDot a b", "[2 5] [3 5]", func() { d.ColDot(t(1, 5), t(2, 5), t(3, 5)) })
	e.panics("ColDot d", "[1 4] [2 5]", func() { d.ColDot(t(1, 4), t(2, 5), t(2, 5)) })

	gone, err := d.NewWeight(compute.BF16, 6, 32)
	e.must(err)
	d.Free(gone)
	e.panics("Pack after Free", "freed", func() { d.Pack(gone, t(6, 32)) })
	e.panics("Unpack after Free", "freed", func() { d.Unpack(t(6, 32), gone) })
	e.panics("UnpackRows after Free", "freed", func() { d.UnpackRows(t(2, 32), gone, n(2)) })
	e.panics("MatMul after Free", "freed", func() { d.MatMul(t(2, 6), t(2, 32), gone) })
	e.panics("MatMulT after Free", "freed", func() { d.MatMulT(t(2, 32), t(2, 6), gone, false) })

	panicAttention(e, t, n)
	panicLayers(e, t, n)
	panicLosses(e, t, n)
	c.end()
}

func panicAttention(e *env, t func(rows, cols int) compute.Tensor,
	n func(count int) compute.Ints) {
	d := e.dev
	h := compute.Heads{Q: 4, KV: 2, Dim: 8, Scale: 1} // q [T 32], k and v [S 16]
	attend := func(o, lse, q, k, v compute.Tensor, spans int, h compute.Heads) func() {
		return func() { d.Attention(o, lse, q, k, v, n(spans), h) }
	}
	none := compute.Tensor{}
	e.panics("Attention o", "[2 32] [3 32]",
		attend(t(3, 32), none, t(2, 32), t(7, 16), t(7, 16), 4, h))
	e.panics("Attention lse", "[2 3]",
		attend(t(2, 32), t(2, 3), t(2, 32), t(7, 16), t(7, 16), 4, h))
	e.panics("Attention q", "[2 31]",
		attend(t(2, 31), none, t(2, 31), t(7, 16), t(7, 16), 4, h))
	e.panics("Attention k v", "[7 16] [6 16]",
		attend(t(2, 32), none, t(2, 32), t(7, 16), t(6, 16), 4, h))
	e.panics("Attention k", "[7 17]",
		attend(t(2, 32), none, t(2, 32), t(7, 17), t(7, 17), 4, h))
	e.panics("Attention spans", "[2 32] 5",
		attend(t(2, 32), none, t(2, 32), t(7, 16), t(7, 16), 5, h))
	e.panics("AttentionGrad dq", "[2 32] [2 16]", func() {
		d.AttentionGrad(t(2, 16), t(7, 16), t(7, 16), t(2, 32), t(2, 32), t(2, 4), t(2, 32),
			t(7, 16), t(7, 16), n(4), h)
	})
	e.panics("AttentionGrad dk", "[6 16] [7 16]", func() {
		d.AttentionGrad(t(2, 32), t(6, 16), t(7, 16), t(2, 32), t(2, 32), t(2, 4), t(2, 32),
			t(7, 16), t(7, 16), n(4), h)
	})
}

func panicLayers(e *env, t func(rows, cols int) compute.Tensor, n func(count int) compute.Ints) {
	d := e.dev
	e.panics("Add", "[2 5] [3 5]", func() { d.Add(t(2, 5), t(3, 5)) })
	e.panics("RMSNorm y", "[2 5] [2 6]", func() { d.RMSNorm(t(2, 5), t(2, 6), t(1, 6), 1) })
	e.panics("RMSNorm g", "[2 5] [1 6]", func() { d.RMSNorm(t(2, 5), t(2, 5), t(1, 6), 1) })
	e.panics("RMSNormGrad dy", "[2 5] [3 5]", func() {
		d.RMSNormGrad(t(2, 5), t(1, 5), t(3, 5), t(2, 5), t(1, 5), 1)
	})
	e.panics("RMSNormGrad dg", "[1 4] [1 5]", func() {
		d.RMSNormGrad(t(2, 5), t(1, 4), t(2, 5), t(2, 5), t(1, 5), 1)
	})
	e.panics("RoPE cosSin", "[31 6]", func() { d.RoPE(t(2, 16), t(31, 6), n(2), 8, false) })
	e.panics("RoPE pos", "[2 16] 3", func() { d.RoPE(t(2, 16), t(31, 8), n(3), 8, false) })
	e.panics("RoPE x", "[2 15]", func() { d.RoPE(t(2, 15), t(31, 8), n(2), 8, false) })
	e.panics("SwiGLU", "[2 5] [2 6]", func() { d.SwiGLU(t(2, 5), t(2, 5), t(2, 6)) })
	e.panics("SwiGLUGrad", "[2 5] [3 5]", func() {
		d.SwiGLUGrad(t(2, 5), t(2, 5), t(3, 5), t(2, 5), t(2, 5))
	})
	e.panics("GatherRows cols", "[2 5] [7 6]", func() { d.GatherRows(t(2, 5), t(7, 6), n(2)) })
	e.panics("GatherRows ids", "[2 5] 3", func() { d.GatherRows(t(2, 5), t(7, 5), n(3)) })
	e.panics("ScatterAddRows", "[7 6] [2 5]", func() { d.ScatterAddRows(t(7, 6), t(2, 5), n(2)) })
	e.panics("ScatterRows", "[2 5] 3", func() { d.ScatterRows(t(7, 5), t(2, 5), n(3)) })
	e.panics("ArgMax", "[2 5] 3", func() { d.ArgMax(n(3), t(2, 5)) })
}

func panicLosses(e *env, t func(rows, cols int) compute.Tensor, n func(count int) compute.Ints) {
	d := e.dev
	e.panics("LogProbs lp", "[3 1] [2 5]", func() { d.LogProbs(t(3, 1), t(2, 5), n(2)) })
	e.panics("LogProbs targets", "[2 5] 3", func() { d.LogProbs(t(2, 1), t(2, 5), n(3)) })
	e.panics("LogProbsGrad d", "[2 4] [2 5]", func() {
		d.LogProbsGrad(t(2, 4), t(2, 5), n(2), t(2, 1))
	})
	e.panics("LogProbsGrad w", "[3 1] [2 5]", func() {
		d.LogProbsGrad(t(2, 5), t(2, 5), n(2), t(3, 1))
	})
	e.panics("KL", "[2 5] [2 6]", func() { d.KL(t(2, 1), t(2, 5), t(2, 6)) })
	e.panics("KLGrad", "[2 5] [3 5]", func() { d.KLGrad(t(2, 5), t(2, 5), t(3, 5), t(2, 1)) })
	e.panics("KLForwardGrad", "[2 4] [2 5]", func() {
		d.KLForwardGrad(t(2, 4), t(2, 5), t(2, 5), t(2, 1))
	})
	e.panics("SumSquares", "[1 2]", func() { d.SumSquares(t(1, 2), t(2, 5)) })
	e.panics("AdamW", "[2 5] [2 6]", func() {
		d.AdamW(t(2, 5), t(2, 6), t(2, 5), t(2, 5), compute.AdamWParams{Step: 1, GradScale: 1})
	})
	if _, err := d.NewTensor(2, 3); err != nil {
		e.errorf("after the panics the device fails: %v", err)
	}
}

// panics checks that f panics with a message that has every shape in shapes, which are written
// "[2 5]" or as a bare count and stand apart by blanks.
func (e *env) panics(what, shapes string, f func()) {
	e.r.Helper()
	defer func() {
		e.r.Helper()
		p := recover()
		if p == nil {
			e.errorf("%s: no panic for %s", what, shapes)
			return
		}
		message := fmt.Sprint(p)
		for rest := shapes; rest != ""; {
			var part string
			if end := strings.IndexByte(rest, ']'); rest[0] == '[' && end > 0 {
				part, rest = rest[:end+1], strings.TrimSpace(rest[end+1:])
			} else {
				part, rest, _ = strings.Cut(rest, " ")
			}
			if !strings.Contains(message, part) {
				e.errorf("%s: panic %q does not name %s", what, message, part)
			}
		}
	}()
	f()
}
