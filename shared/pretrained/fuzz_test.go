package pretrained

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"transformer2/shared/checkpoint"
)

// Whatever the small files of a directory say, reading them ends in an error, or every tensor that
// the index names can be read.
func FuzzDirectory(f *testing.F) {
	var shard bytes.Buffer
	err := checkpoint.Write(&shard, []checkpoint.Tensor{
		checkpoint.FromFloat32("a", checkpoint.F32, []float32{1, 2}, 2)}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"weight_map": {"a": "s"}}`), []byte(`{"eos_token_id": [1, 2]}`),
		[]byte(`{"chat_template": [{"name": "default", "template": "x"}]}`))
	f.Add([]byte(`{"weight_map": {"a": "../s", "b": "s"}}`), []byte(`{"eos_token_id": -1}`),
		[]byte(`{"chat_template": null}`))
	f.Add([]byte(`{"weight_map": []}`), []byte(`{"eos_token_id": {}}`), []byte(`[`))
	f.Fuzz(func(t *testing.T, index, generation, conf []byte) {
		files := fstest.MapFS{"s": {Data: shard.Bytes()}, generationFile: {Data: generation},
			tokenizerConf: {Data: conf}}
		d := &directory{files: files}
		if facts, err := d.facts(); err == nil {
			for _, id := range facts.eos {
				if id < 0 {
					t.Errorf("stop token %d", id)
				}
			}
		}
		s, err := openShards(files, index)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		defer s.Close()
		for _, name := range s.Names() {
			info, ok := s.Tensor(name)
			if !ok || s.ReadInto(name, make([]float32, info.Len())) != nil {
				t.Errorf("tensor %q cannot be read", name)
			}
		}
	})
}
