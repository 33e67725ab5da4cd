package webgpu

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"transformer2/kernels/cpu"
	"transformer2/shared/linalg"
)

func TestTmp(t *testing.T) {
	d := openDevice(t)
	defer d.Close()
	host, _ := cpu.New(cpu.Options{})
	for _, n := range [][2]int{{64, 64}, {100, 130}, {256, 256}} {
		out, in := n[0], n[1]
		r := min(out, in)
		rng := rand.New(rand.NewPCG(1, 2))
		w := make([]float32, out*in)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		wt, _ := d.NewTensor(out, in)
		d.Write(wt, w)
		st, _ := d.NewTensor(1, r)
		bt, _ := d.NewTensor(r, r)
		start := time.Now()
		rep, err := d.SVD(context.Background(), st, bt, wt)
		t.Log(n, rep, err, time.Since(start))
		s, b := make([]float32, r), make([]float32, r*r)
		d.Read(s, st)
		d.Read(b, bt)
		ref, _ := linalg.Basis(host, out, in, w)
		x := linalg.Decomposition{Out: out, In: in, R: r, Left: out <= in}
		worst := 0.0
		for i := range s {
			x.Sigma = append(x.Sigma, float64(s[i]))
			worst = max(worst, math.Abs(x.Sigma[i]-ref.Sigma[i])/ref.Sigma[0])
		}
		for i := range b {
			x.Basis = append(x.Basis, float64(b[i]))
		}
		t.Logf("residual %.2e orth %.2e sigma %.2e", x.Residual(host, w), x.Orthogonality(host), worst)
	}
}
