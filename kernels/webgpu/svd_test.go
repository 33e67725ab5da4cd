//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"transformer2/kernels"
	"transformer2/kernels/cpu"
	"transformer2/shared/compute"
	"transformer2/shared/linalg"
)

// epsF32 is the distance from 1 to the next f32.
const epsF32 = 0x1p-23

// What a decomposition in f32 may be off. Measured over the cases below on lavapipe and
// SwiftShader: residual 6 eps, orthogonality 5 eps, σ 2 eps of σ₁, subspaces 3 eps·σ₁ over the gap;
// for normal numbers in 1024 dimensions, residual 8 eps and orthogonality 4 eps.
const (
	svdResidual   = 40 * epsF32 // of |W|, and see linalg's Residual
	svdOrthogonal = 40 * epsF32 // |BᵀB − I|max
	svdSigma      = 20 * epsF32 // of σ₁, against the f64 solver
	svdAngle      = 40 * epsF32 // of σ₁ over the gap, the sine between subspaces
)

// svdLab decomposes on both: f32 on the GPU, f64 on the CPU.
type svdLab struct {
	t    *testing.T
	d    *Device
	host *cpu.Device
	rng  *rand.Rand
}

func newSVDLab(t *testing.T) *svdLab {
	t.Helper()
	host, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := openDevice(t)
	t.Cleanup(func() { host.Close(); d.Close() })
	return &svdLab{t: t, d: d, host: host, rng: rand.New(rand.NewPCG(5, 6))}
}

func (l *svdLab) normals(n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(l.rng.NormFloat64())
	}
	return w
}

// spectrum is a matrix [out in] with the singular values f(0), f(1), ..., in random directions.
func (l *svdLab) spectrum(out, in int, f func(i int) float64) []float32 {
	l.t.Helper()
	side := func(n int) []float64 {
		d, err := linalg.Basis(l.host, n, n, l.normals(n*n))
		if err != nil {
			l.t.Fatal(err)
		}
		return d.Basis
	}
	u, v, r := side(out), side(in), min(out, in)
	w := make([]float32, out*in)
	for i := range out {
		for j := range in {
			var s float64
			for k := range r {
				s += u[i*out+k] * f(k) * v[j*in+k]
			}
			w[i*in+j] = float32(s)
		}
	}
	return w
}

// tensor puts numbers on the device, away from the start of their buffer.
func (l *svdLab) tensor(rows, cols int, w []float32) compute.Tensor {
	l.t.Helper()
	t, err := l.d.NewTensor(1, 3+rows*cols)
	if err != nil {
		l.t.Fatal(err)
	}
	t = compute.Tensor{Buf: t.Buf, Off: 3, Rows: rows, Cols: cols}
	if w != nil {
		l.d.Write(t, w)
	}
	return t
}

// svd decomposes w on the GPU.
func (l *svdLab) svd(out, in int, w []float32) (linalg.Decomposition, compute.SVDReport, error) {
	l.t.Helper()
	r := min(out, in)
	wt, st, bt := l.tensor(out, in, w), l.tensor(1, r, nil), l.tensor(r, r, nil)
	report, err := l.d.SVD(context.Background(), st, bt, wt)
	sigma, basis, same := make([]float32, r), make([]float32, r*r), make([]float32, len(w))
	for _, x := range []struct {
		t    compute.Tensor
		host []float32
	}{{st, sigma}, {bt, basis}, {wt, same}} {
		if err := l.d.Read(x.host, x.t); err != nil {
			l.t.Fatal(err)
		}
		l.d.Free(x.t.Buf)
	}
	if err == nil && !slices.Equal(same, w) {
		l.t.Errorf("[%d %d]: the matrix has changed", out, in)
	}
	d := linalg.Decomposition{Out: out, In: in, R: r, Left: out <= in}
	for _, v := range sigma {
		d.Sigma = append(d.Sigma, float64(v))
	}
	for _, v := range basis {
		d.Basis = append(d.Basis, float64(v))
	}
	return d, report, err
}

// check compares a decomposition of w with w and with the f64 solver's.
func (l *svdLab) check(out, in int, w []float32) {
	l.t.Helper()
	d, report, err := l.svd(out, in, w)
	if err != nil {
		l.t.Fatal(err)
	}
	want, err := linalg.Basis(l.host, out, in, w)
	if err != nil {
		l.t.Fatal(err)
	}
	top := want.Sigma[0]
	var off float64
	for i, s := range d.Sigma {
		off = max(off, math.Abs(s-want.Sigma[i])/top)
		if i > 0 && s > d.Sigma[i-1] {
			l.t.Errorf("σ %d is %v, more than %v before it", i, s, d.Sigma[i-1])
		}
	}
	residual, orthogonal := d.Residual(l.host, w), d.Orthogonality(l.host)
	rebuilt, angle := l.rebuilt(&d, w), l.angles(&d, &want)
	l.t.Logf("%d sweeps, cosine %.1e; in eps: residual %.1f, rebuilt %.1f, orthogonality %.1f, "+
		"σ %.1f, subspaces %.1f", report.Sweeps, report.Cosine, residual/epsF32, rebuilt/epsF32,
		orthogonal/epsF32, off/epsF32, angle/epsF32)
	for _, x := range []struct {
		name      string
		got, most float64
	}{{"residual", residual, svdResidual}, {"|W − U diag(σ) Vᵀ|/|W|", rebuilt, svdResidual},
		{"orthogonality", orthogonal, svdOrthogonal}, {"σ", off, svdSigma},
		{"subspaces", angle, svdAngle}} {
		if !(x.got <= x.most) {
			l.t.Errorf("[%d %d]: %s is off by %.2g, want %.2g or less", out, in, x.name, x.got, x.most)
		}
	}
	l.signs(&d)
}

