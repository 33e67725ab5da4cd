package tokenizer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// dataDir holds test material from outside, beside the project.
const dataDir = "../../../shared/data"

// openData reads a file of dataDir and skips the test where there is none.
func openData(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(dataDir, filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		tb.Skipf("test material %s is absent", name)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// llama3 joins Llama 3's vocabulary and merges, which the material holds as two files, with the
// 256 special tokens of Llama 3.2.
func llama3(tb testing.TB) *Tokenizer {
	tb.Helper()
	openData(tb, "tokenizers/llama3/encoder.json")
	t, err := llama3Once()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

var llama3Once = sync.OnceValues(func() (*Tokenizer, error) {
	dir := filepath.Join(dataDir, "tokenizers", "llama3")
	vocab, err := os.ReadFile(filepath.Join(dir, "encoder.json"))
	if err != nil {
		return nil, err
	}
	merges, err := os.ReadFile(filepath.Join(dir, "vocab.bpe"))
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	var list []string
	for lines := bufio.NewScanner(strings.NewReader(string(merges))); lines.Scan(); {
		list = append(list, lines.Text())
	}
	var added []object
	for i, name := range llama3Specials() {
		added = append(added, object{"id": 128000 + i, "content": name, "special": true})
	}
	file, err := json.Marshal(object{
		"added_tokens": added,
		"pre_tokenizer": object{"type": "Sequence", "pretokenizers": []object{
			{"type": "Split", "pattern": object{"Regex": PatternLlama3}, "behavior": "Isolated"},
			{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
		}},
		"model": object{"type": "BPE", "ignore_merges": true,
			"vocab": json.RawMessage(vocab), "merges": list},
	})
	if err != nil {
		return nil, err
	}
	return Read(strings.NewReader(string(file)))
})

// llama3Specials are ids 128000 to 128255.
func llama3Specials() []string {
	names := []string{"begin_of_text", "end_of_text", "reserved_special_token_0",
		"reserved_special_token_1", "finetune_right_pad_id", "reserved_special_token_2",
		"start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag"}
	for i := 3; len(names) < 256; i++ {
		names = append(names, fmt.Sprintf("reserved_special_token_%d", i))
	}
	for i, name := range names {
		names[i] = "<|" + name + "|>"
	}
	return names
}

// llama3Vectors are the ids that llama3-tokenizer-js expects.
type llama3Vectors struct {
	Encode []struct {
		Text    string
		IDs     []int32
		Options *struct{ BOS, EOS bool }
	}
	Decode []struct {
		Text string
		IDs  []int32
	}
}

func TestLlama3Vectors(t *testing.T) {
	tok := llama3(t)
	var vectors llama3Vectors
	if err := json.Unmarshal(openData(t, "tokenizers/llama3/vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Encode) != 21 || len(vectors.Decode) != 21 {
		t.Fatalf("%d and %d vectors, want 21 and 21", len(vectors.Encode), len(vectors.Decode))
	}
	for _, v := range vectors.Encode {
		var got []int32
		if v.Options == nil || v.Options.BOS { // the library's default is both
			got = append(got, 128000)
		}
		got = append(got, tok.EncodeSpecial(v.Text)...)
		if v.Options == nil || v.Options.EOS {
			got = append(got, 128001)
		}
		if !slices.Equal(got, v.IDs) {
			t.Errorf("encode %.60q:\n got %v\nwant %v", v.Text, got, v.IDs)
		}
	}
	for _, v := range vectors.Decode {
		if got := tok.DecodeSpecial(v.IDs); got != v.Text {
			t.Errorf("decode %v:\n got %q\nwant %q", v.IDs, got, v.Text)
		}
	}
	if got := tok.VocabSize(); got != 128256 {
		t.Errorf("VocabSize %d, want 128256", got)
	}
}
