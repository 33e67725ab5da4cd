package checkpoint

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Torch is an open file of torch.save, PyTorch 1.6 and later: a zip that holds a pickle, which
// says what there is, and the numbers of every storage as they lie in memory. The pickle is read,
// never run (torchpickle.go): what it names besides tensors is refused. Several goroutines may read
// one Torch where the io.ReaderAt allows it.
type Torch struct {
	r       io.ReaderAt
	names   []string
	tensors map[string]torchEntry
}

var _ Source = (*Torch)(nil)

// torchEntry is a tensor whose first number lies at a byte of the file. Where it is transposed, the
// columns of its matrix lie one after the other, ld numbers apart; else the rows do.
type torchEntry struct {
	info       Info
	at         int64
	ld         int64
	transposed bool
}

// Bounds on what a file may claim, far above any that torch.save writes of a model.
const (
	maxTorchDirectory = 16 << 20 // bytes of the zip's directory
	maxTorchPickle    = 4 << 20
)

// OpenTorch reads the directory and the pickle of a file of size bytes. It fails where the zip has
// a compressed entry, the pickle holds anything but a dictionary of tensors, or a tensor does not
// lie within its storage and that within the file.
func OpenTorch(r io.ReaderAt, size int64) (*Torch, error) {
	t := &Torch{r: r, tensors: map[string]torchEntry{}}
	if err := t.read(size); err != nil {
		return nil, fmt.Errorf("checkpoint: not a file of torch.save that can be read: %w", err)
	}
	return t, nil
}

func (t *Torch) read(size int64) error {
	files, err := torchZip(t.r, size)
	if err != nil {
		return err
	}
	folder := ""
	for name := range files {
		if f, ok := strings.CutSuffix(name, "data.pkl"); ok && strings.Count(name, "/") == 1 {
			folder = f
		}
	}
	pickle, ok := files[folder+"data.pkl"]
	switch {
	case !ok:
		return errors.New("the zip has no data.pkl")
	case pickle.size > maxTorchPickle:
		return fmt.Errorf("a pickle of %d bytes, want at most %d", pickle.size, maxTorchPickle)
	}
	data := make([]byte, pickle.size)
	if err := readFull(t.r, data, pickle.at); err != nil {
		return err
	}
	if err := t.littleEndian(files[folder+"byteorder"]); err != nil {
		return err
	}
	dict, err := unpickle(data)
	if err != nil {
		return fmt.Errorf("data.pkl: %w", err)
	}
	for _, name := range dict.keys {
		ref, ok := dict.values[name].(*torchTensor)
		if !ok {
			return fmt.Errorf("%.60q is %s, want a tensor", name, pickleKind(dict.values[name]))
		}
		e, err := ref.locate(files[folder+"data/"+ref.storage.key])
		if err != nil {
			return fmt.Errorf("tensor %.60q: %w", name, err)
		}
		t.tensors[name] = e
	}
	t.names = slices.Sorted(maps.Keys(t.tensors))
	return nil
}

// littleEndian refuses the files of machines of the other byte order, which newer ones tell.
func (t *Torch) littleEndian(order zipEntry) error {
	text := make([]byte, min(order.size, 8))
	if err := readFull(t.r, text, order.at); err != nil {
		return err
	}
	if s := string(text); s != "" && s != "little" {
		return fmt.Errorf("its byte order is %q, want little", s)
	}
	return nil
}

// zipEntry is where the bytes of a file within a zip lie.
type zipEntry struct{ at, size int64 }

// torchZip lists the files of a zip, all of which must be stored as they are. Their checksums are
// not looked at: torch writes wrong ones where it is told to save time.
func torchZip(r io.ReaderAt, size int64) (map[string]zipEntry, error) {
	var magic [4]byte
	if size < int64(len(magic)) {
		return nil, fmt.Errorf("%d bytes are too few for a zip", size)
	}
	if err := readFull(r, magic[:], 0); err != nil {
		return nil, err
	}
	if !bytes.Equal(magic[:], []byte("PK\x03\x04")) {
		return nil, fmt.Errorf("it begins with %q, want a zip (torch before 1.6 wrote none: load "+
			"and save such a file again)", magic)
	}
	limited := &limitedReader{r: r, left: maxTorchDirectory}
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
		limited.left = maxTorchDirectory // of a local header
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
		return 0, fmt.Errorf("the zip's directory is longer than %d bytes", maxTorchDirectory)
	}
	return l.r.ReadAt(b, off)
}

// locate checks a tensor against its storage and that against its file.
func (ref *torchTensor) locate(file zipEntry) (torchEntry, error) {
	s := ref.storage
	e := torchEntry{info: Info{DType: s.dtype, Shape: ref.shape}}
	size := int64(s.dtype.Size())
	total, err := e.info.bytes()
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
func (e *torchEntry) layOut(strides []int64) error {
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
func (e *torchEntry) runs() (count, length int) {
	switch {
	case e.ld == 0:
		return min(1, e.info.Len()), e.info.Len()
	case e.transposed:
		return e.info.Shape[1], e.info.Shape[0]
	}
	return e.info.Shape[0], e.info.Shape[1]
}

// last is the count of numbers from the first of the tensor to its last.
func (e *torchEntry) last() int64 {
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
func (t *Torch) Names() []string { return slices.Clone(t.names) }

// Tensor says what the file holds under a name.
func (t *Torch) Tensor(name string) (Info, bool) {
	e, ok := t.tensors[name]
	return Info{DType: e.info.DType, Shape: slices.Clone(e.info.Shape)}, ok
}

// Metadata is empty: torch.save keeps none.
func (t *Torch) Metadata() map[string]string { return map[string]string{} }

// ReadInto converts a tensor of F32, F16, BF16 or F64 into dst, in the order of its shape.
func (t *Torch) ReadInto(name string, dst []float32, opts ...Option) error {
	e, ok := t.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: no tensor %q", name)
	}
	if _, ok := decoders[e.info.DType]; !ok {
		return notFloat(name, e.info)
	}
	if n := e.info.Len(); n != len(dst) {
		return fmt.Errorf("checkpoint: tensor %q is %v, %d numbers, want %d", name, e.info, n, len(dst))
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
		if err := readFloats(t.r, at, e.info.DType, to); err != nil {
			return fmt.Errorf("checkpoint: tensor %q: %w", name, err)
		}
		if e.transposed {
			for k, v := range to {
				dst[k*count+i] = v
			}
		}
	}
	return checkFinite(name, dst, opts)
}
