package engine

import (
	"bytes"
	"errors"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// A model's fingerprint is that of its file, and of the linear weights alone.
func TestHashIsBase(t *testing.T) {
	var tensors []checkpoint.Tensor
	names := []string{"model.embed_tokens.weight", svf.Name(0, svf.Q), svf.Name(0, svf.Down),
		svf.Name(1, svf.Gate), "lm_head.weight"}
	for i, name := range names {
		data := make([]float32, 64*64)
		for k := range data {
			data[k] = float32(i*k) / 7
		}
		tensors = append(tensors, checkpoint.FromFloat32(name, checkpoint.F32, data, 64, 64))
	}
	var file bytes.Buffer
	if err := checkpoint.Write(&file, tensors, nil); err != nil {
		t.Fatal(err)
	}
	src, err := checkpoint.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	want, err := svf.Base(src)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hash(src); err != nil || checkpoint.HashModel(got) != want {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
	if _, err := hash(broken{src}); err == nil {
		t.Error("a file that cannot be read has a fingerprint")
	}
}

// broken is a source that gives nothing.
type broken struct{ checkpoint.Source }

func (broken) ReadInto(string, []float32, ...checkpoint.Option) error { return errors.New("broken") }
