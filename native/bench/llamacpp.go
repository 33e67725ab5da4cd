package bench

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
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

// open loads a model for threads, with flash attention or without.
func (l *llamaCpp) open(ctx context.Context, file string, positions, threads int,
	flash bool) error {
	on := 0
	if flash {
		on = 1
	}
	_, err := l.ask(ctx, measureLimit, "open %s %d %d %d", file, positions, threads, on)
	return err
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
