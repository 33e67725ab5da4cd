package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// fields is what a header says of a tensor.
func fields(dtype, shape, offsets string) string {
	return fmt.Sprintf(`{"dtype":%q,"shape":%s,"data_offsets":%s}`, dtype, shape, offsets)
}

// one is a file of one tensor and this many bytes of data.
func one(dtype, shape, offsets string, data int) []byte {
	return file(`{"a":`+fields(dtype, shape, offsets)+`}`, data)
}

// two is a file of two rows of F32.
func two(shapeA, a, shapeB, b string, data int) []byte {
	return file(`{"a":`+fields("F32", shapeA, a)+`,"b":`+fields("F32", shapeB, b)+`}`, data)
}

func TestReadsWhatTheFormatAllows(t *testing.T) {
	for name, b := range map[string][]byte{
		"spaces": file("{ \"a\" : { \"shape\":[ 2 ] ,"+
			" \"data_offsets\":[0, 8],\"dtype\":\"F32\"} }\n \t", 8),
		"data in any order":       two("[1]", "[4,8]", "[1]", "[0,4]", 8),
		"empty tensor at the end": two("[1]", "[0,4]", "[0]", "[4,4]", 4),
		"empty tensor first":      two("[1]", "[0,4]", "[3,0]", "[0,0]", 4),
		"escapes":                 file(`{"\u0061\/":`+fields("F32", "[1]", "[0,4]")+`}`, 4),
		"unread types":            one("F8_E4M3", "[4]", "[0,4]", 4),
		"metadata last":           file(`{"a":`+fields("I32", "[]", "[0,4]")+`,"__metadata__":{}}`, 4),
	} {
		if _, err := open(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusesHostileFiles(t *testing.T) {
	long := binary.LittleEndian.AppendUint64(nil, maxHeader+1)
	huge := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	for _, c := range []struct {
		name, want string
		file       []byte
	}{
		{"nothing", "0 bytes are too few", nil},
		{"seven bytes", "7 bytes are too few", make([]byte, 7)},
		{"header beyond 100 MB", "want at most 100000000", append(long, "{}"...)},
		{"header of 2^64-1", "want at most", append(huge, "{}"...)},
		{"header beyond the file", "in a file of", file("{}", 0)[:9]},
		{"empty header", "does not start with {", file("", 0)},
		{"a pickle", "does not start", file("\x80\x02}q\x00.", 0)},
		{"a list", "does not start", file(`[]`, 0)},
		{"leading space", "does not start", file(` {}`, 0)},
		{"broken JSON", "header:", file(`{"a":`, 0)},
		{"bad UTF-8", "UTF-8", file("{\"\xff\":{}}", 0)},
		{"two values", "after its end", file(`{}{}`, 0)},
		{"zeros for padding", "after its end", file("{}\x00", 0)},
		{"duplicate tensor", "duplicate", file(`{"a":`+fields("F32", "[0]", "[0,0]")+`,"\u0061":`+
			fields("F32", "[0]", "[0,0]")+`}`, 0)},
		{"duplicate field", "duplicate", file(`{"a":{"dtype":"F32","dtype":"F16"}}`, 0)},
		{"duplicate metadata", "duplicate", file(`{"__metadata__":{"a":"","a":""}}`, 0)},
		{"metadata not text", "want string", file(`{"__metadata__":{"a":1}}`, 0)},
		{"metadata not an object", "want {", file(`{"__metadata__":[]}`, 0)},
		{"tensor not an object", "want {", file(`{"a":7}`, 0)},
		{"unknown field", `unknown field "x"`, file(`{"a":{"x":1}}`, 0)},
		{"no dtype", "want dtype", file(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4)},
		{"no shape", "want dtype", file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4)},
		{"no offsets", "want dtype", file(`{"a":{"dtype":"F32","shape":[1]}}`, 4)},
		{"one offset", "want dtype, shape", one("F32", "[1]", "[0]", 4)},
		{"three offsets", "more than 2", one("F32", "[1]", "[0,4,4]", 4)},
		{"unknown dtype", `unknown data type "Q4"`, one("Q4", "[1]", "[0,4]", 4)},
		{"negative side", "-1 is not a whole", one("F32", "[-1]", "[0,4]", 4)},
		{"fraction", "1.5 is not a whole", one("F32", "[1.5]", "[0,4]", 4)},
		{"exponent", "1e0 is not a whole", one("F32", "[1e0]", "[0,4]", 4)},
		{"2^64", "is not a whole", one("F32", "[18446744073709551616]", "[0,4]", 4)},
		{"17 sides", "more than 16", one("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]", 4)},
		{"shape overflows", "overflows", one("F32", "[4294967296,4294967296,4]", "[0,0]", 0)},
		{"bytes overflow", "overflows", one("F64", "[2305843009213693952]", "[0,0]", 0)},
		{"offsets backwards", "bytes [4, 0)", one("F32", "[1]", "[4,0]", 4)},
		{"offsets beyond", "bytes [0, 8) of 4", one("F32", "[2]", "[0,8]", 4)},
		{"2^63 numbers", "bytes [0, 9223372036854775807) of 4",
			one("I8", "[9223372036854775807]", "[0,9223372036854775807]", 4)},
		{"offsets of 2^63", "is not a whole number", one("I8", "[1]", "[0,9223372036854775808]", 4)},
		{"shape against offsets", "4 bytes, want 8", one("F32", "[2]", "[0,4]", 4)},
		{"a hole at the start", "belong to none", one("F32", "[1]", "[4,8]", 8)},
		{"a hole between", "bytes [4, 8) belong", two("[1]", "[0,4]", "[1]", "[8,12]", 12)},
		{"overlap", "another that ends at 8", two("[2]", "[0,8]", "[1]", "[4,8]", 8)},
		{"the same bytes twice", "within another", two("[2]", "[0,8]", "[2]", "[0,8]", 8)},
		{"truncated data", "bytes [0, 8) of 7", one("F32", "[2]", "[0,8]", 7)},
		{"data behind", "9 bytes of data, want the 8", one("F32", "[2]", "[0,8]", 9)},
		{"deep nesting", "", file(`{"a":`+strings.Repeat("[", 1<<20)+`}`, 0)},
	} {
		_, err := open(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.HasPrefix(err.Error(), "checkpoint: not a safetensors file: ") {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// A reader that has fewer bytes than it was said to have.
func TestShortReader(t *testing.T) {
	b := encode(t, []Tensor{FromFloat32("a", F32, []float32{1, 2, 3}, 3)}, nil)
	for n := range len(b) {
		f, err := Open(bytes.NewReader(b[:n]), int64(len(b)))
		if err == nil {
			_, err = f.Float32("a")
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(file("{}", 0))
	f.Add(one("F32", "[2]", "[0,8]", 8))
	f.Add(two("[1]", "[0,4]", "[3,0]", "[4,4]", 4))
	f.Add(file(`{"a":`+fields("F16", "[1,0]", "[0,0]")+`,"__metadata__":{"k":"v"}}`, 0))
	f.Add(one("I8", "[9223372036854775807]", "[0,9223372036854775807]", 0))
	f.Add(file(`{"a":[[[{`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		f, err := open(b)
		if err != nil {
			return
		}
		var total int64
		var again []Tensor
		for _, name := range f.Names() {
			info, _ := f.Tensor(name)
			raw, err := f.Raw(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) != info.Len()*info.DType.Size() {
				t.Fatalf("%s is %v of %d bytes", name, info, len(raw))
			}
			total += int64(len(raw))
			_, _ = f.Float32(name, Finite) // may refuse, must not panic
			again = append(again, Tensor{Name: name, Info: info,
				Encode: func(w io.Writer) error { _, err := w.Write(raw); return err }})
		}
		if f.data+total != int64(len(b)) {
			t.Fatalf("%d bytes of header and %d of tensors in a file of %d", f.data, total, len(b))
		}
		rewritten := encode(t, again, f.Metadata())
		g, err := open(rewritten)
		if err != nil {
			t.Fatalf("%v: %q", err, rewritten)
		}
		if !slices.Equal(g.Names(), f.Names()) {
			t.Fatalf("%q, want %q", g.Names(), f.Names())
		}
	})
}
