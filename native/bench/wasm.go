package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// wantWasm is how much faster WebAssembly's vectors should be than plain loops there.
const wantWasm = 12

// module is this program's, and timer the command in it that measures under WebAssembly.
const (
	module = "transformer2"
	timer  = module + "/native/bench/forms"
)

// buildLimit bounds the build for WebAssembly, the first of which compiles the standard library.
const buildLimit = 3 * time.Minute

// wasm builds forms (forms/main.go) for js/wasm and runs it under node.
func wasm(ctx context.Context, env Env) ([]Figure, error) {
	size := env.size().gemm
	f := Figure{Name: fmt.Sprintf("gemm f32 %dx%dx%d, WebAssembly, portable simd form", size[0],
		size[1], size[2]), Unit: "GFLOP/s", Against: "plain loops, WebAssembly",
		Want: atLeast(wantWasm)}
	env.say("%s", f.Name)
	simd, loops, err := runWasm(ctx, env, size)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		f.Note = "not measured: " + err.Error()
		return []Figure{f}, nil
	}
	return []Figure{f.versus(f.Against, simd, loops, gigaflops(size))}, nil
}

func runWasm(ctx context.Context, env Env, size [3]int) (simd, loops series, err error) {
	for _, need := range []struct{ tool, pkg string }{{"go", "golang"}, {"node", "nodejs"}} {
		if _, err := exec.LookPath(need.tool); err != nil {
			return simd, loops, fmt.Errorf("it needs %s (Debian's %s)", need.tool, need.pkg)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	// The source may need a newer toolchain than the one on the path: what this program was built by.
	version := "GOTOOLCHAIN=" + plainVersion(runtime.Version())
	host := toolchain{dir: env.Root, env: []string{version}}
	name, err := host.run(ctx, "go", "list", "-m")
	if err != nil || name != module {
		return simd, loops, fmt.Errorf("it needs the source, run in the folder of module %s (%w)",
			module, cmp.Or(err, fmt.Errorf("this is %s", name)))
	}
	goroot, err := host.run(ctx, "go", "env", "GOROOT")
	if err != nil {
		return simd, loops, err
	}
	dir, err := os.MkdirTemp("", "t2-wasm-")
	if err != nil {
		return simd, loops, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "forms.wasm")
	build := toolchain{dir: env.Root, env: []string{version, "GOOS=js", "GOARCH=wasm",
		"GOEXPERIMENT=simd"}}
	if _, err := build.run(ctx, "go", "build", "-o", program, timer); err != nil {
		return simd, loops, err
	}
	turns := "5"
	if env.Quick {
		turns = "1"
	}
	// As go_js_wasm_exec runs programs: Go's stack in JavaScript's is deeper than node's default.
	out, err := host.run(ctx, "node", "--stack-size=8192",
		filepath.Join(goroot, "lib/wasm/wasm_exec_node.js"), program,
		strconv.Itoa(size[0]), strconv.Itoa(size[1]), strconv.Itoa(size[2]), turns)
	if err != nil {
		return simd, loops, err
	}
	return parseTurns(out)
}

// plainVersion is "go1.27.2" of "go1.27.2-X:simd" or "go1.27.2 X:simd".
func plainVersion(v string) string {
	if at := strings.IndexAny(v, " -"); at >= 0 {
		return v[:at]
	}
	return v
}

// toolchain runs commands in a folder, with more environment.
type toolchain struct {
	dir string
	env []string
}

// run gives what a command prints, without the space around it.
func (t toolchain) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = t.dir, append(os.Environ(), t.env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err,
			cut(strings.TrimSpace(said.String())))
	}
	return strings.TrimSpace(out.String()), nil
}

// parseTurns reads a line "SECONDS SECONDS" a turn: the portable form's, the loops'.
func parseTurns(text string) (simd, loops series, err error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		var pair []float64
		for _, word := range words {
			if v, err := strconv.ParseFloat(word, 64); err == nil && v > 0 && v < 1e6 {
				pair = append(pair, v)
			}
		}
		if len(words) != 2 || len(pair) != 2 {
			return series{}, series{}, fmt.Errorf("forms said %q, want two times", cut(line))
		}
		simd.seconds, loops.seconds = append(simd.seconds, pair[0]), append(loops.seconds, pair[1])
	}
	if len(simd.seconds) == 0 {
		return simd, loops, fmt.Errorf("forms said nothing")
	}
	return simd, loops, nil
}
