package tokenizer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// file is a tokenizer.json to spoil.
type file struct {
	Added        []added        `json:"added_tokens"`
	Normalizer   any            `json:"normalizer"`
	PreTokenizer any            `json:"pre_tokenizer"`
	Decoder      any            `json:"decoder"`
	Model        model          `json:"model"`
	Extra        map[string]any `json:"extra,omitempty"`
}

type model struct {
	Type         string         `json:"type"`
	Dropout      any            `json:"dropout"`
	Prefix       any            `json:"continuing_subword_prefix"`
	Suffix       any            `json:"end_of_word_suffix"`
	ByteFallback bool           `json:"byte_fallback"`
	IgnoreMerges bool           `json:"ignore_merges"`
	Vocab        map[string]any `json:"vocab"`
	Merges       []any          `json:"merges"`
}

type added struct {
	ID      any    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
	RStrip  bool   `json:"rstrip"`
}

type object = map[string]any

// byteLevelStep is the ByteLevel pre-tokenizer of today's files.
func byteLevelStep() object {
	return object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}
}

// sequence is a pre-tokenizer of several steps.
func sequence(steps ...any) object { return object{"type": "Sequence", "pretokenizers": steps} }

// smallFile is a good file: the bytes, "he", "the" and " the", one special token.
func smallFile() *file {
	f := &file{
		Added:        []added{{ID: 259, Content: "<eos>", Special: true}},
		PreTokenizer: byteLevelStep(),
		Model:        model{Type: "BPE", Vocab: object{}},
	}
	for b := range 256 {
		f.Model.Vocab[string(charOfByte[b])] = b
	}
	for i, token := range []string{"he", "the", "Ġthe"} {
		f.Model.Vocab[token] = 256 + i
	}
	f.Model.Merges = []any{"h e", []string{"t", "he"}, "Ġ the"}
	return f
}

func (f *file) json(tb testing.TB) string {
	tb.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func TestReadSmall(t *testing.T) {
	tok, err := Read(strings.NewReader(smallFile().json(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.EncodeSpecial("the the<eos>"); !slices.Equal(got, []int32{257, 258, 259}) {
		t.Errorf("%v, want [257 258 259]", got)
	}
}

func TestReadMiniLlama(t *testing.T) {
	data := openData(t, "tokenizers/mini_llama.json")
	tok, err := Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	// The file's merges make few of its tokens: only func, main, (), {} and some blanks arise.
	want := []int32{2900, 220, 76, 64, 72, 77, 368, 4792} // func, " ", m, a, i, n, (), " {}"
	if got := tok.Encode("func main() {}"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// With "ignore_merges" its words are tokens, with the ids of Llama 3.
	old, set := []byte(`"type": "BPE"`), []byte(`"type": "BPE", "ignore_merges": true`)
	whole, err := Read(bytes.NewReader(bytes.Replace(data, old, set, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hello world", "func main() {}", "can't", "123", "Hello", "   h"} {
		if got, want := whole.Encode(text), llama3(t).Encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
		if got := whole.Decode(whole.Encode(text)); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	if got := tok.VocabSize(); got != 128002 {
		t.Errorf("VocabSize %d, want 128002", got)
	}
	if got := tok.EncodeSpecial("<|begin_of_text|>"); !slices.Equal(got, []int32{128000}) {
		t.Errorf("begin %v, want 128000", got)
	}
	if again, err := Read(bytes.NewReader(written(t, tok))); err != nil {
		t.Error(err)
	} else if id, _ := again.Special("<|end_of_text|>"); id != 128001 {
		t.Errorf("end %d, want 128001", id)
	}
}

func TestReadGood(t *testing.T) {
	noPrefix := object{"type": "ByteLevel", "add_prefix_space": false}
	for name, change := range map[string]func(*file){
		"no type":         func(f *file) { f.Model.Type = "" },
		"no added":        func(f *file) { f.Added = nil },
		"no merges":       func(f *file) { f.Model.Merges = nil },
		"zero dropout":    func(f *file) { f.Model.Dropout = 0 },
		"empty affixes":   func(f *file) { f.Model.Prefix, f.Model.Suffix = "", "" },
		"decoder":         func(f *file) { f.Decoder = object{"type": "ByteLevel"} },
		"post processor":  func(f *file) { f.Extra = object{"post_processor": object{"type": "X"}} },
		"regex":           setPre(noPrefix),
		"nested":          setPre(sequence(sequence(byteLevelStep()))),
		"string pattern":  setPre(sequence(splitStep("String", "a"), byteLevelStep())),
		"unknown pattern": setPre(sequence(splitStep("Regex", "[a-z]+"), byteLevelStep())),
		"hole":            setAdded("<eos>", 1000),
		"added in vocab":  setVocab("<eos>", 259),
	} {
		f := smallFile()
		change(f)
		tok, err := Read(strings.NewReader(f.json(t)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := tok.Decode(tok.Encode(prose)); got != prose {
			t.Errorf("%s: text does not come back", name)
		}
		rewritten(t, name, tok)
	}
}

// rewritten checks that what is written reads back as the same tokenizer.
func rewritten(t *testing.T, name string, tok *Tokenizer) {
	t.Helper()
	first := written(t, tok)
	again, err := Read(bytes.NewReader(first))
	if err != nil {
		t.Errorf("%s, written: %v", name, err)
		return
	}
	if second := written(t, again); !bytes.Equal(first, second) {
		t.Errorf("%s: written twice differs", name)
	}
	text := prose + "<eos>" + End
	if got, want := again.EncodeSpecial(text), tok.EncodeSpecial(text); !slices.Equal(got, want) {
		t.Errorf("%s: written and read encodes otherwise", name)
	}
}

// parsed is what Write writes, as JSON.
func parsed(t *testing.T, tok *Tokenizer) (f file) {
	t.Helper()
	if err := json.Unmarshal(written(t, tok), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestWriteRead writes the tokenizers of these tests: trained, and Llama 3's.
func TestWriteRead(t *testing.T) {
	rewritten(t, "house", house(t))
	if f := parsed(t, house(t)); f.Model.Vocab[End] != nil {
		t.Error("special tokens that follow the others are in vocab")
	}
	// Elsewhere Hugging Face keeps the ids of special tokens only if vocab has them.
	f := smallFile()
	f.Added[0].ID = 1000
	tok, err := Read(strings.NewReader(f.json(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed(t, tok).Model.Vocab["<eos>"]; got != 1000.0 {
		t.Errorf("special token 1000 is %v in vocab", got)
	}
	rewritten(t, "Llama 3", llama3(t))
}

// splitStep is a Split pre-tokenizer.
func splitStep(kind, pattern string) object {
	return object{"type": "Split", "pattern": object{kind: pattern}, "behavior": "Isolated"}
}
