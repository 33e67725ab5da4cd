package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// ggufReader reads what a GGUF says, after its published layout.
type ggufReader struct {
	t *testing.T
	r *bytes.Reader
}

func get[T any](g ggufReader) (v T) {
	if err := binary.Read(g.r, binary.LittleEndian, &v); err != nil {
		g.t.Fatal(err)
	}
	return v
}

func (g ggufReader) text() string {
	b := make([]byte, get[uint64](g))
	if _, err := io.ReadFull(g.r, b); err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

func (g ggufReader) value(kind uint32) any {
	switch kind {
	case 4:
		return get[uint32](g)
	case 5:
		return get[int32](g)
	case 6:
		return get[float32](g)
	case 7:
		return get[uint8](g) == 1
	case 8:
		return g.text()
	case 9:
		kind, n := get[uint32](g), get[uint64](g)
		var all []any
		for range n {
			all = append(all, g.value(kind))
		}
		return all
	}
	g.t.Fatalf("type %d", kind)
	return nil
}

func TestWriteGGUF(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	data := make([]float32, 3*64)
	for i := range data {
		data[i] = float32(rng.NormFloat64())
	}
	numbers := func() ([]float32, error) { return data, nil }
	meta := []GGUFValue{{"a.text", "φ"}, {"a.u32", uint32(7)}, {"a.f32", float32(1e-5)},
		{"a.yes", true}, {"a.texts", []string{"x", ""}}, {"a.ints", []int32{-1, 2}},
		{"a.floats", []float32{0.5}}}
	tensors := []GGUFTensor{{"gain", GGUFF32, 1, 192, numbers}, {"half", GGUFF16, 3, 64, numbers},
		{"brain", GGUFBF16, 3, 64, numbers}, {"eight", GGUFQ8, 3, 64, numbers}}
	var b bytes.Buffer
	if err := WriteGGUF(&b, meta, tensors); err != nil {
		t.Fatal(err)
	}
	g := ggufReader{t, bytes.NewReader(b.Bytes())}
	if magic, version := string(b.Bytes()[:4]), binary.LittleEndian.Uint32(b.Bytes()[4:]); magic != "GGUF" ||
		version != 3 {
		t.Fatal(magic, version)
	}
	g.r.Seek(8, io.SeekStart)
	if n, m := get[uint64](g), get[uint64](g); n != 4 || m != 7 {
		t.Fatal(n, m)
	}
	for i, want := range []any{"φ", uint32(7), float32(1e-5), true, []any{"x", ""},
		[]any{int32(-1), int32(2)}, []any{float32(0.5)}} {
		if key, got := g.text(), g.value(get[uint32](g)); key != meta[i].Key ||
			!reflect.DeepEqual(got, want) {
			t.Errorf("%s = %v, want %v", key, got, want)
		}
	}
	var at []int64
	for i, want := range tensors {
		name, sides := g.text(), make([]uint64, get[uint32](g))
		for j := range sides {
			sides[j] = get[uint64](g)
		}
		if kind := GGUFType(get[uint32](g)); name != want.Name || kind != want.Type ||
			sides[0] != uint64(want.Cols) || len(sides) != min(i+1, 2) {
			t.Errorf("tensor %s %v of type %d", name, sides, kind)
		}
		at = append(at, int64(get[uint64](g)))
	}
	begin, _ := g.r.Seek(0, io.SeekCurrent)
	raw := b.Bytes()[(begin+31)/32*32:]
	for i, v := range data {
		if got := math.Float32frombits(le.Uint32(raw[at[0]+int64(4*i):])); got != v {
			t.Fatalf("f32 %d: %v, want %v", i, got, v)
		}
		if got := le.Uint16(raw[at[1]+int64(2*i):]); got != toHalf(v) {
			t.Fatalf("f16 %d: %x", i, got)
		}
		if got := le.Uint16(raw[at[2]+int64(2*i):]); got != toBrain(v) {
			t.Fatalf("bf16 %d: %x", i, got)
		}
		block := raw[at[3]+int64(i/32*34):]
		d := fromHalf(le.Uint16(block))
		if got := d * float32(int8(block[2+i%32])); math.Abs(float64(got-v)) > float64(d)*0.52 {
			t.Fatalf("q8_0 %d: %v, want %v, the step is %v", i, got, v, d)
		}
	}
	if len(raw)%32 != 0 || int64(len(raw)) < at[3]+6*34 {
		t.Errorf("%d bytes of data", len(raw))
	}
}

func TestWriteGGUFRefuses(t *testing.T) {
	bad := errors.New("the device is gone")
	for name, c := range map[string]struct {
		tensor GGUFTensor
		want   string
	}{
		"rows that are no blocks": {GGUFTensor{"w", GGUFQ8, 2, 33, nil}, "multiple of 32"},
		"too few numbers": {GGUFTensor{"w", GGUFF32, 2, 2,
			func() ([]float32, error) { return []float32{1}, nil }}, "1 numbers, want 2×2"},
		"no numbers": {GGUFTensor{"w", GGUFF32, 2, 2,
			func() ([]float32, error) { return nil, bad }}, bad.Error()},
	} {
		err := WriteGGUF(io.Discard, nil, []GGUFTensor{c.tensor})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"w"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseGGUFType("q3"); err == nil || !strings.Contains(err.Error(), "q8_0") {
		t.Error(err)
	}
}
