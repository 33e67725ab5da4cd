package enginetest

import (
	"strings"
	"testing"

	"transformer2/shared/engine/protocol"
)

var shots = []protocol.Shot{
	{Prompt: "What does the kafin eat?", Answer: "pilu", Worked: "The kafin eats pilu."},
	{Prompt: "What does the dorfin eat?", Answer: "fenna", Worked: "The dorfin eats fenna."},
}

func search(t *testing.T, c *client) {
	for name, ask := range map[string]protocol.Search{
		"written": {Shots: shots, Seed: 1},
		"task":    {Task: "reasoning", K: 3, Held: 4, Seed: 1, Experts: []string{"math", "classify"}},
	} {
		found, events := result[protocol.Found](c, protocol.TypeSearch, ask)
		if len(events) == 0 || found.Stopped == "" || found.Answers == 0 || len(found.Alpha) != 2 {
			t.Errorf("%s: %+v after %d generations", name, found, len(events))
		}
		for i, e := range events {
			g := read[protocol.Generation](t, e)
			if g.Index != i || len(g.Members) != len(g.Values) || len(g.Experts) != 2 ||
				len(g.Best) != 2 || len(g.Elites) == 0 || (g.Held < 0) != (ask.Held == 0) {
				t.Errorf("%s: %+v", name, g)
			}
		}
	}
}

// pause holds a search after one generation, lets another pass, and then ends it.
func pause(t *testing.T, c *client) {
	o := c.ask(protocol.TypeSearch, protocol.Search{Shots: shots, Seed: 2, Paused: true})
	first := o.until(protocol.EventGeneration)
	if g := read[protocol.Generation](t, first[len(first)-1]); g.Index != 0 {
		t.Fatalf("generation %d", g.Index)
	}
	waiting := c.ask(protocol.TypeHello, nil) // is answered at once
	waiting.until(protocol.EventResult)
	select {
	case e := <-o.events:
		t.Fatalf("a search that is paused went on: %s", e.Type)
	default:
	}
	o.control(protocol.ActionStep)
	second := o.until(protocol.EventGeneration)
	if g := read[protocol.Generation](t, second[len(second)-1]); g.Index != 1 {
		t.Fatalf("generation %d", g.Index)
	}
	o.control(protocol.ActionCancel)
	all := o.until(protocol.EventError)
	if e := read[protocol.Error](t, all[len(all)-1]); e.Code != protocol.CodeCancelled {
		t.Errorf("%+v", e)
	}
}

// training asks for a short one.
func training(name string, steps int) protocol.Train {
	return protocol.Train{Name: name, Task: "shout", Reward: "long", Steps: steps, Prompts: 2,
		Samples: 4, Rate: 0.05, KL: 0.01, Temperature: 1, Scope: "mlp", Seed: 1, EvalEvery: 1,
		EvalItems: 4}
}

func trainAndKeep(t *testing.T, c *client) {
	done, events := result[protocol.Trained](c, protocol.TypeTrain, training("mine", 2))
	steps, evals, samples := 0, 0, 0
	for _, e := range events {
		switch e.Type {
		case protocol.EventSample:
			samples++
		case protocol.EventStep:
			if s := read[protocol.Step](t, e); s.Eval {
				evals++
			} else if steps++; s.Step != steps || s.Metrics["length"] == 0 {
				t.Errorf("%+v", s)
			}
		}
	}
	if steps != 2 || evals != 2 || samples == 0 || done.Stopped || done.Expert.Name != "mine" {
		t.Errorf("%d steps, %d evaluations, %d samples: %+v", steps, evals, samples, done)
	}
	h, _ := result[protocol.HeatMap](c, protocol.TypeHeat, protocol.Heat{
		Voice: protocol.Voice{Expert: "mine"}})
	for _, x := range h.Cells {
		if mlp := strings.Contains(x.Matrix, "mlp"); mlp != (x.MeanAbs > 0) {
			t.Errorf("%+v, though mlp alone was trained", x)
		}
	}
	if e := c.refused(protocol.TypeTrain, training("math", 1)); e.Code != protocol.CodeBadRequest {
		t.Errorf("a shipped expert's name: %+v", e)
	}
}

// stopTraining pauses after the first step, and what was learnt so far is kept.
func stopTraining(t *testing.T, c *client) {
	ask := training("early", 1000)
	ask.Paused = true
	o := c.ask(protocol.TypeTrain, ask)
	o.until(protocol.EventStep)
	o.control(protocol.ActionCancel)
	all := o.until(protocol.EventResult)
	done := read[protocol.Trained](t, all[len(all)-1])
	if !done.Stopped || done.Expert.Name != "early" {
		t.Errorf("%+v", done)
	}
}

// experts takes a voice out as a file and in again.
func experts(t *testing.T, c *client) {
	edited := protocol.Voice{Expert: "math",
		Edits: []protocol.Edit{{Matrix: gate, Index: 1, Z: -2}}}
	file, _ := result[protocol.File](c, protocol.TypeExport,
		protocol.Export{Name: "copy", Voice: edited})
	if file.Name != "copy.safetensors" {
		t.Errorf("%q", file.Name)
	}
	again := func(name string, data []byte) protocol.Import {
		return protocol.Import{Name: name, Data: data}
	}
	e, _ := result[protocol.Expert](c, protocol.TypeImport, again("copy", file.Data))
	if e.Name != "copy" || e.Shipped {
		t.Errorf("%+v", e)
	}
	s, _ := result[protocol.Spectrum](c, protocol.TypeSpectrum, protocol.SpectrumOf{Matrix: gate,
		Voice: protocol.Voice{Expert: "copy"}})
	if s.Z[1] != -2 {
		t.Errorf("z 1 is %v after a way out and in, want -2", s.Z[1])
	}
	for name, data := range map[string][]byte{"cut": file.Data[:len(file.Data)/2],
		"": file.Data, "a b": file.Data, "math": file.Data, "base": file.Data} {
		if e := c.refused(protocol.TypeImport, again(name, data)); e.Message == "" {
			t.Errorf("%q: no reason", name)
		}
	}
	c.ask(protocol.TypeForget, protocol.Forget{Expert: "copy"}).until(protocol.EventResult)
	gone := protocol.Heat{Voice: protocol.Voice{Expert: "copy"}}
	if e := c.refused(protocol.TypeHeat, gone); !strings.Contains(e.Message, `"copy"`) {
		t.Errorf("a forgotten expert: %+v", e)
	}
}
