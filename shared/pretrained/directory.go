package pretrained

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"transformer2/shared/checkpoint"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// The files of a Hugging Face directory.
const (
	configFile     = "config.json"
	generationFile = "generation_config.json"
	singleFile     = "model.safetensors"
	indexFile      = "model.safetensors.index.json"
	tokenizerJSON  = "tokenizer.json"
	tokenizerModel = "tokenizer.model"
	tokenizerConf  = "tokenizer_config.json"
	templateFile   = "chat_template.jinja"
)

// maxText bounds the small files of a directory, whose largest is the index of the shards.
const maxText = 64 << 20

// directory is a model as Hugging Face's hub lays it out.
type directory struct {
	files   fs.FS
	weights string // one file that holds all weights; "": the usual names
	o       Options
}

// Config reads config.json.
func (d *directory) Config() (llama.Config, error) {
	c, err := engine.House{Files: d.files}.Config()
	c.Context = d.o.limited(c.Context)
	return c, err
}

// Tokenizer reads tokenizer.json, or a tokenizer.model where there is none, and how the model
// converses from the files beside it.
func (d *directory) Tokenizer() (*tokenizer.Tokenizer, error) {
	t, version, err := d.vocabulary()
	if err != nil {
		return nil, err
	}
	f, err := d.facts()
	if err != nil {
		return nil, err
	}
	f.version = version
	return f.style(t), nil
}

// Texts are the small files of the directory that describe the weights.
func (d *directory) Texts() []string {
	var have []string
	for _, name := range texts {
		if exists(d.files, name) {
			have = append(have, name)
		}
	}
	return have
}

// vocabulary reads the first tokenizer's file that there is.
func (d *directory) vocabulary() (t *tokenizer.Tokenizer, version string, err error) {
	for _, v := range []string{"v3", "v2", "v1"} {
		if exists(d.files, tokenizerModel+"."+v) {
			version = v
			break
		}
	}
	name, read := tokenizerModel, tokenizer.ReadSentencePiece
	switch {
	case exists(d.files, tokenizerJSON):
		name, read = tokenizerJSON, tokenizer.ReadAny
	case !exists(d.files, name) && version != "":
		name += "." + version
	}
	file, err := d.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("it has no %s and no %s", tokenizerJSON, tokenizerModel)
	}
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	if t, err = read(file); err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return t, version, nil
}

// facts reads what the small files say.
func (d *directory) facts() (f facts, err error) {
	var config, generation struct {
		EOS  ids    `json:"eos_token_id"`
		Name string `json:"_name_or_path"`
	}
	var tok struct {
		Template chatTemplate `json:"chat_template"`
	}
	for _, file := range []struct {
		name string
		into any
	}{{configFile, &config}, {generationFile, &generation}, {tokenizerConf, &tok}} {
		data, err := readText(d.files, file.name, maxText)
		if err != nil {
			return f, err
		}
		if data == nil {
			continue
		}
		if err := checkpoint.UnmarshalJSON(data, file.into); err != nil {
			return f, fmt.Errorf("%s: %w", file.name, err)
		}
	}
	jinja, err := readText(d.files, templateFile, maxText)
	if err != nil {
		return f, err
	}
	f.jinja, f.name = cmp.Or(string(jinja), string(tok.Template)), config.Name
	f.eos = union(generation.EOS, config.EOS)
	return f, nil
}

// ids is a token's id, or a list of them; null is none.
type ids []int32

func (l *ids) UnmarshalJSON(data []byte) error {
	var list []int32
	if data[0] != '[' && data[0] != 'n' {
		list = make([]int32, 1)
		if err := json.Unmarshal(data, &list[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, id := range list {
		if id < 0 || id == math.MaxInt32 {
			return fmt.Errorf("token id %d", id)
		}
	}
	*l = list
	return nil
}

// chatTemplate is a template, or the one named "default" of a list.
type chatTemplate string

func (c *chatTemplate) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		var text *string
		err := json.Unmarshal(data, &text)
		if text != nil {
			*c = chatTemplate(*text)
		}
		return err
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, t := range list {
		if t.Name == "default" {
			*c = chatTemplate(t.Template)
		}
	}
	return nil
}

// Weights opens the weights, in one file or in the shards of the index, for as long as f runs.
func (d *directory) Weights(f func(checkpoint.Source) error) error {
	name := d.weights
	if name == "" && exists(d.files, singleFile) {
		name = singleFile
	}
	if name != "" {
		return engine.House{Files: d.files, WeightsFile: name}.Weights(f)
	}
	data, err := readText(d.files, indexFile, maxText)
	if err == nil && data == nil {
		err = fmt.Errorf("it has no %s and no %s", singleFile, indexFile)
	}
	if err != nil {
		return err
	}
	s, err := openShards(d.files, data)
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	defer s.Close()
	return f(s)
}
