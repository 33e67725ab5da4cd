package checkpoint

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"
)

// GGUF is an open GGUF file, version 2 or 3, little-endian. Its metadata is in memory, its tensors
// are not. Several goroutines may read one GGUF where the io.ReaderAt allows it.
//
// A tensor's DType is ggml's name of its type (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K) and its
// shape is row-major, so the reverse of how the file counts its sides.
type GGUF struct {
	r       io.ReaderAt
	values  map[string]any
	names   []string
	tensors map[string]ggufEntry
}

var _ Ranger = (*GGUF)(nil)

// ggufEntry is where a tensor lies.
type ggufEntry struct {
	info  Info
	block ggufBlock
	at    int64 // in the file
}

// Bounds on what a GGUF's header may claim, far above any published file.
const (
	maxGGUFTensors = 1 << 16
	maxGGUFValues  = 1 << 12
	maxGGUFName    = 1 << 10 // bytes of a key or a tensor's name
	maxGGUFText    = 1 << 24 // bytes of one text
	maxGGUFDims    = 4
	maxGGUFAlign   = 1 << 20
)

// OpenGGUF reads the header of a file of size bytes. Nothing is allocated from a count or a length
// that the rest of the file cannot hold. It fails where the file is of another version or byte
// order, names a key or a tensor twice, or where a tensor's type is unknown or its bytes are not
// aligned, not in the file, or another's.
func OpenGGUF(r io.ReaderAt, size int64) (*GGUF, error) {
	g := &GGUF{r: r, values: map[string]any{}, tensors: map[string]ggufEntry{}}
	h := &ggufHeader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), left: size}
	if err := g.read(h, size); err != nil {
		return nil, fmt.Errorf("checkpoint: not a GGUF file that can be read: %w", err)
	}
	return g, nil
}

func (g *GGUF) read(h *ggufHeader, size int64) error {
	if magic := h.bytes(4); h.err == nil && string(magic) != "GGUF" {
		return fmt.Errorf("it begins with %q, want \"GGUF\"", magic)
	}
	version := h.u32()
	if h.err == nil && version != 2 && version != 3 {
		if swapped := bits.ReverseBytes32(version); swapped == 2 || swapped == 3 {
			return errors.New("it is big-endian, want little-endian")
		}
		return fmt.Errorf("version %d, want 2 or 3", version)
	}
	tensors := h.count("tensors", maxGGUFTensors, 24)
	values := h.count("metadata values", maxGGUFValues, 13)
	for i := range values {
		key := h.text(maxGGUFName)
		value := h.value(h.u32())
		if h.err != nil {
			return fmt.Errorf("metadata value %d of %d, %.60q: %w", i, values, key, h.err)
		}
		if _, again := g.values[key]; again {
			return fmt.Errorf("metadata key %.60q appears twice", key)
		}
		g.values[key] = value
	}
	for i := range tensors {
		name := h.text(maxGGUFName)
		e, err := h.tensor()
		if err != nil {
			return fmt.Errorf("tensor %d of %d, %.60q: %w", i, tensors, name, err)
		}
		if _, again := g.tensors[name]; again {
			return fmt.Errorf("tensor %.60q appears twice", name)
		}
		g.tensors[name] = e
		g.names = append(g.names, name)
	}
	if h.err != nil {
		return h.err
	}
	return g.layOut(size-h.left, size)
}

// layOut turns offsets, which count from the aligned end of the header, into places in the file,
// and checks that every tensor has bytes of its own.
func (g *GGUF) layOut(header, size int64) error {
	align := int64(ggufAlign)
	if v, ok := g.values["general.alignment"]; ok {
		n, ok := v.(int64)
		if !ok || n < 1 || n > maxGGUFAlign || n&(n-1) != 0 {
			return fmt.Errorf("general.alignment is %v, want a power of two up to %d", v, maxGGUFAlign)
		}
		align = n
	}
	data := (header + align - 1) / align * align
	slices.SortFunc(g.names, func(a, b string) int {
		return cmp.Or(cmp.Compare(g.tensors[a].at, g.tensors[b].at), cmp.Compare(a, b))
	})
	end := data
	for _, name := range g.names {
		e := g.tensors[name]
		length := e.block.space(e.info.Len())
		switch {
		case e.at%align != 0:
			return fmt.Errorf("tensor %.60q: offset %d is no multiple of %d", name, e.at, align)
		case e.at > size-data || length > size-data-e.at:
			return fmt.Errorf("tensor %.60q: %d bytes at offset %d of %d of data",
				name, length, e.at, max(0, size-data))
		case data+e.at < end:
			return fmt.Errorf("tensor %.60q: offset %d lies within another that ends at %d",
				name, e.at, end-data)
		}
		e.at += data
		end = e.at + length
		g.tensors[name] = e
	}
	slices.Sort(g.names)
	return nil
}

// Names lists the tensors, sorted. The slice is the caller's own.
func (g *GGUF) Names() []string { return slices.Clone(g.names) }

