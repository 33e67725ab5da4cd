package pretrained

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
)

// shapesDir holds every metadata key and tensor name of real GGUFs, without the weights.
const shapesDir = "../../../shared/data/shapes"

// hollow is a file whose header is there and whose data reads as zeros, however long it is.
type hollow struct{ header []byte }

func (h hollow) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(h.header)) {
		copy(b, h.header[off:])
	}
	return len(b), nil
}

// published are the full-size configs.
var published = map[string]llama.Config{
	"Meta-Llama-3-8B-Instruct.json": {Vocab: 128256, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32,
		KVHeads: 8, HeadDim: 128, Context: 8192, RopeTheta: 500000, Eps: 1e-5},
	"Mistral-7B-Instruct-v0.2.json": {Vocab: 32000, Dim: 4096, Hidden: 14336, Layers: 32, Heads: 32,
		KVHeads: 8, HeadDim: 128, Context: 32768, RopeTheta: 10000, Eps: 1e-5},
}

// The names and the shape of each family's real file resolve completely, in both directions.
func TestRealShapesResolve(t *testing.T) {
	for name, want := range published {
		data, err := os.ReadFile(filepath.Join(shapesDir, name))
		if os.IsNotExist(err) {
			t.Skipf("test material %s is absent", name)
		}
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]string
		if err := json.Unmarshal(data, &keys); err != nil {
			t.Fatal(err)
		}
		header, size := headerOf(t, keys, want)
		file, err := checkpoint.OpenGGUF(hollow{header}, size)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ggufConfig(file)
		if err != nil || !reflect.DeepEqual(c, want) {
			t.Fatalf("%s: %+v (%v), want %+v", name, c, err, want)
		}
		r, err := newRenamed(file, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckTensors(r); err != nil {
			t.Error(err)
		}
		if n := len(r.Names()); n != len(file.Names()) || n != 291 {
			t.Errorf("%s: %d of %d tensors resolve, want 291", name, n, len(file.Names()))
		}
	}
}

// headerOf is the header of a GGUF with the keys, each tensor of the shape that the config gives
// it, and the whole file's size.
func headerOf(t *testing.T, keys map[string]string, c llama.Config) ([]byte, int64) {
	t.Helper()
	le := binary.LittleEndian
	specs := map[string]llama.TensorSpec{}
	for _, spec := range c.Tensors() {
		specs[engine.GGUFName(spec.Name)] = spec
	}
	var values, tensors []byte
	var nValues, nTensors uint64
	at := uint64(0)
	text := func(b []byte, s string) []byte {
		return append(le.AppendUint64(b, uint64(len(s))), s...)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		value := keys[key]
		if strings.Contains(key, ".weight") {
			spec, ok := specs[key]
			if !ok {
				t.Fatalf("%s is none of the names that the config gives", key)
			}
			sides := []uint64{uint64(spec.Cols), uint64(spec.Rows)}
			if spec.Rows == 1 {
				sides = sides[:1]
			}
			tensors = le.AppendUint32(text(tensors, key), uint32(len(sides)))
			for _, side := range sides {
				tensors = le.AppendUint64(tensors, side)
			}
			tensors = le.AppendUint64(le.AppendUint32(tensors, uint32(checkpoint.GGUFF16)), at)
			at += (uint64(spec.Rows*spec.Cols)*2 + 31) / 32 * 32
			nTensors++
			continue
		}
		values = text(values, key)
		nValues++
		if n, err := strconv.ParseUint(value, 10, 32); err == nil && !strings.Contains(key, "freq_base") {
			values = le.AppendUint32(le.AppendUint32(values, 4), uint32(n))
		} else if x, err := strconv.ParseFloat(value, 64); err == nil {
			values = append(le.AppendUint32(values, 12), float64Bytes(x)...)
		} else {
			values = text(le.AppendUint32(values, 8), value)
		}
	}
	header := le.AppendUint32([]byte("GGUF"), 3)
	header = le.AppendUint64(le.AppendUint64(header, nTensors), nValues)
	header = append(append(header, values...), tensors...)
	return header, int64(len(header)+31)/32*32 + int64(at)
}

func float64Bytes(x float64) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, x)
	if err != nil {
		panic(err)
	}
	return b
}

var _ io.ReaderAt = hollow{}
