package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"transformer2/shared/checkpoint"
	"transformer2/shared/llama"
)

// HFOptions say how WriteHF writes.
type HFOptions struct {
	Type  checkpoint.DType // of all tensors: F32, F16 or BF16
	Shard int64            // most bytes of a file of weights; 0: 5 GB, as everyone has it
}

const hfShard = 5e9

// hfTypes are Hugging Face's names of the types.
var hfTypes = map[checkpoint.DType]string{checkpoint.F32: "float32", checkpoint.F16: "float16",
	checkpoint.BF16: "bfloat16"}

// Texts is what a Format may also tell: which small files lie beside the weights that describe
// them, as Hugging Face's tools read them. They travel with the weights as they are.
type Texts interface{ Texts() []string }

// The files of a directory that are written where the model came without them.
const (
	generationFile    = "generation_config.json"
	tokenizerConfFile = "tokenizer_config.json"
	indexFile         = weightsFile + ".index.json"
)

// WriteHF writes the model as a voice has it, z folded into the weights, as a directory that
// Hugging Face's tools and this program load: config.json last, so that one which was cut short is
// none. A number that the type cannot hold is an error.
func (s *Session) WriteHF(ctx context.Context, dir checkpoint.Store, v Voice, o HFOptions) error {
	if hfTypes[o.Type] == "" {
		return fmt.Errorf("tensors as %s: want F32, F16 or BF16", o.Type)
	}
	config, err := s.Model.hfConfig(o.Type)
	if err != nil {
		return err
	}
	m, err := s.weightsOf(ctx, v)
	if err != nil {
		return err
	}
	if err := writeShards(dir, hfTensors(ctx, m, o.Type), cmp.Or(o.Shard, hfShard)); err != nil {
		return err
	}
	if err := s.Model.writeTexts(dir); err != nil {
		return err
	}
	return writeJSON(dir, configFile, config)
}

// hfConfig is the model's own config.json, or one that says the same, with the type of the weights.
func (m *Model) hfConfig(t checkpoint.DType) (map[string]any, error) {
	config := map[string]any{}
	if slices.Contains(m.texts(), configFile) {
		data, err := fs.ReadFile(m.files, configFile)
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(data))
			d.UseNumber() // as they are written
			err = d.Decode(&config)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", configFile, err)
		}
	} else if err := m.newConfig(config); err != nil {
		return nil, err
	}
	delete(config, "dtype") // newer files' name of the same
	config["torch_dtype"] = hfTypes[t]
	return config, nil
}

// newConfig is the config.json of a model that came without one.
func (m *Model) newConfig(config map[string]any) error {
	c, err := m.LM.Config.Named()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := errors.Join(c.Write(&text), json.Unmarshal(text.Bytes(), &config)); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	config["_name_or_path"] = path.Base(m.Name)
	for key, value := range m.ends() {
		config[key] = value
	}
	return nil
}

// ends are the tokens that begin a text and end an answer, as config.json and
// generation_config.json have them.
func (m *Model) ends() map[string]any {
	ends := map[string]any{}
	if id, ok := m.Tok.Begins(); ok {
		ends["bos_token_id"] = id
	}
	if stops := m.Tok.Stops(); len(stops) > 0 {
		ends["eos_token_id"] = stops
	}
	return ends
}

// texts are the small files that the model came with.
func (m *Model) texts() []string {
	if f, ok := m.format.(Texts); ok {
		return f.Texts()
	}
	return nil
}

// writeTexts copies the small files but config.json, and writes those that are missing.
func (m *Model) writeTexts(dir checkpoint.Store) error {
	have := m.texts()
	for _, name := range have {
		if name == configFile {
			continue
		}
		err := dir.Create(name, func(w io.Writer) error {
			file, err := m.files.Open(name)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = io.Copy(w, file)
			return err
		})
		if err != nil {
			return err
		}
	}
	// A vocabulary of pieces is enough only where the file beside it says whose class reads it.
	described := slices.Contains(have, tokenizerConfFile)
	if !slices.Contains(have, tokenizerFile) &&
		!(described && slices.ContainsFunc(have, isPieces)) {
		if err := dir.Create(tokenizerFile, m.Tok.Write); err != nil {
			return err
		}
	}
	if !slices.Contains(have, generationFile) {
		if err := writeJSON(dir, generationFile, m.ends()); err != nil {
			return err
		}
	}
	if described {
		return nil
	}
	conf := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast",
		"model_max_length":             m.LM.Config.Context,
		"clean_up_tokenization_spaces": false} // else "nuts ." loses its space
	if id, ok := m.Tok.Begins(); ok {
		conf["bos_token"] = m.Tok.Token(id)
	}
	if stops := m.Tok.Stops(); len(stops) > 0 {
		conf["eos_token"] = m.Tok.Token(stops[0])
	}
	if jinja := m.Tok.Jinja(); jinja != "" {
		conf["chat_template"] = jinja
	}
	return writeJSON(dir, tokenizerConfFile, conf)
}

// isPieces tells a SentencePiece vocabulary, such as tokenizer.model.v3.
func isPieces(name string) bool {
	ok, _ := path.Match("tokenizer.model*", name)
	return ok
}

func writeJSON(dir checkpoint.Store, name string, v any) error {
	return dir.Create(name, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false) // templates are full of < and >
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

// hfTensors are the tensors of m, read from the device one at a time as they are written.
func hfTensors(ctx context.Context, m *llama.Model, t checkpoint.DType) []checkpoint.Tensor {
	var tensors []checkpoint.Tensor
	for _, spec := range m.Tensors() {
		shape := []int{spec.Rows, spec.Cols}
		if spec.Rows == 1 {
			shape = shape[1:]
		}
		encode := func(w io.Writer) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			data, err := m.ReadTensor(spec.Name)
			if err == nil {
				err = t.Holds(data)
			}
			if err != nil {
				return err
			}
			return checkpoint.FromFloat32(spec.Name, t, data, shape...).Encode(w)
		}
		tensors = append(tensors, checkpoint.Tensor{Name: spec.Name,
			Info: checkpoint.Info{DType: t, Shape: shape}, Encode: encode})
	}
	return tensors
}

// writeShards writes the weights, in one file or in several of at most limit bytes with an index.
func writeShards(dir checkpoint.Store, tensors []checkpoint.Tensor, limit int64) error {
	var shards [][]checkpoint.Tensor
	var total, filled int64
	for _, t := range tensors {
		size := int64(t.Len()) * int64(t.DType.Size())
		if len(shards) == 0 || filled+size > limit {
			shards, filled = append(shards, nil), 0
		}
		shards[len(shards)-1] = append(shards[len(shards)-1], t)
		filled, total = filled+size, total+size
	}
	where := map[string]string{}
	for i, shard := range shards {
		name := weightsFile
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		for _, t := range shard {
			where[t.Name] = name
		}
		err := dir.Create(name, func(w io.Writer) error {
			return checkpoint.Write(w, shard, map[string]string{"format": "pt"})
		})
		if err != nil {
			return err
		}
	}
	if len(shards) == 1 {
		return nil
	}
	return writeJSON(dir, indexFile, map[string]any{"weight_map": where,
		"metadata": map[string]any{"total_size": total}})
}
