package torch_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "transformer2/shared/checkpoint"
	"transformer2/shared/checkpoint/torch"
	"transformer2/shared/checkpoint/torch/torchtest"
)

// openTorch opens what torch.save wrote.
func openTorch(b []byte) (*torch.File, error) {
	return torch.Open(bytes.NewReader(b), int64(len(b)))
}

// ramp is what testdata/save.py saves under one name or another: 0/8 to 11/8, [3 4].
func ramp(index ...int) []float32 {
	list := make([]float32, len(index))
	for i, k := range index {
		list[i] = float32(k) / 8
	}
	return list
}

var (
	inOrder    = ramp(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	transposed = ramp(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11)
)

type torchWant struct {
	info string
	data []float32
}

var wantValues = map[string]torchWant{
	"parameter": {"F32 [4]", ramp(8, 9, 10, 11)}, "transposed": {"F32 [4 3]", transposed},
	"columns": {"F32 [3 2]", ramp(1, 2, 5, 6, 9, 10)},
	"turned":  {"F32 [2 3]", ramp(1, 5, 9, 2, 6, 10)}, "half": {"F16 [3 4]", inOrder},
	"double": {"F64 [3 4]", inOrder}, "whole": {"I64 [3 4]", nil}, "cube": {"F32 [3 2 2]", inOrder},
	"one": {"F32 []", ramp(11)}, "none": {"F32 [0 4]", ramp()}}

var wantState = map[string]torchWant{"0": {"BF16 [4]", ramp(0, 1, 2, 3)},
	"1": {"BF16 [4]", ramp(4, 5, 6, 7)}}

func checkTorch(t *testing.T, file []byte, want map[string]torchWant) {
	t.Helper()
	f, err := openTorch(file)
	if err != nil {
		t.Fatal(err)
	}
	if names := f.Names(); len(names) != len(want) || !slices.IsSorted(names) {
		t.Errorf("names %v, want %d", names, len(want))
	}
	for name, w := range want {
		info, ok := f.Tensor(name)
		if !ok || info.String() != w.info {
			t.Errorf("%s is %v (%v), want %s", name, info, ok, w.info)
		}
		got := make([]float32, info.Len())
		err := f.ReadInto(name, got, Finite)
		if (err != nil) != (w.data == nil) || err == nil && !slices.Equal(got, w.data) {
			t.Errorf("%s: %v (%v), want %v", name, got, err, w.data)
		}
	}
}

// What PyTorch 1.13 wrote is read, views and types and all.
func TestReadsTorch(t *testing.T) {
	for name, want := range map[string]map[string]torchWant{"state": wantState, "values": wantValues} {
		file, err := os.ReadFile(filepath.Join("testdata", name+".pt"))
		if err != nil {
			t.Fatal(err)
		}
		checkTorch(t, file, want)
	}
}

// The torch that is installed writes what is read, in every protocol.
func TestReadsInstalledTorch(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("/usr/bin/python3", "testdata/save.py", dir).CombinedOutput()
	switch {
	case errors.Is(err, fs.ErrNotExist), strings.Contains(string(out), "No module named 'torch'"):
		t.Skip("there is no torch: Debian's python3-torch brings it")
	case err != nil:
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]map[string]torchWant{"state": wantState, "values": wantValues,
		"values3": wantValues, "values4": wantValues, "values5": wantValues} {
		file, err := os.ReadFile(filepath.Join(dir, name+".pt"))
		if err != nil {
			t.Fatal(err)
		}
		checkTorch(t, file, want)
	}
}

// The writer of the other tests writes what torch does.
func TestReadsWrittenTorch(t *testing.T) {
	file := torchtest.Save(
		torchtest.Tensor{Name: "a", DType: BF16, Storage: inOrder, Shape: []int{4}, Parameter: true},
		torchtest.Tensor{Name: "b", DType: F32, Storage: inOrder, Shape: []int{4, 3},
			Strides: []int{1, 4}},
		torchtest.Tensor{Name: "c", DType: F32, Storage: inOrder, Shape: []int{3, 2}, Offset: 1,
			Strides: []int{4, 1}})
	checkTorch(t, file, map[string]torchWant{"a": {"BF16 [4]", ramp(0, 1, 2, 3)},
		"b": {"F32 [4 3]", transposed}, "c": {"F32 [3 2]", ramp(1, 2, 5, 6, 9, 10)}})
}

// with is the file of a pickle and one storage of two F32.
func with(pickle string) []byte {
	return torchtest.Zip(torchtest.File{Name: "a/data.pkl", Data: []byte(pickle)},
		torchtest.File{Name: "a/data/0", Data: make([]byte, 8)})
}

// of is a file of one tensor of a storage of 12 numbers.
func of(shape, strides []int, offset int) []byte {
	return torchtest.Save(torchtest.Tensor{Name: "x", DType: F32, Storage: inOrder, Shape: shape,
		Strides: strides, Offset: offset})
}

// goodTorch is the pickle of one tensor of two F32.
var goodTorch = string(torchtest.Pickle(torchtest.Tensor{Name: "x", DType: F32,
	Storage: inOrder[:2], Shape: []int{2}}))

// hostile is a file and what the error must say.
type hostile struct {
	want string
	file []byte
}

func refuseTorch(t *testing.T, cases map[string]hostile) {
	t.Helper()
	if _, err := openTorch(with(goodTorch)); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		_, err := openTorch(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		} else if strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
			t.Errorf("%s: not one short sentence: %q", name, err)
		}
	}
}

