package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transformer2/shared/checkpoint"
	"transformer2/shared/task"
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
		"no tokens": {[]string{"train", "--task", train, "--max-tokens", "-1", "--out", "x"},
			[]string{"--max-tokens is -1"}},
		"judge of none": {[]string{"eval", "--judge", os.Args[0]}, []string{"--judge", "--task"}},
		"judge": {[]string{"eval", "--task", train, "--judge", "no-such-judge"},
			[]string{"--judge", "no-such-judge"}},
		"no judge": {[]string{"eval", "--judge", os.Args[0], "--task", "math"},
			[]string{"--judge", "math"}},
		"judge alone": {[]string{"info", "--judge", os.Args[0]}, []string{"--judge", "--task"}},
		"blank judge": {[]string{"eval", "--judge", " "}, []string{"--judge is empty"}},
		"shots": {[]string{"adapt", "--adapt", "few-shot", "--shots", "maths:3", "x"},
			[]string{`"maths"`, `did you mean "math"`}},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, t2("", append(c.args, withTiny(c.args)...)...), c.want...)
		})
	}
}

// runAsJudge tells the test binary that it was started as a judge, and of which kind.
const runAsJudge = "T2_TEST_JUDGE"

// beJudge finds answers right whose question has a 2 in it.
func beJudge(mode string) int {
	if mode == "sleep" {
		time.Sleep(time.Hour)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var q answerToJudge
		var item struct{ Prompt string }
		check(errors.Join(json.Unmarshal(in.Bytes(), &q), json.Unmarshal(q.Item, &item)))
		switch {
		case mode == "end":
			return 0
		case mode != "fair":
			fmt.Print(mode)
			return 0
		case strings.Contains(item.Prompt, "2") && item.Prompt == q.Prompt && q.Answer != "":
			fmt.Println(1)
		default:
			fmt.Println(0)
		}
	}
	return 0
}

func TestJudge(t *testing.T) {
	mine := sums(t, "mine_test.jsonl", 0, 20) // 2 and 12
	t.Setenv(runAsJudge, "fair")
	by := []string{"--judge", os.Args[0], "--task", mine}
	l := lines(t, ok(t, append(by, "info", "--json")...), dataFields+" worked worked_right")[0]
	if l["worked"] != 21.0 || l["worked_right"] != 2.0 || l["about"] != "by "+filepath.Base(os.Args[0]) {
		t.Errorf("%v", l)
	}
	eval := append(by, "eval", "--model", tiny, "--json", "--max-tokens", "2")
	if l := lines(t, ok(t, eval...), evalFields)[0]; l["accuracy"] != 0.1 || l["n"] != 20.0 {
		t.Errorf("%v", l)
	}
	for mode, want := range map[string]string{"yes\n": `"yes"`, "2\n": "from 0 to 1", "null\n": "null",
		"end": "ended before"} {
		t.Setenv(runAsJudge, mode)
		if r := t2("", eval...); r.code != exitError || !strings.Contains(r.err, "--judge") ||
			!strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("%q: exit %d, %q, %q", mode, r.code, r.out, r.err)
		}
	}
}

// A judge that takes too long is ended, whether it is to read or to write.
func TestSlowJudge(t *testing.T) {
	t.Setenv(runAsJudge, "sleep")
	for _, size := range []int{1, 1 << 20} {
		j := &judge{words: os.Args[:1], err: io.Discard, limit: 200 * time.Millisecond}
		j.ctx, j.cancel = context.WithCancelCause(t.Context())
		for range 2 {
			if s := j.score(task.Item{}, strings.Repeat("x", size)); s != 0 {
				t.Errorf("score %v", s)
			}
		}
		if err := j.end(nil); err == nil || !strings.Contains(err.Error(), "longer than 200ms") {
			t.Errorf("%v", err)
		}
	}
}

// A judge that fails ends the training, and no score that it did not give is learnt from.
func TestTrainWithAJudge(t *testing.T) {
	mine, dir := sums(t, "mine.jsonl", 0, 100), t.TempDir()
	training := append(trainingOn(mine, dir, "reinforce"), "--judge", os.Args[0])
	t.Setenv(runAsJudge, "no\n")
	r := t2("", training...)
	if r.code != exitError || !strings.Contains(r.err, `it said "no", want a number`) {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if _, err := os.Stat(filepath.Join(dir, train.BestFile)); err == nil || strings.Contains(r.out, "step\"") {
		t.Errorf("it went on: %s", r.out)
	}
	t.Setenv(runAsJudge, "fair")
	ok(t, training...)
	if !bytes.Contains(get(t, dir, train.BestFile), []byte(`"judge`)) {
		t.Error("the expert does not say who judged")
	}
	r = t2("", trainingOn(mine, dir, "reinforce")...)
	if r.code != exitError || !strings.Contains(r.err, "another directory") {
		t.Errorf("without the judge: exit %d: %s", r.code, r.err)
	}
}

// withTiny is the tiny model where a verb takes one.
func withTiny(args []string) []string {
	if args[0] == "info" {
		return nil
	}
	return []string{"--model", tiny}
}
