// Package mapped answers: how is a large file read without a copy of it in memory?
//
// FS is a directory whose files are mapped where the system can: what is read comes from the
// system's own cache of the file, which it may drop again. Elsewhere files are read as usual.
package mapped

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// FS is the files of a directory, as os.DirFS has them.
type FS string

// Open opens a file. A regular one that is not empty is mapped, and is an io.ReaderAt then.
func (dir FS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	file, err := os.Open(filepath.Join(string(dir), filepath.FromSlash(name)))
	if err != nil {
		if p, ok := err.(*fs.PathError); ok {
			p.Path = name // as os.DirFS says it
		}
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return file, nil
	}
	if data := mapFile(file, info.Size()); data != nil {
		return &mappedFile{File: file, data: data}, nil
	}
	return file, nil
}

// mappedFile reads at any place from the map, and in order from the file.
type mappedFile struct {
	*os.File
	data []byte
	read atomic.Int64 // bytes, since pages were given back
}

// kept is about how much of what was read stays in this process's memory: whoever reads a file from
// end to end, as a model's loading does, does not come back.
const kept = 2 << 20

// ReadAt copies from the map.
func (f *mappedFile) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || f.data == nil {
		return 0, fs.ErrInvalid
	}
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.data[off:])
	if f.read.Add(int64(n)) >= kept {
		f.read.Store(0)
		giveBack(f.data)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Close ends the map and closes the file.
func (f *mappedFile) Close() error {
	data := f.data
	f.data = nil
	unmap(data)
	return f.File.Close()
}
