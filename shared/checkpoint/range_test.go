package checkpoint

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
)

// A tensor in parts is the tensor, in numbers and in bytes, and parts outside of it are refused.
func TestReadRange(t *testing.T) {
	const rows, cols = 6, 8
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(i) - 20
	}
	var file bytes.Buffer
	err := Write(&file, []Tensor{FromFloat32("x", BF16, data, rows, cols)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := f.Raw("x")
	if err != nil {
		t.Fatal(err)
	}
	got, part := make([]float32, len(data)), make([]byte, 2*cols)
	for at := 0; at < len(data); at += cols {
		if err := f.ReadRange("x", at, got[at:at+cols], Finite); err != nil {
			t.Fatal(err)
		}
		if err := f.ReadBytes("x", at, part); err != nil || !bytes.Equal(part, raw[2*at:][:2*cols]) {
			t.Errorf("bytes from %d: %v, %v", at, part, err)
		}
	}
	if !slices.Equal(got, data) {
		t.Errorf("%v, want %v", got, data)
	}
	for _, at := range []int{-1, len(data) - cols + 1, math.MaxInt} {
		if err := f.ReadRange("x", at, got[:cols]); err == nil {
			t.Errorf("%d numbers from %d of %d are read", cols, at, len(data))
		}
		if err := f.ReadBytes("x", at, part); err == nil {
			t.Errorf("%d bytes from number %d of %d are read", len(part), at, len(data))
		}
	}
	if err := f.ReadBytes("x", 0, part[:3]); err == nil {
		t.Error("one number and a half are read")
	}
}

// What is not finite is found wherever it is, alone and beside others of its kind.
func TestFinite(t *testing.T) {
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for n := range 40 {
		x := make([]float32, n)
		for i := range x {
			x[i] = math.MaxFloat32 * float32(1-i%2*2)
		}
		if at := firstNonFinite(x); at != -1 {
			t.Errorf("number %d of %v is not finite", at, x)
		}
		if !FiniteBF16(brains(x, 0x7f7f)) {
			t.Errorf("%d numbers of bf16 are not finite", n)
		}
		for i := range x {
			for j := i; j < n; j++ {
				y := slices.Clone(x)
				y[i], y[j] = inf, nan
				if at := firstNonFinite(y); at != i {
					t.Errorf("number %d of %v is the first not finite, want %d", at, y, i)
				}
				if FiniteBF16(brains(y, 0x7f7f)) {
					t.Errorf("%v as bf16 are finite", y)
				}
			}
		}
	}
	if err := CheckFinite("w", []float32{1, nan}, Finite); err == nil ||
		!strings.Contains(err.Error(), "number 1") {
		t.Error(err)
	}
}

// brains is x as bf16, its greatest as most.
func brains(x []float32, most uint16) []byte {
	b := make([]byte, 0, 2*len(x))
	for _, v := range x {
		h := toBrain(v)
		if h&0x7fff == 0x7f80 && v-v == 0 {
			h = h&0x8000 | most
		}
		b = le.AppendUint16(b, h)
	}
	return b
}
