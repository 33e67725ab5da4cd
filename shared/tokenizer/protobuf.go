package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ReadSentencePiece reads a tokenizer.model, which is SentencePiece's protobuf message: its pieces
// (field 1), how they were trained (2) and how a text is normalised (3). The file is not trusted; a
// model of another kind than BPE, or one that rewrites the text, is refused.
func ReadSentencePiece(r io.Reader) (*Tokenizer, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: read: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("tokenizer: read: more than %d MB, want a tokenizer.model", maxFile>>20)
	}
	m := modelProto{prefix: true, kind: 1}
	if err := m.read(data); err != nil {
		return nil, fmt.Errorf("tokenizer: read: tokenizer.model: %w", err)
	}
	t, err := sentencePieces(m.entries, m.prefix)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: read: tokenizer.model: %w", err)
	}
	return t, nil
}

// modelProto is what matters of the message. Booleans that a file leaves out are true in it.
type modelProto struct {
	entries []Entry
	kind    uint64 // 2 is BPE
	prefix  bool
}

func (m *modelProto) read(data []byte) error {
	trimmed := false
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			if len(m.entries) == maxVocab {
				return fmt.Errorf("more than %d pieces", maxVocab)
			}
			e, err := readEntry(f.bytes)
			m.entries = append(m.entries, e)
			return err
		case 2:
			return fields(f.bytes, func(f field) error {
				switch {
				case f.number == 3:
					m.kind = f.value
				case f.number == 24 && f.value != 0:
					return errors.New("its spaces end words, want them to begin words")
				}
				return nil
			})
		case 3:
			trimmed = true // what SentencePiece does unless told otherwise
			return fields(f.bytes, func(f field) error {
				switch {
				case f.number == 2 && len(f.bytes) > 0:
					return fmt.Errorf("it normalises characters, by a table of %d bytes, want none",
						len(f.bytes))
				case f.number == 3:
					m.prefix = f.value != 0
				case f.number == 4:
					trimmed = f.value != 0
				case f.number == 5 && f.value == 0:
					return errors.New("its spaces are not written ▁")
				}
				return nil
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(m.entries) == 0:
		return errors.New("no pieces in it")
	case m.kind != 2:
		return fmt.Errorf("model type %d, want 2 (BPE)", m.kind)
	case trimmed:
		return errors.New("it removes spaces that repeat, want all of them kept")
	}
	return nil
}

// readEntry reads one piece: its text (1), score (2) and kind (3).
func readEntry(data []byte) (Entry, error) {
	e := Entry{Kind: EntryNormal}
	err := fields(data, func(f field) error {
		switch f.number {
		case 1:
			e.Text = string(f.bytes)
		case 2:
			e.Score = math.Float32frombits(uint32(f.value))
		case 3:
			e.Kind = EntryKind(min(f.value, math.MaxInt32))
		}
		return nil
	})
	return e, err
}

// field is one field of a message: a number, or bytes that lie in the message.
type field struct {
	number uint64
	value  uint64
	bytes  []byte
}

// fields calls each for every field of a message, in order.
func fields(data []byte, each func(field) error) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return errors.New("a field's number does not end")
		}
		data = data[n:]
		f := field{number: tag >> 3}
		switch kind := tag & 7; kind {
		case 0, 2:
			if f.value, n = binary.Uvarint(data); n <= 0 {
				return fmt.Errorf("field %d: a number does not end", f.number)
			}
			data = data[n:]
			if kind == 2 {
				if f.value > uint64(len(data)) {
					return fmt.Errorf("field %d has %d bytes, %d are left",
						f.number, f.value, len(data))
				}
				f.bytes, data = data[:f.value], data[f.value:]
			}
		case 1, 5:
			size := map[uint64]int{1: 8, 5: 4}[kind]
			if len(data) < size {
				return fmt.Errorf("field %d has %d bytes, %d are left", f.number, size, len(data))
			}
			for i, b := range data[:size] {
				f.value |= uint64(b) << (8 * i)
			}
			data = data[size:]
		default:
			return fmt.Errorf("field %d is of wire type %d, want 0, 1, 2 or 5", f.number, kind)
		}
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}
