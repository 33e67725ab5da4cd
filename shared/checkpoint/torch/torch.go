// Package torch answers: which named tensors does a file of torch.save hold, and what are their
// numbers?
//
// Such a file, of PyTorch 1.6 and later, is a zip that holds a pickle, which says what there is, and
// the numbers of every storage as they lie in memory. A pickle is a program; this one is read, never
// run: pickle.go knows the operations that tensors need, call.go the names that they may call, and
// all else is refused by name.
package torch

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
)

// File is an open file of torch.save. Its tensors are not in memory. Several goroutines may read one
// File where the io.ReaderAt allows it.
type File struct {
	r       io.ReaderAt
	names   []string
	tensors map[string]entry
}

var _ checkpoint.Source = (*File)(nil)

// entry is a tensor whose first number lies at a byte of the file. Where it is transposed, the
// columns of its matrix lie one after the other, ld numbers apart; else the rows do.
type entry struct {
	info       checkpoint.Info
	at         int64
	ld         int64
	transposed bool
}

// Bounds on what a file may claim, far above any that torch.save writes of a model.
const (
	maxDirectory = 16 << 20 // bytes of the zip's directory
	maxPickle    = 1 << 20  // measured: what it makes takes up to 62 times as much
	maxSides     = 16       // of a tensor
)

// Open reads the directory and the pickle of a file of size bytes. It fails where the zip has
// a compressed entry, the pickle holds anything but a dictionary of tensors, or a tensor does not
// lie within its storage and that within the file.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, tensors: map[string]entry{}}
	if err := f.read(size); err != nil {
		return nil, fmt.Errorf("torch: not a file of torch.save that can be read: %w", err)
	}
	return f, nil
}

func (f *File) read(size int64) error {
	files, err := readZip(f.r, size)
	if err != nil {
		return err
	}
	var folders []string
	for name := range files {
		if folder, ok := strings.CutSuffix(name, "data.pkl"); ok && strings.Count(name, "/") == 1 {
			folders = append(folders, folder)
		}
	}
	if len(folders) != 1 {
		return fmt.Errorf("the zip has %d folders with a data.pkl, want 1", len(folders))
	}
	folder := folders[0]
	pickle := files[folder+"data.pkl"]
	if pickle.size > maxPickle {
		return fmt.Errorf("a pickle of %d bytes, want at most %d", pickle.size, maxPickle)
	}
	data := make([]byte, pickle.size)
	if err := readAt(f.r, data, pickle.at); err != nil {
		return err
	}
	if err := f.littleEndian(files[folder+"byteorder"]); err != nil {
		return err
	}
	dict, err := unpickle(data)
	if err != nil {
		return fmt.Errorf("data.pkl: %w", err)
	}
	for _, name := range dict.keys {
		ref, ok := dict.values[name].(*tensor)
		if !ok {
			return fmt.Errorf("%.60q is %s, want a tensor", name, pickleKind(dict.values[name]))
		}
		e, err := ref.locate(files[folder+"data/"+ref.storage.key])
		if err != nil {
			return fmt.Errorf("tensor %.60q: %w", name, err)
		}
		f.tensors[name] = e
	}
	f.names = slices.Sorted(maps.Keys(f.tensors))
	return nil
}

// littleEndian refuses the files of machines of the other byte order, which newer ones tell.
func (f *File) littleEndian(order zipEntry) error {
	text := make([]byte, min(order.size, 8))
	if err := readAt(f.r, text, order.at); err != nil {
		return err
	}
	if s := string(text); s != "" && s != "little" {
		return fmt.Errorf("its byte order is %q, want little", s)
	}
	return nil
}

// readAt fills b from byte at on.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	_, err := io.ReadFull(io.NewSectionReader(r, at, int64(len(b))), b)
	return err
}

// zipEntry is where the bytes of a file within a zip lie.
type zipEntry struct{ at, size int64 }

// readZip lists the files of a zip, all of which must be stored as they are. Their checksums are
// not looked at: torch writes wrong ones where it is told to save time.
func readZip(r io.ReaderAt, size int64) (map[string]zipEntry, error) {
	var magic [4]byte
	if size < int64(len(magic)) {
		return nil, fmt.Errorf("%d bytes are too few for a zip", size)
	}
	if err := readAt(r, magic[:], 0); err != nil {
		return nil, err
	}
	if !bytes.Equal(magic[:], []byte("PK\x03\x04")) {
		return nil, fmt.Errorf("it begins with %q, want a zip (torch before 1.6 wrote none: load "+
			"and save such a file again)", magic)
	}
	limited := &limitedReader{r: r, left: maxDirectory}
	z, err := zip.NewReader(limited, size)
	if err != nil {
		return nil, err
	}
	files := make(map[string]zipEntry, len(z.File))
	for _, f := range z.File {
		const encrypted = 1
		if f.Method != zip.Store || f.Flags&encrypted != 0 ||
			f.CompressedSize64 != f.UncompressedSize64 {
			return nil, fmt.Errorf("%.60q is compressed or encrypted (method %d, %d bytes for %d), "+
				"want it as it is", f.Name, f.Method, f.CompressedSize64, f.UncompressedSize64)
		}
		limited.left = maxDirectory // of a local header
		at, err := f.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", f.Name, err)
		}
		if at < 0 || at > size || f.UncompressedSize64 > uint64(size-at) {
			return nil, fmt.Errorf("%.60q: %d bytes at %d in a file of %d", f.Name,
				f.UncompressedSize64, at, size)
		}
		if _, again := files[f.Name]; again {
			return nil, fmt.Errorf("%.60q is there twice", f.Name)
		}
		files[f.Name] = zipEntry{at, int64(f.UncompressedSize64)}
	}
	return files, nil
}

