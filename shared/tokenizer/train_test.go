package tokenizer

import (
	"bytes"
	"slices"
	"testing"
)

func TestTrainSmall(t *testing.T) {
	tok, err := Train(slices.Values([]string{"low low low lower lowest newest newest 2026"}),
		TrainOptions{VocabSize: 270, Specials: HouseSpecials()})
	if err != nil {
		t.Fatal(err)
	}
	for id := int32(256); int(id) < tok.VocabSize(); id++ {
		t.Logf("%d %q", id, tok.Token(id))
	}
	var a, b bytes.Buffer
	if err := tok.Write(&a); err != nil {
		t.Fatal(err)
	}
	again, err := Read(bytes.NewReader(a.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("Write(Read(Write)) differs from Write")
	}
}
