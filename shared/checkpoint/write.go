package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/json/jsontext"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Tensor is a tensor to be written. Encode writes its numbers, little-endian, exactly as many as
// Info says; the From functions make one for the common cases.
type Tensor struct {
	Name string
	Info
	Encode func(w io.Writer) error
}

// FromFloat32 holds data under a type of F32, F16, BF16 or F64, rounded to nearest, ties to even.
// The data is read when the tensor is written.
func FromFloat32(name string, t DType, data []float32, shape ...int) Tensor {
	encode, ok := encoders[t]
	if !ok {
		return broken(name, t, shape, fmt.Errorf("cannot hold f32 as %s", t))
	}
	return sliceTensor(name, t, data, shape, encode)
}

// FromFloat64 holds data as F64.
func FromFloat64(name string, data []float64, shape ...int) Tensor {
	return sliceTensor(name, F64, data, shape, func(dst []byte, src []float64) {
		for i, v := range src {
			le.PutUint64(dst[8*i:], math.Float64bits(v))
		}
	})
}

// FromInt8 holds data as I8.
func FromInt8(name string, data []int8, shape ...int) Tensor {
	return sliceTensor(name, I8, data, shape, func(dst []byte, src []int8) {
		for i, v := range src {
			dst[i] = byte(v)
		}
	})
}

// FromInt32 holds data as I32.
func FromInt32(name string, data []int32, shape ...int) Tensor {
	return sliceTensor(name, I32, data, shape, func(dst []byte, src []int32) {
		for i, v := range src {
			le.PutUint32(dst[4*i:], uint32(v))
		}
	})
}

func sliceTensor[T any](name string, t DType, data []T, shape []int,
	encode func([]byte, []T)) Tensor {
	info := Info{DType: t, Shape: slices.Clone(shape)}
	if n := info.Len(); n != len(data) {
		return broken(name, t, shape, fmt.Errorf("%d numbers, want %d for %v", len(data), n, shape))
	}
	return Tensor{Name: name, Info: info, Encode: func(w io.Writer) error {
		size := t.Size()
		buf := make([]byte, min(chunk, len(data)*size))
		for rest := data; len(rest) > 0; {
			n := min(len(rest), len(buf)/size)
			encode(buf, rest[:n])
			if _, err := w.Write(buf[:n*size]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}}
}

// broken is a tensor that Write refuses with err.
func broken(name string, t DType, shape []int, err error) Tensor {
	return Tensor{Name: name, Info: Info{DType: t, Shape: slices.Clone(shape)},
		Encode: func(io.Writer) error { return err }}
}

// Write writes a safetensors file. The same tensors and metadata give the same bytes whatever
// their order: wide types first, so that each tensor starts at a multiple of its number's size,
// then by name; the data starts at a multiple of 8.
func Write(w io.Writer, tensors []Tensor, meta map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), strings.Compare(a.Name, b.Name))
	})
	header, err := encodeHeader(tensors, meta)
	if err != nil {
		return fmt.Errorf("checkpoint: writing: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("checkpoint: writing the header: %w", err)
	}
	for _, t := range tensors {
		want, _ := t.Bytes() // encodeHeader checked it
		c := counter{w: w, left: want}
		if err := t.Encode(&c); err != nil {
			return fmt.Errorf("checkpoint: writing tensor %q: %w", t.Name, err)
		}
		if c.left != 0 {
			return fmt.Errorf("checkpoint: writing tensor %q: %d bytes, want %d for %v",
				t.Name, want-c.left, want, t.Info)
		}
	}
	return nil
}

// encodeHeader is the length, the JSON and its padding for tensors in the order of their data.
func encodeHeader(tensors []Tensor, meta map[string]string) ([]byte, error) {
	b := []byte("{")
	var err error
	quote := func(s string) {
		var e error
		if b, e = jsontext.AppendQuote(b, s); e != nil && err == nil {
			err = fmt.Errorf("%q: %w", s, e)
		}
	}
	if len(meta) > 0 {
		quote(metadataKey)
		sep := ":{"
		for _, k := range slices.Sorted(maps.Keys(meta)) {
			b = append(b, sep...)
			quote(k)
			b = append(b, ':')
			quote(meta[k])
			sep = ","
		}
		b = append(b, '}')
	}
	var at int64
	seen := map[string]bool{metadataKey: true}
	for _, t := range tensors {
		n, e := t.Bytes()
		switch {
		case e != nil:
			return nil, fmt.Errorf("tensor %q: %w", t.Name, e)
		case seen[t.Name]:
			return nil, fmt.Errorf("tensor %q: the name is taken", t.Name)
		case len(t.Shape) > maxDims:
			return nil, fmt.Errorf("tensor %q: %d sides, want at most %d",
				t.Name, len(t.Shape), maxDims)
		case n > math.MaxInt64-at:
			return nil, fmt.Errorf("tensor %q: the file's length overflows", t.Name)
		}
		seen[t.Name] = true
		if len(b) > 1 {
			b = append(b, ',')
		}
		quote(t.Name)
		b = fmt.Appendf(b, `:{"dtype":"%s","shape":[`, t.DType)
		for i, d := range t.Shape {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Append(b, d)
		}
		b = fmt.Appendf(b, `],"data_offsets":[%d,%d]}`, at, at+n)
		at += n
	}
	b = append(b, '}')
	b = append(b, bytes.Repeat([]byte(" "), (8-len(b)%8)%8)...)
	if len(b) > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, want at most %d", len(b), maxHeader)
	}
	return append(le.AppendUint64(nil, uint64(len(b))), b...), err
}

// counter passes on at most left bytes, so that a tensor cannot run into its neighbour.
type counter struct {
	w    io.Writer
	left int64
}

func (c *counter) Write(b []byte) (int, error) {
	if int64(len(b)) > c.left {
		return 0, fmt.Errorf("%d bytes more than its shape says", int64(len(b))-c.left)
	}
	n, err := c.w.Write(b)
	c.left -= int64(n)
	return n, err
}
