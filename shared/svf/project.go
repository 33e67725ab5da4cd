package svf

import (
	"fmt"
	"slices"

	"transformer2/shared/compute"
)

// Projector applies z to activations and leaves the weight alone, in whatever precision that is:
//
//	P(z) = I + B diag(z−1) Bᵀ      symmetric, I at z = 1
//	left:  W' = P W, B = U: on the outputs      right: W' = W P, B = V: on the inputs
//
// Activations are rows: coef = x B is [T r] and x P = x + (coef∘(z−1)) Bᵀ. Row t takes the z of
// its own sequence.
type Projector struct {
	s       *Scratch
	left    bool
	r, rows int
	// [r r] B and Bᵀ: each product streams its weight once. MatMulT on B alone would save the room of
	// Bᵀ, and takes 2 to 3 times as long for one row, 5 for eight (CPU, r of 768 and 2048).
	b, bt      compute.Weight
	out, inner int // of the weight
}

// BasisType is how the basis of a weight is held beside it. Where the weight is rounded the basis may
// be too: its numbers are at most 1, and of those f16 keeps three bits more than bf16.
func BasisType(weight compute.DType) compute.DType {
	if weight == compute.F32 {
		return compute.F32
	}
	return compute.F16
}

// NewProjector holds a matrix's basis on the scratch's device as weights of type t (Q8 wants R to
// be a multiple of compute.BlockQ8), for batches of at most rows rows.
func NewProjector(s *Scratch, m Matrix, t compute.DType, rows int) (*Projector, error) {
	vectors, err := m.whole()
	if err != nil {
		return nil, err
	}
	b, err := hold(s.dev, t, m.R, vectors)
	if err != nil {
		return nil, fmt.Errorf("svf: %s: basis [%d %d] as %v: %w", m.Name, m.R, m.R, t, err)
	}
	bt, err := hold(s.dev, t, m.R, transposed(m.R, vectors))
	if err != nil {
		s.dev.Free(b)
		return nil, fmt.Errorf("svf: %s: basis [%d %d] as %v: %w", m.Name, m.R, m.R, t, err)
	}
	p, err := ProjectorOf(s, m.Out, m.In, m.Left, b, bt, rows)
	if err != nil {
		s.dev.Free(b)
		s.dev.Free(bt)
		return nil, fmt.Errorf("%w (%s)", err, m.Name)
	}
	return p, nil
}

// ProjectorOf is NewProjector of a basis that is on the device: B and Bᵀ, both [r r] with
// r = min(out, in), which become the projector's. left says whose side's it is.
func ProjectorOf(s *Scratch, out, in int, left bool, b, bt compute.Weight, rows int) (*Projector,
	error) {
	p := &Projector{s: s, left: left, r: min(out, in), rows: rows, b: b, bt: bt, out: out, inner: in}
	for slot := range scratchSlots {
		if err := s.reserve(slot, rows*p.r); err != nil {
			return nil, err
		}
	}
	return p, s.reserveCount(rows)
}

// hold makes a weight of type t of a square matrix of the host's.
func hold(dev compute.Device, t compute.DType, n int, x []float32) (compute.Weight, error) {
	w, err := dev.NewWeight(t, n, n)
	if err != nil {
		return nil, err
	}
	src, err := dev.NewTensor(n, n)
	if err != nil {
		dev.Free(w)
		return nil, err
	}
	dev.Write(src, x)
	dev.Pack(w, src)
	dev.Free(src.Buf)
	return w, nil
}

func transposed(n int, x []float32) []float32 {
	y := make([]float32, n*n)
	for i := range n {
		for j := range n {
			y[j*n+i] = x[i*n+j]
		}
	}
	return y
}

// Free gives the basis back. The scratch stays.
func (p *Projector) Free() {
	for _, w := range []compute.Weight{p.b, p.bt} {
		if w != nil {
			p.s.dev.Free(w)
		}
	}
	p.b, p.bt = nil, nil
}

// Bytes is the device memory that the basis takes.
func (p *Projector) Bytes() int64 { return p.b.Bytes() + p.bt.Bytes() }

