package cpu

// f64Task is the f64 op that runs now.
type f64Task struct {
	f        func(w *worker, t *f64Task, lo, hi int)
	m, n, k  int
	alpha    float64
	a, b, c  []float64
	ars, acs int
	brs, bcs int
	ldc      int
	user     func(lo, hi int)
}

func (t *f64Task) run(w *worker, lo, hi int) { t.f(w, t, lo, hi) }

// Gemm64: see compute.Dense64.
func (d *Device) Gemm64(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64,
	brs, bcs int, c []float64, ldc int) {
	d.ops.f64 = f64Task{f: gemm64Rows, m: m, n: n, k: k, alpha: alpha, a: a, ars: ars, acs: acs,
		b: b, brs: brs, bcs: bcs, c: c, ldc: ldc}
	d.pool.do(m, 1+smallElems/max(1, n*k), &d.ops.f64)
	d.ops.f64 = f64Task{}
}

func gemm64Rows(w *worker, t *f64Task, lo, hi int) {
	for i := lo; i < hi; i++ {
		c := t.c[i*t.ldc : i*t.ldc+t.n]
		for l := range t.k {
			x := t.alpha * t.a[i*t.ars+l*t.acs]
			if t.bcs == 1 {
				w.d.f.axpy64(c, x, t.b[l*t.brs:l*t.brs+t.n])
				continue
			}
			for j := range c {
				c[j] += x * t.b[l*t.brs+j*t.bcs]
			}
		}
	}
}

// Symv64: see compute.Dense64.
func (d *Device) Symv64(n int, a []float64, lda int, x, y []float64) {
	clear(y[:n])
	for i := range n {
		row := a[i*lda : i*lda+i+1]
		y[i] += d.f.dot64(row, x)
		d.f.axpy64(y[:i], x[i], row[:i])
	}
}

// Parallel: see compute.Dense64.
func (d *Device) Parallel(n, grain int, f func(lo, hi int)) {
	d.ops.f64 = f64Task{f: userRange, user: f}
	d.pool.do(n, max(grain, 1), &d.ops.f64)
	d.ops.f64 = f64Task{}
}

func userRange(_ *worker, t *f64Task, lo, hi int) { t.user(lo, hi) }
