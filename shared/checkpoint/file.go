package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// chunk is the bytes that are converted at a time: small enough to stay in a cache, large enough
// that a disk is not asked often.
const chunk = 256 << 10

// File is an open safetensors file. Its header is in memory, its tensors are not. Several
// goroutines may read one File where the io.ReaderAt allows it.
type File struct {
	r       io.ReaderAt
	data    int64 // where the data starts
	meta    map[string]string
	names   []string
	tensors map[string]entry
}

var _ Ranger = (*File)(nil)

// Open reads the header of a file of size bytes. It fails where the header is longer than the
// file or 100 MB, is not what the format says, names a tensor twice, or where the tensors' bytes
// overlap, leave holes or do not fit their shapes.
func Open(r io.ReaderAt, size int64) (*File, error) {
	meta, entries, data, err := readHeader(r, size)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: not a safetensors file: %w", err)
	}
	f := &File{r: r, data: data, meta: meta, tensors: make(map[string]entry, len(entries))}
	for _, e := range entries {
		f.names = append(f.names, e.name)
		f.tensors[e.name] = e
	}
	slices.Sort(f.names)
	return f, nil
}

// Names lists the tensors, sorted. The slice is the caller's own.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Tensor says what the file holds under a name.
func (f *File) Tensor(name string) (Info, bool) {
	e, ok := f.tensors[name]
	return Info{DType: e.info.DType, Shape: slices.Clone(e.info.Shape)}, ok
}

// Metadata is the text that travels with the tensors. The map is the caller's own.
func (f *File) Metadata() map[string]string { return maps.Clone(f.meta) }

// Section reads the bytes of a tensor as the file holds them, little-endian.
func (f *File) Section(name string) (*io.SectionReader, error) {
	e, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("checkpoint: no tensor %q", name)
	}
	return io.NewSectionReader(f.r, f.data+e.begin, e.end-e.begin), nil
}

// Raw is the bytes of a tensor as the file holds them, little-endian.
func (f *File) Raw(name string) ([]byte, error) {
	e, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("checkpoint: no tensor %q", name)
	}
	b := make([]byte, e.end-e.begin)
	if err := readFull(f.r, b, f.data+e.begin); err != nil {
		return nil, fmt.Errorf("checkpoint: tensor %q: %w", name, err)
	}
	return b, nil
}

// Float32 is a tensor of F32, F16, BF16 or F64 as f32, in the order of its shape. F64 is rounded
// to nearest.
func (f *File) Float32(name string, opts ...Option) ([]float32, error) {
	e, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("checkpoint: no tensor %q", name)
	}
	if decoders[e.info.DType] == nil {
		return nil, fmt.Errorf("checkpoint: tensor %q is %v, %w", name, e.info, errNotFloat)
	}
	dst := make([]float32, e.info.Len())
	return dst, f.ReadInto(name, dst, opts...)
}

// ReadInto is Float32 into memory of the caller's. len(dst) must be the tensor's; another length is
// an error that names both.
func (f *File) ReadInto(name string, dst []float32, opts ...Option) error {
	e, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	if n := e.info.Len(); n != len(dst) {
		return fmt.Errorf("checkpoint: tensor %q is %v, %d numbers, want %d",
			name, e.info, n, len(dst))
	}
	return f.ReadRange(name, 0, dst, opts...)
}

// ReadRange reads a part of a tensor.
func (f *File) ReadRange(name string, at int, dst []float32, opts ...Option) error {
	e, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	if err := inside(name, e.info, at, len(dst), 1); err != nil {
		return err
	}
	place := f.data + e.begin + int64(at)*int64(e.info.DType.Size())
	if err := ReadFloats(f.r, place, e.info.DType, dst); err != nil {
		return fmt.Errorf("checkpoint: tensor %q is %v, %w", name, e.info, err)
	}
	return checkFrom(name, at, dst, opts)
}

// ReadBytes copies a part of a tensor.
func (f *File) ReadBytes(name string, at int, dst []byte) error {
	e, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	block := ggufBlock{numbers: 1, bytes: e.info.DType.Size()}
	return copied(f.r, name, e.info, f.data+e.begin, at, dst, block)
}

// copied reads dst, which is the bytes of a tensor from number at on; the tensor begins at a place.
func copied(r io.ReaderAt, name string, info Info, place int64, at int, dst []byte,
	block ggufBlock) error {
	if len(dst)%block.bytes != 0 {
		return fmt.Errorf("checkpoint: tensor %q is %v: %d bytes are not whole numbers", name, info,
			len(dst))
	}
	if err := inside(name, info, at, len(dst)/block.bytes*block.numbers, block.numbers); err != nil {
		return err
	}
	if err := readFull(r, dst, place+block.space(at)); err != nil {
		return fmt.Errorf("checkpoint: tensor %q: %w", name, err)
	}
	return nil
}

