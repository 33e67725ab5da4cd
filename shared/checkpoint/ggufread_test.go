package checkpoint

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// ggufFile builds a GGUF byte by byte, right or wrong.
type ggufFile struct{ b []byte }

func (f *ggufFile) u32(v ...uint32) *ggufFile {
	for _, x := range v {
		f.b = le.AppendUint32(f.b, x)
	}
	return f
}

func (f *ggufFile) u64(v ...uint64) *ggufFile {
	for _, x := range v {
		f.b = le.AppendUint64(f.b, x)
	}
	return f
}

func (f *ggufFile) text(s string) *ggufFile {
	f.u64(uint64(len(s)))
	f.b = append(f.b, s...)
	return f
}

// head begins a file of version 3 with counts of tensors and values.
func head(tensors, values uint64) *ggufFile {
	return (&ggufFile{[]byte("GGUF")}).u32(3).u64(tensors, values)
}

// tensor adds the description of a tensor.
func (f *ggufFile) tensor(name string, kind uint32, at uint64, sides ...uint64) *ggufFile {
	return f.text(name).u32(uint32(len(sides))).u64(sides...).u32(kind).u64(at)
}

// data ends the header and adds n bytes.
func (f *ggufFile) data(n int) []byte {
	return append(append(f.b, make([]byte, ggufPad(int64(len(f.b)))-int64(len(f.b)))...),
		make([]byte, n)...)
}

func openGGUF(b []byte) (*GGUF, error) { return OpenGGUF(bytes.NewReader(b), int64(len(b))) }

// What WriteGGUF writes is read back: values by type, and numbers as the type holds them.
func TestGGUFRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	data := make([]float32, 3*96)
	for i := range data {
		data[i] = float32(rng.NormFloat64())
	}
	numbers := func() ([]float32, error) { return data, nil }
	meta := []GGUFValue{{"a.text", "φ"}, {"a.u32", uint32(7)}, {"a.f32", float32(0.5)},
		{"a.yes", true}, {"a.texts", []string{"x", ""}}, {"a.ints", []int32{-1, 2}},
		{"a.floats", []float32{0.25}}}
	tensors := []GGUFTensor{{"gain", GGUFF32, 1, 288, numbers}, {"half", GGUFF16, 3, 96, numbers},
		{"brain", GGUFBF16, 3, 96, numbers}, {"eight", GGUFQ8, 3, 96, numbers}}
	var b bytes.Buffer
	if err := WriteGGUF(&b, meta, tensors); err != nil {
		t.Fatal(err)
	}
	for _, version := range []byte{2, 3} { // the two differ in nothing that is read here
		b.Bytes()[4] = version
		g, err := openGGUF(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"a.text": "φ", "a.u32": int64(7), "a.f32": 0.5, "a.yes": true,
			"a.texts": []string{"x", ""}, "a.ints": []int32{-1, 2}, "a.floats": []float32{0.25}}
		if got := g.Values(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := g.Metadata(); !reflect.DeepEqual(got, map[string]string{"a.text": "φ"}) {
			t.Errorf("%v", got)
		}
		if got := g.Names(); !slices.Equal(got, []string{"brain", "eight", "gain", "half"}) {
			t.Errorf("%v", got)
		}
		checkGGUFNumbers(t, g, data)
	}
}

func checkGGUFNumbers(t *testing.T, g *GGUF, data []float32) {
	t.Helper()
	for name, c := range map[string]struct {
		info Info
		tol  float64 // of the largest number, about 3
	}{"gain": {Info{F32, []int{288}}, 0}, "half": {Info{F16, []int{3, 96}}, 2e-3},
		"brain": {Info{BF16, []int{3, 96}}, 2e-2}, "eight": {Info{"Q8_0", []int{3, 96}}, 2e-2}} {
		if info, ok := g.Tensor(name); !ok || !reflect.DeepEqual(info, c.info) {
			t.Errorf("%s is %v, want %v", name, info, c.info)
		}
		got := make([]float32, len(data))
		if err := g.ReadInto(name, got, Finite); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if math.Abs(float64(v-data[i])) > c.tol {
				t.Errorf("%s: number %d is %g, want %g", name, i, v, data[i])
				break
			}
		}
		part := make([]float32, 96)
		if err := g.ReadRange(name, 192, part); err != nil || !slices.Equal(part, got[192:]) {
			t.Errorf("%s: its last 96 numbers are not those of the whole: %v", name, err)
		}
	}
	err := g.ReadInto("gain", make([]float32, 5))
	if err == nil || !strings.Contains(err.Error(), "288") {
		t.Errorf("a length that does not fit: %v", err)
	}
	if err := g.ReadRange("eight", 1, make([]float32, 32)); err == nil {
		t.Error("a part is read that begins within a block")
	}
	if err := g.ReadInto("none", nil); err == nil {
		t.Error("a tensor that is not there is read")
	}
}

