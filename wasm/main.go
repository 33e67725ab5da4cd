//go:build js && wasm

// Command wasm is the engine in a Web Worker. It has no files and no network: the worker's script
// hands it the files of a model, then requests, and hears its events:
//
//	globalThis.t2 = {addFile(path, Uint8Array), send(json)}    made here
//	globalThis.t2emit(json), globalThis.t2ready()              made by the script
//	globalThis.t2gpu, globalThis.t2why                         set by it: see choose
//
// A path is a model's name and the file's: "tako/config.json", "tako/experts/math.safetensors".
// Go has one thread here, and messages are delivered only while it waits. Long work asks its
// context at each step whether to go on; there it lets the event loop run (see breather).
package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall/js"
	"testing/fstest"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/protocol"
)

// batchRows holds the thread for some 50 ms in a training of a model of a million parameters.
const batchRows = 256

// files are the models' files by path.
var files = fstest.MapFS{}

func main() {
	c, err := choose()
	if err != nil {
		panic(err) // the best form of a build is always there
	}
	breath := newBreather()
	d := desk.New(desk.Config{Engine: "wasm", Dev: c.dev, Kernel: c.kernel, Reason: c.reason,
		Threads: 1, Open: open, Store: &checkpoint.Memory{},
		Wrap: breath.wrap, Emit: emit, Models: models, Ahead: true, BatchRows: batchRows})
	js.Global().Set("t2", js.ValueOf(map[string]any{
		"addFile": js.FuncOf(func(_ js.Value, args []js.Value) any {
			data := make([]byte, args[1].Length())
			js.CopyBytesToGo(data, args[1])
			files[args[0].String()] = &fstest.MapFile{Data: data}
			return nil
		}),
		"send": js.FuncOf(func(_ js.Value, args []js.Value) any {
			d.Handle([]byte(args[0].String()))
			return nil
		}),
	}))
	if ready := js.Global().Get("t2ready"); ready.Type() == js.TypeFunction {
		ready.Invoke()
	}
	select {}
}

// models are the names that files were added for.
func models() []string {
	names := map[string]bool{}
	for path := range files {
		if name, file, ok := strings.Cut(path, "/"); ok && file == "config.json" {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func open(name string) (engine.Source, error) {
	sub, err := fs.Sub(files, name)
	if err != nil {
		return engine.Source{}, err
	}
	return engine.Source{Name: name, Files: sub}, nil
}

func emit(e protocol.Event) {
	data, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("event %s: %v", e.Type, err)) // every event can be written
	}
	js.Global().Call("t2emit", string(data))
}
