package linalg

import (
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
	for name, d := range map[string]time.Duration{"reduce-s": reduce, "divide-s": divide, "back-s": back} {
		b.ReportMetric(d.Seconds()/float64(b.N), name)
	}
}
