package checkpoint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// Blob is a file open for reading. Close it when its tensors have been read.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Store is where a program keeps its files: a directory (Dir), memory, or what a browser has.
type Store interface {
	// Open opens a file for reading. A file that is not there is an fs.ErrNotExist.
	Open(name string) (Blob, error)
	// Create replaces a file by what write writes, in one step: where anything fails, the file is
	// what it was before.
	Create(name string, write func(io.Writer) error) error
}

// Dir is a Store in a directory. It is made when the first file is created.
type Dir string

// Open opens a file of the directory. The name may not lead out of it.
func (d Dir) Open(name string) (Blob, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	return OpenBlob(path)
}

// Create writes a file of the directory as AtomicWrite does.
func (d Dir) Create(name string, write func(io.Writer) error) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return AtomicWrite(path, write)
}

func (d Dir) path(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("checkpoint: %q leads out of %s", name, string(d))
	}
	return filepath.Join(string(d), name), nil
}

type blobFile struct {
	*os.File
	size int64
}

func (b blobFile) Size() int64 { return b.size }

// OpenBlob opens a file of the disk for reading.
func OpenBlob(path string) (Blob, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	stat, err := f.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", errors.Join(err, f.Close()))
	}
	return blobFile{f, stat.Size()}, nil
}

// AtomicWrite replaces the file at path by what write writes. The bytes go to a new file beside
// it, which takes the name only when all of them are on the disk: a full disk, a crash or an error
// of write leaves the old file as it was.
func AtomicWrite(path string, write func(io.Writer) error) error {
	if err := atomicWrite(osDisk{}, path, write); err != nil {
		return fmt.Errorf("checkpoint: writing %s: %w", path, err)
	}
	return nil
}

// disk is what atomicWrite needs of a file system; the tests hand in one that fails.
type disk interface {
	create(path string) (diskFile, error) // fails where the path exists
	rename(from, to string) error
	remove(path string) error
	syncDir(path string)
}

type diskFile interface {
	io.WriteCloser
	Sync() error
}

func atomicWrite(d disk, path string, write func(io.Writer) error) (err error) {
	dir, base := filepath.Split(path)
	tmp := fmt.Sprintf("%s.%s.%08x.tmp", dir, base, rand.Uint32())
	f, err := d.create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.remove(tmp))
		}
	}()
	buf := bufio.NewWriterSize(f, chunk)
	if err = write(buf); err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.rename(tmp, path)
	}
	if err == nil {
		d.syncDir(filepath.Dir(path))
	}
	return err
}

type osDisk struct{}

func (osDisk) create(path string) (diskFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}
func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }

// syncDir makes the new name last through a power cut. Some systems cannot sync a directory;
// their file is whole all the same, so an error is no news.
func (osDisk) syncDir(path string) {
	if d, err := os.Open(path); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// Memory is a Store in memory. Its zero value is empty and ready.
type Memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

// Open opens what Create wrote last under the name.
func (m *Memory) Open(name string) (Blob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.files[name]
	if !ok {
		return nil, fmt.Errorf("checkpoint: %s: %w", name, fs.ErrNotExist)
	}
	return memoryBlob{bytes.NewReader(b)}, nil
}

// Create keeps what write writes.
func (m *Memory) Create(name string, write func(io.Writer) error) error {
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		return fmt.Errorf("checkpoint: writing %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[name] = buf.Bytes()
	return nil
}
