package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transformer2/shared/train"
)

const eventFields = "kind step steps seconds metrics? best?"

// tinyTraining is a training that takes a moment.
func tinyTraining(method, out string, steps string) []string {
	return []string{"train", "--model", tiny, "--task", "polite", "--method", method, "--prompts",
		"2", "--samples", "2",
		"--valid-items", "2", "--eval-every", "2", "--save-every", "1", "--steps", steps, "--out",
		out, "--json"}
}

func TestTrain(t *testing.T) {
	for _, method := range []string{"next-token", "reinforce"} {
		t.Run(method, func(t *testing.T) {
			dir := t.TempDir()
			events := lines(t, ok(t, tinyTraining(method, dir, "3")...), eventFields)
			kinds := map[string]int{}
			for _, e := range events {
				kinds[e["kind"].(string)]++
			}
			if kinds["step"] != 3 || kinds["eval"] != 2 {
				t.Errorf("%v", kinds)
			}
			logged := lines(t, string(get(t, dir, train.LogFile)), eventFields)
			if len(logged) != len(events) {
				t.Errorf("%d events, %d lines in the log", len(events), len(logged))
			}
			// The same command again has nothing to do and changes nothing.
			before := get(t, dir, train.BestFile)
			ok(t, tinyTraining(method, dir, "3")...)
			if !bytes.Equal(get(t, dir, train.BestFile), before) {
				t.Error("a finished training writes another expert")
			}
			ok(t, "generate", "--model", tiny, "--prompt", "x", "--max-tokens", "2", "--expert",
				filepath.Join(dir, train.BestFile))
		})
	}
}

// A training may go on in another form, and beside weights of another type.
func TestTrainForms(t *testing.T) {
	dir := t.TempDir()
	in := func(form, steps string, more ...string) []train.Event {
		t.Helper()
		args := append(tinyTraining("next-token", dir, steps), "--form", form)
		var events []train.Event
		for line := range strings.Lines(ok(t, append(args, more...)...)) {
			var e train.Event
			check(json.Unmarshal([]byte(line), &e))
			events = append(events, e)
		}
		return events
	}
	in("folded", "2")
	if e := in("projected", "4", "--weights", "bf16"); e[0].Kind != "resume" || e[0].Step != 2 {
		t.Errorf("projected it begins with %+v", e[0])
	}
	if e := in("auto", "5"); e[0].Kind != "resume" || e[0].Step != 4 {
		t.Errorf("folded again it begins with %+v", e[0])
	}
	refused(t, t2("", append(tinyTraining("next-token", dir, "5"), "--form", "both")...), `"both"`,
		"projected")
}

// A training that goes on must be the one that was begun.
func TestTrainRefusesAnotherRunsState(t *testing.T) {
	dir := t.TempDir()
	ok(t, tinyTraining("next-token", dir, "1")...)
	refused(t, t2("", append(tinyTraining("next-token", dir, "1"), "--lr", "0.5")...),
		"same options", "another directory")
	state := get(t, dir, train.StateFile)
	put(t, dir, train.StateFile, state[:len(state)/2])
	refused(t, t2("", tinyTraining("next-token", dir, "1")...), train.StateFile)
	put(t, dir, train.StateFile, get(t, tiny, "model.safetensors"))
	refused(t, t2("", tinyTraining("next-token", dir, "1")...), train.StateFile)
}

func TestPretrain(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates on every task")
	}
	dir, sibling := t.TempDir(), t.TempDir()
	small := func(out string, more ...string) []string {
		return append([]string{"pretrain", "--out", out, "--steps", "1", "--batch-tokens", "512",
			"--dim", "16", "--hidden", "16", "--layers", "1", "--heads", "2", "--kv-heads", "1",
			"--json"}, more...)
	}
	out := ok(t, small(dir, "--vocab", "300")...)
	if events := lines(t, out, eventFields); len(events) != 2 {
		t.Errorf("%v", events)
	}
	// One vocabulary may serve a family of models.
	ok(t, small(sibling, "--seed", "2", "--tokenizer", filepath.Join(dir, "tokenizer.json"))...)
	if !bytes.Equal(get(t, sibling, "tokenizer.json"), get(t, dir, "tokenizer.json")) {
		t.Error("--tokenizer: the run's vocabulary is another")
	}
	foreign := t.TempDir()
	put(t, foreign, "tokenizer.json", []byte("{}"))
	refused(t, t2("", small(t.TempDir(), "--tokenizer", filepath.Join(foreign, "tokenizer.json"))...),
		"tokenizer.json")
	refused(t, t2("", small(t.TempDir(), "--tokenizer", filepath.Join(foreign, "none"))...), "none")
	for _, model := range []string{dir, filepath.Join(dir, train.BestFile)} {
		ok(t, "generate", "--model", model, "--prompt", "x", "--max-tokens", "2")
	}
	refused(t, t2("", "pretrain", "--out", t.TempDir(), "--heads", "3", "--dim", "16"),
		"num_attention_heads 3")
}

// interrupter presses Ctrl-C when something is written to it for the first time.
type interrupter struct {
	io.Writer
	done bool
}

func (w *interrupter) Write(b []byte) (int, error) {
	if !w.done {
		w.done = true
		check(must(os.FindProcess(os.Getpid())).Signal(os.Interrupt))
		time.Sleep(100 * time.Millisecond) // more than it takes to hear of it
	}
	return w.Writer.Write(b)
}

// Ctrl-C ends any verb with a sentence, its exit code, and what there was so far.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"generate", "--model", tiny, "--prompt", question, "--max-tokens", "200"},
		{"compare", "--model", tiny, "--prompt", question, "--json"},
		{"eval", "--model", tiny, "--json", "--n", "3"},
		tinyTraining("next-token", dir, "50"),
	} {
		var out, stderr bytes.Buffer
		code := Run(args, strings.NewReader(""), &interrupter{Writer: &out}, &stderr)
		said := strings.TrimPrefix(stderr.String(), slowBuild())
		if code != exitInterrupt || !strings.HasPrefix(said, "t2: interrupted") ||
			strings.Count(said, "\n") != 1 ||
			out.Len() == 0 {
			t.Errorf("%v: exit %d, stderr %q, %d bytes", args, code, stderr.String(), out.Len())
		}
		if args[0] == "train" {
			goesOn(t, dir, stderr.String())
		}
	}
}

// goesOn checks that an interrupted training was saved and can be taken up.
func goesOn(t *testing.T, dir, said string) {
	t.Helper()
	if !strings.Contains(said, "after step") {
		t.Errorf("stderr %q does not say where it stopped", said)
	}
	first := ok(t, tinyTraining("next-token", dir, "4")...)
	var e train.Event
	check(json.Unmarshal([]byte(strings.SplitN(first, "\n", 2)[0]), &e))
	if e.Kind != "resume" || e.Step < 1 {
		t.Errorf("it begins with %+v", e)
	}
}
