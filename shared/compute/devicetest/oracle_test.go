package devicetest

import (
	"math"
	"testing"

	"transformer2/shared/compute"
)

// handTol is for values worked out by hand: 1000 + log 3 alone is rounded by 1e-13.
const handTol = 1e-12

// near checks the oracle against numbers worked out by hand.
func near(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= handTol*max(1, math.Abs(w))) && got[i] != w {
			t.Errorf("%s: [%d]: got %v, want %v", what, i, got[i], w)
		}
	}
}

func TestOracleProducts(t *testing.T) {
	a := matrix{2, 3, []float64{1, 2, 3, 4, 5, 6}}
	b := matrix{2, 3, []float64{1, 0, -1, 2, 1, 0}}
	near(t, "NT", gemm(compute.NT, a, b, nil).v, -2, 4, -2, 13)
	near(t, "TN", gemm(compute.TN, a, b, nil).v, 9, 4, -1, 12, 5, -2, 15, 6, -3)
	c := matrix{3, 1, []float64{1, -1, 2}}
	near(t, "NN", gemm(compute.NN, a, c, []float64{10, 20}).v, 15, 31)
	near(t, "ScaleCols", scaleCols(a, b, []int32{1, 0}).v, 2, 2, 0, 4, 0, -6)
	near(t, "ScaleCols by row 0", scaleCols(a, b, nil).v, 1, 0, -3, 4, 0, -6)
	near(t, "ColDot", colDot([]float64{1, 1, 1}, a, b).v, 10, 6, -2)
}

// TestOracleAttention: two query heads on one key head, weights 1/4 and 3/4 by construction.
func TestOracleAttention(t *testing.T) {
	h := compute.Heads{Q: 2, KV: 1, Dim: 2, Scale: 0.5}
	l3 := math.Log(3)
	q := matrix{1, 4, []float64{2, 0, 0, 2}}         // head 0 reads column 0, head 1 column 1
	k := matrix{3, 2, []float64{9, 9, 0, l3, l3, 0}} // row 0 is outside of the span
	v := matrix{3, 2, []float64{100, 100, 4, 8, 8, 16}}
	o, lse := attention(q, k, v, []int32{1, 3}, h)
	near(t, "o", o.v, 7, 14, 5, 10)                 // ¼·4 + ¾·8, then ¾·4 + ¼·8
	near(t, "lse", lse.v, math.Log(4), math.Log(4)) // log(1 + 3)
	o, lse = attention(q, k, v, []int32{2, 2}, h)   // an empty span
	near(t, "o of nothing", o.v, 0, 0, 0, 0)
	near(t, "lse of nothing", lse.v, math.Inf(-1), math.Inf(-1))

	h = compute.Heads{Q: 4, KV: 2, Dim: 1, Scale: 1} // heads 0, 1 read key head 0; 2, 3 read 1
	o, _ = attention(matrix{1, 4, []float64{1, 1, 1, 1}}, matrix{1, 2, []float64{0, 0}},
		matrix{1, 2, []float64{5, 7}}, []int32{0, 1}, h)
	near(t, "groups", o.v, 5, 5, 7, 7)
}

func TestOracleLayers(t *testing.T) {
	x := matrix{1, 2, []float64{3, 4}} // mean square 12.5, with eps 12.5: r = 1/5
	near(t, "RMSNorm", rmsNorm(x, []float64{10, 20}, 12.5).v, 6, 16)
	// u = (1, 0), mean(u·x) = 3/2: dx = r·(u − x·r²·3/2) = ((1 − 9/50)/5, −(12/50)/5)
	ax, ag := rmsNormGrad([]float64{1, 0}, []float64{0, 1}, matrix{1, 2, []float64{1, 0}}, x,
		[]float64{1, 1}, 12.5)
	near(t, "RMSNormGrad dx", ax.v, 1+0.164, -0.048)
	near(t, "RMSNormGrad dg", ag.v, 0.6, 1)
	turn := matrix{2, 2, []float64{1, 0, 0.6, 0.8}}
	pair := matrix{1, 2, []float64{1, 2}}
	near(t, "RoPE", rope(pair, turn, []int32{1}, 2, false).v, 0.6-1.6, 1.2+0.8)
	near(t, "RoPE back", rope(pair, turn, []int32{1}, 2, true).v, 0.6+1.6, 1.2-0.8)
	four := matrix{1, 4, []float64{1, 0, 0, 1}} // Hugging Face order: pairs (0, 2) and (1, 3)
	quarter := matrix{1, 4, []float64{0, 1, 1, 0}}
	near(t, "RoPE order", rope(four, quarter, []int32{0}, 4, false).v, 0, 0, 1, 1)
	near(t, "SwiGLU", swiglu([]float64{0, math.Log(3)}, []float64{5, 4}).v, 0, 3*math.Log(3))
	dgate, dup := swigluGrad([]float64{2, 1}, []float64{0, math.Log(3)}, []float64{5, 4})
	near(t, "SwiGLUGrad", dgate.v, 5, 4*(0.75+math.Log(3)*0.75*0.25))
	near(t, "SwiGLUGrad up", dup.v, 0, 0.75*math.Log(3))
	near(t, "Add", add([]float64{1, 2}, []float64{3, -5}).v, 4, -3)
	near(t, "GatherRows", gatherRows(turn, []int32{1, -1, 0, 2}), 0.6, 0.8, 0, 0, 1, 0, 0, 0)
}