func TestRefusesHostileZips(t *testing.T) {
	pickle := torchtest.File{Name: "a/data.pkl", Data: []byte(goodTorch)}
	one := torchtest.File{Name: "a"}
	refuseTorch(t, map[string]hostile{
		"nothing":          {"0 bytes are too few", nil},
		"a pickle alone":   {"want a zip", []byte(goodTorch)},
		"torch before 1.6": {"before 1.6", []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")},
		"half a zip":       {"zip", with(goodTorch)[:100]},
		"no pickle":        {"0 folders", torchtest.Zip(one)},
		"two pickles": {"2 folders",
			torchtest.Zip(pickle, torchtest.File{Name: "b/data.pkl", Data: []byte(goodTorch)})},
		"deflated": {"compressed",
			torchtest.Zip(torchtest.File{Name: "a/data.pkl", Method: 8})},
		"a name twice":  {"there twice", torchtest.Zip(one, one)},
		"a long pickle": {"at most 1048576", with(strings.Repeat("\x80\x02", 3<<20))},
		"a long directory": {"longer than 16777216", torchtest.Zip(slices.Repeat(
			[]torchtest.File{{Name: strings.Repeat("n", 60_000)}}, 300)...)},
		"big-endian": {`"big"`,
			torchtest.Zip(pickle, torchtest.File{Name: "a/byteorder", Data: []byte("big")})},
	})
}

// Nothing but tensors is read, and no operation that could do more is known.
func TestRefusesCode(t *testing.T) {
	const ordered = "\x80\x02ccollections\nOrderedDict\n"
	refuseTorch(t, map[string]hostile{
		"a call":           {`"system" of "os"`, with("\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")},
		"in protocol 4":    {`"eval" of "builtins"`, with("\x80\x04\x8c\x08builtins\x8c\x04eval\x93.")},
		"an instance":      {"0x69", with("\x80\x02(ios\nsystem\n.")},
		"an object":        {"0x81", with("\x80\x02)\x81.")},
		"an extension":     {"0x82", with("\x80\x02\x82\x01.")},
		"attributes":       {"want a dictionary's", with("\x80\x02)}b.")},
		"a call of a text": {"a call of a text", with("\x80\x02X\x01\x00\x00\x00a)R.")},
		"a deep name": {"a name of a tuple",
			with("\x80\x04N" + strings.Repeat("\x85", 1<<19) + "N\x93.")},
		"a name that doubles": {"a name of a tuple", with("\x80\x04)q\x00" +
			strings.Repeat("h\x00\x86q\x00", 200) + "N\x93.")},
		"a call of depth": {"a call of a tuple",
			with("\x80\x04N" + strings.Repeat("\x85", 1<<19) + ")R.")},
		"arguments": {"a call of the name collections", with(ordered + "K\x01\x85R.")},
	})
}

func TestRefusesHostilePickles(t *testing.T) {
	const a = "X\x01\x00\x00\x00a"
	refuseTorch(t, map[string]hostile{
		"a list":           {"0x5d", with("\x80\x02].")},
		"protocol 0":       {"0x70", with("p0\n.")},
		"protocol 9":       {"protocol 9", with("\x80\x09.")},
		"no end":           {"1 bytes wanted", with("\x80\x02}")},
		"after the end":    {"1 bytes left", with("\x80\x02}..")},
		"two values":       {"2 values", with("\x80\x02}}.")},
		"a mark left":      {"1 marks", with("\x80\x02}(.")},
		"no value":         {"0 values", with("\x80\x02.")},
		"an empty stack":   {"3 values wanted, 0", with("\x80\x02\x87.")},
		"below the mark":   {"1 values wanted, 0", with("\x80\x02}(\x85.")},
		"no mark":          {"no mark", with("\x80\x02}u.")},
		"no dictionary":    {"the number 7, want a dictionary", with("\x80\x02K\x07.")},
		"a tuple's key":    {"a key is a tuple", with("\x80\x02})Ns.")},
		"a key twice":      {"is there twice", with("\x80\x02}(" + a + "N" + a + "Nu.")},
		"odd items":        {"1 keys and values", with("\x80\x02}(" + a + "u.")},
		"items of a tuple": {"no dictionary", with("\x80\x02)(" + a + "Nu.")},
		"a number":         {`"a" is the number 3`, with("\x80\x02}" + a + "K\x03s.")},
		"a cycle":          {`"a" is a dictionary`, with("\x80\x02}q\x00" + a + "h\x00s.")},
		"no such memo":     {"value 7", with("\x80\x02h\x07.")},
		"a 4 GB text":      {"4294967295 bytes wanted", with("\x80\x02X\xff\xff\xff\xff.")},
		"a long integer":   {"9 bytes", with("\x80\x02\x8a\x09123456789.")},
		"an endless name":  {"without an end", with("\x80\x02c" + strings.Repeat("x", 1000))},
		"bad UTF-8":        {"UTF-8", with("\x80\x02X\x01\x00\x00\x00\xff.")},
		"a deep stack":     {"more than 65536", with("\x80\x02" + strings.Repeat("N", 1<<17))},
		"a reference":      {"a reference of 0 parts", with("\x80\x02)Q.")},
		"no storage":       {"a reference to \"\"", with("\x80\x02(NNNNNtQ.")},
		"a tensor of None": {"a tensor of None",
			with("\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR.")},
		"a parameter of None": {"a parameter of None",
			with("\x80\x02ctorch._utils\n_rebuild_parameter\n(NNNtR.")},
	})
}

// A tensor lies within its storage, and that within the file.
func TestRefusesHostileTorchTensors(t *testing.T) {
	edit := func(old, new string) []byte {
		if strings.Count(goodTorch, old) != 1 {
			t.Fatalf("%q is not once in the pickle", old)
		}
		return with(strings.Replace(goodTorch, old, new, 1))
	}
	refuseTorch(t, map[string]hostile{
		"another storage":   {"ComplexFloatStorage", edit("FloatStorage", "ComplexFloatStorage")},
		"a long storage":    {"want 3 numbers", edit("cuda:1J\x02", "cuda:1J\x03")},
		"a negative one":    {"want -2 numbers", edit("1J\x02\x00\x00\x00", "1J\xfe\xff\xff\xff")},
		"no such storage":   {`"9" has 0 bytes`, edit("X\x01\x00\x00\x000X", "X\x01\x00\x00\x009X")},
		"a negative offset": {"number -1 of 2", edit("tQJ\x00\x00\x00\x00", "tQJ\xff\xff\xff\xff")},
		"a negative size":   {"none below 0", edit("(J\x02\x00\x00\x00t(", "(J\xff\xff\xff\xfft(")},
		"fewer strides":     {"1 sizes and 0 strides", edit("t(J\x01\x00\x00\x00t", "t)")},
		"too many numbers":  {"more numbers", of([]int{13}, nil, 0)},
		"2^90 numbers":      {"overflows", of(slices.Repeat([]int{1 << 30}, 3), []int{0, 0, 0}, 0)},
		"repeated numbers":  {"more numbers", of([]int{1 << 30, 12}, []int{0, 1}, 0)},
		"offset at the end": {"ends after", of([]int{12}, nil, 1)},
		"offset behind it":  {"number 13 of 12", of([]int{0}, nil, 13)},
		"rows too far":      {"ends after", of([]int{3, 2}, []int{6, 1}, 0)},
		"columns too far":   {"ends after", of([]int{2, 3}, []int{1, 6}, 0)},
		"far strides":       {"ends after", of([]int{3, 2}, []int{1<<31 - 1, 1}, 0)},
		"no rows":           {"by rows or columns", of([]int{3, 2}, []int{4, 2}, 0)},
		"overlapping rows":  {"by rows or columns", of([]int{3, 2}, []int{1, 1}, 0)},
		"every second":      {"by rows or columns", of([]int{6}, []int{2}, 0)},
	})
}

func TestTorchTensorRefusals(t *testing.T) {
	f, err := openTorch(torchtest.Save(torchtest.Tensor{Name: "nan", DType: F32,
		Storage: []float32{1, float32(math.NaN())}, Shape: []int{2}}))
	if err != nil {
		t.Fatal(err)
	}
	two := make([]float32, 2)
	for want, err := range map[string]error{
		`"nan": number 1 is NaN`: f.ReadInto("nan", two, Finite),
		`no tensor "x"`:          f.ReadInto("x", two),
		"2 numbers, want 1":      f.ReadInto("nan", two[:1]),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := f.ReadInto("nan", two); err != nil {
		t.Errorf("without Finite: %v", err)
	}
}

// Whatever a file holds, it is refused, or each of its tensors can be read, and none is larger than
// the file.
func checkWhole(t *testing.T, file []byte) {
	f, err := openTorch(file)
	if err != nil {
		return
	}
	for _, name := range f.Names() {
		info, ok := f.Tensor(name)
		if !ok || info.Len()*info.DType.Size() > len(file) {
			t.Fatalf("%q is %v in a file of %d bytes", name, info, len(file))
		}
		err := f.ReadInto(name, make([]float32, info.Len()))
		if err != nil && !strings.Contains(err.Error(), "want F32") {
			t.Fatalf("%q: %v", name, err)
		}
	}
}

func FuzzTorchZip(f *testing.F) {
	for _, name := range []string{"state.pt", "values.pt"} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add(torchtest.Save(torchtest.Tensor{Name: "x", DType: F32, Storage: inOrder, Shape: []int{4, 3},
		Strides: []int{1, 4}}))
	f.Add(torchtest.Zip(torchtest.File{Name: "a/data.pkl", Method: 8}))
	f.Fuzz(checkWhole)
}

func FuzzTorchPickle(f *testing.F) {
	for _, strides := range [][]int{nil, {1, 4}, {3, 1}} {
		f.Add(torchtest.Pickle(torchtest.Tensor{Name: "x", DType: F32, Storage: inOrder,
			Shape: []int{4, 3}, Strides: strides, Parameter: strides == nil}))
	}
	f.Add([]byte("\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01ah\x00s."))
	f.Add([]byte("\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01M\x02\x00\x8a\x01\xff" +
		"G@\x00\x00\x00\x00\x00\x00\x00NNub."))
	f.Fuzz(func(t *testing.T, pickle []byte) {
		file := []torchtest.File{{Name: "a/data.pkl", Data: pickle}}
		for i := range 2 {
			file = append(file, torchtest.File{Name: fmt.Sprintf("a/data/%d", i), Data: make([]byte, 48)})
		}
		checkWhole(t, torchtest.Zip(file...))
	})
}
