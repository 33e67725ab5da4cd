package enginetest

import (
	"encoding/json"
	"strings"
	"testing"

	"transformer2/shared/engine/protocol"
)

// emptyTensors is a safetensors file without tensors.
var emptyTensors = append([]byte{2, 0, 0, 0, 0, 0, 0, 0}, "{}"...)

// long is a prompt of more tokens than a context has, and of fewer bytes than a prompt may have.
var long = strings.Repeat("pilu ", 900)

// refusedVoices are the voices of a generate that must be refused, by what the reason must say.
var refusedVoices = map[string]string{
	"0 voices":      ``,
	"5 voices":      `{},{},{},{},{}`,
	`"maths"`:       `{"expert":"maths"}`,
	"unknown field": `{"alpha":1}`,
	"index into z":  `{"edits":[{"matrix":"` + gate + `","index":32,"z":1}]}`,
	"is 1e+300":     `{"edits":[{"matrix":"` + gate + `","index":0,"z":1e300}]}`,
	`no matrix "x"`: `{"edits":[{"matrix":"x","index":0,"z":1}]}`,
	"what to keep":  `{"keep":[{"matrix":"` + gate + `","top":-1}]}`,
	`"magic"`:       `{"control":"magic"}`,
	"twice":         `{"mix":[{"expert":"math","alpha":1},{"expert":"math","alpha":1}]}`,
	"one of them":   `{"expert":"math","mix":[{"expert":"math","alpha":1}]}`,
}

// refusedRequests must be refused, by what the reason must say.
var refusedRequests = map[string]struct {
	kind string
	body any
}{
	"prompt is empty": {protocol.TypeGenerate,
		protocol.Generate{Voices: []protocol.Voice{{}}, MaxTokens: 4}},
	`"q3"`: {protocol.TypeLoad, protocol.Load{Model: Model, Weights: "q3"}},
	// The tiny model's MLP is no multiple of a block of q8.
	"blocks of 32": {protocol.TypeLoad, protocol.Load{Model: Model, Weights: "q8"}},
	"maxTokens is 0": {protocol.TypeGenerate,
		protocol.Generate{Prompt: "x", Voices: []protocol.Voice{{}}}},
	"stop texts is 65": {protocol.TypeGenerate, protocol.Generate{Prompt: "x", MaxTokens: 4,
		Voices: []protocol.Voice{{}}, Stop: strings.Split(strings.Repeat(" x", 65)[1:], " ")}},
	"top is 51": {protocol.TypeNext,
		protocol.Next{Prompt: "x", Voices: []protocol.Voice{{}}, Top: 51}},
	"shorten the prompt": {protocol.TypeNext,
		protocol.Next{Prompt: long, Voices: []protocol.Voice{{}}}},
	"at most 16384": {protocol.TypeTokenize, protocol.Tokenize{Text: strings.Repeat("x", 1<<15)}},
	`"dance"`:       {protocol.TypeQuestion, protocol.Question{Task: "dance"}},
	"split":         {protocol.TypeEvaluate, protocol.Evaluate{Task: "math", Split: "all", N: 1}},
	"n is 0":        {protocol.TypeEvaluate, protocol.Evaluate{Task: "math", Split: "test"}},
	`"palm"`:        {protocol.TypeClassify, protocol.Classify{Prompt: "x", By: "palm"}},
	"finds nothing": {protocol.TypeClassify, protocol.Classify{Prompt: "x", By: "none"}},
	"k is 0":        {protocol.TypeSearch, protocol.Search{Task: "math"}},
	"steps is 0":    {protocol.TypeTrain, protocol.Train{Name: "x", Task: "math"}},
	"not an expert file": {protocol.TypeImport,
		protocol.Import{Name: "x", Data: emptyTensors}},
	"no z to write": {protocol.TypeExport, protocol.Export{Name: "x"}},
	"of your own":   {protocol.TypeForget, protocol.Forget{Expert: "math"}},
	"not open":      {protocol.TypeControl, protocol.Control{Target: 1 << 40, Action: "cancel"}},
}

func refusals(t *testing.T, c *client) {
	check := func(kind string, body any, want string) {
		t.Helper()
		e := c.refused(kind, body)
		if e.Code != protocol.CodeBadRequest || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %+v, want it to say %q", kind, e, want)
		}
	}
	for want, voices := range refusedVoices {
		check(protocol.TypeGenerate,
			json.RawMessage(`{"prompt":"x","maxTokens":4,"voices":[`+voices+`]}`), want)
	}
	for want, r := range refusedRequests {
		check(r.kind, r.body, want)
	}
}
