package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transformer2/shared/checkpoint"
	"transformer2/shared/train"
)

// sums writes a file of questions of a user's own and gives its path; one question is longer than
// the tiny model's context.
func sums(t *testing.T, name string, from, to int) string {
	t.Helper()
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "{\"prompt\":\"What is %d and %d?\",\"answer\":%d}\n", i, i, 2*i)
	}
	fmt.Fprintf(&b, "{\"prompt\":%q,\"answer\":1}\n", strings.Repeat("long ", 300))
	dir := t.TempDir()
	put(t, dir, name, []byte(b.String()))
	return filepath.Join(dir, name)
}

const dataFields = "kind task format? about label sha256? files? items max_tokens left_out? " +
	"examples"

func TestInfoOfATask(t *testing.T) {
	mine := sums(t, "mine.jsonl", 0, 100)
	all := lines(t, ok(t, "info", "--task", mine, "--task", "math", "--json"), dataFields)
	if len(all) != 2 || all[0]["task"] != "own:mine.jsonl" || all[1]["task"] != "math" ||
		len(all[0]["examples"].([]any)) != 3 || len(all[0]["sha256"].(string)) != 64 {
		t.Errorf("%v", all)
	}
	text := ok(t, "info", "--task", "own:"+mine)
	for _, want := range []string{"own:mine.jsonl", "What is", "sha256", "judged", "number", "train 7"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q says nothing of %q", text, want)
		}
	}
	if strings.Contains(text, filepath.Dir(mine)) {
		t.Errorf("%q holds this machine's folders", text)
	}
}

func trainingOn(path, out, method string) []string {
	return append(tinyTraining(method, out, "2"), "--task", path, "--max-tokens", "8")
}

func TestTrainOnAFile(t *testing.T) {
	mine := sums(t, "mine.jsonl", 0, 100)
	for _, method := range []string{"reinforce", "next-token"} {
		dir := t.TempDir()
		r := t2("", trainingOn(mine, dir, method)...)
		if r.code != 0 || !strings.Contains(r.err, "1 item left out: too long for the 256 tokens") {
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		f := must(checkpoint.OpenBlob(filepath.Join(dir, train.BestFile)))
		meta := must(checkpoint.Open(f, f.Size())).Metadata()
		text := fmt.Sprint(meta)
		f.Close()
		if meta["task"] != "own:mine.jsonl" || !strings.Contains(text, "sha256") ||
			strings.Contains(text, filepath.Dir(mine)) {
			t.Errorf("%s", text)
		}
		// Another file of that name is another training.
		again := sums(t, "mine.jsonl", 1, 101)
		r = t2("", trainingOn(again, dir, method)...)
		if r.code != exitError || !strings.Contains(r.err, "another directory") {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
		if r := t2("", trainingOn(mine, dir, method)...); r.code != 0 {
			t.Errorf("the same file: exit %d: %s", r.code, r.err)
		}
	}
}

func TestEvalOnAFile(t *testing.T) {
	train, test := sums(t, "train.jsonl", 0, 100), sums(t, "test.jsonl", 200, 204)
	eval := func(more ...string) []string {
		return append([]string{"eval", "--model", tiny, "--json", "--max-tokens", "4", "--expert",
			"base", "--expert", "math", "--task"}, more...)
	}
	r := t2("", eval(test)...)
	all := lines(t, r.out, evalFields)
	if len(all) != 2 || all[0]["task"] != "own:test.jsonl" || all[0]["n"] != 4.0 ||
		all[0]["sha256"] == nil || !strings.Contains(r.err, "1 item left out") {
		t.Errorf("%v: %s", all, r.err)
	}
	few := eval("own:"+test, "--adapt", "few-shot", "--n", "2", "--shots")
	if r := t2("", append(few, train+":3")...); r.code != 0 || !strings.Contains(r.out, "alpha") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if r := t2("", append(few, "3")...); !strings.Contains(r.err, "no valid items") ||
		r.code != exitError {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if r := t2("", append(few, test)...); !strings.Contains(r.err, "is measured in own:test.jsonl") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	ok(t, "adapt", "--model", tiny, "--max-tokens", "2", "--adapt", "few-shot", "--shots",
		"own:"+train+":2", "What is 3 and 3?")
}

func TestRefusedTasks(t *testing.T) {
	train, bad := sums(t, "train.jsonl", 0, 9), filepath.Join(t.TempDir(), "bad.jsonl")
	check(os.WriteFile(bad, []byte("{\"prompt\":\"p\",\"answer\":1}\n{}\n"), 0o666))
	for name, c := range map[string]struct{ args, want []string }{
		"not there": {[]string{"eval", "--task", "none.jsonl"}, []string{"none.jsonl", "no such file"}},
		"format":    {[]string{"eval", "--task", "arc:" + train}, []string{"train.jsonl: line 1", "arc"}},
		"no test":   {[]string{"eval", "--task", train}, []string{"own:train.jsonl has no test items"}},
		"bad": {[]string{"train", "--task", bad, "--out", t.TempDir()}, []string{"bad.jsonl: line 2",
			`"prompt"`}},
		"info": {[]string{"info", "--task", bad}, []string{"bad.jsonl: line 2"}},
		"tokens": {[]string{"eval", "--task", "math", "--max-tokens", "9"}, []string{"--max-tokens",
			"math"}},
		"no tokens": {[]string{"train", "--task", train, "--max-tokens", "0", "--out", "x"},
			[]string{"--max-tokens is 0"}},
		"shots": {[]string{"adapt", "--adapt", "few-shot", "--shots", "maths:3", "x"},
			[]string{`"maths"`, `did you mean "math"`}},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, t2("", append(c.args, withTiny(c.args)...)...), c.want...)
		})
	}
}

// withTiny is the tiny model where a verb takes one.
func withTiny(args []string) []string {
	if args[0] == "info" {
		return nil
	}
	return []string{"--model", tiny}
}
