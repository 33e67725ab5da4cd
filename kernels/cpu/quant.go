package cpu

import (
	"math"

	"transformer2/shared/compute"
)

// Q8 weights: w[n,k] = scale·q, q in int8, one scale for each row n and block of 32 inputs.
//
// Sixteen rows are interleaved so that one 64-byte load holds four consecutive inputs of each, in
// sixteen lanes of 32 bits.
const (
	q8Block = compute.BlockQ8
	q8Group = 16
)

// q8Panel is the 16-row groups of one panel (two of them).
type q8Panel struct {
	blocks int       // in/32
	q      []int8    // [group][block][k/4 8][row 16][k%4 4]
	scales []float32 // [group][block][row 16]
}

// at is q of input l of block b in row j of the panel.
func (p *q8Panel) at(b, l, j int) int8 { return p.q[p.index(b, l, j)] }

func (p *q8Panel) index(b, l, j int) int {
	group, row := j/q8Group, j%q8Group
	return (group*p.blocks+b)*q8Group*q8Block + l/4*(4*q8Group) + row*4 + l%4
}

func (p *q8Panel) scale(b, j int) float32 { return p.scales[p.row(b, j)] }

func (p *q8Panel) row(b, j int) int { return (j/q8Group*p.blocks+b)*q8Group + j%q8Group }

// put rounds one row of weights, w[in], into row j of the panel.
func (p *q8Panel) put(j int, w []float32) {
	for b := range p.blocks {
		wb := w[b*q8Block : (b+1)*q8Block]
		most := float32(0)
		for _, v := range wb {
			most = max(most, v, -v)
		}
		s := most / 127
		for l, v := range wb {
			q := int8(0)
			if s > 0 {
				q = int8(max(-127, min(127, math.RoundToEven(float64(v/s)))))
			}
			p.q[p.index(b, l, j)] = q
		}
		p.scales[p.row(b, j)] = s
	}
}

// widen writes inputs [lo, hi) of the panel as f32: dst[(l−lo)*nr+j] = w[j,l].
func (p *q8Panel) widen(dst []float32, lo, hi int) {
	for l := lo; l < hi; l++ {
		b, o := l/q8Block, l%q8Block
		for j := range nr {
			dst[(l-lo)*nr+j] = p.scale(b, j) * float32(p.at(b, o, j))
		}
	}
}
