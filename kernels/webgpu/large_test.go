//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
)

// The conformance suite's shapes stay below the tiles and ranges that large matrices take. Here the
// oracle is the CPU device, which passes the same suite, and the bound is a sum's of k products.

// both is the same tensors on the CPU and on the GPU.
type both struct {
	t    *testing.T
	rng  *rand.Rand
	devs [2]compute.Device // the oracle first
}

// twin is a tensor on each of them.
type twin [2]compute.Tensor

func newBoth(t *testing.T) *both {
	t.Helper()
	host, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gpu := openDevice(t)
	t.Cleanup(func() { host.Close(); gpu.Close() })
	return &both{t: t, rng: rand.New(rand.NewPCG(3, 4)), devs: [2]compute.Device{host, gpu}}
}

func (b *both) tensor(rows, cols int) twin {
	b.t.Helper()
	host := make([]float32, rows*cols)
	for i := range host {
		host[i] = float32(b.rng.NormFloat64())
	}
	var x twin
	for i, d := range b.devs {
		var err error
		if x[i], err = d.NewTensor(rows, cols); err != nil {
			b.t.Fatal(err)
		}
		d.Write(x[i], host)
	}
	return x
}

func (b *both) ints(v []int32) (x [2]compute.Ints) {
	b.t.Helper()
	for i, d := range b.devs {
		var err error
		if x[i], err = d.NewInts(len(v)); err != nil {
			b.t.Fatal(err)
		}
		d.WriteInts(x[i], v)
	}
	return x
}

func (b *both) weight(t compute.DType, out, in int) (w [2]compute.Weight) {
	b.t.Helper()
	src := b.tensor(out, in)
	if t.Blocked() { // whole numbers and a scale of 1: near a tie devices may round either way
		n, first := 255, float32(127)
		if t == compute.Q4 {
			n, first = 15, -8
		}
		host := make([]float32, out*in)
		for i := range host {
			host[i] = float32(b.rng.IntN(n) - n/2)
			if i%compute.BlockQ8 == 0 {
				host[i] = first
			}
		}
		for i, d := range b.devs {
			d.Write(src[i], host)
		}
	}
	for i, d := range b.devs {
		var err error
		if w[i], err = d.NewWeight(t, out, in); err != nil {
			b.t.Fatal(err)
		}
		d.Pack(w[i], src[i])
	}
	return w
}

// same compares a result; tol is relative to its root mean square.
func (b *both) same(what string, x twin, tol float64) {
	b.t.Helper()
	var host [2][]float32
	for i, d := range b.devs {
		host[i] = make([]float32, x[i].Len())
		if err := d.Read(host[i], x[i]); err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
	}
	worst, at, squares := 0.0, 0, 0.0
	for i, w := range host[0] {
		squares += float64(w) * float64(w)
		if e := math.Abs(float64(w) - float64(host[1][i])); !(e <= worst) {
			worst, at = e, i
		}
	}
	if size := math.Sqrt(squares / float64(len(host[0]))); !(worst <= tol*size) {
		b.t.Errorf("%s: number %d of %v is %v, want %v ± %.2g", what, at, x[1], host[1][at],
			host[0][at], tol*size)
	}
}

// free gives tensors back.
func (b *both) free(xs ...twin) {
	for _, x := range xs {
		for i, d := range b.devs {
			d.Free(x[i].Buf)
		}
	}
}

// productTol bounds the difference of two sums of k products, relative to their size: each is off
// by unit·(8+4√k)·mean|product|·k at most, its size is √k.
func productTol(k int) float64 {
	return 2 * (8 + 4*math.Sqrt(float64(k))) * math.Sqrt(float64(k)) / (1 << 24)
}

// TestLargeGemm: tiles of 128, ranges of the inner dimension, and tiles of few rows.
func TestLargeGemm(t *testing.T) {
	b := newBoth(t)
	for _, s := range [][3]int{{1450, 1450, 36}, {1413, 1499, 33}, {40, 64, 1100}, {70, 33, 2050},
		{16, 256, 1024}, {31, 130, 777}, {9, 100, 4096}} {
		m, n, k := s[0], s[1], s[2]
		for i, o := range []compute.Orientation{compute.NT, compute.NN, compute.TN} {
			shapes := [3][4]int{{m, k, n, k}, {m, k, k, n}, {k, m, k, n}}[i]
			x, y, c := b.tensor(shapes[0], shapes[1]), b.tensor(shapes[2], shapes[3]), b.tensor(m, n)
			for j, d := range b.devs {
				d.Gemm(o, c[j], x[j], y[j], (m+i)%2 == 0)
			}
			b.same(fmt.Sprintf("%v %v", o, s), c, productTol(k))
			b.free(x, y, c)
		}
	}
}

