package x86

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var vecLens = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 100, 127,
	128, 129, 300, 1000}

// run calls one form on fresh copies and returns what it wrote and its result.
func (c *vecCase) run(t *testing.T, form, n int) (outs [][]float32, result float32) {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	var o, in []*float32
	var all [][]float32
	for range c.outs {
		a, x := guarded(n)
		for k := range x {
			if v := float32(math.Abs(rng.NormFloat64())); !c.fresh {
				x[k] = v
			}
		}
		all, outs, o = append(all, a), append(outs, x), append(o, &a[pad])
	}
	for range c.ins {
		in = append(in, &append(random(rng, n), 1e30)[0])
	}
	result = c.f[form](o, in, n)
	for _, a := range all {
		checkGuards(t, a)
	}
	return outs, result
}

func (c *vecCase) want(n int) (outs [][]float64, result float64) {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	for range c.outs {
		x := make([]float64, n)
		for k := range x {
			x[k] = float64(float32(math.Abs(rng.NormFloat64())))
		}
		outs = append(outs, x)
	}
	var in [][]float64
	for range c.ins {
		x := make([]float64, n)
		for k, v := range random(rng, n) {
			x[k] = float64(v)
		}
		in = append(in, x)
	}
	return outs, c.spec(outs, in, n)
}

func TestVectors(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	if !hasZ {
		t.Log("no AVX-512: only the Y forms")
	}
	for _, c := range vecCases {
		for _, n := range vecLens {
			wantOuts, want := c.want(n)
			outs, got := c.run(t, 1, n)
			check := func(what string, got float32, want float64) {
				t.Helper()
				tol := c.tol * (1 + math.Abs(want)) * (1 + math.Sqrt(float64(n)))
				if d := math.Abs(float64(got) - want); !(d <= tol) && float64(got) != want {
					t.Fatalf("%s n=%d: %s = %g, want %g", c.name, n, what, got, want)
				}
			}
			check("result", got, want)
			for o := range outs {
				for k, x := range outs[o] {
					check(fmt.Sprintf("out%d[%d]", o, k), x, wantOuts[o][k])
				}
			}
			if !hasZ {
				continue
			}
			outsZ, gotZ := c.run(t, 0, n)
			if math.Float32bits(gotZ) != math.Float32bits(got) {
				t.Fatalf("%s n=%d: Z gives %g, Y %g", c.name, n, gotZ, got)
			}
			for o := range outs {
				for k, x := range outs[o] {
					if math.Float32bits(outsZ[o][k]) != math.Float32bits(x) {
						t.Fatalf("%s n=%d: out%d[%d] Z %g Y %g", c.name, n, o, k, outsZ[o][k], x)
					}
				}
			}
		}
	}
}

// expULP bounds the error of exp. Measured over [-86.9, 88.7] in steps of 6e-5: 1.01 ulp.
const expULP = 2

func TestExpAccuracy(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	forms := map[string]func(y, x *float32, n int, shift float32) float32{"Y": ExpSumY}
	if hasZ {
		forms["Z"] = ExpSumZ
	}
	x := make([]float32, 4096)
	y := make([]float32, 4096)
	for name, f := range forms {
		worst := 0.0
		for lo := -86.9; lo < 88.7; lo += 0.25 {
			for i := range x {
				x[i] = float32(lo + 0.25*float64(i)/4096)
			}
			f(&y[0], &x[0], len(x), 0)
			for i, v := range x {
				want := math.Exp(float64(v))
				ulp := math.Ldexp(1, int(math.Floor(math.Log2(want)))-23)
				if want < math.MaxFloat32 {
					worst = max(worst, math.Abs(float64(y[i])-want)/ulp)
				}
			}
		}
		t.Logf("%s: %.2f ulp", name, worst)
		if worst > expULP {
			t.Errorf("%s: %.2f ulp, want %d", name, worst, expULP)
		}
		inf := float32(math.Inf(1))
		nan := float32(math.NaN())
		in := []float32{-inf, -1e38, -200, -100, -88, 0, 89, 100, 1e38, inf, nan}
		want := []float32{0, 0, 0, 0, 0, 1, inf, inf, inf, inf, nan}
		f(&y[0], &in[0], len(in), 0)
		for i := range in {
			if y[i] != want[i] && !(want[i] != want[i] && y[i] != y[i]) {
				t.Errorf("%s: exp(%g) = %g, want %g", name, in[i], y[i], want[i])
			}
		}
	}
}

