package checkpoint

import (
	"bufio"
	"fmt"
	"io"
	"math"
)

// GGUFType is how a tensor's numbers lie in a GGUF file, under ggml's numbering.
type GGUFType uint32

const (
	GGUFF32  GGUFType = 0
	GGUFF16  GGUFType = 1
	GGUFQ8   GGUFType = 8 // Q8_0: blocks of 32 along a row, an f16 scale and 32 int8 each
	GGUFBF16 GGUFType = 30
)

var ggufNames = map[string]GGUFType{"f32": GGUFF32, "f16": GGUFF16, "q8_0": GGUFQ8, "bf16": GGUFBF16}

// ParseGGUFType finds a type by its name: f32, f16, bf16 or q8_0.
func ParseGGUFType(name string) (GGUFType, error) {
	t, ok := ggufNames[name]
	if !ok {
		return 0, fmt.Errorf("GGUF type %q: want f32, f16, bf16 or q8_0", name)
	}
	return t, nil
}

// Q8_0's block.
const (
	q8Block      = 32
	q8BlockBytes = 2 + q8Block
)

// GGUFTensor is a matrix, or a vector where Rows is 1. Data gives its numbers, row-major, when it is
// written.
type GGUFTensor struct {
	Name       string
	Type       GGUFType
	Rows, Cols int
	Data       func() ([]float32, error)
}

// GGUFValue is an entry of a GGUF's metadata. Value is a string, a uint32, a float32, a bool, or a
// slice of string, int32 or float32.
type GGUFValue struct {
	Key   string
	Value any
}

const (
	ggufVersion = 3
	ggufAlign   = 32 // of each tensor's data
)

// WriteGGUF writes a GGUF file, version 3, little-endian.
func WriteGGUF(w io.Writer, meta []GGUFValue, tensors []GGUFTensor) error {
	g := &ggufWriter{w: bufio.NewWriterSize(w, 1<<16)}
	g.raw([]byte("GGUF"))
	g.u32(ggufVersion)
	g.u64(uint64(len(tensors)))
	g.u64(uint64(len(meta)))
	for _, v := range meta {
		g.text(v.Key)
		g.value(v)
	}
	at := int64(0)
	for _, t := range tensors {
		if t.Type == GGUFQ8 && t.Cols%q8Block != 0 {
			return fmt.Errorf("checkpoint: GGUF tensor %q [%d %d] as q8_0: want rows of a multiple of %d",
				t.Name, t.Rows, t.Cols, q8Block)
		}
		block, _ := t.Type.block() // every type that is written is also read
		g.tensor(t, at)
		at += ggufPad(block.space(t.Rows * t.Cols))
	}
	g.pad()
	for _, t := range tensors {
		data, err := t.Data()
		if err != nil {
			return fmt.Errorf("checkpoint: GGUF tensor %q: %w", t.Name, err)
		}
		if len(data) != t.Rows*t.Cols {
			return fmt.Errorf("checkpoint: GGUF tensor %q: %d numbers, want %d×%d", t.Name, len(data),
				t.Rows, t.Cols)
		}
		g.numbers(t.Type, data)
		g.pad()
	}
	if g.err == nil {
		g.err = g.w.Flush()
	}
	if g.err != nil {
		return fmt.Errorf("checkpoint: writing a GGUF: %w", g.err)
	}
	return nil
}

// ggufWriter keeps the first error and how far the file is.
type ggufWriter struct {
	w   *bufio.Writer
	at  int64
	buf []byte
	err error
}

func (g *ggufWriter) raw(b []byte) {
	if g.err == nil {
		_, g.err = g.w.Write(b)
	}
	g.at += int64(len(b))
}

func (g *ggufWriter) u32(v uint32) { g.raw(le.AppendUint32(g.buf[:0], v)) }
func (g *ggufWriter) u64(v uint64) { g.raw(le.AppendUint64(g.buf[:0], v)) }

func (g *ggufWriter) text(s string) {
	g.u64(uint64(len(s)))
	g.raw([]byte(s))
}

func ggufPad(n int64) int64 { return (n + ggufAlign - 1) / ggufAlign * ggufAlign }

func (g *ggufWriter) pad() { g.raw(make([]byte, ggufPad(g.at)-g.at)) }

// The numbers of the metadata's types.
const (
	ggufUint32  = 4
	ggufInt32   = 5
	ggufFloat32 = 6
	ggufBool    = 7
	ggufString  = 8
	ggufArray   = 9
)

func (g *ggufWriter) value(v GGUFValue) {
	switch x := v.Value.(type) {
	case string:
		g.u32(ggufString)
		g.text(x)
	case uint32:
		g.u32(ggufUint32)
		g.u32(x)
	case float32:
		g.u32(ggufFloat32)
		g.u32(math.Float32bits(x))
	case bool:
		g.u32(ggufBool)
		b := byte(0)
		if x {
			b = 1
		}
		g.raw([]byte{b})
	case []string:
		ggufSlice(g, ggufString, x, g.text)
	case []int32:
		ggufSlice(g, ggufInt32, x, func(n int32) { g.u32(uint32(n)) })
	case []float32:
		ggufSlice(g, ggufFloat32, x, func(f float32) { g.u32(math.Float32bits(f)) })
	default:
		panic(fmt.Sprintf("checkpoint: GGUF metadata %q is a %T", v.Key, v.Value))
	}
}

func ggufSlice[T any](g *ggufWriter, kind uint32, items []T, write func(T)) {
	g.u32(ggufArray)
	g.u32(kind)
	g.u64(uint64(len(items)))
	for _, item := range items {
		write(item)
	}
}

// tensor writes what a tensor is; its sides count from the innermost.
func (g *ggufWriter) tensor(t GGUFTensor, at int64) {
	g.text(t.Name)
	sides := []int{t.Cols, t.Rows}
	if t.Rows == 1 {
		sides = sides[:1]
	}
	g.u32(uint32(len(sides)))
	for _, n := range sides {
		g.u64(uint64(n))
	}
	g.u32(uint32(t.Type))
	g.u64(uint64(at))
}

func (g *ggufWriter) numbers(t GGUFType, data []float32) {
	const piece = 1 << 14 // numbers at a time, a multiple of every block
	dtype := map[GGUFType]DType{GGUFF32: F32, GGUFF16: F16, GGUFBF16: BF16}[t]
	for len(data) > 0 {
		part := data[:min(piece, len(data))]
		data = data[len(part):]
		if t == GGUFQ8 {
			g.raw(encodeQ8(part))
			continue
		}
		out := make([]byte, len(part)*dtype.Size())
		encoders[dtype](out, part)
		g.raw(out)
	}
}

// encodeQ8 rounds as ggml does: d = max|x|/127, q = round(x/d), halves away from zero.
func encodeQ8(x []float32) []byte {
	out := make([]byte, 0, len(x)/q8Block*q8BlockBytes)
	for ; len(x) > 0; x = x[q8Block:] {
		most := float32(0)
		for _, v := range x[:q8Block] {
			most = max(most, v, -v)
		}
		d, inv := most/127, float32(0)
		if d > 0 {
			inv = 1 / d
		}
		out = le.AppendUint16(out, toHalf(d))
		for _, v := range x[:q8Block] {
			out = append(out, byte(int8(math.Round(float64(v*inv)))))
		}
	}
	return out
}
