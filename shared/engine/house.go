package engine

import (
	"fmt"
	"io/fs"

	"transformer2/shared/checkpoint"
	"transformer2/shared/llama"
	"transformer2/shared/tokenizer"
)

// House is the Format of the models that ship with the program: config.json, tokenizer.json and
// one safetensors file.
type House struct {
	Files       fs.FS
	WeightsFile string
}

// Config reads config.json.
func (h House) Config() (llama.Config, error) {
	file, err := h.Files.Open(configFile)
	if err != nil {
		return llama.Config{}, err
	}
	defer file.Close()
	config, err := llama.ReadConfig(file)
	if err != nil {
		return config, fmt.Errorf("%s: %w", configFile, err)
	}
	return config, nil
}

// Tokenizer reads tokenizer.json.
func (h House) Tokenizer() (*tokenizer.Tokenizer, error) {
	file, err := h.Files.Open(tokenizerFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	tok, err := tokenizer.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	return tok, nil
}

// Weights opens the weights' file for as long as f runs.
func (h House) Weights(f func(checkpoint.Source) error) error {
	blob, err := OpenBlob(h.Files, h.WeightsFile)
	if err != nil {
		return err
	}
	defer blob.Close()
	weights, err := checkpoint.Open(blob, blob.Size())
	if err == nil {
		err = f(weights)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.WeightsFile, err)
	}
	return nil
}
