//go:build !js

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/engine/enginetest"
)

// The engine as it ships passes the suite of the protocol, run by node as a Web Worker would.
func TestProtocol(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("node is not installed: make deps")
	}
	engine := filepath.Join(t.TempDir(), "engine.wasm")
	build := exec.Command("go", "build", "-o", engine, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js")
	model := writeModel(t)
	enginetest.Run(t, func(t *testing.T) enginetest.Conn {
		return worker(t, exec.Command(node, "testdata/engine.js", engine, script, model,
			enginetest.Model))
	})
}

// writeModel writes the suite's model into a folder.
func writeModel(t *testing.T) string {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, enginetest.Files(t, dev, 1, enginetest.Experts...)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mostEvent bounds a line: the export of an expert is the longest.
const mostEvent = 64 << 20

// worker starts a worker whose messages are lines.
func worker(t *testing.T, cmd *exec.Cmd) enginetest.Conn {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	events := make(chan []byte, 1<<14)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, mostEvent)
		for lines.Scan() {
			events <- append([]byte(nil), lines.Bytes()...)
		}
	}()
	t.Cleanup(func() {
		in.Close() // the worker ends with its input
		<-done
		cmd.Wait()
	})
	return enginetest.Conn{Events: events, Send: func(request []byte) {
		fmt.Fprintf(in, "%s\n", request)
	}}
}
