package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json/jsontext"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxHeader is the longest header that the format allows.
const maxHeader = 100_000_000

// maxDims bounds a shape; the deepest tensors of the models we read have five sides.
const maxDims = 16

const metadataKey = "__metadata__"

// entry is one tensor of a header: bytes [begin, end) of the data.
type entry struct {
	name       string
	info       Info
	begin, end int64
}

// readHeader reads and checks the header of a file of size bytes and returns its metadata, its
// tensors in the order of their data, and where the data starts.
func readHeader(r io.ReaderAt, size int64) (map[string]string, []entry, int64, error) {
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, nil, 0, fmt.Errorf("%d bytes are too few for a header", size)
	}
	if err := readFull(r, prefix[:], 0); err != nil {
		return nil, nil, 0, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader {
		return nil, nil, 0, fmt.Errorf("header of %d bytes, want at most %d", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, nil, 0, fmt.Errorf("header of %d bytes in a file of %d", n, size)
	}
	text := make([]byte, n)
	if err := readFull(r, text, 8); err != nil {
		return nil, nil, 0, err
	}
	meta, entries, err := parseHeader(text)
	if err != nil {
		return nil, nil, 0, err
	}
	data := 8 + int64(n)
	return meta, entries, data, layOut(entries, size-data)
}

// layOut sorts the tensors by their data and checks that they tile [0, size) without overlap
// or hole.
func layOut(entries []entry, size int64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		if a.begin != b.begin {
			return int(min(1, max(-1, a.begin-b.begin)))
		}
		if a.end != b.end {
			return int(min(1, max(-1, a.end-b.end)))
		}
		return strings.Compare(a.name, b.name)
	})
	var at int64
	for _, e := range entries {
		want, err := e.info.Bytes()
		switch {
		case err != nil:
			return fmt.Errorf("tensor %q: %w", e.name, err)
		case e.begin < 0 || e.end < e.begin || e.end > size:
			return fmt.Errorf("tensor %q: bytes [%d, %d) of %d of data",
				e.name, e.begin, e.end, size)
		case e.end-e.begin != want:
			return fmt.Errorf("tensor %q: %d bytes, want %d for %v",
				e.name, e.end-e.begin, want, e.info)
		case e.begin < at:
			return fmt.Errorf("tensor %q: starts at byte %d, within another that ends at %d",
				e.name, e.begin, at)
		case e.begin > at:
			return fmt.Errorf("tensor %q: starts at byte %d, bytes [%d, %d) belong to none",
				e.name, e.begin, at, e.begin)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("%d bytes of data, want the %d that the tensors take", size, at)
	}
	return nil
}

// headerParser walks the tokens of a header. jsontext refuses duplicate keys and bad UTF-8.
type headerParser struct{ d *jsontext.Decoder }

func parseHeader(text []byte) (map[string]string, []entry, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, nil, fmt.Errorf("header does not start with {")
	}
	p := headerParser{jsontext.NewDecoder(bytes.NewReader(text))}
	var meta map[string]string
	var entries []entry
	err := p.object(func(key string) (err error) {
		if key == metadataKey {
			meta, err = p.metadata()
			return err
		}
		e, err := p.entry(key)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	rest := bytes.TrimRight(text[p.d.InputOffset():], " \t\r\n")
	if len(rest) != 0 {
		return nil, nil, fmt.Errorf("header: %d bytes after its end", len(rest))
	}
	return meta, entries, nil
}

// object reads an object and calls field for each key; field reads the value.
func (p headerParser) object(field func(key string) error) error {
	if _, err := p.token('{'); err != nil {
		return err
	}
	for p.d.PeekKind() != '}' {
		key, err := p.token('"')
		if err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
	}
	_, err := p.token('}')
	return err
}

// token reads a token of a kind (`{`, `}`, `[`, `]`, `"`, `0`) and returns its text.
func (p headerParser) token(kind jsontext.Kind) (string, error) {
	t, err := p.d.ReadToken()
	if err != nil {
		return "", err
	}
	if t.Kind() != kind {
		return "", fmt.Errorf("at byte %d: want %v, got %v", p.d.InputOffset(), kind, t.Kind())
	}
	return t.String(), nil
}

func (p headerParser) metadata() (map[string]string, error) {
	meta := map[string]string{}
	return meta, p.object(func(key string) (err error) {
		meta[key], err = p.token('"')
		return err
	})
}

func (p headerParser) entry(name string) (entry, error) {
	e := entry{name: name, begin: -1}
	var dtype string
	var shape, offsets []int64
	err := p.object(func(key string) (err error) {
		switch key {
		case "dtype":
			dtype, err = p.token('"')
		case "shape":
			shape, err = p.ints(maxDims)
		case "data_offsets":
			offsets, err = p.ints(2)
		default:
			err = fmt.Errorf("unknown field %q", key)
		}
		return err
	})
	if err != nil {
		return e, fmt.Errorf("tensor %q: %w", name, err)
	}
	if dtype == "" || shape == nil || len(offsets) != 2 {
		return e, fmt.Errorf("tensor %q: want dtype, shape and two data_offsets", name)
	}
	e.info = Info{DType: DType(dtype), Shape: make([]int, len(shape))}
	for i, d := range shape {
		if e.info.Shape[i] = int(d); int64(e.info.Shape[i]) != d {
			return e, fmt.Errorf("tensor %q: shape %v overflows", name, shape)
		}
	}
	e.begin, e.end = offsets[0], offsets[1]
	return e, nil
}

// ints reads an array of at most n whole numbers ≥ 0.
func (p headerParser) ints(n int) ([]int64, error) {
	if _, err := p.token('['); err != nil {
		return nil, err
	}
	list := []int64{}
	for p.d.PeekKind() != ']' {
		text, err := p.token('0')
		if err != nil {
			return nil, err
		}
		if len(list) == n {
			return nil, fmt.Errorf("more than %d numbers", n)
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%s is not a whole number from 0 to 2^63-1", text)
		}
		list = append(list, v)
	}
	_, err := p.token(']')
	return list, err
}

// readFull fills b from byte off on.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %d: %w", len(b), off, err)
}