// TestLargeMatMul: every type of weight on every path that a number of rows takes.
func TestLargeMatMul(t *testing.T) {
	b := newBoth(t)
	for typ := range compute.Q4 + 1 {
		for i, s := range [][2]int{{4100, 1024}, {257, 4096}, {1031, 2080}} {
			out, in := s[0], s[1]
			w := b.weight(typ, out, in)
			for j, rows := range []int{1, 2, 3, 7, 12, 32, 33} {
				if (i+j)%2 > 0 { // every type meets every number of rows, with one shape or two
					continue
				}
				x, y := b.tensor(rows, in), b.tensor(rows, out)
				dx := b.tensor(rows, in)
				for j, d := range b.devs {
					d.MatMul(y[j], x[j], w[j])
					d.MatMulT(dx[j], y[j], w[j], rows%2 == 0)
				}
				b.same(fmt.Sprintf("%v [%d %d], %d rows", typ, out, in, rows), y, productTol(in))
				b.same(fmt.Sprintf("%v [%d %d] transposed, %d rows", typ, out, in, rows), dx,
					productTol(out)+productTol(in))
				b.free(x, y, dx)
			}
			for j, d := range b.devs {
				d.Free(w[j].(compute.Buffer))
			}
		}
	}
}

// TestFew: as many rows at once as a GPU takes, in ranges and not, both ways.
func TestFew(t *testing.T) {
	b := newBoth(t)
	gpu := b.devs[1].(*Device)
	gpu.mostFew = 16
	for i, typ := range []compute.DType{compute.BF16, compute.Q8, compute.Q4, compute.F16} {
		rows, out, in := []int{16, 14, 8, 5}[i], 130, 1056
		wa, wb := b.weight(typ, out, in), b.weight(typ, 40, in)
		x, ya, yb, dx := b.tensor(rows, in), b.tensor(rows, out), b.tensor(rows, 40), b.tensor(rows, in)
		for j, d := range b.devs {
			d.MatMul(ya[j], x[j], wa[j])
			d.MatMul(yb[j], x[j], wb[j]) // with the one before
			d.MatMulT(dx[j], ya[j], wa[j], true)
			d.MatMul(ya[j], dx[j], wa[j]) // alone, in ranges
		}
		what := fmt.Sprintf("%v, %d rows: ", typ, rows)
		b.same(what+"alone", ya, 4*productTol(in))
		b.same(what+"joined", yb, productTol(in))
		b.same(what+"transposed", dx, productTol(out)+productTol(in))
		b.free(x, ya, yb, dx)
	}
}

// TestLargeAttention: heads of 128 and 256 numbers, groups of 4, 6 and 8, long spans for few rows.
func TestLargeAttention(t *testing.T) {
	b := newBoth(t)
	for i, h := range []compute.Heads{{Q: 8, KV: 2, Dim: 128}, {Q: 6, KV: 1, Dim: 64},
		{Q: 8, KV: 1, Dim: 32}, {Q: 2, KV: 1, Dim: 256}, {Q: 2, KV: 2, Dim: 6}} {
		h.Scale = float32(1 / math.Sqrt(float64(h.Dim)))
		for _, rows := range [][]int{{1, 100}, {3, 40}}[i%2] {
			keys := 750
			spans := make([]int32, 2*rows)
			for r := range rows {
				spans[2*r], spans[2*r+1] = int32(r*7), int32(r*7+1+b.rng.IntN(keys-r*7))
			}
			sp := b.ints(spans)
			q := b.tensor(rows, h.Q*h.Dim)
			k, v := b.tensor(keys, h.KV*h.Dim), b.tensor(keys, h.KV*h.Dim)
			o, lse, do := b.tensor(rows, h.Q*h.Dim), b.tensor(rows, h.Q), b.tensor(rows, h.Q*h.Dim)
			dq, dk, dv := b.tensor(rows, h.Q*h.Dim), b.tensor(keys, h.KV*h.Dim),
				b.tensor(keys, h.KV*h.Dim)
			for j, d := range b.devs {
				d.Attention(o[j], lse[j], q[j], k[j], v[j], sp[j], h)
				d.AttentionGrad(dq[j], dk[j], dv[j], do[j], o[j], lse[j], q[j], k[j], v[j], sp[j],
					h)
			}
			what := fmt.Sprintf("%+v, %d rows: ", h, rows)
			const tol = 2e-4 // measured 2e-5; a wrong index is off by 1
			b.same(what+"o", o, tol)
			b.same(what+"lse", lse, tol)
			b.same(what+"dq", dq, tol)
			b.same(what+"dk", dk, tol)
			b.same(what+"dv", dv, tol)
			b.free(q, k, v, o, lse, do, dq, dk, dv)
		}
	}
}
