package cpu

import (
	"math"

	"transformer2/shared/compute"
)

// Q8 weights: w[n,k] = scale·q, q in int8, one scale for each row n and block of 32 inputs.
//
// Sixteen rows are interleaved so that one 64-byte load holds four consecutive inputs of each: the
// shape that the VNNI instruction VPDPBUSD takes, which multiplies unsigned activations by signed
// weights and leaves sixteen sums. Activations are rounded to u8 = round(x/s)+128 with s = max|x|/127
// of their block; the surplus 128·Σq is taken off by starting each sum at corr = −128·Σq.
const (
	q8Block = compute.BlockQ8
	q8Group = 16
	q8Zero  = 128
)

// q8Panel is the 16-row groups of one panel (two of them, the second empty at an odd end).
type q8Panel struct {
	blocks int       // in/32
	q      []int8    // [group][block][k/4 8][row 16][k%4 4]
	scales []float32 // [group][block][row 16]
	corr   []int32   // [group][block][row 16]
}

// at is q of input l of block b in row j of the panel.
func (p *q8Panel) at(b, l, j int) int8 { return p.q[p.index(b, l, j)] }

func (p *q8Panel) index(b, l, j int) int {
	group, row := j/q8Group, j%q8Group
	return (group*p.blocks+b)*q8Group*q8Block + l/4*(4*q8Group) + row*4 + l%4
}

func (p *q8Panel) scale(b, j int) float32 { return p.scales[p.row(b, j)] }

func (p *q8Panel) row(b, j int) int { return (j/q8Group*p.blocks+b)*q8Group + j%q8Group }

// q8Row is one row of activations, rounded.
type q8Row struct {
	q      []uint8   // [in]
	scales []float32 // [in/32]
}

// set rounds x into r.
func (r *q8Row) set(x []float32) {
	n := len(x) / q8Block
	if cap(r.q) < len(x) {
		r.q, r.scales = make([]uint8, len(x)), make([]float32, n)
	}
	r.q, r.scales = r.q[:len(x)], r.scales[:n]
	for b := range n {
		xb := x[b*q8Block : (b+1)*q8Block]
		most := float32(0)
		for _, v := range xb {
			most = max(most, v, -v)
		}
		s := most / 127
		r.scales[b] = s
		inv := float32(0)
		if s > 0 {
			inv = 1 / s
		}
		for l, v := range xb {
			r.q[b*q8Block+l] = uint8(int32(math.RoundToEven(float64(v*inv))) + q8Zero)
		}
	}
}

// put rounds one row of weights, w[in], into row j of the panel.
func (p *q8Panel) put(j int, w []float32) {
	for b := range p.blocks {
		wb := w[b*q8Block : (b+1)*q8Block]
		most := float32(0)
		for _, v := range wb {
			most = max(most, v, -v)
		}
		s := most / 127
		sum := int32(0)
		for l, v := range wb {
			q := int8(0)
			if s > 0 {
				q = int8(max(-127, min(127, math.RoundToEven(float64(v/s)))))
			}
			p.q[p.index(b, l, j)] = q
			sum += int32(q)
		}
		p.scales[p.row(b, j)] = s
		p.corr[p.row(b, j)] = -q8Zero * sum
	}
}

// widen writes inputs [lo, hi) of the panel as f32: dst[(l−lo)*nr+j] = w[j,l].
func (p *q8Panel) widen(dst []float32, lo, hi int) {
	for l := lo; l < hi; l++ {
		b, o := l/q8Block, l%q8Block
		for j := range nr {
			if j/q8Group*p.blocks*q8Group*q8Block >= len(p.q) {
				dst[(l-lo)*nr+j] = 0
				continue
			}
			dst[(l-lo)*nr+j] = p.scale(b, j) * float32(p.at(b, o, j))
		}
	}
}
