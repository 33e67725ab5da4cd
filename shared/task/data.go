package task

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"
)

// Data is a task whose questions are a user's own: a file, or a directory of files, in one of the
// formats of Formats.
//
// Which split a question is in is what the names of its file and folders say, if one of their
// words is train, valid (validation, val, dev) or test. Where none says it, the hash of the question
// decides: a tenth is Test, a tenth Valid, the rest Train, and a question stays where it is when the
// file grows. Where files say Train and none says Valid, the hash takes a tenth of Train for Valid.
//
// No question is in two splits: one that would be is left to Test, then to Valid. Questions are the
// same that differ only in case and white space.
type Data struct {
	name    string
	form    *format
	sum     string // SHA-256, in hex
	files   []string
	splits  [3][]Item
	limit   int // of an answer's tokens; 0: the format's
	options DataOptions
	leftOut []LeftOut
}

// LeftOut counts items that are in the files and not in the task.
type LeftOut struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	First  string `json:"first"` // where the first one is, or how it begins
}

func (l LeftOut) String() string {
	noun := "items"
	if l.Count == 1 {
		noun = "item"
	}
	return fmt.Sprintf("%d %s left out: %s (first: %s)", l.Count, noun, l.Reason, l.First)
}

// Name is the format and the base name of the file or directory: "gsm8k:train.jsonl". No task of
// the suite has such a name.
func (d *Data) Name() string { return d.form.name + ":" + d.name }

// Doc says how an answer is judged.
func (d *Data) Doc() string {
	if d.options.Judge != nil {
		return "by " + d.options.JudgeName
	}
	return d.form.doc
}

// Label is what the first pass should find.
func (d *Data) Label() string { return d.form.label }

// Size is the number of items of a split; each is there once, Train included.
func (d *Data) Size(s Split) int { return len(d.splits[s]) }

// Item is an item of a split, in the order of the files.
func (d *Data) Item(s Split, index int) Item { return d.splits[s][index] }

// MaxTokens bounds an answer, as the paper's evaluations do unless Limit says otherwise: 1024 for
// MATH, 512 for other formats.
func (d *Data) MaxTokens() int { return cmp.Or(d.limit, d.form.maxTokens) }

// Limit bounds an answer to n tokens.
func (d *Data) Limit(n int) { d.limit = n }

// Score is 1 for a right answer and 0 for a wrong one; a judge of the user's may give a share.
func (d *Data) Score(it Item, output string) float64 {
	if d.options.Judge != nil {
		return d.options.Judge(it, output)
	}
	if judges[it.Check](&it, output) {
		return 1
	}
	return 0
}

// Filled refuses an empty split.
func (d *Data) Filled(s Split) error {
	if len(d.splits[s]) > 0 {
		return nil
	}
	return fmt.Errorf("%s has no %v items (train %d, valid %d, test %d): a split is what the name of "+
		"a file or folder says, or else a share by hash", d.Name(), s, len(d.splits[Train]),
		len(d.splits[Valid]), len(d.splits[Test]))
}

// Format is the name of the files' format.
func (d *Data) Format() string { return d.form.name }

// Sum is the SHA-256 of the file, in hex; of a directory it is that of what sha256sum prints for
// its files, in order of their names.
func (d *Data) Sum() string { return d.sum }

// Files are the files that were read, in order.
func (d *Data) Files() []string { return d.files }

// LeftOut says what is not in the task, and why.
func (d *Data) LeftOut() []LeftOut { return d.leftOut }

// MarshalJSON writes what a training must not change: the files and what is taken from them.
func (d *Data) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		SHA256 string `json:"sha256"`
		Train  int    `json:"train"`
		Valid  int    `json:"valid"`
		Tokens int    `json:"maxTokens"`
		Judge  string `json:"judge,omitempty"`
	}{d.sum, len(d.splits[Train]), len(d.splits[Valid]), d.MaxTokens(), d.options.JudgeName})
}

// Keep leaves out all items but those that keep wants, such as those that a model has room for.
func (d *Data) Keep(reason string, keep func(Item) bool) {
	for s := range d.splits {
		kept := d.splits[s][:0]
		for _, it := range d.splits[s] {
			if keep(it) {
				it.Index = len(kept)
				kept = append(kept, it)
				continue
			}
			d.leave(reason, fmt.Sprintf("%.40q", it.Prompt))
		}
		d.splits[s] = kept
	}
}

func (d *Data) leave(reason, where string) {
	for i := range d.leftOut {
		if d.leftOut[i].Reason == reason {
			d.leftOut[i].Count++
			return
		}
	}
	d.leftOut = append(d.leftOut, LeftOut{Reason: reason, Count: 1, First: where})
}

// DataOptions say how files are read.
type DataOptions struct {
	Format string // one of FormatNames; "": the one that the fields of the first item tell
	// Judge, if set, scores answers instead of the format's check: 1 is right, 0 wrong.
	Judge     func(it Item, output string) float64
	JudgeName string // how a training's configuration calls it
}

// OpenData reads the file or directory called name.
func OpenData(files fs.FS, name string, o DataOptions) (*Data, error) {
	d := &Data{name: path.Base(name), options: o}
	if o.Format != "" {
		if d.form = formatOf(o.Format); d.form == nil {
			return nil, fmt.Errorf("task: format %q: want one of %s", o.Format,
				strings.Join(FormatNames(), " "))
		}
	}
	r := newDataReader(d)
	r.files = files
	if err := r.read(name); err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	return d, nil
}

// ReadData reads the items of a file's bytes, all into one split. Own items that do not say how they
// are judged are judged by check.
func ReadData(name string, data []byte, s Split, check Check) (*Data, error) {
	r := newDataReader(&Data{name: name})
	r.check = check
	all, err := r.items(name, data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("task: %w", err)
	case len(all) == 0:
		return nil, fmt.Errorf("task: %s: there is no item in it", name)
	}
	for i := range all {
		r.keep(&all[i], s)
	}
	return r.d, nil
}

func newDataReader(d *Data) *dataReader {
	return &dataReader{d: d, in: map[string]Split{}, same: map[string]bool{}}
}

// splitWords are the words of a name that say which split a file is.
var splitWords = map[string]Split{"train": Train, "training": Train, "valid": Valid,
	"validation": Valid, "val": Valid, "dev": Valid, "test": Test, "testing": Test}

// saidSplit is the split that a path says, its last part first.
func saidSplit(name string) (s Split, said bool, err error) {
	for name != "." && name != "/" && name != "" {
		base := path.Base(name)
		for _, w := range strings.FieldsFunc(strings.ToLower(base),
			func(r rune) bool { return !unicode.IsLetter(r) }) {
			is, ok := splitWords[w]
			if ok && said && is != s {
				return s, false, fmt.Errorf("%s: the name says %v and %v, want one split", base, s, is)
			}
			if ok {
				s, said = is, true
			}
		}
		if said {
			return s, true, nil
		}
		name = path.Dir(name)
	}
	return s, false, nil
}

// hashedSplit is the split of a question that no name decides.
func hashedSplit(key string) Split {
	switch hashString(splitSalt, key) % 10 {
	case 0:
		return Test
	case 1:
		return Valid
	}
	return Train
}
