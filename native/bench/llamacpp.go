package bench

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

//go:embed llamacpp/driver.c
var llamaCppDriver string

// LlamaCppPackages is where npm puts llama.cpp's libraries, from the root of the source tree.
const LlamaCppPackages = "native/bench/llamacpp/node_modules"

// errNoLlamaCpp says what would bring the peer.
var errNoLlamaCpp = errors.New("llama.cpp's libraries are not installed: npm --prefix " +
	"native/bench/llamacpp install --ignore-scripts")

// llamaCpp is a process that runs llama.cpp's libraries (llamacpp/driver.c says what it can do).
type llamaCpp struct {
	*peer
	version string // "llama.cpp 0.5.0, libggml-cpu-zen4.so"
}

// llamaCppLibraries finds the libraries below packages.
func llamaCppLibraries(packages string) (dir string, libraries []string, err error) {
	dir, err = filepath.Abs(filepath.Join(packages, "@node-llama-cpp/linux-x64/bins/linux-x64"))
	if err != nil || runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", nil, errors.Join(err, errNoLlamaCpp)
	}
	for _, pattern := range []string{"libllama.v*.so", "libggml.v*.so", "libggml-base.so"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) != 1 {
			return "", nil, errors.Join(err, errNoLlamaCpp)
		}
		libraries = append(libraries, found[0])
	}
	return dir, libraries, nil
}

// startLlamaCpp builds the driver in a folder of its own and starts it. When ctx ends the process is
// killed.
func startLlamaCpp(ctx context.Context, packages, work string) (*llamaCpp, error) {
	dir, libraries, err := llamaCppLibraries(packages)
	if err != nil {
		return nil, err
	}
	source, driver := filepath.Join(work, "driver.c"), filepath.Join(work, "driver")
	if err := os.WriteFile(source, []byte(llamaCppDriver), 0o666); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "cc", append([]string{"-O2", "-Wall", "-o", driver, source,
		"-Wl,-rpath," + dir}, libraries...)...)
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("llama.cpp's driver: %w: %s", err, cut(strings.TrimSpace(string(said))))
	}
	p, err := startPeer(exec.CommandContext(ctx, driver, dir))
	if err != nil {
		return nil, err
	}
	a, err := p.ask(ctx, importLimit, "about")
	if err != nil {
		p.close()
		return nil, err
	}
	return &llamaCpp{peer: p, version: "llama.cpp " + a.text}, nil
}

// open loads a model for threads, with flash attention or without, and with keys and values in f16 as
// it has them by default.
func (l *llamaCpp) open(ctx context.Context, file string, positions, threads int,
	flash bool) error {
	on := 0
	if flash {
		on = 1
	}
	_, err := l.ask(ctx, measureLimit, "open %s %d %d %d 1", file, positions, threads, on)
	return err
}

// openExact loads a model to compare numbers with: keys and values in f32.
func (l *llamaCpp) openExact(ctx context.Context, file string, positions int) error {
	_, err := l.ask(ctx, measureLimit, "open %s %d 1 0 0", file, positions)
	return err
}

// llama.cpp's numbers for files whose matrices are F32, and Q4_0.
const (
	wideFileType = 0
	q4FileType   = 2
)

// quantized writes a file's matrices in another type, beside it under a name of its own.
func (l *llamaCpp) quantized(ctx context.Context, file, name string, fileType int) (string, error) {
	to := filepath.Join(filepath.Dir(file), name+".gguf")
	_, err := l.ask(ctx, measureLimit, "quantize %s %s %d", file, to, fileType)
	return to, err
}

// greedy continues a prompt by so many tokens.
func (l *llamaCpp) greedy(ctx context.Context, prompt []int32, tokens int) ([]int32, error) {
	a, err := l.ask(ctx, measureLimit, "greedy %d%s", tokens, words(prompt))
	if err == nil && len(a.numbers) != tokens {
		err = fmt.Errorf("%d tokens came, want %d", len(a.numbers), tokens)
	}
	ids := make([]int32, len(a.numbers))
	for i, v := range a.numbers {
		ids[i] = int32(v)
	}
	return ids, err
}

// logits are the scores behind each of the tokens, [len(ids) vocab]; they come in a file.
func (l *llamaCpp) logits(ctx context.Context, file string, ids []int32, vocab int) ([]float32,
	error) {
	if _, err := l.ask(ctx, measureLimit, "logits %s%s", file, words(ids)); err != nil {
		return nil, err
	}
	defer os.Remove(file)
	return readFloats(file, len(ids)*vocab)
}

func words(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, " %d", id)
	}
	return b.String()
}

// readFloats reads a file of n numbers.
func readFloats(file string, n int) ([]float32, error) {
	data, err := os.ReadFile(file)
	if err == nil && len(data) != 4*n {
		err = fmt.Errorf("%s has %d bytes, want %d", file, len(data), 4*n)
	}
	x := make([]float32, len(data)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return x, err
}

// side is a side that the peer measures.
func (l *llamaCpp) side(format string, args ...any) side {
	return side{peer: true, run: func(ctx context.Context) (float64, error) {
		a, err := l.ask(ctx, measureLimit, format, args...)
		if err != nil {
			return 0, err
		}
		time.Sleep(settle)
		return a.seconds()
	}}
}
