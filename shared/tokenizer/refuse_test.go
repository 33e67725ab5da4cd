package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// setPre replaces the pre-tokenizer.
func setPre(pre any) func(*file) { return func(f *file) { f.PreTokenizer = pre } }

// setVocab gives a token an id, or anything else.
func setVocab(token string, id any) func(*file) {
	return func(f *file) { f.Model.Vocab[token] = id }
}

// setMerge replaces the first merge.
func setMerge(merge any) func(*file) { return func(f *file) { f.Model.Merges[0] = merge } }

// setAdded replaces the special token.
func setAdded(name string, id any) func(*file) {
	return func(f *file) { f.Added[0] = added{ID: id, Content: name, Special: true} }
}

// Each entry spoils a good file and names words of the sentence that refuses it.
var spoiled = map[string]struct {
	change func(*file)
	want   string
}{
	"model type":    {func(f *file) { f.Model.Type = "Unigram" }, `"Unigram", want BPE`},
	"normalizer":    {func(f *file) { f.Normalizer = object{"type": "NFC"} }, `normalizer "NFC"`},
	"decoder":       {func(f *file) { f.Decoder = object{"type": "Fuse"} }, `decoder "Fuse"`},
	"dropout":       {func(f *file) { f.Model.Dropout = 0.1 }, "dropout"},
	"prefix":        {func(f *file) { f.Model.Prefix = "##" }, "continuing_subword_prefix"},
	"suffix":        {func(f *file) { f.Model.Suffix = "</w>" }, "end_of_word_suffix"},
	"byte fallback": {func(f *file) { f.Model.ByteFallback = true }, "byte_fallback"},

	"no pre":         {setPre(nil), "no pre_tokenizer"},
	"metaspace":      {setPre(object{"type": "Metaspace"}), "Metaspace"},
	"empty sequence": {setPre(sequence()), "empty Sequence"},
	"prefix space":   {setPre(object{"type": "ByteLevel"}), "add_prefix_space"},
	"no byte level":  {setPre(sequence(splitStep("Regex", "a"))), "ByteLevel"},
	"byte level 1st": {setPre(sequence(byteLevelStep(), splitStep("Regex", "a"))), "ByteLevel"},
	"bad regex":      {setPre(sequence(splitStep("Regex", "(a"), byteLevelStep())), "split patt"},
	"no pattern":     {setPre(sequence(splitStep("Glob", "a"), byteLevelStep())), "without a pat"},
	"behavior":       {setPre(sequence(object{"type": "Split"}, byteLevelStep())), "behavior"},
	"many steps":     {setPre(sequence(make([]any, 99)...)), "more than 16 elements"},
	"deep":           {setPre(deep(9)), "deep"},

	"negative id":    {setVocab("he", -1), `id "-1", want an integer`},
	"huge id":        {setVocab("he", maxVocab), "want an integer of 0 to"},
	"enormous id":    {setVocab("he", 1e300), "want an integer of 0 to"},
	"fractional id":  {setVocab("he", 256.5), "want an integer"},
	"text id":        {setVocab("he", "256"), "want an integer"},
	"nested id":      {setVocab("he", object{"a": 1}), "want an integer"},
	"two of an id":   {setVocab("he", 257), "id 257 has two tokens"},
	"no such char":   {setVocab("漢", 300), "stands for no byte"},
	"space in token": {setVocab("a b", 300), "stands for no byte"},
	"empty token":    {setVocab("", 300), "0 bytes"},
	"long token":     {setVocab(strings.Repeat("a", 1025), 300), "1025 bytes"},
	"byte missing":   {func(f *file) { delete(f.Model.Vocab, "A") }, "byte 0x41 has no token"},
	"no vocab":       {func(f *file) { f.Model.Vocab = nil }, "is not a token"},

	"merge of one":    {setMerge("he"), "merge 0"},
	"merge of three":  {setMerge("h e e"), "merge 0"},
	"merge of none":   {setMerge([]string{}), "merge 0"},
	"merge list of 1": {setMerge([]string{"h"}), "merge 0"},
	"merge list of 3": {setMerge([]string{"h", "e", "e"}), "merge 0: more than two"},
	"merge of empty":  {setMerge([]string{"", "he"}), "merge 0"},
	"merge of ids":    {setMerge([]int{1, 2}), "merge 0"},
	"merge number":    {setMerge(5), "merge 0"},
	"merge object":    {setMerge(object{"h": "e"}), "merge 0"},
	"merge null":      {setMerge(nil), "merge 0"},
	"merge unknown":   {setMerge("h ee"), "which is not a token"},
	"merge makes new": {setMerge("h h"), "which is not a token"},
	"merge twice":     {func(f *file) { f.Model.Merges[1] = "h e" }, "appears twice"},
	"merge special":   {setAdded("he", 256), "is not a token"},

	"added id":       {setAdded("<eos>", -5), `added token "<eos>" has id "-5"`},
	"added huge id":  {setAdded("<eos>", 1<<40), "want an integer"},
	"added no id":    {setAdded("<eos>", nil), "want an integer"},
	"added other id": {setVocab("<eos>", 400), "400 in vocab and 259 in added_tokens"},
	"added taken id": {setAdded("<eos>", 256), "id 256 has two tokens"},
	"added empty":    {setAdded("", 259), "0 bytes"},
	"added long":     {setAdded(strings.Repeat("x", 600), 259), "600 bytes"},
	"added rstrip":   {func(f *file) { f.Added[0].RStrip = true }, "rstrip"},
	"added twice":    {func(f *file) { f.Added = append(f.Added, f.Added[0]) }, "appears twice"},
}

