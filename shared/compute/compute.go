// Package compute is the seam between the science and the machine: what a device must be able to
// do so that a Llama-shaped transformer can be run, trained and adapted on it.
//
// Every op is documented by the loop it equals. The loop is the specification: devices may
// reorder sums, use other widths or fuse, but devicetest holds each of them to the loop in
// float64. All arithmetic and all activations are f32; weights may be held in fewer bits.
//
// Ops are recorded in order and may run at any time until Submit; Read submits and waits. A CPU
// runs an op when it is called, a GPU collects a whole token or training step into one submission.
// A shape that does not fit is a bug of the caller: ops panic and name both shapes.
package compute

import "fmt"

// DType says how a Weight's numbers are held. Activations and sums are always f32.
type DType uint8

const (
	F32  DType = iota
	F16        // IEEE half
	BF16       // the upper 16 bits of an f32
	Q8         // int8 in blocks of 32 along the inputs, one f32 scale a block: w = scale·q
	Q4         // the same with 4 bits: −8 ≤ q ≤ 7
)

// BlockQ8 is the number of consecutive inputs that share a scale in Q8 and in Q4.
const BlockQ8 = 32

var dtypeNames = [...]string{"f32", "f16", "bf16", "q8", "q4"}

// Blocked reports whether t holds its inputs in blocks of BlockQ8.
func (t DType) Blocked() bool { return t == Q8 || t == Q4 }

func (t DType) String() string {
	if int(t) < len(dtypeNames) {
		return dtypeNames[t]
	}
	return fmt.Sprintf("DType(%d)", t)
}

// ParseDType is the inverse of String.
func ParseDType(s string) (DType, error) {
	for i, name := range dtypeNames {
		if s == name {
			return DType(i), nil
		}
	}
	return 0, fmt.Errorf("compute: data type %q: want one of %v", s, dtypeNames)
}

// Buffer is storage on a device; only the device that made it can look inside.
type Buffer interface {
	Len() int // numbers it holds
}

// Tensor is a view of a Buffer of f32: a row-major matrix whose first number is Buf[Off].
// The zero Tensor means "none" where an op says that an argument may be left out.
type Tensor struct {
	Buf        Buffer
	Off        int
	Rows, Cols int
}

// IsZero reports whether t is the zero Tensor.
func (t Tensor) IsZero() bool { return t.Buf == nil }

// Len is the count of numbers, Rows·Cols.
func (t Tensor) Len() int { return t.Rows * t.Cols }

// Slice views rows [lo, hi).
func (t Tensor) Slice(lo, hi int) Tensor {
	if lo < 0 || hi < lo || hi > t.Rows {
		panic(fmt.Sprintf("compute: slice [%d:%d) of %v", lo, hi, t))
	}
	return Tensor{Buf: t.Buf, Off: t.Off + lo*t.Cols, Rows: hi - lo, Cols: t.Cols}
}

// Reshape views the same numbers, or the first of them, as rows×cols.
func (t Tensor) Reshape(rows, cols int) Tensor {
	if rows < 0 || cols < 0 || rows*cols > t.Len() {
		panic(fmt.Sprintf("compute: %v reshaped to [%d %d]", t, rows, cols))
	}
	return Tensor{Buf: t.Buf, Off: t.Off, Rows: rows, Cols: cols}
}

func (t Tensor) String() string { return fmt.Sprintf("[%d %d]", t.Rows, t.Cols) }

// Ints is a view of a Buffer of int32: ids, positions, row numbers.
type Ints struct {
	Buf Buffer
	Off int
	N   int
}

// IsZero reports whether x is the zero Ints.
func (x Ints) IsZero() bool { return x.Buf == nil }

// Slice views numbers [lo, hi).
func (x Ints) Slice(lo, hi int) Ints {
	if lo < 0 || hi < lo || hi > x.N {
		panic(fmt.Sprintf("compute: slice [%d:%d) of %d ints", lo, hi, x.N))
	}
	return Ints{Buf: x.Buf, Off: x.Off + lo, N: hi - lo}
}

// Weight is a matrix [out, in] held as a device likes it best for y = x Wᵀ. It is a Buffer, which
// Free takes; an op on one that was freed panics and says so.
type Weight interface {
	Buffer
	Dims() (out, in int)
	Type() DType
	Bytes() int64 // device memory it takes
}

// Orientation names the three products that a linear layer needs.
type Orientation uint8

const (
	NT Orientation = iota // C = A Bᵀ   A [m k], B [n k]: forward, y = x Wᵀ
	NN                    // C = A B    A [m k], B [k n]: input gradient, dx = dy W
	TN                    // C = Aᵀ B   A [k m], B [k n]: weight gradient, dW = dyᵀ x
)

func (o Orientation) String() string { return [...]string{"NT", "NN", "TN"}[o] }

// Heads is the shape of grouped-query attention: Q query heads share KV key/value heads, each of
// Dim numbers. Row t of q is [Q·Dim], of k and v [KV·Dim]; query head h reads head h/(Q/KV).
type Heads struct {
	Q, KV, Dim int
	Scale      float32 // logits are Scale·q·k, usually 1/√Dim
}

// AdamWParams is one step of AdamW (Loshchilov & Hutter 2019). Step counts from 1. GradScale
// multiplies the gradient first (clipping, averaging).
type AdamWParams struct {
	LR, Beta1, Beta2, Eps, WeightDecay float32
	Step                               int
	GradScale                          float32
}
