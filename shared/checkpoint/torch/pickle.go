package torch

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"transformer2/shared/checkpoint"
)

// What a pickle of tensors is made of, besides int64, float64, bool, string and nil.
type (
	pickleGlobal string // "collections OrderedDict"
	pickleTuple  []any
	pickleDict   struct {
		keys   []string // in their order
		values map[string]any
	}
	storage struct {
		dtype checkpoint.DType
		key   string // the file's name in the zip's data/
		numel int64
	}
	tensor struct {
		storage *storage
		offset  int64 // of its first number in the storage
		shape   []int
		strides []int64
	}
)

// The globals that may be called. Parameters are tensors that are trained.
const (
	orderedDict      = pickleGlobal("collections OrderedDict")
	rebuildTensor    = pickleGlobal("torch._utils _rebuild_tensor_v2")
	rebuildParameter = pickleGlobal("torch._utils _rebuild_parameter")
)

var storages = map[pickleGlobal]checkpoint.DType{
	"torch FloatStorage": checkpoint.F32, "torch HalfStorage": checkpoint.F16,
	"torch BFloat16Storage": checkpoint.BF16, "torch DoubleStorage": checkpoint.F64,
	"torch IntStorage": checkpoint.I32, "torch LongStorage": "I64",
	"torch ShortStorage": "I16", "torch CharStorage": checkpoint.I8, "torch ByteStorage": "U8",
	"torch BoolStorage": "BOOL",
}

// maxPickleStack bounds the values that wait; Python writes a dictionary in parts of 1,000 pairs.
const maxPickleStack = 1 << 16

// unpickle reads a pickle of a dictionary, protocols 2 to 5. It is a machine with a stack that
// knows the operations which torch.save needs for tensors; it calls nothing, and what it builds
// is smaller than a fixed multiple of the pickle. Values may contain themselves, or each other a
// million deep: nothing here, error texts included, looks into a value of a value.
func unpickle(data []byte) (*pickleDict, error) {
	u := &unpickler{data: data, memo: map[uint32]any{}}
	for u.err == nil {
		at := u.at
		op := u.byte()
		if u.err != nil {
			break
		}
		if op == '.' {
			return u.result()
		}
		do, ok := pickleOps[op]
		if !ok {
			return nil, fmt.Errorf("operation 0x%02x at byte %d, which no tensor needs", op, at)
		}
		do(u)
		if len(u.stack) > maxPickleStack {
			u.fail("more than %d values on the stack", maxPickleStack)
		}
	}
	return nil, u.err
}

type unpickler struct {
	data  []byte
	at    int
	stack []any
	marks []int // lengths of the stack
	memo  map[uint32]any
	err   error // the first; nothing is done after it
}

// pickleOps are named as in Python's pickletools.
var pickleOps = map[byte]func(*unpickler){
	0x80: func(u *unpickler) { // PROTO
		if v := u.byte(); u.err == nil && (v < 2 || v > 5) {
			u.fail("protocol %d, want 2 to 5", v)
		}
	},
	0x95: func(u *unpickler) { u.take(8) }, // FRAME, which only tells how to read ahead
	'(':  func(u *unpickler) { u.marks = append(u.marks, len(u.stack)) },
	'}':  func(u *unpickler) { u.push(&pickleDict{values: map[string]any{}}) },
	')':  func(u *unpickler) { u.push(pickleTuple(nil)) },
	'N':  func(u *unpickler) { u.push(nil) },
	0x88: func(u *unpickler) { u.push(true) },
	0x89: func(u *unpickler) { u.push(false) },
	'K':  func(u *unpickler) { u.push(int64(u.byte())) },
	'M':  func(u *unpickler) { u.push(int64(u.number(2))) },
	'J':  func(u *unpickler) { u.push(int64(int32(u.number(4)))) },
	0x8a: func(u *unpickler) { u.push(u.long()) },
	'G': func(u *unpickler) { // BINFLOAT, the only one that is big-endian
		if b := u.take(8); b != nil {
			u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
		}
	},
	'X':  func(u *unpickler) { u.push(u.text(u.number(4))) },
	0x8c: func(u *unpickler) { u.push(u.text(u.number(1))) },
	'q':  func(u *unpickler) { u.put(uint32(u.number(1))) },
	'r':  func(u *unpickler) { u.put(uint32(u.number(4))) },
	0x94: func(u *unpickler) { u.put(uint32(len(u.memo))) },
	'h':  func(u *unpickler) { u.get(uint32(u.number(1))) },
	'j':  func(u *unpickler) { u.get(uint32(u.number(4))) },
	't':  func(u *unpickler) { u.push(pickleTuple(u.popMark())) },
	0x85: func(u *unpickler) { u.push(pickleTuple(u.popN(1))) },
	0x86: func(u *unpickler) { u.push(pickleTuple(u.popN(2))) },
	0x87: func(u *unpickler) { u.push(pickleTuple(u.popN(3))) },
	'c':  func(u *unpickler) { u.global(u.line(), u.line()) },
	0x93: (*unpickler).stackGlobal,
	'Q':  (*unpickler).persistent,
	'R':  (*unpickler).reduce,
	'b':  (*unpickler).build,
	's':  func(u *unpickler) { u.set(u.popN(2)) },
	'u':  func(u *unpickler) { u.set(u.popMark()) },
}