// rebuilt is |W − U diag(σ) Vᵀ|/|W|, the side that the basis leaves out made by linalg.
func (l *svdLab) rebuilt(d *linalg.Decomposition, w []float32) float64 {
	u, v := d.Basis, d.Other(l.host, w)
	if !d.Left {
		u, v = v, u
	}
	var missing, total float64
	for i := range d.Out {
		for j := range d.In {
			x := float64(w[i*d.In+j])
			total += x * x
			for k, s := range d.Sigma {
				x -= u[i*d.R+k] * s * v[j*d.R+k]
			}
			missing += x * x
		}
	}
	return math.Sqrt(missing / total)
}

// angles is the largest sine of a vector of d and the space that f64 finds for its σ and those
// within 1e-3·σ₁ of it, times that space's distance to other σ over σ₁.
func (l *svdLab) angles(d, want *linalg.Decomposition) float64 {
	r, top := d.R, want.Sigma[0]
	var worst float64
	for lo := 0; lo < r; {
		hi := lo + 1
		for hi < r && want.Sigma[hi-1]-want.Sigma[hi] < 1e-3*top {
			hi++
		}
		gap := top
		if lo > 0 {
			gap = min(gap, want.Sigma[lo-1]-want.Sigma[lo])
		}
		if hi < r {
			gap = min(gap, want.Sigma[hi-1]-want.Sigma[hi])
		}
		for j := lo; j < hi; j++ {
			rest := make([]float64, r)
			for i := range rest {
				rest[i] = d.Basis[i*r+j]
			}
			for k := lo; k < hi; k++ {
				var dot float64
				for i := range rest {
					dot += d.Basis[i*r+j] * want.Basis[i*r+k]
				}
				for i := range rest {
					rest[i] -= dot * want.Basis[i*r+k]
				}
			}
			var sine float64
			for _, v := range rest {
				sine += v * v
			}
			worst = max(worst, math.Sqrt(sine)*gap/top)
		}
		lo = hi
	}
	return worst
}

// signs: in each column the first of the largest components is positive.
func (l *svdLab) signs(d *linalg.Decomposition) {
	l.t.Helper()
	for j := range d.R {
		var top float64
		for i := range d.R {
			top = max(top, math.Abs(d.Basis[i*d.R+j]))
		}
		for i := range d.R {
			if v := d.Basis[i*d.R+j]; math.Abs(v) >= (1-0.9e-6)*top {
				if v < 0 {
					l.t.Errorf("vector %d: component %d is %v, the first of the largest", j, i, v)
				}
				break
			}
		}
	}
}

// TestSVD: shapes below, at and past the blocks, on both sides, and spectra that are hard.
func TestSVD(t *testing.T) {
	l := newSVDLab(t)
	normal := func(out, in int) []float32 { return l.normals(out * in) }
	with := func(f func(i, r int) float64) func(out, in int) []float32 {
		return func(out, in int) []float32 {
			return l.spectrum(out, in, func(i int) float64 { return f(i, min(out, in)) })
		}
	}
	graded := with(func(i, r int) float64 { return math.Pow(1e-6, float64(i)/float64(r-1)) })
	clustered := with(func(i, r int) float64 { return 1 + float64(i*8/r) })
	deficient := with(func(i, r int) float64 { return max(0, float64(r/3-i)) })
	equal := with(func(int, int) float64 { return 3 })
	one := with(func(i, _ int) float64 { return float64(max(1-i, 0)) })
	for _, c := range []struct {
		name    string
		out, in int
		make    func(out, in int) []float32
	}{
		{"normal", 1, 1, normal}, {"normal", 1, 37, normal}, {"normal", 41, 1, normal},
		{"normal", 2, 3, normal}, {"normal", 31, 33, normal}, {"normal", 64, 64, normal},
		{"normal", 65, 64, normal}, {"normal", 64, 67, normal}, {"normal", 97, 101, normal},
		{"normal", 300, 70, normal}, {"normal", 40, 2111, normal},
		{"σ to 1e-6", 66, 66, graded}, {"σ to 1e-6", 70, 96, graded},
		{"clusters", 96, 96, clustered}, {"rank of a third", 90, 72, deficient},
		{"all σ equal", 80, 80, equal}, {"rank 1", 50, 69, one},
	} {
		t.Run(fmt.Sprintf("%s %dx%d", c.name, c.out, c.in), func(t *testing.T) {
			l.t = t
			l.check(c.out, c.in, c.make(c.out, c.in))
		})
	}
}