// FiniteBF16 reports whether all numbers of BF16 bytes are finite.
func FiniteBF16(b []byte) bool {
	// An exponent of all ones carries into the sign when it grows by one.
	const exponents, ones, signs = 0x7f807f807f807f80, 0x0080008000800080, 0x8000800080008000
	var carry, other uint64
	for ; len(b) >= 32; b = b[32:] {
		p := (*[32]byte)(b)
		carry |= (le.Uint64(p[:8])&exponents + ones) | (le.Uint64(p[8:])&exponents + ones)
		other |= (le.Uint64(p[16:])&exponents + ones) | (le.Uint64(p[24:])&exponents + ones)
	}
	carry |= other
	for ; len(b) >= 2; b = b[2:] {
		carry |= uint64(le.Uint16(b))&0x7f80 + 0x80
	}
	return carry&signs == 0
}

// ReadFloats converts the len(dst) numbers of a type, F32, F16, BF16 or F64, from byte at of a file
// on. F64 is rounded to nearest.
func ReadFloats(r io.ReaderAt, at int64, t DType, dst []float32) error {
	size, decode := t.Size(), decoders[t]
	if decode == nil {
		return errNotFloat
	}
	return readBlocks(r, at, dst, ggufBlock{t, 1, size, decode})
}

// readBlocks converts the len(dst) numbers, whole blocks, from byte at of a file on.
func readBlocks(r io.ReaderAt, at int64, dst []float32, block ggufBlock) error {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	step := chunk / block.bytes * block.numbers
	for len(dst) > 0 {
		n := min(step, len(dst))
		part := (*b)[:block.space(n)]
		if err := readFull(r, part, at); err != nil {
			return err
		}
		block.decode(dst[:n], part)
		dst, at = dst[n:], at+block.space(n)
	}
	return nil
}

// CheckFinite does what the option Finite asks for, to a tensor, or a part of one, that was read.
func CheckFinite(name string, dst []float32, opts ...Option) error {
	return checkFrom(name, 0, dst, opts)
}

// checkFrom is CheckFinite of the numbers from number at on.
func checkFrom(name string, at int, dst []float32, opts []Option) error {
	if slices.Contains(opts, Finite) {
		if i := firstNonFinite(dst); i >= 0 {
			return fmt.Errorf("checkpoint: tensor %q: number %d is %v", name, at+i, dst[i])
		}
	}
	return nil
}

// Float64 is a tensor of F64 as it is, or one of F32, F16 or BF16 widened.
func (f *File) Float64(name string) ([]float64, error) {
	info, ok := f.Tensor(name)
	if ok && info.DType == F64 {
		b, err := f.Raw(name)
		if err != nil {
			return nil, err
		}
		dst := make([]float64, info.Len())
		for i := range dst {
			dst[i] = math.Float64frombits(le.Uint64(b[8*i:]))
		}
		return dst, nil
	}
	narrow, err := f.Float32(name)
	if err != nil {
		return nil, err
	}
	dst := make([]float64, len(narrow))
	for i, v := range narrow {
		dst[i] = float64(v)
	}
	return dst, nil
}

// Int8 is a tensor of I8.
func (f *File) Int8(name string) ([]int8, error) {
	b, err := f.rawAs(name, I8)
	dst := make([]int8, len(b))
	for i := range dst {
		dst[i] = int8(b[i])
	}
	return dst, err
}

// Int32 is a tensor of I32.
func (f *File) Int32(name string) ([]int32, error) {
	b, err := f.rawAs(name, I32)
	dst := make([]int32, len(b)/4)
	for i := range dst {
		dst[i] = int32(le.Uint32(b[4*i:]))
	}
	return dst, err
}

func (f *File) rawAs(name string, t DType) ([]byte, error) {
	if e, ok := f.tensors[name]; ok && e.info.DType != t {
		return nil, fmt.Errorf("checkpoint: tensor %q is %v, want %s", name, e.info, t)
	}
	return f.Raw(name)
}

var errNotFloat = errors.New("want F32, F16, BF16 or F64")

const signBit = 1 << 31

// firstNonFinite is the index of the first NaN or Inf, or -1.
func firstNonFinite(x []float32) int {
	// Their exponent is all ones: grown by one it carries into the sign.
	const one = 1 << 23
	at := 0
	for ; len(x)-at >= 4; at += 4 {
		p := (*[4]float32)(x[at:])
		carry := uint32(0)
		for _, v := range p {
			carry |= math.Float32bits(v)&^signBit + one
		}
		if carry&signBit != 0 {
			break
		}
	}
	for i, v := range x[at:] {
		if v-v != 0 { // NaN − NaN and Inf − Inf are NaN
			return at + i
		}
	}
	return -1
}
