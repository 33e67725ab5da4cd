package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Bounds of a tokenizer.json. The largest published one (Gemma's) has 34 MB.
const (
	maxFile     = 128 << 20 // bytes
	maxSequence = 4         // pre-tokenizer sequences within each other
	maxSteps    = 16        // steps of one sequence
)

// Read reads a Hugging Face tokenizer.json of the byte-level BPE kind. The file is not trusted:
// whatever this package would read differently than Hugging Face does is refused with a sentence
// that names it. What surrounds a text rather than splitting it ("post_processor", "truncation",
// "padding") is left to the caller, see Template.
func Read(r io.Reader) (*Tokenizer, error) { return read(r, byteLevelJSON) }

// read reads a file and makes of it what translate does.
func read(r io.Reader, translate func(*fileJSON) (*Tokenizer, error)) (*Tokenizer, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: read: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("tokenizer: read: more than %d MB, want a tokenizer.json",
			maxFile>>20)
	}
	var f fileJSON
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: read: tokenizer.json: %w", err)
	}
	var t *Tokenizer
	if err = f.check(); err == nil {
		t, err = translate(&f)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: read: %w", err)
	}
	return t, nil
}

func byteLevelJSON(f *fileJSON) (*Tokenizer, error) {
	if f.Model.ByteFallback {
		return nil, errors.New("byte_fallback, want a byte-level model")
	}
	v, err := f.vocabulary()
	if err != nil {
		return nil, err
	}
	return build(v)
}

// fileJSON is a tokenizer.json.
type fileJSON struct {
	AddedTokens  addedList  `json:"added_tokens"`
	Normalizer   *kindJSON  `json:"normalizer"`
	PreTokenizer *kindJSON  `json:"pre_tokenizer"`
	Decoder      *kindJSON  `json:"decoder"`
	Model        *modelJSON `json:"model"`
}

// modelJSON is its "model". Pointers tell null from zero.
type modelJSON struct {
	Type         string    `json:"type"`
	Dropout      *float64  `json:"dropout"`
	Prefix       *string   `json:"continuing_subword_prefix"`
	Suffix       *string   `json:"end_of_word_suffix"`
	Unknown      *string   `json:"unk_token"`
	ByteFallback bool      `json:"byte_fallback"`
	IgnoreMerges bool      `json:"ignore_merges"`
	Vocab        vocabMap  `json:"vocab"`
	Merges       mergeList `json:"merges"`
}

// addedJSON is one of its "added_tokens".
type addedJSON struct {
	ID         json.Number `json:"id"`
	Content    string      `json:"content"`
	SingleWord bool        `json:"single_word"`
	LStrip     bool        `json:"lstrip"`
	RStrip     bool        `json:"rstrip"`
	Special    bool        `json:"special"`
}

// kindJSON is a normalizer, pre-tokenizer or decoder: the fields of every kind this package knows.
type kindJSON struct {
	Type           string   `json:"type"`
	PreTokenizers  stepList `json:"pretokenizers"`
	Pattern        *patJSON `json:"pattern"`
	Behavior       string   `json:"behavior"`
	AddPrefixSpace *bool    `json:"add_prefix_space"` // absent means true
	UseRegex       *bool    `json:"use_regex"`        // absent means true
	Normalizers    stepList `json:"normalizers"`
	Prepend        string   `json:"prepend"`
	Content        string   `json:"content"`
	Replacement    string   `json:"replacement"`
	Scheme         string   `json:"prepend_scheme"`
	Split          *bool    `json:"split"` // absent means true
}

// patJSON is a pattern: a regular expression or a plain string.
type patJSON struct {
	Regex  *string `json:"Regex"`
	String *string `json:"String"`
}