// limitedReader fails after so many bytes: a zip's directory may claim to be as long as the file.
type limitedReader struct {
	r    io.ReaderAt
	left int64
}

func (l *limitedReader) ReadAt(b []byte, off int64) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, fmt.Errorf("the zip's directory is longer than %d bytes", maxDirectory)
	}
	return l.r.ReadAt(b, off)
}

// locate checks a tensor against its storage and that against its file.
func (ref *tensor) locate(file zipEntry) (entry, error) {
	s := ref.storage
	e := entry{info: checkpoint.Info{DType: s.dtype, Shape: ref.shape}}
	size := int64(s.dtype.Size())
	total, err := e.info.Bytes()
	switch {
	case err != nil:
		return e, err
	case s.numel < 0 || s.numel > math.MaxInt64/size || file.size != s.numel*size:
		return e, fmt.Errorf("storage %.20q has %d bytes, want %d numbers of %s", s.key, file.size,
			s.numel, s.dtype)
	case total/size > s.numel:
		return e, fmt.Errorf("%v are more numbers than the %d of its storage", e.info, s.numel)
	case ref.offset < 0 || ref.offset > s.numel:
		return e, fmt.Errorf("it begins at number %d of %d", ref.offset, s.numel)
	}
	if err := e.layOut(ref.strides); err != nil {
		return e, err
	}
	if last := e.last(); last > s.numel-ref.offset {
		return e, fmt.Errorf("%v with strides %v from number %d on ends after the %d of its storage",
			e.info, ref.strides, ref.offset, s.numel)
	}
	e.at = file.at + ref.offset*size
	return e, nil
}

// layOut finds out which way the numbers lie: in order; as a matrix whose rows are ld apart; or as
// one whose columns are, which is a transposed view (torch.svd gives V as one).
func (e *entry) layOut(strides []int64) error {
	shape := e.info.Shape
	inOrder, next := true, int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		inOrder = inOrder && (shape[i] <= 1 || strides[i] == next)
		next *= int64(shape[i])
	}
	if inOrder || e.info.Len() == 0 {
		return nil
	}
	if len(shape) == 2 {
		rows, cols := int64(shape[0]), int64(shape[1])
		switch {
		case (strides[1] == 1 || cols == 1) && strides[0] >= cols:
			e.ld = strides[0]
			return nil
		case (strides[0] == 1 || rows == 1) && strides[1] >= rows:
			e.ld, e.transposed = strides[1], true
			return nil
		}
	}
	return fmt.Errorf("%v with strides %v, want numbers in order or a matrix by rows or columns",
		e.info, strides)
}

// runs are how many stretches of numbers the tensor lies in, and how long one is.
func (e *entry) runs() (count, length int) {
	switch {
	case e.ld == 0:
		return min(1, e.info.Len()), e.info.Len()
	case e.transposed:
		return e.info.Shape[1], e.info.Shape[0]
	}
	return e.info.Shape[0], e.info.Shape[1]
}

// last is the count of numbers from the first of the tensor to its last.
func (e *entry) last() int64 {
	count, length := e.runs()
	if count == 0 {
		return 0
	}
	if e.ld > (math.MaxInt64-int64(length))/int64(count) {
		return math.MaxInt64
	}
	return int64(count-1)*e.ld + int64(length)
}

// Names lists the tensors, sorted. The slice is the caller's own.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Tensor says what the file holds under a name.
func (f *File) Tensor(name string) (checkpoint.Info, bool) {
	e, ok := f.tensors[name]
	return checkpoint.Info{DType: e.info.DType, Shape: slices.Clone(e.info.Shape)}, ok
}

// Metadata is empty: torch.save keeps none.
func (f *File) Metadata() map[string]string { return map[string]string{} }

// ReadInto converts a tensor of F32, F16, BF16 or F64 into dst, in the order of its shape.
func (f *File) ReadInto(name string, dst []float32, opts ...checkpoint.Option) error {
	e, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("torch: no tensor %q", name)
	}
	if n := e.info.Len(); n != len(dst) {
		return fmt.Errorf("torch: tensor %q is %v, %d numbers, want %d", name, e.info, n, len(dst))
	}
	count, length := e.runs()
	var column []float32
	if e.transposed {
		column = make([]float32, length)
	}
	for i := range count {
		to := dst[i*length : (i+1)*length]
		if e.transposed {
			to = column
		}
		at := e.at + int64(i)*e.ld*int64(e.info.DType.Size())
		if err := checkpoint.ReadFloats(f.r, at, e.info.DType, to); err != nil {
			return fmt.Errorf("torch: tensor %q is %v, %w", name, e.info, err)
		}
		if e.transposed {
			for k, v := range to {
				dst[k*count+i] = v
			}
		}
	}
	return checkpoint.CheckFinite(name, dst, opts...)
}
