package task

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a user's files.
const (
	maxDataFile  = 256 << 20 // bytes of a file, unpacked
	maxDataBytes = 1 << 30   // of all files of a directory
	maxDataFiles = 50_000    // of a directory
	maxDataItem  = 1 << 20   // bytes of an item
)

// dataReader reads files into a Data.
type dataReader struct {
	d     *Data
	files fs.FS
	bytes int
	check Check            // of own items that name none
	sums  strings.Builder  // what sha256sum prints for the files
	in    map[string]Split // where the question of a key is
	same  map[string]bool  // what is there, with its system text; in Train with its answer, too
}

// found is an item, its key and where it stands.
type found struct {
	item       Item
	key, where string
	split      Split
}

func (r *dataReader) read(name string) error {
	info, err := fs.Stat(r.files, name)
	if err != nil {
		return err
	}
	names := []string{name}
	if info.IsDir() {
		if names, err = r.list(name); err != nil {
			return err
		}
	}
	var all []found
	said := map[bool]string{} // a file that says its split, and one that does not
	for _, file := range names {
		split, says, err := saidSplit(path.Join(path.Base(name), strings.TrimPrefix(file, name)))
		if err != nil {
			return err
		}
		said[says] = file
		items, err := r.file(file)
		if err != nil {
			return err
		}
		for i := range items {
			if items[i].split = split; !says {
				items[i].split = hashedSplit(items[i].key)
			}
		}
		all = append(all, items...)
	}
	if len(said) == 2 {
		return fmt.Errorf("%s: the name of %s says a split and that of %s does not: want a word of "+
			"train, valid or test in all names or in none", name, said[true], said[false])
	}
	if len(all) == 0 {
		return fmt.Errorf("%s: there is no item in it", name)
	}
	if info.IsDir() {
		sum := sha256.Sum256([]byte(r.sums.String()))
		r.d.sum = hex.EncodeToString(sum[:])
	}
	r.take(all, said[true] != "")
	return nil
}

// list names the files of a directory that may hold items.
func (r *dataReader) list(dir string) (names []string, err error) {
	parquet := ""
	err = fs.WalkDir(r.files, dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case strings.HasSuffix(name, ".parquet"):
			parquet = name
		case slices.ContainsFunc([]string{".jsonl", ".json", ".jsonl.gz", ".json.gz"},
			func(end string) bool { return strings.HasSuffix(name, end) }):
			names = append(names, name)
		}
		if len(names) > maxDataFiles {
			return fmt.Errorf("%s: more than %d files", dir, maxDataFiles)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(names) == 0 && parquet != "":
		return nil, errParquet(parquet)
	case len(names) == 0:
		return nil, fmt.Errorf("%s: no file in it ends in .jsonl, .json, .jsonl.gz or .json.gz", dir)
	}
	return names, nil
}

func errParquet(name string) error {
	base := strings.TrimSuffix(path.Base(name), ".parquet")
	return fmt.Errorf("%s: Parquet is not read here: convert it to JSON lines, such as with duckdb -c "+
		"\"COPY (FROM '%s.parquet') TO '%s.jsonl'\"", name, base, base)
}

// file reads the items of a file.
func (r *dataReader) file(name string) ([]found, error) {
	data, err := r.content(name)
	if err != nil {
		return nil, err
	}
	return r.items(name, data)
}

// items reads the items of a file's bytes.
func (r *dataReader) items(name string, data []byte) ([]found, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	where := func(at int) string {
		return fmt.Sprintf("%s: line %d", name, 1+bytes.Count(data[:at], []byte("\n")))
	}
	if at := invalidUTF8(data); at >= 0 {
		return nil, fmt.Errorf("%s: not UTF-8 from byte 0x%02x on", where(at), data[at])
	}
	data = finite(data)
	var all []found
	line, counted := 1, 0 // lines up to an item, without counting from the start for each
	err := eachObject(data, func(at int, raw json.RawMessage, rec record) error {
		line, counted = line+bytes.Count(data[counted:at], []byte("\n")), at
		f := found{where: fmt.Sprintf("%s: line %d", name, line)}
		if err := r.item(raw, rec, &f); err != nil {
			return err
		}
		all = append(all, f)
		return nil
	})
	if bad := (*itemError)(nil); errors.As(err, &bad) {
		return nil, fmt.Errorf("%s: %w", where(bad.at), bad.err)
	}
	return all, err
}

// content is a file as it is, or unpacked; its sum is that of what lies on the disk.
func (r *dataReader) content(name string) ([]byte, error) {
	if strings.HasSuffix(name, ".parquet") {
		return nil, errParquet(name)
	}
	file, err := r.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := sha256.New()
	raw, err := atMost(io.TeeReader(file, h), name)
	if err != nil {
		return nil, err
	}
	r.d.files, r.d.sum = append(r.d.files, name), hex.EncodeToString(h.Sum(nil))
	fmt.Fprintf(&r.sums, "%s  %s\n", r.d.sum, name)
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err == nil {
			raw, err = atMost(z, name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: unpacking: %w", name, err)
		}
	}
	if r.bytes += len(raw); r.bytes > maxDataBytes {
		return nil, fmt.Errorf("%s: all files together have more than %d bytes", name, maxDataBytes)
	}
	return raw, nil
}