// Each integer type is read with its sign.
func TestGGUFIntegers(t *testing.T) {
	f := head(0, 8)
	for _, c := range []struct {
		key  string
		kind uint32
		raw  []byte
	}{{"u8", 0, []byte{0xff}}, {"i8", 1, []byte{0xff}}, {"u16", 2, []byte{0xfe, 0xff}},
		{"i16", 3, []byte{0xfe, 0xff}}, {"u64", 10, []byte{1, 0, 0, 0, 1, 0, 0, 0}},
		{"i64", 11, bytes.Repeat([]byte{0xff}, 8)},
		{"f64", 12, le.AppendUint64(nil, math.Float64bits(0.1))},
		{"bytes", 9, append(le.AppendUint64(le.AppendUint32(nil, 1), 2), 1, 0xff)}} {
		f.text(c.key).u32(c.kind)
		f.b = append(f.b, c.raw...)
	}
	g, err := openGGUF(f.data(0))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"u8": int64(255), "i8": int64(-1), "u16": int64(65534), "i16": int64(-2),
		"u64": int64(1<<32 + 1), "i64": int64(-1), "f64": 0.1, "bytes": []int32{1, -1}}
	if got := g.Values(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestGGUFRefusals(t *testing.T) {
	const huge = 1 << 63
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":       {nil, "4 bytes wanted"},
		"magic":       {[]byte("GGML\x03\x00\x00\x00"), `"GGML"`},
		"version 1":   {(&ggufFile{[]byte("GGUF")}).u32(1).u64(0, 0).b, "version 1"},
		"big-endian":  {[]byte("GGUF\x00\x00\x00\x03"), "big-endian"},
		"counts":      {head(huge, 0).b, "9223372036854775808 tensors"},
		"values":      {head(0, huge).b, "9223372036854775808 metadata values"},
		"tensors":     {head(5, 0).b, "5 tensors"},
		"key":         {head(0, 1).u64(huge).u64(0, 0, 0).b, "9223372036854775808 bytes of text"},
		"text":        {head(0, 1).text("k").u32(8).u64(1<<40, 0, 0).b, "bytes of text"},
		"list":        {head(0, 1).text("k").u32(9, 4).u64(huge, 0, 0).b, "elements of a list"},
		"short list":  {head(0, 1).text("k").u32(9, 8).u64(3, 0, 0).b, "elements of a list"},
		"nested":      {head(0, 1).text("k").u32(9, 9).u64(0, 0, 0).b, "list of type 9"},
		"type":        {head(0, 1).text("k").u32(77).u64(0, 0, 0).b, "type 77"},
		"u64":         {head(0, 1).text("k").u32(10).u64(huge).b, "9223372036854775808"},
		"u64 in list": {head(0, 1).text("k").u32(9, 10).u64(1, 1<<40).b, "32 bits"},
		"same key":    {head(0, 2).text("k").u32(4, 1).text("k").u32(4, 1).b, `"k" appears twice`},
		"cut":         {head(0, 2).text("k").u32(4, 1).text("l").u32(4).b, "metadata value 1 of 2"},
		"alignment":   {head(0, 1).text("general.alignment").u32(4, 24).b, "power of two"},
		"same tensor": {head(2, 0).tensor("t", 0, 0, 8).tensor("t", 0, 32, 8).data(64), "appears twice"},
		"sides":       {head(1, 0).tensor("t", 0, 0, 1, 1, 1, 1, 1).data(64), "5 sides"},
		"overflow":    {head(1, 0).tensor("t", 0, 0, 1<<40, 1<<40).data(64), "overflows"},
		"unknown":     {head(1, 0).tensor("t", 99, 0, 8).data(64), "type 99"},
		"block":       {head(1, 0).tensor("t", 8, 0, 33).data(64), "multiple of 32"},
		"K block":     {head(1, 0).tensor("t", 12, 0, 128).data(640), "multiple of 256"},
		"no sides":    {head(1, 0).tensor("t", 8, 0).data(64), "multiple of 32"},
		"unaligned":   {head(1, 0).tensor("t", 0, 4, 8).data(64), "no multiple of 32"},
		"past end":    {head(1, 0).tensor("t", 0, 64, 8).data(64), "32 bytes at offset 64"},
		"too long":    {head(1, 0).tensor("t", 0, 32, 9).data(64), "36 bytes at offset 32"},
		"far":         {head(1, 0).tensor("t", 0, 1<<62, 8).data(64), "offset"},
		"overlap":     {head(2, 0).tensor("a", 0, 32, 8).tensor("b", 0, 0, 9).data(96), "within another"},
		"no data":     {head(1, 0).tensor("t", 0, 0, 8).b, "of 0 of data"},
	} {
		_, err := openGGUF(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	// Tensors may lie in any order, with room between them.
	good := head(2, 0).tensor("a", 0, 64, 8).tensor("b", 0, 0, 8).data(96)
	if _, err := openGGUF(good); err != nil {
		t.Error(err)
	}
	nan := head(1, 0).tensor("t", 0, 0, 8).data(32)
	binary.LittleEndian.PutUint32(nan[len(nan)-4:], math.Float32bits(float32(math.NaN())))
	g, err := openGGUF(nan)
	if err != nil {
		t.Fatal(err)
	}
	err = g.ReadInto("t", make([]float32, 8), Finite)
	if err == nil || !strings.Contains(err.Error(), "number 7") {
		t.Errorf("NaN: %v", err)
	}
}

// Whatever bytes a file holds, opening ends in an error, or every tensor can be read.
func FuzzOpenGGUF(f *testing.F) {
	f.Add(head(2, 1).text("k").u32(9, 8).u64(1).text("v").tensor("a", 12, 160, 256).
		tensor("b", 0, 0, 8).data(320))
	f.Add(head(1, 1).text("general.alignment").u32(4, 8).tensor("t", 14, 0, 256).data(256))
	f.Add(head(1<<20, 1<<20).u64(1<<63, 1<<63, 1<<63).b)
	f.Fuzz(func(t *testing.T, file []byte) {
		g, err := openGGUF(file)
		if err != nil {
			return
		}
		for _, name := range g.Names() {
			info, _ := g.Tensor(name)
			if n := info.Len(); n > 2*len(file) {
				t.Fatalf("%s is %v in %d bytes", name, info, len(file))
			}
			if err := g.ReadInto(name, make([]float32, info.Len())); err != nil {
				t.Fatal(err)
			}
		}
	})
}
