// Package checkpoint answers: which named tensors does this file hold, and what are their numbers?
//
// It reads and writes safetensors (huggingface.co/docs/safetensors):
//
//	u64 n, little-endian | n bytes of JSON | data
//	{"__metadata__": {KEY: TEXT}, NAME: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//
// A header is checked to the last byte before anything is allocated from what it says: a file is
// read whole or refused with one sentence. Tensors are streamed one at a time, converted to f32.
//
// Fingerprints (fingerprint.go) say whether two checkpoints hold the same numbers; AtomicWrite
// (disk.go) replaces a file in one step.
package checkpoint

import (
	"fmt"
	"math"
	"sync"
)

// DType is how a file holds a tensor's numbers, under the name that safetensors gives it.
type DType string

// The types that this package converts. Others that the format knows can be read as bytes.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I32  DType = "I32"
	I8   DType = "I8"
)

// sizes holds the bytes of one number of each type of the format that fills whole bytes.
var sizes = map[DType]int64{
	F64: 8, F32: 4, F16: 2, BF16: 2, I32: 4, I8: 1,
	"I64": 8, "U64": 8, "C64": 8, "U32": 4, "I16": 2, "U16": 2,
	"U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
}

// Size is the bytes that one number takes, 0 for an unknown type.
func (t DType) Size() int { return int(sizes[t]) }

// Info is what a header says of a tensor.
type Info struct {
	DType DType
	Shape []int // row-major; empty for a single number
}

// Len is the count of numbers, the product of the shape.
func (i Info) Len() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

func (i Info) String() string { return fmt.Sprintf("%s %v", i.DType, i.Shape) }

// Bytes is Len·Size, or an error where the shape is negative, the type unknown or the product
// does not fit.
func (i Info) Bytes() (int64, error) {
	size, ok := sizes[i.DType]
	if !ok {
		return 0, fmt.Errorf("unknown data type %q", i.DType)
	}
	n := size
	for _, d := range i.Shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative side", i.Shape)
		}
		if d > 0 && n > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("shape %v overflows", i.Shape)
		}
		n *= int64(d)
	}
	return n, nil
}

// Option changes how numbers are read.
type Option uint8

// Finite refuses NaN and Inf, naming the tensor and the index.
const Finite Option = 1

// Source is a set of named tensors that can be read one at a time: a safetensors File, or whatever
// else holds a model (several files under one index, another format).
type Source interface {
	// Names lists the tensors, sorted.
	Names() []string
	// Tensor says what the file holds under a name.
	Tensor(name string) (Info, bool)
	// ReadInto converts the tensor into dst, whose length is the tensor's.
	ReadInto(name string, dst []float32, opts ...Option) error
	// Metadata is the text that travels with the tensors. The map is the caller's own.
	Metadata() map[string]string
}

// Ranger is a Source that also reads a part of a tensor. Several goroutines may, at once.
type Ranger interface {
	Source
	// ReadRange converts len(dst) numbers of the tensor from number at on, in the order of its shape.
	// Where a file holds numbers in blocks, at and len(dst) are multiples of a block.
	ReadRange(name string, at int, dst []float32, opts ...Option) error
	// ReadBytes copies the bytes of the numbers from number at on, as the file holds them: as many as
	// fill dst, which with at falls on whole blocks.
	ReadBytes(name string, at int, dst []byte) error
}

// inside says whether n numbers from at on lie in a tensor, and begin and end with a block.
func inside(name string, info Info, at, n, block int) error {
	if at < 0 || n > info.Len() || at > info.Len()-n || at%block != 0 || n%block != 0 {
		return fmt.Errorf("checkpoint: tensor %q is %v, want numbers from %d to %d in blocks of %d",
			name, info, at, at+n, block)
	}
	return nil
}

// buffers are chunks of bytes on their way to become numbers.
var buffers = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}