// Forward computes y = x W'ᵀ with the base weight w:
//
//	left:  y = x Wᵀ;  y += ((y U)∘z1) Uᵀ        right:  y = (x + ((x V)∘z1) Vᵀ) Wᵀ
//
// y [T out], x [T in]. z1 is z−1 [S r], and row t of the batch takes row rows[t] of it; a zero rows
// means row 0 for all. coef [T r] receives y U or x V, which Backward needs; the zero Tensor where
// there will be no Backward.
func (p *Projector) Forward(y, x compute.Tensor, w compute.Weight, z1 compute.Tensor,
	rows compute.Ints, coef compute.Tensor) {
	p.shape("Forward", y, x, w, z1, rows)
	dev := p.s.dev
	if coef.IsZero() {
		coef = p.s.view(slotCoef, x.Rows, p.r)
	}
	turn := p.s.view(slotTurn, x.Rows, p.r)
	if p.left {
		dev.MatMul(y, x, w)
		p.turn(turn, coef, y, z1, rows)
		dev.Add(y, turn)
		return
	}
	p.turn(turn, coef, x, z1, rows)
	dev.Add(turn, x)
	dev.MatMul(y, turn, w)
}

// turn: coef = x B, dst = (coef∘z1) Bᵀ      all [T r]
func (p *Projector) turn(dst, coef, x, z1 compute.Tensor, rows compute.Ints) {
	scaled := p.s.view(slotScaled, x.Rows, p.r)
	p.s.dev.MatMul(coef, x, p.bt)
	p.s.dev.ScaleCols(scaled, coef, z1, rows)
	p.s.dev.MatMul(dst, scaled, p.b)
}

// Backward computes the gradients of Forward from dy = ∂L/∂y [T out]:
//
//	left:   k = dy U    dz[s] += Σ_t k∘(y U)    dx = (dy + (k∘z1) Uᵀ) W
//	right:  k = dy W V  dz[s] += Σ_t k∘(x V)    dx = dy W + (k∘z1) Vᵀ
//
// over the rows t of sequence s. dx [T in] is added to where acc. dz is [S r] as z1 is; z1, rows
// and coef are what Forward had. The zero Tensor as dz leaves the gradient of z out. dy is kept.
func (p *Projector) Backward(dx, dz, dy compute.Tensor, w compute.Weight, z1 compute.Tensor,
	rows compute.Ints, coef compute.Tensor, acc bool) {
	p.shape("Backward", dy, dx, w, z1, rows)
	dev := p.s.dev
	k := p.s.view(slotCoef, dy.Rows, p.r)
	turn := p.s.view(slotTurn, dy.Rows, p.r)
	if p.left {
		p.turn(turn, k, dy, z1, rows)
		dev.Add(turn, dy)
		dev.MatMulT(dx, turn, w, acc)
	} else {
		g := p.s.view(slotInput, dy.Rows, p.r) // dy W
		dev.MatMulT(g, dy, w, false)
		p.turn(turn, k, g, z1, rows)
		dev.Add(turn, g)
		if acc {
			dev.Add(dx, turn)
		} else {
			dev.Copy(dx, turn)
		}
	}
	p.gradient(dz, k, coef, rows)
}

// gradient: dz[rows[t]] += k[t]∘coef[t]     it overwrites k
func (p *Projector) gradient(dz, k, coef compute.Tensor, rows compute.Ints) {
	switch dev := p.s.dev; {
	case dz.IsZero():
	case rows.IsZero():
		dev.ColDot(dz.Slice(0, 1), k, coef)
	default: // a "z" for each row is an elementwise product
		dev.ScaleCols(k, k, coef, p.s.count.Slice(0, k.Rows))
		dev.ScatterAddRows(dz, k, rows)
	}
}

func (p *Projector) shape(op string, y, x compute.Tensor, w compute.Weight, z1 compute.Tensor,
	rows compute.Ints) {
	out, in := w.Dims()
	want := []int{p.out, p.inner, p.out, p.inner, p.r, x.Rows}
	got := []int{out, in, y.Cols, x.Cols, z1.Cols, y.Rows}
	if !slices.Equal(got, want) || !rows.IsZero() && rows.N != x.Rows {
		panic(fmt.Sprintf("svf: %s: weight [%d %d], x %v, y %v, z %v, %d sequence numbers, "+
			"want [%d %d] and r = %d", op, out, in, x, y, z1, rows.N, p.out, p.inner, p.r))
	}
	if x.Rows > p.rows {
		panic(fmt.Sprintf("svf: %s: %d rows, want at most %d", op, x.Rows, p.rows))
	}
}