// Tensor says what the file holds under a name.
func (g *GGUF) Tensor(name string) (Info, bool) {
	e, ok := g.tensors[name]
	return Info{DType: e.info.DType, Shape: slices.Clone(e.info.Shape)}, ok
}

// Metadata is the metadata that is text. The map is the caller's own.
func (g *GGUF) Metadata() map[string]string {
	m := map[string]string{}
	for k, v := range g.values {
		if text, ok := v.(string); ok {
			m[k] = text
		}
	}
	return m
}

// Values is all metadata: each a string, bool, int64, float64, []string, []int32 or []float32. The
// map is the caller's own, the slices are not to be changed.
func (g *GGUF) Values() map[string]any { return maps.Clone(g.values) }

// ReadInto decodes a tensor into dst, whose length must be its.
func (g *GGUF) ReadInto(name string, dst []float32, opts ...Option) error {
	e, ok := g.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	if n := e.info.Len(); n != len(dst) {
		return fmt.Errorf("checkpoint: tensor %q is %v, %d numbers, want %d",
			name, e.info, n, len(dst))
	}
	return g.ReadRange(name, 0, dst, opts...)
}

// ReadRange decodes a part of a tensor, which begins and ends with a block.
func (g *GGUF) ReadRange(name string, at int, dst []float32, opts ...Option) error {
	e, ok := g.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	if err := inside(name, e.info, at, len(dst), e.block.numbers); err != nil {
		return err
	}
	if err := readBlocks(g.r, e.at+e.block.space(at), dst, e.block); err != nil {
		return fmt.Errorf("checkpoint: tensor %q: %w", name, err)
	}
	return checkFrom(name, at, dst, opts)
}

// ReadBytes copies a part of a tensor.
func (g *GGUF) ReadBytes(name string, at int, dst []byte) error {
	e, ok := g.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	return copied(g.r, name, e.info, e.at, at, dst, e.block)
}

// ggufHeader reads a header front to back. It keeps the first error and the bytes that are left.
type ggufHeader struct {
	r    *bufio.Reader
	left int64
	err  error
}

// bytes takes the next n bytes; nil after an error. n must have a small bound of its own.
func (h *ggufHeader) bytes(n int) []byte {
	if h.err == nil && int64(n) > h.left {
		h.err = fmt.Errorf("%d bytes wanted, %d left: %w", n, h.left, io.ErrUnexpectedEOF)
	}
	if h.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, h.err = io.ReadFull(h.r, b); h.err != nil {
		return nil
	}
	h.left -= int64(n)
	return b
}

// number takes a little-endian number of 1, 2, 4 or 8 bytes.
func (h *ggufHeader) number(size int) (v uint64) {
	for i, b := range h.bytes(size) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (h *ggufHeader) u32() uint32 { return uint32(h.number(4)) }

// count takes a count of things of at least size bytes each.
func (h *ggufHeader) count(what string, limit int, size int64) int {
	n := h.number(8)
	if h.err == nil && (n > uint64(limit) || int64(n) > h.left/size) {
		h.err = fmt.Errorf("it claims %d %s, want at most %d, and %d bytes are left",
			n, what, limit, h.left)
	}
	if h.err != nil {
		return 0
	}
	return int(n)
}

// text takes a text of up to limit bytes.
func (h *ggufHeader) text(limit int) string {
	return string(h.bytes(h.count("bytes of text", limit, 1)))
}

// tensor takes what follows a tensor's name; at is still an offset.
func (h *ggufHeader) tensor() (e ggufEntry, err error) {
	dims := h.u32()
	if h.err == nil && dims > maxGGUFDims {
		return e, fmt.Errorf("%d sides, want at most %d", dims, maxGGUFDims)
	}
	shape := make([]int, 0, maxGGUFDims)
	total := uint64(1)
	for range dims {
		side := h.number(8)
		high, low := bits.Mul64(total, max(side, 1))
		if high != 0 || low > math.MaxInt64/8 {
			return e, fmt.Errorf("a side of %d: the number of its numbers overflows", side)
		}
		total = low
		shape = append(shape, int(side))
	}
	kind, at := GGUFType(h.u32()), h.number(8)
	if h.err != nil {
		return e, h.err
	}
	block, ok := kind.block()
	if !ok {
		return e, fmt.Errorf("type %d, want F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or "+
			"Q2_K to Q6_K", kind)
	}
	if at > math.MaxInt64/2 {
		return e, fmt.Errorf("offset %d", at)
	}
	if block.numbers > 1 && (len(shape) == 0 || shape[0]%block.numbers != 0) {
		return e, fmt.Errorf("sides %v as %s, want a first of a multiple of %d",
			shape, block.name, block.numbers)
	}
	slices.Reverse(shape)
	return ggufEntry{info: Info{DType: block.name, Shape: shape}, block: block, at: int64(at)}, nil
}
