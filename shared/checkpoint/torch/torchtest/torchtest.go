// Package torchtest writes files as torch.save does, byte for byte in their pickles, for tests that
// must run where there is no torch.
package torchtest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"transformer2/shared/checkpoint"
)

// Tensor is a tensor of a dictionary. Its storage is its own.
type Tensor struct {
	Name      string
	DType     checkpoint.DType // F32, F16, BF16 or F64
	Storage   []float32
	Shape     []int
	Strides   []int // nil: in order
	Offset    int
	Parameter bool // a torch.nn.Parameter
}

// Save is the file of a dictionary of tensors.
func Save(tensors ...Tensor) []byte {
	files := []File{{Name: "archive/data.pkl", Data: Pickle(tensors...)}}
	for i, t := range tensors {
		var data bytes.Buffer
		enc := checkpoint.FromFloat32(t.Name, t.DType, t.Storage, len(t.Storage))
		if err := enc.Encode(&data); err != nil {
			panic(err)
		}
		files = append(files, File{Name: fmt.Sprintf("archive/data/%d", i), Data: data.Bytes()})
	}
	return Zip(append(files, File{Name: "archive/version", Data: []byte("3\n")})...)
}

// File is one of a zip's.
type File struct {
	Name   string
	Data   []byte
	Method uint16 // zip.Store
}

// Zip is a zip of files.
func Zip(files ...File) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.Name, Method: f.Method})
		if err == nil {
			_, err = w.Write(f.Data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Pickle is what says which tensors lie in data/0, data/1 and so on, in protocol 2.
func Pickle(tensors ...Tensor) []byte {
	var b bytes.Buffer
	b.WriteString("\x80\x02}(")
	for i, t := range tensors {
		Text(&b, t.Name)
		if t.Parameter {
			b.WriteString("ctorch._utils\n_rebuild_parameter\n")
		}
		t.pickle(&b, i)
		if t.Parameter {
			b.WriteString("\x88ccollections\nOrderedDict\n)R\x87R")
		}
	}
	b.WriteString("u.")
	return b.Bytes()
}

func (t Tensor) pickle(b *bytes.Buffer, storage int) {
	class := map[checkpoint.DType]string{checkpoint.F32: "Float", checkpoint.F16: "Half",
		checkpoint.BF16: "BFloat16", checkpoint.F64: "Double"}[t.DType]
	b.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
	Text(b, "storage")
	fmt.Fprintf(b, "ctorch\n%sStorage\n", class)
	Text(b, fmt.Sprint(storage))
	Text(b, "cuda:1")
	number(b, len(t.Storage))
	b.WriteString("tQ")
	number(b, t.Offset)
	tuple(b, t.Shape)
	strides := t.Strides
	if strides == nil {
		strides = make([]int, len(t.Shape))
		next := 1
		for i := len(strides) - 1; i >= 0; i-- {
			strides[i], next = next, next*t.Shape[i]
		}
	}
	tuple(b, strides)
	b.WriteString("\x89ccollections\nOrderedDict\n)RtR")
}

// Text pickles a text.
func Text(w io.Writer, s string) {
	fmt.Fprintf(w, "X%s%s", binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s)
}

func number(w io.Writer, n int) {
	fmt.Fprintf(w, "J%s", binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

func tuple(b *bytes.Buffer, list []int) {
	b.WriteByte('(')
	for _, n := range list {
		number(b, n)
	}
	b.WriteByte('t')
}
