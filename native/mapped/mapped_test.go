package mapped

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestFS(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": "some bytes", "sub/b": "b", "empty": ""} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(FS(dir), "a.txt", "sub/b", "empty"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"none", "../x", "/a.txt"} {
		if _, err := FS(dir).Open(name); err == nil {
			t.Errorf("%s opens", name)
		}
	}
	if _, err := FS(dir).Open("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func TestReadAt(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("0123456789"), 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := FS(dir).Open("f")
	if err != nil {
		t.Fatal(err)
	}
	r := file.(io.ReaderAt)
	for _, c := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{{0, 10, "0123456789", nil}, {3, 2, "34", nil}, {8, 5, "89", io.EOF}, {10, 1, "", io.EOF},
		{1 << 62, 1, "", io.EOF}} {
		b := make([]byte, c.n)
		n, err := r.ReadAt(b, c.off)
		if string(b[:n]) != c.want || err != c.err {
			t.Errorf("%d bytes at %d: %q, %v, want %q, %v", c.n, c.off, b[:n], err, c.want, c.err)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a place before the file is read")
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a closed file is read")
	}
}