// deep is a pre-tokenizer of sequences within each other.
func deep(n int) object {
	if n == 0 {
		return byteLevelStep()
	}
	return sequence(deep(n - 1))
}

func TestReadRefuses(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(spoiled)) {
		f := smallFile()
		spoiled[name].change(f)
		refused(t, name, f.json(t), spoiled[name].want)
	}
}

// refused checks that data is refused in one sentence that holds want.
func refused(t *testing.T, name, data, want string) {
	t.Helper()
	_, err := Read(strings.NewReader(data))
	switch {
	case err == nil:
		t.Errorf("%s: accepted", name)
	case !strings.HasPrefix(err.Error(), "tokenizer: read: ") || len(err.Error()) > 400 ||
		strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), want):
		t.Errorf("%s: refused with %q, want one sentence with %q", name, err, want)
	}
	t.Logf("%s: %v", name, err)
}

func TestReadRefusesText(t *testing.T) {
	good := smallFile().json(t)
	for name, data := range map[string]string{
		"empty":        "",
		"not json":     "\x08\x03model",
		"other json":   "[]",
		"no model":     "{}",
		"null":         "null",
		"vocab list":   strings.Replace(good, `"vocab":{`, `"vocab":[],"x":{`, 1),
		"merges text":  strings.Replace(good, `"merges":[`, `"merges":"h e","x":[`, 1),
		"token twice":  strings.Replace(good, `"he":256`, `"he":256,"he":256`, 1),
		"many added":   `{"added_tokens":[` + strings.Repeat("{},", maxAdded) + `{}]}`,
		"nested":       strings.Repeat("[", 1<<20),
		"nested steps": `{"pre_tokenizer":` + strings.Repeat(`{"pretokenizers":[`, 9999),
	} {
		refused(t, name, data, "")
	}
	for n := 0; n < len(good); n += 97 {
		refused(t, fmt.Sprintf("first %d bytes", n), good[:n], "")
	}
}

// endless is a file without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// failing is a file that cannot be read or written.
type failing struct{}

var errDisk = errors.New("disk on fire")

func (failing) Read([]byte) (int, error)  { return 0, errDisk }
func (failing) Write([]byte) (int, error) { return 0, errDisk }

func TestInputOutputErrors(t *testing.T) {
	if _, err := Read(failing{}); !errors.Is(err, errDisk) {
		t.Errorf("Read: %v", err)
	}
	if err := house(t).Write(failing{}); !errors.Is(err, errDisk) {
		t.Errorf("Write: %v", err)
	}
	if testing.Short() {
		return
	}
	if _, err := Read(endless{}); err == nil || !strings.Contains(err.Error(), "more than 128 MB") {
		t.Errorf("endless file: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(smallFile().json(f)))
	for _, name := range slices.Sorted(maps.Keys(spoiled)) {
		file := smallFile()
		spoiled[name].change(file)
		f.Add([]byte(file.json(f)))
	}
	f.Add(written(f, house(f)))
	pieces, err := NewSentencePiece(tinyPieces(Entry{"ab", EntryNormal, -1},
		Entry{spaceMark + spaceMark, EntryNormal, -2}, Entry{"</s>", EntryControl, 0}), true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written(f, pieces))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := ReadAny(bytes.NewReader(data))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "tokenizer: read: ") {
				t.Fatalf("error %q", err)
			}
			return
		}
		first := written(t, tok)
		again, err := ReadAny(bytes.NewReader(first))
		if err != nil {
			t.Fatalf("read, written, refused: %v", err)
		}
		if !bytes.Equal(written(t, again), first) {
			t.Fatal("written twice differs")
		}
		text := string(data)
		switch {
		case tok.pieces != nil:
			text = strings.ReplaceAll(text, spaceMark, " ")
		case tok.pre.digits == 0:
			return // an unknown pattern may take its whole second
		}
		if got := string(tok.AppendDecode(nil, tok.Encode(string(data)))); got != text {
			t.Fatal("the file's own text does not come back")
		}
	})
}
