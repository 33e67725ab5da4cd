// Package zoo holds the models that ship with the program: small ones, trained by this program on
// its own generated corpus, with the record of how each was made.
//
// A model is a directory below models: config.json, tokenizer.json, model.safetensors, experts/,
// and log/, the run logs of everything in it. `make zoo` makes them anew.
package zoo

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// The run logs stay in the repository; the program does not need them.
//
//go:embed models/*/*.json models/*/model.safetensors models/*/experts
var files embed.FS

// Default is the model that a command uses when none is named.
const Default = "tako"

// Names lists the models, sorted.
func Names() []string {
	entries, err := files.ReadDir("models")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// Open gives a model's directory.
func Open(name string) (fs.FS, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("zoo: no model %q, there is: %s", name, strings.Join(Names(), ", "))
	}
	return fs.Sub(files, "models/"+name)
}
