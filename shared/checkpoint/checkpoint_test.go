package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// file is a safetensors file with this header and this many bytes of data.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// refused fails unless err is one that says want.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

func encode(t *testing.T, tensors []Tensor, meta map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The bytes that the format's own implementation writes, from the tests of huggingface/safetensors
// (safetensors/src/tensor.rs, commit 000a16f): test_serialization, test_empty,
// test_serialization_forced_alignement.
func TestBytesOfTheReferenceImplementation(t *testing.T) {
	six := []float32{0, 1, 2, 3, 4, 5}
	numbers := "\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40" +
		"\x00\x00\xa0\x40"
	for want, got := range map[string][]byte{
		"@\x00\x00\x00\x00\x00\x00\x00" +
			`{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}` + numbers: encode(t,
			[]Tensor{FromFloat32("attn.0", F32, six, 1, 2, 3)}, nil),
		"\x08\x00\x00\x00\x00\x00\x00\x00{}      ": encode(t, nil, nil),
		"(\x00\x00\x00\x00\x00\x00\x00" + `{"__metadata__":{"framework":"pt"}}     `: encode(t,
			nil, map[string]string{"framework": "pt"}),
		"H\x00\x00\x00\x00\x00\x00\x00" +
			`{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ` +
			numbers: encode(t, []Tensor{FromFloat32("attn0", F32, six, 1, 1, 2, 3)}, nil),
	} {
		if string(got) != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if _, err := open(got); err != nil {
			t.Error(err)
		}
	}
}

func TestRoundTripOfEveryType(t *testing.T) {
	exact := []float32{0, 1, -2, 0.5, 1536, -0.0009765625} // in every type
	tensors := []Tensor{
		FromFloat32("z.f32", F32, exact, 2, 3),
		FromFloat32("a.f16", F16, exact, 6),
		FromFloat32("b.bf16", BF16, exact, 3, 2, 1),
		FromFloat32("c.f64", F64, exact, 1, 6),
		FromFloat64("d", []float64{math.Pi, -math.SmallestNonzeroFloat64}, 2),
		FromInt8("e", []int8{-128, 127, 0}, 3),
		FromInt32("f", []int32{math.MinInt32, math.MaxInt32}, 2),
		FromFloat32("empty", F32, nil, 0, 7),
		FromFloat32("scalar", F32, []float32{42}),
		{Name: "bytes", Info: Info{DType: "U8", Shape: []int{4}},
			Encode: func(w io.Writer) error { _, err := io.WriteString(w, "abcd"); return err }},
	}
	meta := map[string]string{"": "empty key", "unicode ∘": "\n\"<&>\\", "z": ""}
	b := encode(t, tensors, meta)
	f, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Metadata(), meta) {
		t.Errorf("metadata %q, want %q", f.Metadata(), meta)
	}
	var names []string
	for _, w := range tensors {
		names = append(names, w.Name)
		if got, ok := f.Tensor(w.Name); !ok || got.String() != w.Info.String() {
			t.Errorf("%s is %v, want %v", w.Name, got, w.Info)
		}
		if s, err := f.Section(w.Name); err != nil || s.Size()%int64(w.DType.Size()) != 0 {
			t.Errorf("%s: section of %d bytes: %v", w.Name, s.Size(), err)
		}
	}
	slices.Sort(names)
	if !slices.Equal(f.Names(), names) {
		t.Errorf("names %q, want %q", f.Names(), names)
	}
	for _, name := range []string{"z.f32", "a.f16", "b.bf16", "c.f64"} {
		if got, err := f.Float32(name, Finite); err != nil || !slices.Equal(got, exact) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	checkOthers(t, f)
}

func checkOthers(t *testing.T, f *File) {
	t.Helper()
	d, err := f.Float64("d")
	if err != nil || d[0] != math.Pi || d[1] != -math.SmallestNonzeroFloat64 {
		t.Error(d, err)
	}
	wide, err := f.Float64("a.f16")
	if err != nil || wide[4] != 1536 {
		t.Error(wide, err)
	}
	e, err := f.Int8("e")
	if err != nil || !slices.Equal(e, []int8{-128, 127, 0}) {
		t.Error(e, err)
	}
	i, err := f.Int32("f")
	if err != nil || !slices.Equal(i, []int32{math.MinInt32, math.MaxInt32}) {
		t.Error(i, err)
	}
	x, err := f.Float32("empty")
	if err != nil || len(x) != 0 {
		t.Error(x, err)
	}
	x, err = f.Float32("scalar")
	if err != nil || !slices.Equal(x, []float32{42}) {
		t.Error(x, err)
	}
	raw, err := f.Raw("bytes")
	if err != nil || string(raw) != "abcd" {
		t.Error(raw, err)
	}
}

// More than one chunk of each type, and values that are not exact.
func TestLargeTensorsStream(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	x := make([]float32, 3*chunk/4+5)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	half, brain := make([]float32, len(x)), make([]float32, len(x))
	for i, v := range x {
		half[i] = fromHalf(toHalf(v))
		brain[i] = math.Float32frombits(uint32(toBrain(v)) << 16)
	}
	f, err := open(encode(t, []Tensor{
		FromFloat32("f32", F32, x, len(x)), FromFloat32("f16", F16, x, len(x)),
		FromFloat32("bf16", BF16, x, len(x)), FromFloat32("f64", F64, x, len(x)),
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{"f32": x, "f64": x, "f16": half, "bf16": brain} {
		if got, err := f.Float32(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
}

func TestWriteDoesNotDependOnOrder(t *testing.T) {
	tensors := []Tensor{
		FromFloat32("b", F16, []float32{1, 2, 3}, 3), FromInt8("i", []int8{1, 2, 3}, 3),
		FromFloat32("a", F16, []float32{4}, 1), FromFloat64("z", []float64{5}, 1),
		FromFloat32("m", F32, []float32{6}, 1),
	}
	meta := map[string]string{}
	for i := range 20 {
		meta[fmt.Sprint("key", i)] = "v"
	}
	want := encode(t, tensors, meta)
	rng := rand.New(rand.NewPCG(2, 0))
	for range 20 {
		rng.Shuffle(len(tensors), func(i, j int) {
			tensors[i], tensors[j] = tensors[j], tensors[i]
		})
		if got := encode(t, tensors, meta); !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	f, err := open(want)
	if err != nil {
		t.Fatal(err)
	}
	if f.data%8 != 0 {
		t.Errorf("data starts at %d", f.data)
	}
	for name, e := range f.tensors {
		if e.begin%int64(e.info.DType.Size()) != 0 {
			t.Errorf("%s starts at %d of the data", name, e.begin)
		}
	}
}

func TestReadErrorsNameTheTensor(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	f, err := open(encode(t, []Tensor{
		FromFloat32("nan", F32, []float32{1, 2, nan}, 3),
		FromFloat32("inf", BF16, []float32{1, inf}, 2),
		FromInt8("int", []int8{1}, 1),
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string, opts ...Option) error {
		_, err := f.Float32(name, opts...)
		return err
	}
	_, errInt8 := f.Int8("nan")
	_, errInt32 := f.Int32("gone")
	_, err64 := f.Float64("int")
	_, errRaw := f.Raw("gone")
	_, errSection := f.Section("gone")
	two := make([]float32, 2)
	for want, err := range map[string]error{
		`tensor "nan": number 2 is NaN`:                   get("nan", Finite),
		`tensor "inf": number 1 is -Inf`:                  get("inf", Finite),
		`no tensor "gone"`:                                get("gone"),
		`tensor "int" is I8 [1], want F32, F16`:           get("int"),
		`no tensor "away"`:                                f.ReadInto("away", nil),
		`tensor "nan" is F32 [3], 3 numbers, want 2`:      f.ReadInto("nan", make([]float32, 2)),
		`tensor "int" is I8 [1], want F32, F16, BF16`:     f.ReadInto("int", make([]float32, 1)),
		`tensor "nan" is F32 [3], want I8`:                errInt8,
		`checkpoint: no tensor "gone"`:                    errInt32,
		`tensor "int" is I8 [1], want F32, F16, BF16 or `: err64,
		`: no tensor "gone"`:                              errRaw,
		`t: no tensor "gone"`:                             errSection,
		`want numbers from 2 to 4`:                        f.ReadRange("nan", 2, two),
		`want numbers from -1 to 1`:                       f.ReadRange("nan", -1, two),
		`"nan": number 2 is`:                              f.ReadRange("nan", 1, two, Finite),
	} {
		refused(t, err, want)
	}
	part := make([]float32, 1)
	if err := f.ReadRange("nan", 1, part); err != nil || part[0] != 2 {
		t.Errorf("number 1 is read as %v (%v), want 2", part[0], err)
	}
	if err := get("nan"); err != nil {
		t.Errorf("without Finite: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := FromFloat32("a", F32, []float32{1}, 1)
	stream := func(n int) Tensor {
		return Tensor{Name: "s", Info: Info{DType: F32, Shape: []int{2}},
			Encode: func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }}
	}
	huge := Info{DType: F32, Shape: []int{1 << 62, 4}}
	deep := Info{DType: F32, Shape: make([]int, 17)}
	for want, tensors := range map[string][]Tensor{
		`"a": the name is taken`:              {one, one},
		`"__metadata__": the name is taken`:   {FromFloat32("__metadata__", F32, nil, 0)},
		`"x": 1 numbers, want 2 for [2]`:      {FromFloat32("x", F32, []float32{1}, 2)},
		`"x": cannot hold f32 as I8`:          {FromFloat32("x", I8, []float32{1}, 1)},
		`has a negative side`:                 {FromFloat32("x", F32, []float32{1}, -1, -1)},
		`"s": 4 bytes, want 8 for F32 [2]`:    {stream(4)},
		`"s": 4 bytes more than its shape`:    {stream(12)},
		`invalid UTF-8`:                       {FromFloat32("\xff", F32, nil, 0)},
		`17 sides, want at most 16`:           {{Name: "x", Info: deep}},
		`unknown data type "F12"`:             {{Name: "x", Info: Info{DType: "F12"}}},
		`shape [4611686018427387904 4] overf`: {{Name: "x", Info: huge}},
	} {
		err := Write(io.Discard, tensors, nil)
		refused(t, err, want)
	}
}