func TestOracleLosses(t *testing.T) {
	l3 := math.Log(3)
	x := matrix{2, 2, []float64{0, l3, 1000 + l3, 1000}} // p = (¼, ¾), (¾, ¼)
	near(t, "LogProbs", logProbs(x, []int32{1, -1}).v, math.Log(0.75), 0)
	near(t, "LogProbsGrad", logProbsGrad(x, []int32{1, 0}, []float64{4, 8}).v, 1, -1, -2, 2)
	even := matrix{2, 2, []float64{7, 7, 0, 0}}
	d := 0.25*math.Log(0.5) + 0.75*math.Log(1.5) // D_KL((¼,¾) ‖ (½,½))
	near(t, "KL", kl(x, even).v, d, d)
	near(t, "KLGrad", klGrad([]float64{1, 0, 0, 0}, x, even, []float64{4, 0}).v,
		1+math.Log(0.5)-d, 3*(math.Log(1.5)-d), 0, 0)
	near(t, "KLForwardGrad", klForwardGrad(make([]float64, 4), x, even, []float64{4, 8}).v,
		-1, 1, 2, -2)
	near(t, "SumSquares", sumSquares(1, []float64{3, 4}).v, 26)
}

// TestOracleAdamW: at step 1 from zero moments the update is sign(g)·LR, but for Eps.
func TestOracleAdamW(t *testing.T) {
	s := adamState{newAnswer(2), newAnswer(2), newAnswer(2)}
	s.p.v = []float64{1, 2}
	a := compute.AdamWParams{LR: 0.5, Beta1: 0.5, Beta2: 0.75, Eps: 1, WeightDecay: 0.25, Step: 1,
		GradScale: 2}
	s.step([]float64{1.5, -0.5}, a) // g' = 3, −1
	near(t, "m", s.m.v, 1.5, -0.5)
	near(t, "v", s.v.v, 2.25, 0.25)
	near(t, "p", s.p.v, 1-0.5*(3.0/4+0.25), 2-0.5*(-1.0/2+0.5))
	a.Step = 2
	s.step([]float64{0, 0}, a) // m̂ = 0.75/0.75, v̂ = (27/16)/(7/16)
	near(t, "p at step 2", s.p.v[:1], 0.5-0.5*(1/(math.Sqrt(27.0/7)+1)+0.125))
}

// TestRoundF16 meets every f16: each is kept, and between neighbours the half-way point goes to
// the even one.
func TestRoundF16(t *testing.T) {
	value := func(h int) float64 { // of a finite, positive f16
		exp, frac := h>>10, h&1023
		if exp == 0 {
			return math.Ldexp(float64(frac), -24)
		}
		return math.Ldexp(float64(1024+frac), exp-25)
	}
	for h := 0; h < 0x7bff; h++ {
		lo, hi := value(h), value(h+1)
		even := lo
		if h&1 == 1 {
			even = hi
		}
		mid := float32((lo + hi) / 2)
		if got := roundF16(float32(lo)); float64(got) != lo {
			t.Fatalf("%v becomes %v", lo, got)
		}
		if got := roundF16(mid); float64(got) != even {
			t.Fatalf("%v becomes %v, want %v", mid, got, even)
		}
		if got := roundF16(-math.Nextafter32(mid, 0)); float64(got) != -lo {
			t.Fatalf("just above %v becomes %v, want %v", -mid, got, -lo)
		}
	}
}

// TestRoundBF16 against the usual trick on the bits, for normal numbers.
func TestRoundBF16(t *testing.T) {
	for bits := uint32(0x00800000); bits < 0x7f800000; bits += 7919 {
		want := math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
		if got := roundBF16(math.Float32frombits(bits)); got != want {
			t.Fatalf("%#08x becomes %v, want %v", bits, got, want)
		}
	}
}

// TestRepeatable: a check with the same seed makes the same inputs.
func TestRepeatable(t *testing.T) {
	trace := func(seed uint64) []float32 {
		d := new(tracer)
		c := check{"Add", checkAdd}
		c.against(t, d, Options{Seed: seed})
		return d.first
	}
	a, b, other := trace(1), trace(1), trace(2)
	if differ(a, b) >= 0 {
		t.Errorf("the same seed gives %v, then %v", a, b)
	}
	if differ(a, other) < 0 {
		t.Errorf("seeds 1 and 2 give the same numbers")
	}
}

// tracer keeps the first numbers that are added.
type tracer struct {
	reference
	first []float32
}

func (d *tracer) Add(y, x compute.Tensor) {
	if d.first == nil {
		d.first = append(d.first, data(x)...)
	}
	d.reference.Add(y, x)
}
