//go:build ((linux || windows || darwin) && (amd64 || arm64)) || (js && wasm)

package webgpu

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"transformer2/kernels"
	"transformer2/shared/compute"
)

// The decomposition is one-sided block Jacobi. The vectors of the smaller side of W are the rows of
// X, in blocks of svdBlock; every pair of blocks meets once in a sweep, as many pairs at once as
// there are disjoint ones. A pair's vectors are multiplied from the left by the orthogonal matrix
// that makes their Gram matrix diagonal, and so are the rows of Q, which begins as the identity:
//
//	X = Q W    Q orthogonal, X with orthogonal rows at the end: σ are their lengths, the rows of Q
//	           are the singular vectors of the smaller side
//
// X and Q lie side by side in one tensor z, so that one dispatch turns both.
const (
	svdBlock = 32
	svdPair  = 2 * svdBlock
	svdTile  = 128 // columns of z to a workgroup of svd_apply
)

const (
	// svdTol is the largest cosine of two rows of X, over a whole sweep, at which they count as
	// orthogonal. What f32 leaves of one after a rotation is 1e-7 to 4e-7 in 64 to 512 dimensions.
	svdTol = 1e-6
	// svdTurn is the cosine above which a pair of blocks is worth turning, and svdLeast that which is
	// worth a rotation within: smaller, so that what is turned is not left right at the bound, where
	// rounding would lift it over it again (two to four more sweeps).
	svdTurn  = 4.8e-7
	svdLeast = 1.2e-7
	// svdFloor times the longest row of W is the least length that enters a cosine, so that what has
	// the size of rounding errors need not become orthogonal among itself: f32 knows the vector of σ
	// to 6e-8·σ₁/σ, and svdTol·svdFloor² = (1e-7)² leaves no more than that.
	svdFloor = 1e-4
	// svdNear is the cosine below which the next sweeps change little: the rounding errors that Q has
	// gathered are taken out then, see refresh.
	svdNear = 0.1
	// svdCycles bounds the cycles of Jacobi on a pair's Gram matrix, which end when nothing is left
	// to rotate. One takes 10 sweeps of a random matrix of 512, two take 9, three take 8.
	svdCycles = 3
	// svdSweeps bounds the sweeps: 7 for random matrices of 256, 8 of 512, 12 of 1536.
	svdSweeps = 40
	// svdNorm is how far Σσ² may be from |W|², relatively: a device that turns X by what is not
	// orthogonal is found out. Measured 1.2e-7 at most.
	svdNorm = 1e-4
	// svdAhead is the laps of a sweep that are recorded before they are handed to the device: a
	// submission that takes seconds on a slow one looks like a hang to its driver.
	svdAhead = 16
)

// SVD: see compute.Decomposer.
func (d *Device) SVD(ctx context.Context, sigma, basis, w compute.Tensor) (compute.SVDReport,
	error) {
	const op = "SVD"
	n := min(w.Rows, w.Cols)
	shape(op, "sigma", sigma, 1, n, w)
	shape(op, "basis", basis, n, n, w)
	d.vals(op, sigma)
	d.vals(op, basis)
	d.vals(op, w)
	if n == 0 {
		return compute.SVDReport{}, d.err
	}
	s := &svd{d: d, w: w, n: n, m: max(w.Rows, w.Cols), most: svdSweeps}
	defer s.free()
	return s.run(ctx, sigma, basis)
}

func (s *svd) run(ctx context.Context, sigma, basis compute.Tensor) (compute.SVDReport, error) {
	if err := s.start(); err != nil {
		return s.report, err
	}
	if err := s.sweeps(ctx); err != nil {
		return s.report, err
	}
	return s.report, s.finish(sigma, basis)
}