func TestMaxNaN(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	nan := float32(math.NaN())
	for _, n := range []int{1, 5, 16, 70, 200} {
		for at := range n {
			x := make([]float32, n)
			for i := range x {
				x[i] = -float32(i) - 5
			}
			want := float32(-5)
			if at == 0 && n > 1 {
				want = -6
			}
			if n == 1 {
				want = float32(math.Inf(-1))
			}
			x[at] = nan
			if got := MaxY(&x[0], n); got != want {
				t.Fatalf("Y n=%d NaN at %d: %g, want %g", n, at, got, want)
			}
			if hasZ {
				if got := MaxZ(&x[0], n); got != want {
					t.Fatalf("Z n=%d NaN at %d: %g, want %g", n, at, got, want)
				}
			}
		}
	}
}

func TestIndex(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for form, f := range []func(x *float32, n int, v float32) int{IndexY, IndexZ} {
		if form == 1 && !hasZ {
			continue
		}
		for _, n := range vecLens {
			for at := 0; at <= n; at += 1 + n/20 {
				x := make([]float32, n+1) // one more, to be left alone
				x[n] = 3
				for i := at; i < n; i += 2 {
					x[i] = 3
				}
				if got := f(&x[0], n, 3); got != at {
					t.Fatalf("form %d n=%d: %d, want %d", form, n, got, at)
				}
			}
		}
	}
}

// TestAliases: outputs that may be inputs.
func TestAliases(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	rng := rand.New(rand.NewPCG(3, 3))
	const n = 83
	a, b, c := random(rng, n), random(rng, n), random(rng, n)
	clone := func(x []float32) []float32 { return append([]float32(nil), x...) }
	equal := func(name string, x, y []float32) {
		t.Helper()
		for i := range x {
			if x[i] != y[i] {
				t.Fatalf("%s in place: [%d] = %g, want %g", name, i, x[i], y[i])
			}
		}
	}
	y, y2, g, u := make([]float32, n), make([]float32, n), clone(a), clone(b)
	SwiGLUY(&y[0], &a[0], &b[0], n)
	SwiGLUY(&g[0], &g[0], &b[0], n)
	SwiGLUY(&u[0], &a[0], &u[0], n)
	equal("SwiGLU gate", g, y)
	equal("SwiGLU up", u, y)
	g, u = clone(a), clone(b)
	SwiGLUGradY(&y[0], &y2[0], &c[0], &a[0], &b[0], n)
	SwiGLUGradY(&g[0], &u[0], &c[0], &g[0], &u[0], n)
	equal("SwiGLUGrad gate", g, y)
	equal("SwiGLUGrad up", u, y2)
	if hasZ {
		g, u = clone(a), clone(b)
		SwiGLUGradZ(&g[0], &u[0], &c[0], &g[0], &u[0], n)
		equal("SwiGLUGradZ gate", g, y)
		equal("SwiGLUGradZ up", u, y2)
	}
}

func TestRoPE(t *testing.T) {
	need(t, hasY, "AVX2 and FMA")
	for _, half := range []int{1, 3, 8, 12, 16, 24, 32, 33, 48, 64} {
		for heads := range 4 {
			rng := rand.New(rand.NewPCG(uint64(half), 1))
			cs := random(rng, 2*half)
			x := random(rng, 2*half*heads)
			want := make([]float64, len(x))
			for h := range heads {
				for i := range half {
					c, s := float64(cs[i]), -float64(cs[half+i])
					a, b := float64(x[h*2*half+i]), float64(x[h*2*half+half+i])
					want[h*2*half+i], want[h*2*half+half+i] = a*c-b*s, b*c+a*s
				}
			}
			var first []float32
			for form, f := range []func(x, cosSin *float32, heads, half int, sign float32){
				RoPEY, RoPEZ} {
				if form == 1 && !hasZ {
					continue
				}
				all, y := guarded(len(x))
				copy(y, x)
				f(&all[pad], &cs[0], heads, half, -1)
				checkGuards(t, all)
				for i := range y {
					if math.Abs(float64(y[i])-want[i]) > 1e-5 {
						t.Fatalf("half=%d heads=%d: [%d] = %g, want %g", half, heads, i, y[i], want[i])
					}
					if form == 1 && y[i] != first[i] {
						t.Fatalf("half=%d: Z and Y differ at %d", half, i)
					}
				}
				first = y
			}
		}
	}
}

func BenchmarkVectors(b *testing.B) {
	need(b, hasY, "AVX2 and FMA")
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 2048
	for _, c := range vecCases {
		var o, in []*float32
		for range c.outs {
			o = append(o, &aligned(rng, n)[0])
		}
		for range c.ins {
			in = append(in, &aligned(rng, n)[0])
		}
		for form, name := range []string{"Z", "Y"} {
			if form == 0 && !hasZ {
				continue
			}
			b.Run(c.name+name, func(b *testing.B) {
				ns := best(b, 1, func(int) { c.f[form](o, in, n) }) / n
				b.ReportMetric(c.bytes/ns, "GB/s")
				b.ReportMetric(ns, "ns/elem")
			})
		}
	}
}