// check refuses what no Tokenizer does.
func (f *fileJSON) check() error {
	m := f.Model
	switch {
	case m == nil:
		return errors.New("no model in it")
	case m.Type != "" && m.Type != "BPE":
		return fmt.Errorf("model type %.40q, want BPE", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("dropout %g, want none", *m.Dropout)
	case m.Prefix != nil && *m.Prefix != "":
		return fmt.Errorf("continuing_subword_prefix %.40q, want none", *m.Prefix)
	case m.Suffix != nil && *m.Suffix != "":
		return fmt.Errorf("end_of_word_suffix %.40q, want none", *m.Suffix)
	}
	return nil
}

// vocabulary translates a byte-level file, refusing what Tokenizer does not do.
func (f *fileJSON) vocabulary() (v vocabulary, err error) {
	m := f.Model
	switch {
	case f.Normalizer != nil:
		return v, fmt.Errorf("normalizer %.40q, want none", f.Normalizer.Type)
	case f.Decoder != nil && f.Decoder.Type != "ByteLevel":
		return v, fmt.Errorf("decoder %.40q, want ByteLevel", f.Decoder.Type)
	}
	if v.pre, err = f.preTokenizer(); err != nil {
		return v, err
	}
	v.wholeWords = m.IgnoreMerges
	if v.added, err = f.added(); err != nil {
		return v, err
	}
	if v.plain, err = m.plain(v.added); err != nil {
		return v, err
	}
	v.merges, err = m.pairs(v.plain)
	return v, err
}

// preTokenizer finds the split patterns. The last step must be ByteLevel, which is what makes the
// vocabulary one of bytes.
func (f *fileJSON) preTokenizer() (preTokenizer, error) {
	if f.PreTokenizer == nil {
		return preTokenizer{}, errors.New("no pre_tokenizer, want ByteLevel")
	}
	steps, err := flatten(*f.PreTokenizer, maxSequence)
	if err != nil {
		return preTokenizer{}, err
	}
	var stages []stage
	for i, step := range steps {
		last := i == len(steps)-1
		switch {
		case step.Type == "Split" && !last:
			s, err := step.split()
			if err != nil {
				return preTokenizer{}, err
			}
			stages = append(stages, s)
		case step.Type == "ByteLevel" && last:
			if step.AddPrefixSpace == nil || *step.AddPrefixSpace {
				return preTokenizer{}, errors.New("ByteLevel with add_prefix_space, want without")
			}
			if step.UseRegex == nil || *step.UseRegex {
				stages = append(stages, stage{pattern: patternGPT2})
			}
		default:
			return preTokenizer{}, fmt.Errorf("pre_tokenizer step %d of %d is %.40q, "+
				"want Split steps and a last one ByteLevel", i+1, len(steps), step.Type)
		}
	}
	if len(steps) == 0 {
		return preTokenizer{}, errors.New("pre_tokenizer is an empty Sequence, want ByteLevel")
	}
	return newPreTokenizer(stages)
}

// flatten lists the steps of a pre-tokenizer.
func flatten(k kindJSON, depth int) ([]kindJSON, error) {
	if k.Type != "Sequence" {
		return []kindJSON{k}, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("pre_tokenizer Sequences more than %d deep", maxSequence)
	}
	var steps []kindJSON
	for _, inner := range k.PreTokenizers {
		more, err := flatten(inner, depth-1)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// split reads a Split step. "invert" swaps matches and what lies between them, which Isolated
// treats alike.
func (k *kindJSON) split() (stage, error) {
	switch {
	case k.Behavior != "Isolated":
		return stage{}, fmt.Errorf("a Split with behavior %.40q, want Isolated", k.Behavior)
	case k.Pattern == nil || (k.Pattern.Regex == nil) == (k.Pattern.String == nil):
		return stage{}, errors.New("a Split without a pattern, want a Regex or a String")
	case k.Pattern.Regex != nil:
		return stage{pattern: *k.Pattern.Regex}, nil
	}
	return stage{pattern: *k.Pattern.String, quoted: true}, nil
}

// added reads the added tokens.
func (f *fileJSON) added() ([]addedToken, error) {
	var out []addedToken
	for _, a := range f.AddedTokens {
		if a.SingleWord || a.LStrip || a.RStrip {
			return nil, fmt.Errorf("added token %.40q has single_word, lstrip or rstrip, "+
				"want none of them", a.Content)
		}
		id, err := parseID(a.ID)
		if err != nil {
			return nil, fmt.Errorf("added token %.40q has %w", a.Content, err)
		}
		out = append(out, addedToken{id, a.Content, a.Special})
	}
	return out, nil
}

// plain reads the tokens that are made of bytes: all of "vocab" except the added ones.
func (m *modelJSON) plain(added []addedToken) (map[string]int32, error) {
	names := make(map[string]int32, len(added))
	for _, a := range added {
		names[a.name] = a.id
	}
	out := make(map[string]int32, len(m.Vocab))
	for chars, id := range m.Vocab {
		if want, ok := names[chars]; ok {
			if id != want {
				return nil, fmt.Errorf("token %q has id %d in vocab and %d in added_tokens",
					chars, id, want)
			}
			continue
		}
		raw, err := fromChars(chars)
		if err != nil {
			return nil, err
		}
		if len(raw) == 0 || len(raw) > maxToken {
			return nil, fmt.Errorf("token %d has %d bytes, want 1 to %d", id, len(raw), maxToken)
		}
		out[raw] = id
	}
	return out, nil
}

// pairs reads the merges.
func (m *modelJSON) pairs(plain map[string]int32) ([]pair, error) {
	out := make([]pair, len(m.Merges))
	for i, chars := range m.Merges {
		var ids [2]int32
		for side, c := range chars {
			raw, err := fromChars(c)
			if err != nil {
				return nil, fmt.Errorf("merge %d: %w", i, err)
			}
			id, ok := plain[raw]
			if !ok {
				return nil, fmt.Errorf("merge %d joins %.40q, which is not a token", i, c)
			}
			ids[side] = id
		}
		out[i] = pair{ids[0], ids[1]}
	}
	return out, nil
}
