package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/engine/desk"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/task"
	"transformer2/shared/zoo"
	"transformer2/web"
)

// Site writes the static site into dir: the page, the engine in wasm (built from package wasm), and
// the models of the zoo. What an earlier site left in dir goes.
func Site(ctx context.Context, dir string, wasm, wasmExec []byte) error {
	in := web.Input{Engine: wasm, WasmExec: wasmExec}
	for _, name := range zoo.Names() {
		files, err := modelFiles(name)
		if err != nil {
			return err
		}
		in.Models = append(in.Models, web.Model{Name: name, Files: files})
	}
	var err error
	if in.Precomputed, err = precompute(ctx); err != nil {
		return fmt.Errorf("answers to have on screen at once: %w", err)
	}
	if err := clearSite(dir); err != nil {
		return err
	}
	return web.Build(func(name string, data []byte) error {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o666)
	}, in)
}

// clearSite makes room for a site. A folder that holds something else is left alone.
func clearSite(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		return fmt.Errorf("%s holds something that is no site: want an empty or a new folder", dir)
	}
	for _, name := range []string{"assets", "files"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func modelFiles(name string) (map[string][]byte, error) {
	model, err := zoo.Open(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = fs.WalkDir(model, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(model, path)
		return err
	})
	return files, err
}

// shown are the tasks whose questions are answered beforehand; each has an expert of its name.
var shown = []string{"math", "code", "reasoning", "french", "shout"}

// recorded is a request and all events that it led to, result and all.
type recorded struct {
	Request protocol.Generate `json:"request"`
	Events  []protocol.Event  `json:"events"`
}

// pageForm is the form that the page computes by.
const pageForm = "simd"

// precompute answers a question of each of the shown tasks as the base and as its expert.
func precompute(ctx context.Context) ([]byte, error) {
	form := "" // the best there is
	if slices.Contains(cpu.Forms(), pageForm) {
		form = pageForm
	}
	dev, err := cpu.New(cpu.Options{Form: form})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	p := &player{events: make(chan protocol.Event, 1<<12)}
	p.desk = desk.New(desk.Config{Engine: "native", Dev: dev, Kernel: dev.Form(), Threads: 1,
		Models: zoo.Names, Open: openZoo, Store: &checkpoint.Memory{},
		Emit: func(e protocol.Event) { p.events <- e }})
	defer p.desk.Close()
	if _, err := p.play(protocol.TypeLoad, protocol.Load{Model: zoo.Default}); err != nil {
		return nil, err
	}
	var out struct {
		Version int        `json:"version"`
		Runs    []recorded `json:"runs"`
	}
	out.Version = protocol.Version
	for _, name := range shown {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := p.telling(name)
		if err != nil {
			return nil, err
		}
		out.Runs = append(out.Runs, r)
	}
	return json.Marshal(out)
}

func openZoo(name string) (engine.Source, error) {
	files, err := zoo.Open(name)
	return engine.Source{Name: name, Files: files}, err
}

// player puts requests to a desk one after another.
type player struct {
	desk   *desk.Desk
	events chan protocol.Event
	last   int64
}

func (p *player) play(kind string, body any) ([]protocol.Event, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	p.last++
	request, err := json.Marshal(protocol.Request{V: protocol.Version, ID: p.last, Type: kind,
		Body: data})
	if err != nil {
		return nil, err
	}
	p.desk.Handle(request)
	for all := []protocol.Event(nil); ; {
		e := <-p.events
		all = append(all, e)
		switch e.Type {
		case protocol.EventResult:
			return all, nil
		case protocol.EventError:
			return nil, errors.New(e.Body.(protocol.Error).Message)
		}
	}
}

// looked is how many questions of a task are tried for one that tells.
const looked = 50

// telling finds the first test question that the expert answers better than the base.
func (p *player) telling(name string) (recorded, error) {
	t, err := task.Lookup(name)
	if err != nil {
		return recorded{}, err
	}
	for i := range looked {
		it := t.Item(task.Test, i)
		r := recorded{Request: protocol.Generate{Prompt: it.Prompt, MaxTokens: 96, Top: 10, Score: true,
			Seed: 1, Voices: []protocol.Voice{{}, {Expert: name}}}}
		if r.Events, err = p.play(protocol.TypeGenerate, r.Request); err != nil {
			return r, err
		}
		var scores [2]float64
		for _, e := range r.Events {
			if a, ok := e.Body.(protocol.Answer); ok {
				scores[a.Voice] = t.Score(it, a.Text)
			}
		}
		if scores[1] > scores[0] {
			return r, nil
		}
	}
	return recorded{}, fmt.Errorf("no question of the first %d of %s that its expert answers better "+
		"than the base", looked, name)
}
