package engine

import (
	"bytes"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/svf"
)

// A fingerprint taken while a model loads is the one of the whole file, whatever was read of it and
// however the reader used its memory again.
func TestHashingIsBase(t *testing.T) {
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
	for read := range names {
		h := &hashing{Source: src, ctx: t.Context(), weights: map[string]checkpoint.Fingerprint{}}
		data := make([]float32, 64*64)
		for _, name := range names[:read] {
			if err := h.ReadInto(name, data); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := h.model(); err != nil || got != want {
			t.Errorf("%d tensors read: %v (%v), want %v", read, got, err, want)
		}
		if err := h.ReadInto("none", data); err == nil {
			t.Error("a tensor that is not there is read")
		}
	}
}