func (u *unpickler) fail(format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf("at byte %d: "+format, append([]any{u.at}, args...)...)
	}
}

// result is what is left when the pickle stops.
func (u *unpickler) result() (*pickleDict, error) {
	if len(u.stack) != 1 || len(u.marks) != 0 || u.at != len(u.data) {
		return nil, fmt.Errorf("it stops with %d values, %d marks and %d bytes left, want 1, 0, 0",
			len(u.stack), len(u.marks), len(u.data)-u.at)
	}
	dict, ok := u.stack[0].(*pickleDict)
	if !ok {
		return nil, fmt.Errorf("it holds %s, want a dictionary of tensors", pickleKind(u.stack[0]))
	}
	return dict, nil
}

// take gives the next n bytes, nil where there are fewer.
func (u *unpickler) take(n uint64) []byte {
	if u.err != nil || n > uint64(len(u.data)-u.at) {
		u.fail("%d bytes wanted, %d left", n, len(u.data)-u.at)
		return nil
	}
	u.at += int(n)
	return u.data[u.at-int(n) : u.at : u.at]
}

func (u *unpickler) byte() byte { return byte(u.number(1)) }

// number is the next n bytes, little-endian.
func (u *unpickler) number(n uint64) (v uint64) {
	for i, b := range u.take(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// long is LONG1, a signed integer of as many bytes as it needs.
func (u *unpickler) long() int64 {
	n := u.number(1)
	if n > 8 {
		u.fail("an integer of %d bytes, want at most 8", n)
	}
	v := u.number(n)
	if 0 < n && n < 8 && v>>(8*n-1) == 1 {
		v |= math.MaxUint64 << (8 * n)
	}
	return int64(v)
}

func (u *unpickler) text(n uint64) string {
	b := u.take(n)
	if !utf8.Valid(b) {
		u.fail("a text that is not UTF-8")
	}
	return string(b)
}

// line is a text up to the end of the line.
func (u *unpickler) line() string {
	const most = 256
	for i, b := range u.data[u.at:min(len(u.data), u.at+most)] {
		if b == '\n' {
			s := u.text(uint64(i))
			u.take(1)
			return s
		}
	}
	u.fail("a name without an end")
	return ""
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// popN takes n values off the stack, above its last mark; nil where there are fewer.
func (u *unpickler) popN(n int) []any {
	floor := 0
	if len(u.marks) > 0 {
		floor = u.marks[len(u.marks)-1]
	}
	at := len(u.stack) - n
	if u.err != nil || at < floor {
		u.fail("%d values wanted, %d on the stack", n, len(u.stack)-floor)
		return nil
	}
	values := append([]any(nil), u.stack[at:]...)
	u.stack = u.stack[:at]
	return values
}

// popMark takes the values off the stack that lie above its last mark, and the mark.
func (u *unpickler) popMark() []any {
	if len(u.marks) == 0 {
		u.fail("no mark on the stack")
		return nil
	}
	values := u.popN(len(u.stack) - u.marks[len(u.marks)-1])
	u.marks = u.marks[:len(u.marks)-1]
	return values
}

// top is the value that is acted on, nil where there is none.
func (u *unpickler) top() any {
	v := u.popN(1)
	if u.err != nil {
		return nil
	}
	u.push(v[0])
	return v[0]
}

func (u *unpickler) put(i uint32) {
	if v := u.top(); u.err == nil {
		u.memo[i] = v
	}
}

func (u *unpickler) get(i uint32) {
	v, ok := u.memo[i]
	if !ok {
		u.fail("value %d is asked for before it is there", i)
	}
	u.push(v)
}

// set puts pairs of keys and values into the dictionary below them.
func (u *unpickler) set(pairs []any) {
	d, ok := u.top().(*pickleDict)
	if u.err == nil && (!ok || len(pairs)%2 != 0) {
		u.fail("%d keys and values for what is no dictionary, or no pairs", len(pairs))
	}
	for i := 0; i < len(pairs) && u.err == nil; i += 2 {
		key, ok := pairs[i].(string)
		if _, again := d.values[key]; again || !ok {
			u.fail("a key is %s or is there twice (%.60q), want each once", pickleKind(pairs[i]), key)
			return
		}
		d.keys = append(d.keys, key)
		d.values[key] = pairs[i+1]
	}
}

// pickleKind names a value for people.
func pickleKind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case int64, float64, bool:
		return fmt.Sprintf("the number %v", v)
	case string:
		return "a text"
	case pickleTuple:
		return "a tuple"
	case *pickleDict:
		return "a dictionary"
	case pickleGlobal:
		return "the name " + string(v)
	case *storage:
		return "a storage"
	}
	return "a tensor"
}
