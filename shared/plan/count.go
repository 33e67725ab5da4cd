package plan

import (
	"fmt"

	"transformer2/shared/compute"
)

// counter is a device that holds nothing and counts what it is asked to hold. Only what allocates
// works on it.
type counter struct {
	compute.Device
	bytes int64
}

// counted is a buffer of a length and nothing else.
type counted int

func (c counted) Len() int { return int(c) }

func (c *counter) NewTensor(rows, cols int) (compute.Tensor, error) {
	if rows < 0 || cols < 0 {
		return compute.Tensor{}, fmt.Errorf("plan: tensor [%d %d]", rows, cols)
	}
	c.bytes += 4 * int64(rows) * int64(cols)
	return compute.Tensor{Buf: counted(rows * cols), Rows: rows, Cols: cols}, nil
}

func (c *counter) NewInts(n int) (compute.Ints, error) {
	c.bytes += 4 * int64(n)
	return compute.Ints{Buf: counted(n), N: n}, nil
}

func (c *counter) NewWeight(t compute.DType, out, in int) (compute.Weight, error) {
	n := weightBytes(t, out, in)
	c.bytes += n
	return countedWeight{t, out, in, n}, nil
}

func (c *counter) Write(compute.Tensor, []float32) {}

// countedWeight is a weight's shape.
type countedWeight struct {
	t       compute.DType
	out, in int
	bytes   int64
}

func (w countedWeight) Len() int            { return w.out * w.in }
func (w countedWeight) Dims() (out, in int) { return w.out, w.in }
func (w countedWeight) Type() compute.DType { return w.t }
func (w countedWeight) Bytes() int64        { return w.bytes }

// weightBytes is a weight in panels of 32 rows, as the processor's kernels hold it. Q8 and Q4
// have a scale of f32 for every 32 numbers.
func weightBytes(t compute.DType, out, in int) int64 {
	const panel = 32
	n := int64((out+panel-1)/panel*panel) * int64(in)
	switch t {
	case compute.F32:
		return 4 * n
	case compute.Q8:
		return n + 4*n/compute.BlockQ8
	case compute.Q4:
		return n/2 + 4*n/compute.BlockQ8
	}
	return 2 * n
}

// Bits is what a number of a matrix held as t takes, with its share of the scale.
func Bits(t compute.DType) int {
	return int(8 * weightBytes(t, 32, 32) / (32 * 32))
}
