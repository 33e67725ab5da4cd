package pretrained

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"transformer2/shared/checkpoint"
)

// texts are the small files that describe a directory's weights; a directory has some of them.
var texts = []string{configFile, generationFile, tokenizerJSON, tokenizerModel,
	tokenizerModel + ".v1", tokenizerModel + ".v2", tokenizerModel + ".v3", tokenizerConf,
	"special_tokens_map.json", "added_tokens.json", templateFile}

var shardFile = regexp.MustCompile(`^model-\d{5}-of-\d{5}\.safetensors$`)

// Choose picks, of all files that a model is published with, those that Open needs: the weights as
// safetensors with the small files beside them, else a GGUF. Of several GGUF one must be wanted by
// name, which leaves the rest out.
func Choose(published []string, wanted string) ([]string, error) {
	if wanted != "" {
		if !slices.Contains(published, wanted) {
			return nil, fmt.Errorf("it has no file %.80q", wanted)
		}
		return []string{wanted}, nil
	}
	var chosen, shards, ggufs []string
	for _, name := range slices.Sorted(slices.Values(published)) {
		switch {
		case slices.Contains(texts, name):
			chosen = append(chosen, name)
		case shardFile.MatchString(name):
			shards = append(shards, name)
		case isGGUF(name) && path.Base(name) == name:
			ggufs = append(ggufs, name)
		}
	}
	switch {
	case slices.Contains(published, singleFile):
		return append(chosen, singleFile), nil
	case slices.Contains(published, indexFile) && len(shards) > 0:
		return append(append(chosen, indexFile), shards...), nil
	case len(ggufs) == 1:
		return ggufs, nil
	case len(ggufs) > 1:
		const most = 8
		list := strings.Join(ggufs[:min(most, len(ggufs))], ", ")
		if len(ggufs) > most {
			list += ", ..."
		}
		return nil, fmt.Errorf("it has %d GGUF files, name one of them: %s", len(ggufs), list)
	}
	return nil, fmt.Errorf("it has no %s, %s or GGUF", singleFile, indexFile)
}

// Missing lists what a folder lacks to be a model that Open reads, as far as its names tell: none
// where a GGUF is there. weights are bytes of the weights, where the index tells them.
func Missing(files fs.FS) (lacks []string, weights int64, err error) {
	if ggufs, _ := fs.Glob(files, "*.[gG][gG][uU][fF]"); len(ggufs) > 0 {
		return nil, 0, nil
	}
	if !exists(files, configFile) {
		lacks = append(lacks, configFile)
	}
	models, _ := fs.Glob(files, tokenizerModel+"*")
	if len(models) == 0 && !exists(files, tokenizerJSON) {
		lacks = append(lacks, tokenizerJSON+" or "+tokenizerModel)
	}
	if exists(files, singleFile) {
		return lacks, 0, nil
	}
	data, err := readText(files, indexFile, maxText)
	if err != nil || data == nil {
		return append(lacks, singleFile+" or the shards of "+indexFile), 0, err
	}
	var index struct {
		Where    map[string]string `json:"weight_map"`
		Metadata struct {
			Size json.Number `json:"total_size"`
		} `json:"metadata"`
	}
	if err := checkpoint.UnmarshalJSON(data, &index); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", indexFile, err)
	}
	shards := map[string]bool{}
	for _, shard := range index.Where {
		if _, err := fs.Stat(files, shard); errors.Is(err, fs.ErrNotExist) {
			shards[shard] = true
		}
	}
	weights, _ = index.Metadata.Size.Int64() // older files have a float
	return append(lacks, slices.Sorted(maps.Keys(shards))...), weights, nil
}
