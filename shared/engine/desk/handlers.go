package desk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
)

// handlers answer the requests that wait their turn, by type.
var handlers map[string]func(*job) (any, error)

func init() {
	handlers = map[string]func(*job) (any, error){
		protocol.TypeLoad:     of((*job).load),
		protocol.TypeGenerate: of((*job).generate),
		protocol.TypeNext:     of((*job).next),
		protocol.TypeHeat:     of((*job).heat),
		protocol.TypeSpectrum: of((*job).spectrum),
		protocol.TypeClassify: of((*job).classify),
		protocol.TypeAdapt:    of((*job).adapt),
		protocol.TypeSearch:   of((*job).search),
		protocol.TypeTrain:    of((*job).train),
		protocol.TypeEvaluate: of((*job).evaluate),
		protocol.TypeQuestion: of((*job).question),
		protocol.TypeTokenize: of((*job).tokenize),
		protocol.TypeImport:   of((*job).importExpert),
		protocol.TypeExport:   of((*job).export),
		protocol.TypeForget:   of((*job).forget),
	}
}

// of reads a request's body for its handler.
func of[Body, Result any](f func(*job, Body) (Result, error)) func(*job) (any, error) {
	return func(j *job) (any, error) {
		var body Body
		if err := decode(j.body, &body); err != nil {
			return nil, err
		}
		result, err := f(j, body)
		if err != nil {
			return nil, err
		}
		return result, nil
	}
}

// decode reads a body strictly: what an engine does not know it does not ignore.
func decode(data json.RawMessage, body any) error {
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the body ends in the middle")
		}
		return fmt.Errorf("the body cannot be read: %w", err)
	}
	return nil
}

// checkText refuses what cannot be a prompt, a system text or an example.
func checkText(what, text string) error {
	if len(text) > protocol.MaxPromptBytes {
		return fmt.Errorf("the %s has %d bytes, want at most %d", what, len(text),
			protocol.MaxPromptBytes)
	}
	return engine.CheckPrompt(what, text)
}

// within refuses a number outside lo … hi.
func within(what string, n, lo, hi int) error {
	if n < lo || n > hi {
		return fmt.Errorf("%s is %d, want %d … %d", what, n, lo, hi)
	}
	return nil
}