// TestSVDBiased: a GPU whose quotients and roots all err to one side, here by 1e-3 rather than the
// 2e-7 of real ones, because the rotations of 130 dimensions add up to less than those of more.
func TestSVDBiased(t *testing.T) {
	l := newSVDLab(t)
	v := plain("svd_turn")
	source, err := kernels.Source(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, exact := range []string{"a / b", "sqrt(a)"} {
		if !strings.Contains(source, "return "+exact+";") {
			t.Fatalf("the kernel has no %q to spoil", exact)
		}
		source = strings.Replace(source, "return "+exact, "return 1.001 * ("+exact+")", 1)
	}
	if _, err := l.d.compile(v, source); err != nil {
		t.Fatal(err)
	}
	l.check(130, 130, l.normals(130*130))
}

// TestSVDExact: what has an exact answer. Powers of two scale σ and leave the vectors as they are,
// zeros have any basis, and a diagonal has its axes.
func TestSVDExact(t *testing.T) {
	l := newSVDLab(t)
	const out, in = 35, 50
	w := l.normals(out * in)
	first, _, err := l.svd(out, in, w)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []int{0, 60, -70} {
		scaled := slices.Clone(w)
		for i := range scaled {
			scaled[i] = float32(math.Ldexp(float64(w[i]), e))
		}
		d, _, err := l.svd(out, in, scaled)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range d.Sigma {
			if want := math.Ldexp(first.Sigma[i], e); s != want {
				t.Fatalf("W·2^%d: σ %d is %v, want %v", e, i, s, want)
			}
		}
		if !slices.Equal(d.Basis, first.Basis) {
			t.Errorf("W·2^%d has other vectors than W", e)
		}
	}
	diagonal := make([]float32, 40*40)
	for i := range 40 {
		diagonal[i*41] = float32(i%7) - 3
	}
	for name, w := range map[string][]float32{"zeros": make([]float32, 40*40),
		"a diagonal": diagonal} {
		d, _, err := l.svd(40, 40, w)
		if err != nil {
			t.Fatal(err)
		}
		// Only σ is rounded: a GPU's square root may be some units off.
		if r := d.Residual(l.host, w); d.Orthogonality(l.host) != 0 || !(r <= 4*epsF32) {
			t.Errorf("%s: orthogonality %v, residual %v, want 0", name, d.Orthogonality(l.host), r)
		}
	}
}

// TestSVDRefuses: each input that has no answer, by name, and the device stays of use.
func TestSVDRefuses(t *testing.T) {
	l := newSVDLab(t)
	const n = 33
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		w := l.normals(n * n)
		w[n+7] = float32(bad)
		if _, _, err := l.svd(n, n, w); err == nil ||
			!strings.Contains(err.Error(), "[33 33]: it has NaN") {
			t.Errorf("a matrix with %v: %v, want it refused", bad, err)
		}
	}
	huge := make([]float32, n*n)
	for i := range huge {
		huge[i] = 3e38
	}
	if _, _, err := l.svd(n, n, huge); err == nil ||
		!strings.Contains(err.Error(), "more than f32 holds") {
		t.Errorf("σ₁ of 1e40: %v, want an error", err)
	}
	wt, st, bt := l.tensor(n, n, l.normals(n*n)), l.tensor(1, n, nil), l.tensor(n, n, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.d.SVD(ctx, st, bt, wt); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v, want %v", err, context.Canceled)
	}
	s := &svd{d: l.d, w: wt, n: n, m: n, most: 1}
	if _, err := s.run(context.Background(), st, bt); err == nil ||
		!strings.Contains(err.Error(), "after 1 sweeps a cosine") {
		t.Errorf("one sweep: %v, want an error that says what is left", err)
	}
	s.norm *= 1.001
	if err := s.finish(st, bt); err == nil || !strings.Contains(err.Error(), "computes wrongly") {
		t.Errorf("|W|² of another matrix: %v, want an error", err)
	}
	s.free()
	if _, err := l.d.SVD(context.Background(), st, bt, wt); err != nil {
		t.Errorf("after the errors: %v", err)
	}
	none := compute.Tensor{Buf: wt.Buf, Rows: 0, Cols: 5}
	if _, err := l.d.SVD(context.Background(), st.Slice(0, 1).Reshape(1, 0), bt.Slice(0, 0).
		Reshape(0, 0), none); err != nil {
		t.Errorf("no rows: %v", err)
	}
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "sigma is [1 33]") {
			t.Errorf("σ of another shape: %v, want a panic that names it", r)
		}
	}()
	l.d.SVD(context.Background(), st, bt.Slice(0, n-1).Reshape(n-1, n-1), wt.Slice(0, n-1))
}
