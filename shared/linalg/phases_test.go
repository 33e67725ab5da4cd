package linalg

import (
	"math"
	"slices"
	"testing"
	"time"

	"transformer2/shared/compute"
)

// benchmarkEigenSym reports the seconds of each phase of EigenSym.
func benchmarkEigenSym(b *testing.B, p compute.Dense64, n int) {
	a := matrices[4].make(n, newRand(1))
	var reduce, divide, back time.Duration
	for b.Loop() {
		work := slices.Clone(a)
		t0 := time.Now()
		r := tridiagonalise(p, n, work)
		t1 := time.Now()
		_, x, err := tridiagonalEigen(p, r.d, r.e)
		if err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		r.back(p, x, n)
		reduce, divide, back = reduce+t1.Sub(t0), divide+t2.Sub(t1), back+time.Since(t2)
	}
	reportSeconds(b, map[string]time.Duration{
		"reduce-s": reduce, "divide-s": divide, "back-s": back})
}

// benchmarkBasis reports the seconds of each phase of Basis for a normal W [n n].
func benchmarkBasis(b *testing.B, p compute.Dense64, n int) {
	w := weights[0].make(n, n, newRand(1))
	var gram, eigen, rest time.Duration
	for b.Loop() {
		t0 := time.Now()
		g := Gram(p, n, n, w, true)
		t1 := time.Now()
		squares, x, err := eigenSym(p, n, g, n, g)
		if err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		d := Decomposition{Out: n, In: n, R: n, Left: true, Basis: x, Sigma: squares}
		for i, v := range squares {
			d.Sigma[i] = math.Sqrt(max(v, 0))
		}
		if err := d.refine(p, w); err != nil {
			b.Fatal(err)
		}
		d.arrange(p)
		gram, eigen, rest = gram+t1.Sub(t0), eigen+t2.Sub(t1), rest+time.Since(t2)
	}
	reportSeconds(b, map[string]time.Duration{"gram-s": gram, "eigen-s": eigen, "sigma-s": rest})
}

func reportSeconds(b *testing.B, phases map[string]time.Duration) {
	for name, d := range phases {
		b.ReportMetric(d.Seconds()/float64(b.N), name)
	}
}
