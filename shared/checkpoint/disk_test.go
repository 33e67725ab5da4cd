package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errFull = errors.New("no space left on device")

// fakeDisk holds files in memory and fails at one step.
type fakeDisk struct {
	files map[string]*bytes.Buffer
	fail  string // create, write, sync, close, rename
	room  int    // bytes until write fails
}

type fakeFile struct {
	d *fakeDisk
	b *bytes.Buffer
}

func (d *fakeDisk) step(name string) error {
	if d.fail == name {
		return errFull
	}
	return nil
}

func (d *fakeDisk) create(path string) (diskFile, error) {
	if d.files[path] != nil {
		return nil, fs.ErrExist
	}
	if err := d.step("create"); err != nil {
		return nil, err
	}
	d.files[path] = &bytes.Buffer{}
	return fakeFile{d, d.files[path]}, nil
}

func (d *fakeDisk) rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *fakeDisk) remove(path string) error { delete(d.files, path); return nil }
func (d *fakeDisk) syncDir(string)           {}

func (f fakeFile) Write(b []byte) (int, error) {
	if f.d.fail == "write" && f.b.Len()+len(b) > f.d.room {
		n, _ := f.b.Write(b[:f.d.room-f.b.Len()])
		return n, errFull
	}
	return f.b.Write(b)
}
func (f fakeFile) Sync() error  { return f.d.step("sync") }
func (f fakeFile) Close() error { return f.d.step("close") }

func TestFullDiskLeavesTheOldFile(t *testing.T) {
	tensors := []Tensor{FromFloat32("a", F32, make([]float32, chunk), chunk)}
	write := func(w io.Writer) error { return Write(w, tensors, nil) }
	size := len(encode(t, tensors, nil))
	for _, fail := range []string{"create", "write", "sync", "close", "rename"} {
		for _, room := range []int{0, 1, 100, chunk, size - 1} {
			d := &fakeDisk{fail: fail, room: room,
				files: map[string]*bytes.Buffer{"dir/model": bytes.NewBufferString("old")}}
			err := atomicWrite(d, "dir/model", write)
			if !errors.Is(err, errFull) {
				t.Errorf("%s: got %v", fail, err)
			}
			if len(d.files) != 1 || d.files["dir/model"].String() != "old" {
				t.Errorf("%s with room for %d: left %v", fail, room, d.files)
			}
		}
	}
	d := &fakeDisk{files: map[string]*bytes.Buffer{"dir/model": bytes.NewBufferString("old")}}
	if err := atomicWrite(d, "dir/model", write); err != nil {
		t.Fatal(err)
	}
	if len(d.files) != 1 || d.files["dir/model"].Len() != size {
		t.Errorf("left %v", d.files)
	}
}

func TestAtomicWriteOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "expert")
	text := func(s string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			if _, e := io.WriteString(w, s); e != nil {
				return e
			}
			return err
		}
	}
	for _, c := range []struct {
		write func(io.Writer) error
		want  string
		fails bool
	}{
		{text("one", nil), "one", false},
		{text("two, and longer", nil), "two, and longer", false},
		{text("three", errFull), "two, and longer", true},
		{text("", nil), "", false},
	} {
		err := AtomicWrite(path, c.write)
		if (err != nil) != c.fails || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
			t.Errorf("file holds %q, want %q: %v", got, c.want, err)
		}
		if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
			t.Errorf("directory holds %v: %v", list, err)
		}
	}
}

func TestStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	for name, s := range map[string]Store{"Dir": Dir(dir), "Memory": &Memory{}} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Open("a"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("absent file: %v", err)
			}
			for _, text := range []string{"first", "second"} {
				err := s.Create("a", func(w io.Writer) error {
					_, err := io.WriteString(w, text)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				b, err := s.Open("a")
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, b.Size())
				if _, err := b.ReadAt(got, 0); err != nil || string(got) != text {
					t.Errorf("holds %q, want %q: %v", got, text, err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
			err := s.Create("a", func(w io.Writer) error { fmt.Fprint(w, "third"); return errFull })
			if !errors.Is(err, errFull) {
				t.Errorf("got %v", err)
			}
			b, err := s.Open("a")
			if err != nil || b.Size() != int64(len("second")) {
				t.Error("a failed write changed the file", err)
			}
			if err == nil {
				err = b.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for _, name := range []string{"../a", "/etc/passwd", ""} {
		_, err := Dir(dir).Open(name)
		err2 := Dir(dir).Create(name, func(io.Writer) error { return nil })
		if err == nil || err2 == nil || !strings.Contains(err2.Error(), "leads out") {
			t.Errorf("%q: %v, %v", name, err, err2)
		}
	}
	_, err := OpenBlob(t.TempDir())
	refused(t, err, "regular file")
}
