// Package pretrained answers: which model do these files hold, as their makers publish them?
//
// Two layouts are read: a Hugging Face directory (config.json, safetensors in one file or in
// shards, tokenizer.json or tokenizer.model) and a GGUF, which is all of that in one file. Both
// give the same thing, an engine.Format: tensors under the names of llama.Config.Tensors, in the
// order of rows that the arithmetic here has, a tokenizer, and how the model converses.
package pretrained

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"transformer2/shared/engine"
)

// Options change how files are read.
type Options struct {
	// Context bounds the positions that memory is made for; 0: as many as the model was made for.
	Context int
}

// Open finds out what files hold. weights names the weights' file; where it is "", the folder is
// searched. What the file says is read when the Format is asked.
func Open(files fs.FS, weights string, o Options) (engine.Format, error) {
	switch {
	case isGGUF(weights):
		return &gguf{files, weights, o}, nil
	case weights != "":
		return &directory{files, weights, o}, nil
	case exists(files, singleFile) || exists(files, indexFile):
		return &directory{files, "", o}, nil
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var ggufs, pickles []string
	for _, e := range entries {
		switch name := e.Name(); {
		case isGGUF(name):
			ggufs = append(ggufs, name)
		case strings.HasSuffix(name, ".bin") || strings.HasSuffix(name, ".pth"):
			pickles = append(pickles, name)
		}
	}
	switch {
	case len(ggufs) == 1:
		return &gguf{files, ggufs[0], o}, nil
	case len(ggufs) > 1:
		return nil, fmt.Errorf("it holds %d GGUF files, name one of them: %s", len(ggufs),
			strings.Join(ggufs, ", "))
	case len(pickles) > 0:
		return nil, fmt.Errorf("its weights are pickles (%s), want %s, %s or a GGUF", pickles[0],
			singleFile, indexFile)
	}
	return nil, fmt.Errorf("it has no %s, %s or GGUF", singleFile, indexFile)
}

func isGGUF(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".gguf") }

func exists(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}

// limited is the context of a model within the options' bound.
func (o Options) limited(context int) int {
	if o.Context > 0 {
		return min(o.Context, context)
	}
	return context
}

// readText reads a file of at most limit bytes; nil where there is none.
func readText(files fs.FS, name string, limit int64) ([]byte, error) {
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// union is the ids of all lists, each once, in the order in which they come.
func union(lists ...[]int32) []int32 {
	var out []int32
	for _, id := range slices.Concat(lists...) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}
