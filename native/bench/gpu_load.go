package bench

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/llama"
	"transformer2/shared/zoo"
)

// mostBesideGB bounds what a process takes of the host's memory, beside the file that it maps, while a
// model goes up to the device, in GB.
const mostBesideGB = 2

// load measures that memory. The model's file has a true header and numbers that are all zero,
// which it holds as holes: reading it is like reading any other, and it takes no place on the disk.
func (g *gpuBench) load() error {
	s := g.shape
	name := fmt.Sprintf("gpu load %s bf16", s.name)
	g.say("%s", name)
	g.dev.Trim()
	dir, err := os.MkdirTemp("", "t2-load")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	size, err := WriteHollow(dir, s.config(256))
	if err != nil {
		return err
	}
	device := "gpu"
	if g.env.Adapter != "" {
		device += ":" + g.env.Adapter
	}
	cmd, err := t2(g.ctx, g.env.Command, "generate", "--model", dir, "--device", device, "--weights",
		"bf16", "--max-tokens", "1", "--prompt", question)
	if err != nil {
		return err
	}
	start := time.Now()
	peak, err := watchT2(cmd, ownMemory)
	if err != nil {
		return err
	}
	f := bound(fmt.Sprintf("%s (%.1f GB), host memory beside the file", name, float64(size)/1e9), "GB",
		peak/1e9, mostBesideGB)
	if peak == 0 {
		f = Figure{Name: f.Name, Unit: f.Unit, Value: math.NaN(),
			Note: "not measured: this system has no /proc/PID/status with RssAnon"}
	}
	g.figure(f)
	g.figure(Figure{Name: name + ", and one token", Unit: "s", Value: time.Since(start).Seconds()})
	return nil
}

// ownMemory is what a process has of its own: no file's pages, also where that lies in memory.
func ownMemory(status string) float64 { return statusBytes(status, "RssAnon") }

// WriteHollow writes a model of zeros in bf16 to a folder, with the tokenizer of one that ships,
// and gives the bytes of its weights' file, which is all holes.
func WriteHollow(dir string, c llama.Config) (bytes int64, err error) {
	files, err := zoo.Open(zoo.Default)
	if err != nil {
		return 0, err
	}
	tokenizer, err := fs.ReadFile(files, "tokenizer.json")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), tokenizer, 0o600); err != nil {
		return 0, err
	}
	if err := checkpoint.AtomicWrite(filepath.Join(dir, "config.json"), c.Write); err != nil {
		return 0, err
	}
	err = checkpoint.AtomicWrite(filepath.Join(dir, "model.safetensors"), func(w io.Writer) error {
		header, n, err := hollowHeader(c)
		bytes = n
		if err == nil {
			_, err = w.Write(header)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return bytes, os.Truncate(filepath.Join(dir, "model.safetensors"), bytes)
}

// hollowHeader is the header of a safetensors file of c's tensors in bf16, and the bytes of the
// whole file.
func hollowHeader(c llama.Config) (header []byte, size int64, err error) {
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	entries, at := map[string]entry{}, int64(0)
	for _, t := range c.Tensors() {
		shape := []int{t.Rows, t.Cols}
		if t.Rows == 1 {
			shape = shape[1:]
		}
		end := at + 2*int64(t.Rows)*int64(t.Cols)
		entries[t.Name] = entry{"BF16", shape, [2]int64{at, end}}
		at = end
	}
	text, err := json.Marshal(entries)
	header = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	return header, int64(len(header)) + at, err
}
