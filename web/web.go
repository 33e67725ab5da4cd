// Package web makes the page: a static site that any file host can serve, from templ components,
// hand-written styles and scripts, an engine compiled to WebAssembly, and the models it runs.
//
//	index.html  manifest.json  precomputed.json  sw.js
//	assets/HASH/...          styles, scripts, words, lessons: one folder, named by all their bytes
//	files/HASH/...           the engine and the models' files, each named by its own bytes
//
// All paths are relative. What is named by its bytes never changes, so it is cached for good.
package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

//go:generate go tool templ generate

//go:embed assets content
var embedded embed.FS

// Input is what a site is made of besides this package's own files.
type Input struct {
	Engine   []byte // the WebAssembly module
	WasmExec []byte // Go's wasm_exec.js of the toolchain that built it
	Models   []Model
	// Precomputed are answers from the same engine, which are on screen before the model is there:
	// {"version":1,"runs":[{"request":Generate,"events":[Event]}]}.
	Precomputed []byte
}

// Model is a model with all its files by path: "config.json", "experts/math.safetensors".
type Model struct {
	Name  string
	Files map[string][]byte
}

// policy lets the page run its own scripts and the engine, and nothing else.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; " +
	"style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'"

// words are the texts of a language by their key.
type words map[string]string

func readWords(lang string) (words, error) {
	data, err := embedded.ReadFile("assets/lang/" + lang + ".json")
	if err != nil {
		return nil, err
	}
	var w words
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("web: lang/%s.json: %w", lang, err)
	}
	return w, nil
}

// file is an entry of the manifest.
type file struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// manifest says which files the worker brings, and how they are checked.
type manifest struct {
	Engine file              `json:"engine"`
	Models map[string][]file `json:"models"`
}

// site is a site while it is written.
type site struct {
	create func(name string, data []byte) error
	all    []string // what was written, for the service worker
}

func (s *site) write(name string, data []byte) error {
	s.all = append(s.all, name)
	if err := s.create(name, data); err != nil {
		return fmt.Errorf("web: %s: %w", name, err)
	}
	return nil
}

// Build writes a site, file by file, through create. The same input gives the same bytes.
func Build(create func(name string, data []byte) error, in Input) error {
	s := &site{create: create}
	assets, err := s.assets(in.WasmExec)
	if err != nil {
		return err
	}
	m := manifest{Models: map[string][]file{}}
	packed, err := squeeze(in.Engine)
	if err != nil {
		return err
	}
	if m.Engine, err = s.named("engine.wasm.gz", packed); err != nil {
		return err
	}
	for _, model := range in.Models {
		for _, name := range slices.Sorted(maps.Keys(model.Files)) {
			f, err := s.named(name, model.Files[name])
			if err != nil {
				return err
			}
			m.Models[model.Name] = append(m.Models[model.Name], f)
		}
	}
	return s.pages(assets, m, in.Precomputed)
}

// pages writes what is not named by its bytes.
func (s *site) pages(assets string, m manifest, precomputed []byte) error {
	english, err := readWords("en")
	if err != nil {
		return err
	}
	var html bytes.Buffer
	if err := page(english, assets).Render(context.Background(), &html); err != nil {
		return fmt.Errorf("web: page: %w", err)
	}
	list, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("web: manifest: %w", err)
	}
	for name, data := range map[string][]byte{"index.html": html.Bytes(), "manifest.json": list,
		"precomputed.json": precomputed} {
		if err := s.write(name, data); err != nil {
			return err
		}
	}
	return s.write("sw.js", s.serviceWorker(html.Bytes(), list, precomputed))
}

// named writes a file under a path that is made of its hash.
func (s *site) named(name string, data []byte) (file, error) {
	hash := sum(data)
	f := file{Name: strings.TrimSuffix(name, ".gz"), Bytes: len(data), SHA256: hash,
		Path: path.Join("files", hash[:16], path.Base(name))}
	return f, s.write(f.Path, data)
}

func sum(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// squeeze packs the engine, which many hosts would send as it is.
func squeeze(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// assets writes the package's own files into one folder and gives its name. Its script finds the
// others beside it.
func (s *site) assets(wasmExec []byte) (string, error) {
	files := map[string][]byte{"wasm_exec.js": wasmExec}
	add := func(root, as string) error {
		return fs.WalkDir(embedded, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || name == serviceWorkerFile {
				return err
			}
			data, err := embedded.ReadFile(name)
			files[as+strings.TrimPrefix(strings.TrimPrefix(name, root), "/")] = data
			return err
		})
	}
	if err := add("assets", ""); err != nil {
		return "", err
	}
	for _, lang := range languages {
		data, err := embedded.ReadFile("content/lessons." + lang + ".json")
		if err != nil {
			return "", err
		}
		files["lessons/"+lang+".json"] = data
	}
	var parts [][]byte
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		parts = append(parts, []byte(name), files[name])
	}
	dir := "assets/" + sum(parts...)[:16]
	for _, name := range names {
		if err := s.write(dir+"/"+name, files[name]); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// languages that the page speaks.
var languages = []string{"en", "zh"}

const serviceWorkerFile = "assets/sw.js"

// serviceWorker is the script that keeps the site for offline use: the page and its assets at once,
// the engine and the models when the page has fetched them.
func (s *site) serviceWorker(parts ...[]byte) []byte {
	var keep []string
	for _, name := range s.all {
		if !strings.HasPrefix(name, "files/") {
			keep = append(keep, name)
		}
	}
	slices.Sort(keep)
	list, _ := json.Marshal(append([]string{"./"}, keep...)) // strings can always be written
	script, _ := embedded.ReadFile(serviceWorkerFile)        // embedded above
	version := sum(append(parts, list)...)[:16]
	return []byte(strings.NewReplacer("__VERSION__", version, `"__FILES__"`, string(list)).
		Replace(string(script)))
}
