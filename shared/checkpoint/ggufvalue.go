package checkpoint

import (
	"fmt"
	"math"
)

// The numbers of the metadata's types that WriteGGUF has no use for; see gguf.go for the others.
const (
	ggufUint8   = 0
	ggufInt8    = 1
	ggufUint16  = 2
	ggufInt16   = 3
	ggufUint64  = 10
	ggufInt64   = 11
	ggufFloat64 = 12
)

// ggufSizes are the bytes of each type; a text's and a list's are those of its length.
var ggufSizes = map[uint32]int{ggufUint8: 1, ggufInt8: 1, ggufUint16: 2, ggufInt16: 2,
	ggufUint32: 4, ggufInt32: 4, ggufFloat32: 4, ggufBool: 1, ggufString: 8, ggufArray: 12,
	ggufUint64: 8, ggufInt64: 8, ggufFloat64: 8}

// maxGGUFList bounds a list of the metadata; the merges of the largest vocabularies are the
// longest.
const maxGGUFList = 1 << 22

// value takes a value of the metadata in one of the forms that GGUF.Values names.
func (h *ggufHeader) value(kind uint32) any {
	size, ok := ggufSizes[kind]
	switch {
	case h.err != nil:
		return nil
	case !ok:
		h.err = fmt.Errorf("value of type %d, want 0 to 12", kind)
		return nil
	case kind == ggufString:
		return h.text(maxGGUFText)
	case kind == ggufArray:
		return h.list(h.u32())
	case kind == ggufBool:
		return h.number(1) != 0
	case kind == ggufFloat32 || kind == ggufFloat64:
		return h.float(kind)
	}
	return h.integer(kind, size)
}

func (h *ggufHeader) float(kind uint32) float64 {
	if kind == ggufFloat32 {
		return float64(math.Float32frombits(h.u32()))
	}
	return math.Float64frombits(h.number(8))
}

func (h *ggufHeader) integer(kind uint32, size int) int64 {
	v := h.number(size)
	switch kind {
	case ggufInt8:
		return int64(int8(v))
	case ggufInt16:
		return int64(int16(v))
	case ggufInt32:
		return int64(int32(v))
	case ggufUint64:
		if v > math.MaxInt64 && h.err == nil {
			h.err = fmt.Errorf("the integer %d, want at most %d", v, int64(math.MaxInt64))
		}
	}
	return int64(v)
}

// list takes the elements of a list.
func (h *ggufHeader) list(kind uint32) any {
	size, ok := ggufSizes[kind]
	if h.err == nil && (!ok || kind == ggufArray) {
		h.err = fmt.Errorf("list of type %d, want numbers or texts", kind)
	}
	if h.err != nil {
		return nil
	}
	n := h.count("elements of a list", maxGGUFList, int64(size))
	switch kind {
	case ggufString:
		return ggufList(h, n, func() string { return h.text(maxGGUFText) })
	case ggufFloat32, ggufFloat64:
		return ggufList(h, n, func() float32 { return float32(h.float(kind)) })
	}
	return ggufList(h, n, func() int32 {
		v := h.integer(kind, size)
		if int64(int32(v)) != v && h.err == nil {
			h.err = fmt.Errorf("the integer %d in a list, want one of 32 bits", v)
		}
		return int32(v)
	})
}

func ggufList[T any](h *ggufHeader, n int, next func() T) []T {
	list := make([]T, n)
	for i := range list {
		if h.err != nil {
			return nil
		}
		list[i] = next()
	}
	return list
}