func atMost(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDataFile+1))
	if err == nil && len(data) > maxDataFile {
		err = fmt.Errorf("%s: more than %d bytes", name, maxDataFile)
	}
	return data, err
}

// item makes an item of a record.
func (r *dataReader) item(raw json.RawMessage, rec record, f *found) error {
	if r.d.form == nil {
		form, err := recognise(rec)
		if err != nil {
			return err
		}
		r.d.form = form
	}
	form := r.d.form
	if form.check == CheckProgram && r.d.options.Judge == nil {
		return fmt.Errorf("the answers of format %s are Python programs, and none is run here: want "+
			"a judge (--judge COMMAND)", form.name)
	}
	f.item = Item{Label: form.label, Check: cmp.Or(form.check, r.check), Source: raw}
	if err := form.parse(rec, &f.item); err != nil {
		return fmt.Errorf("format %s: %w", form.name, err)
	}
	f.key = spaced(f.item.Prompt)
	return nil
}

// take gives the items to the splits: those of Test first, then Valid's, then Train's.
func (r *dataReader) take(all []found, said bool) {
	has := map[Split]bool{}
	for i := range all {
		has[all[i].split] = true
	}
	for i := range all {
		f := &all[i]
		if said && !has[Valid] && f.split == Train && hashedSplit(f.key) == Valid {
			f.split = Valid
		}
	}
	for _, s := range []Split{Test, Valid, Train} {
		for i := range all {
			if all[i].split == s {
				r.keep(&all[i], s)
			}
		}
	}
}

// keep puts an item into a split, unless it is there or in another. Train may ask a question again
// whose worked answer is another one.
func (r *dataReader) keep(f *found, s Split) {
	d, it := r.d, &f.item
	same := it.System + "\x00" + f.key
	if s == Train {
		same += "\x00" + it.Answer + "\x00" + it.Worked
	}
	it.Task, it.Split, it.Index = d.Name(), s, len(d.splits[s])
	in, asked := r.in[f.key]
	switch {
	case asked && in != s:
		d.leave(fmt.Sprintf("in %v, but asked in %v too", s, in), f.where)
	case r.same[same]:
		d.leave(fmt.Sprintf("asked twice in %v", s), f.where)
	case it.Worked != "" && d.options.Judge == nil && d.Score(*it, it.Worked) != 1:
		d.leave("the file's own worked answer is judged wrong", f.where)
	default:
		r.in[f.key], r.same[same] = s, true
		d.splits[s] = append(d.splits[s], *it)
	}
}

// itemError is what is wrong with the item at a place of a file.
type itemError struct {
	at  int
	err error
}

func (e *itemError) Error() string { return e.err.Error() }

// eachObject yields the JSON objects of a file: one a line, one behind another, or in an array.
func eachObject(data []byte, yield func(at int, raw json.RawMessage, r record) error) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	from := len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	array := from < len(data) && data[from] == '['
	if array {
		_, _ = dec.Token() // the bracket that is there
	}
	for !array || dec.More() {
		at := int(dec.InputOffset())
		at += len(data[at:]) - len(bytes.TrimLeft(data[at:], " \t\r\n,"))
		var raw json.RawMessage
		err := dec.Decode(&raw)
		switch {
		case errors.Is(err, io.EOF) && !array:
			return nil
		case err != nil:
			return &itemError{at, fmt.Errorf("not JSON: %w", err)}
		case len(raw) > maxDataItem:
			return &itemError{at, fmt.Errorf("an item of %d bytes, want at most %d", len(raw),
				maxDataItem)}
		}
		var rec record
		if err := json.Unmarshal(raw, &rec); err != nil || rec == nil {
			return &itemError{at, fmt.Errorf("want an object with an item's fields, got %.40s",
				joined(string(raw)))}
		}
		if err := yield(at, raw, rec); err != nil {
			return &itemError{at, err}
		}
	}
	at := int(dec.InputOffset())
	if _, err := dec.Token(); err != nil {
		return &itemError{at, errors.New("the list of items does not end")}
	}
	at = int(dec.InputOffset())
	if rest := bytes.TrimSpace(data[at:]); len(rest) > 0 {
		return &itemError{at, fmt.Errorf("want nothing behind the list of items, got %.40q", rest)}
	}
	return nil
}

// finite writes Python's Infinity, which is no JSON, as 1e999, which is, and which Python reads as
// Infinity again. Nothing moves, so that places stay right.
func finite(data []byte) []byte {
	const infinity, number = "Infinity", "1e999   "
	if !bytes.Contains(data, []byte(infinity)) {
		return data
	}
	data = bytes.Clone(data)
	for i, inText := 0, false; i < len(data); i++ {
		switch {
		case inText && data[i] == '\\':
			i++
		case data[i] == '"':
			inText = !inText
		case !inText && bytes.HasPrefix(data[i:], []byte(infinity)):
			copy(data[i:], number)
		}
	}
	return data
}

// invalidUTF8 is where a text stops being UTF-8, -1 where all of it is.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size < 2 {
			return at
		}
		at += size
	}
}