// svd is a decomposition under way.
type svd struct {
	d              *Device
	w              compute.Tensor
	n, m           int // vectors, and numbers of one
	rows, xs       int // of z: n and m, rounded up
	blocks, ranges int
	span           int // numbers of a range
	most           int // sweeps
	scale          float32
	floor          float32
	norm           float64        // Σ x², which no rotation changes
	z              compute.Tensor // [rows, xs+rows, rounded up]
	gram, turn     compute.Tensor // [ranges pairs 64 64], [pairs 64 64]
	worst, found   compute.Tensor // [pairs], [rows 2]
	log, turns     compute.Tensor // [pairs cycles 63 32 2], [pairs]
	owned          []compute.Tensor
	refreshed      bool
	report         compute.SVDReport
	err            error
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func (s *svd) tensor(rows, cols int) compute.Tensor {
	if s.err != nil {
		return compute.Tensor{}
	}
	t, err := s.d.NewTensor(rows, cols)
	if err != nil {
		s.err = fmt.Errorf("webgpu: SVD of %v: %w", s.w, err)
		return t
	}
	s.owned = append(s.owned, t)
	return t
}

func (s *svd) free() {
	for _, t := range s.owned {
		s.d.Free(t.Buf)
	}
}

// start makes room, refuses what is not finite, and puts W beside the identity. W is scaled by a
// power of two to numbers of size 1, whose squares neither vanish nor overflow.
func (s *svd) start() error {
	const (
		busy  = 1024 // workgroups, of two warps each, that keep a large GPU busy
		least = 256  // numbers that are worth one
	)
	s.rows, s.xs = roundUp(s.n, svdPair), roundUp(s.m, svdPair)
	s.blocks = s.rows / svdBlock
	pairs := s.blocks / 2
	s.ranges = max(1, min((busy+pairs-1)/pairs, s.xs/least))
	s.span = roundUp((s.xs+s.ranges-1)/s.ranges, 16)
	s.ranges = (s.xs + s.span - 1) / s.span
	s.z = s.tensor(s.rows, roundUp(s.xs+s.rows, svdTile))
	s.gram, s.turn = s.tensor(s.ranges*pairs, svdPair*svdPair), s.tensor(pairs, svdPair*svdPair)
	s.log = s.tensor(pairs*svdCycles, (svdPair-1)*svdPair)
	s.worst, s.turns, s.found = s.tensor(1, pairs), s.tensor(1, pairs), s.tensor(s.rows, 2)
	if s.err != nil {
		return s.err
	}
	if err := s.scan(); err != nil {
		return err
	}
	s.place(s.z, 0, s.w, s.n, s.m, s.side(), s.scale, 0)
	s.place(s.z, s.xs, s.z, s.rows, s.rows, strides{}, 0, 1)
	lengths, err := s.measure()
	if err != nil {
		return err
	}
	s.norm = sumSquares(lengths)
	s.floor = svdFloor * max(1, slices.Max(lengths)) // of zeros it must not be 0
	return nil
}

// strides are how far the next row and the next column lie in a buffer.
type strides struct{ row, col int }

// side reads W so that rows are the vectors of its smaller side.
func (s *svd) side() strides {
	if s.w.Rows <= s.w.Cols {
		return strides{s.w.Cols, 1}
	}
	return strides{1, s.w.Cols}
}

// place writes scale·x + shift·I to the columns of y from `from` on.
func (s *svd) place(y compute.Tensor, from int, x compute.Tensor, rows, cols int, by strides,
	scale, shift float32) {
	yb, yo := s.d.vals("SVD", y)
	xb, xo := s.d.vals("SVD", x)
	s.d.run(plain("svd_place"), threads(rows*cols), bufs{yb, xb}, uint32(rows), uint32(cols),
		yo+uint32(from), uint32(y.Cols), xo, uint32(by.row), uint32(by.col), f32(scale), f32(shift))
}

// scan finds the largest magnitude of W, and its scale.
func (s *svd) scan() error {
	const block = 8192
	blocks := (s.w.Len() + block - 1) / block
	part, err := s.d.NewInts(blocks)
	if err != nil {
		return fmt.Errorf("webgpu: SVD of %v: %w", s.w, err)
	}
	defer s.d.Free(part.Buf)
	pb, _ := s.d.ints("SVD", part)
	wb, wo := s.d.vals("SVD", s.w)
	s.d.run(plain("svd_scan"), line(blocks), bufs{pb, wb}, uint32(s.w.Len()), wo)
	host := make([]int32, blocks)
	if err := s.d.ReadInts(host, part); err != nil {
		return err
	}
	top := math.Float32frombits(uint32(slices.Max(host)))
	if top-top != 0 {
		return fmt.Errorf("webgpu: SVD of %v: it has NaN or an infinity, want finite numbers", s.w)
	}
	s.scale = 1
	if top > 0 {
		_, e := math.Frexp(float64(top))
		s.scale = float32(math.Ldexp(1, min(max(1-e, -126), 126)))
	}
	return nil
}

// sweeps turns X until its rows are orthogonal.
func (s *svd) sweeps(ctx context.Context) error {
	worst := make([]float32, s.blocks/2)
	for s.report.Sweeps < s.most {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.sweep()
		if err := s.d.Read(worst, s.worst); err != nil {
			return err
		}
		s.report.Sweeps++
		s.report.Cosine = float64(slices.Max(worst))
		switch {
		case s.report.Cosine <= svdTol && s.refreshed:
			return s.refresh(1)
		case s.report.Cosine <= svdNear && !s.refreshed:
			if err := s.refresh(2); err != nil {
				return err
			}
			s.refreshed = true
		}
	}
	return fmt.Errorf("webgpu: SVD of %v: after %d sweeps a cosine of two vectors is %.2g, "+
		"want %.2g or less", s.w, s.report.Sweeps, s.report.Cosine, svdTol)
}

// sweep lets every block meet every other.
func (s *svd) sweep() {
	d, pairs := s.d, uint32(s.blocks/2)
	d.Fill(s.worst, 0)
	zb, _ := d.vals("SVD", s.z)
	gb, _ := d.vals("SVD", s.gram)
	rb, _ := d.vals("SVD", s.turn)
	wb, _ := d.vals("SVD", s.worst)
	tb, _ := d.vals("SVD", s.turns)
	lb, _ := d.vals("SVD", s.log)
	ldz, blocks := uint32(s.z.Cols/4), uint32(s.blocks)
	for lap := range blocks - 1 {
		d.run(plain("svd_gram"), grid{pairs, uint32(s.ranges), 1}, bufs{gb, zb}, ldz, blocks, lap,
			uint32(s.xs), uint32(s.span))
		d.run(plain("svd_turn"), grid{pairs, 1, 1}, bufs{rb, wb, tb, lb, gb}, pairs,
			uint32(s.ranges), svdCycles, f32(svdTurn), f32(svdLeast*svdLeast),
			f32(s.floor*s.floor))
		d.run(plain("svd_apply"), grid{uint32(s.z.Cols / svdTile), pairs, 1}, bufs{zb, rb, tb}, ldz,
			blocks, lap)
		if lap%svdAhead == svdAhead-1 {
			d.Submit() // its error stays with the device
		}
	}
}

// refresh takes the rounding errors of all rotations so far out of Q, by steps of Newton and Schulz
// to the nearest orthogonal matrix, and makes X anew from it:
//
//	E = 1.5·I − 0.5·Q Qᵀ    Q = E Q    X = Q W
//
// A step leaves the square of an error. Two come when the largest rotations are over; one at the
// end, for those of the sweeps since.
func (s *svd) refresh(steps int) error {
	// So much of a sum is added up apart: thousands of additions to what is nearly 1 would be off
	// by more than what is sought.
	const slice = 256
	n, d := s.rows, s.d
	e, q := s.tensor(n, n), s.tensor(n, n)
	if s.err != nil {
		return s.err
	}
	eb, eo := d.vals("SVD", e)
	qb, qo := d.vals("SVD", q)
	zb, zo := d.vals("SVD", s.z)
	wb, wo := d.vals("SVD", s.w)
	ldz, qAt := s.z.Cols, zo+uint32(s.xs)
	for range steps {
		for k := 0; k < n; k += slice {
			at := qAt + uint32(k)
			d.gemm(product{m: n, n: n, k: min(slice, n-k), ka: true, kb: true, c: eb, co: eo, ldc: n,
				a: zb, ao: at, lda: ldz, b: zb, bo: at, ldb: ldz, acc: k > 0})
		}
		s.place(e, 0, e, n, n, strides{n, 1}, -0.5, 1.5)
		d.gemm(product{m: n, n: n, k: n, ka: true, c: qb, co: qo, ldc: n, a: eb, ao: eo, lda: n,
			b: zb, bo: qAt, ldb: ldz})
		s.place(s.z, s.xs, q, n, n, strides{n, 1}, 1, 0)
	}
	// W's scale goes half to Q and half to X: all of it might leave the range of f32 on one of them.
	_, exponent := math.Frexp(float64(s.scale))
	half := float32(math.Ldexp(1, exponent/2))
	s.place(q, 0, q, n, n, strides{n, 1}, half, 0)
	d.gemm(product{m: s.n, n: s.m, k: s.n, ka: true, kb: s.w.Rows > s.w.Cols, c: zb, co: zo,
		ldc: ldz, a: qb, ao: qo, lda: n, b: wb, bo: wo, ldb: s.w.Cols})
	s.place(s.z, 0, s.z, s.n, s.m, strides{ldz, 1}, s.scale/half, 0)
	for range 2 {
		d.Free(s.owned[len(s.owned)-1].Buf)
		s.owned = s.owned[:len(s.owned)-1]
	}
	return nil
}

// measure gives the lengths of the rows of X; the signs of those of Q stay in found.
func (s *svd) measure() ([]float32, error) {
	fb, _ := s.d.vals("SVD", s.found)
	zb, _ := s.d.vals("SVD", s.z)
	s.d.run(plain("svd_measure"), grid{uint32(s.rows), 1, 1}, bufs{fb, zb}, uint32(s.z.Cols),
		uint32(s.xs), uint32(s.xs), uint32(s.n))
	host := make([]float32, 2*s.rows)
	if err := s.d.Read(host, s.found); err != nil {
		return nil, err
	}
	lengths := make([]float32, s.n)
	for i := range lengths {
		lengths[i] = host[2*i]
	}
	return lengths, nil
}

func sumSquares(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// finish sorts: σ descending, the vectors as columns, each with its sign.
func (s *svd) finish(sigma, basis compute.Tensor) error {
	lengths, err := s.measure()
	if err != nil {
		return err
	}
	if norm := sumSquares(lengths); !(math.Abs(norm-s.norm) <= svdNorm*s.norm) {
		return fmt.Errorf("webgpu: SVD of %v: Σσ² is %.6g of |W|², want 1: %s computes wrongly", s.w,
			norm/s.norm, s.d.adapter.Name)
	}
	order := make([]int32, s.n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(lengths[b], lengths[a]) })
	sorted := make([]float32, s.n)
	for j, i := range order {
		sorted[j] = lengths[i] / s.scale
		if v := sorted[j]; v-v != 0 {
			return fmt.Errorf("webgpu: SVD of %v: singular value %d is %v, more than f32 holds", s.w, j, v)
		}
	}
	ids, err := s.d.NewInts(s.n)
	if err != nil {
		return fmt.Errorf("webgpu: SVD of %v: %w", s.w, err)
	}
	defer s.d.Free(ids.Buf)
	s.d.WriteInts(ids, order)
	s.d.Write(sigma, sorted)
	bb, bo := s.d.vals("SVD", basis)
	zb, _ := s.d.vals("SVD", s.z)
	ib, _ := s.d.ints("SVD", ids)
	fb, _ := s.d.vals("SVD", s.found)
	tiles := uint32((s.n + 15) / 16)
	s.d.run(kernels.Variant{Name: "svd_arrange"}, grid{tiles, tiles, 1}, bufs{bb, zb, ib, fb},
		uint32(s.n), bo, uint32(s.z.Cols), uint32(s.xs))
	return s.d.Submit()
}
