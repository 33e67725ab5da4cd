package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transformer2/shared/task"
)

const question = "Tom has 12 apples. Tom buys 7. How many apples does Tom have?"

const answerFields = "expert prompt text tokens reason"

func TestGenerate(t *testing.T) {
	args := func(more ...string) []string {
		return append([]string{"generate", "--model", tiny, "--max-tokens", "12", "--json"},
			more...)
	}
	base := lines(t, ok(t, args("--prompt", question)...), answerFields)[0]
	if base["expert"] != "base" || base["prompt"] != question || base["tokens"] != 12.0 ||
		base["reason"] != "length" {
		t.Errorf("%v", base)
	}
	for name, same := range map[string][]string{
		"again":     {"--prompt", question},
		"words":     strings.Fields(question),
		"threads":   {"--prompt", question, "--threads", "2"},
		"base":      {"--prompt", question, "--expert", "base"},
		"mix of 0":  {"--prompt", question, "--mix", "math=0"},
		"top-k 1":   {"--prompt", question, "--temp", "1", "--top-k", "1"},
		"the file":  {"--prompt", question, "--model", filepath.Join(tiny, "model.safetensors")},
		"no system": {"--prompt", question, "--system", ""},
	} {
		if got := lines(t, ok(t, args(same...)...), answerFields)[0]; got["text"] != base["text"] {
			t.Errorf("%s: %q, want %q", name, got["text"], base["text"])
		}
	}
	for name, differs := range map[string][]string{
		"expert": {"--prompt", question, "--expert", "math"},
		"file": {"--prompt", question, "--expert", filepath.Join(tiny, "experts",
			"code.safetensors")},
		"mix":         {"--prompt", question, "--mix", "math=0.7,code=0.3"},
		"system":      {"--prompt", question, "--system", "Answer."},
		"temperature": {"--prompt", question, "--temp", "3", "--seed", "5"},
	} {
		if got := lines(t, ok(t, args(differs...)...),
			answerFields)[0]; got["text"] == base["text"] {
			t.Errorf("%s: the base's answer", name)
		}
	}
}

// Standard input, with - and without it, is the prompt.
func TestPromptFromStandardInput(t *testing.T) {
	for _, args := range [][]string{{"--prompt", "-"}, {"-"}, {}} {
		r := t2(question+"\n", append([]string{"generate", "--model", tiny, "--max-tokens", "2",
			"--json"}, args...)...)
		if got := lines(t, r.out, answerFields)[0]; got["prompt"] != question {
			t.Errorf("%v: prompt %q", args, got["prompt"])
		}
	}
}

// A mixture with all of one expert is that expert.
func TestMixOfOneIsTheExpert(t *testing.T) {
	text := func(who ...string) any {
		out := ok(t, append([]string{"generate", "--model", tiny, "--json", "--prompt", question},
			who...)...)
		return lines(t, out, answerFields)[0]["text"]
	}
	if text("--mix", "math=1,code=0") != text("--expert", "math") {
		t.Error("math=1,code=0 does not answer as math")
	}
}

func TestStopEndsTheAnswer(t *testing.T) {
	args := []string{"generate", "--model", tiny, "--json", "--prompt", question, "--max-tokens",
		"40"}
	whole := lines(t, ok(t, args...), answerFields)[0]["text"].(string)
	runes := []rune(whole)
	for _, size := range []int{1, 3} {
		stop := string(runes[len(runes)/2 : len(runes)/2+size])
		want, _, _ := strings.Cut(whole, stop)
		got := lines(t, ok(t, append(args, "--stop", stop)...), answerFields)[0]
		if got["text"] != want || got["reason"] != "stop" {
			t.Errorf("--stop %q: %q (%v), want %q of %q", stop, got["text"], got["reason"], want,
				whole)
		}
		// What is streamed is what is kept.
		plain := t2("", append(slices.DeleteFunc(slices.Clone(args),
			func(a string) bool { return a == "--json" }),
			"--stop", stop)...)
		if strings.TrimSuffix(plain.out, "\n") != strings.TrimSuffix(want, "\n") {
			t.Errorf("--stop %q: printed %q, want %q", stop, plain.out, want)
		}
	}
}

func TestCompare(t *testing.T) {
	out := ok(t, "compare", "--model", tiny, "--json", "--prompt", question, "--max-tokens", "10")
	all := lines(t, out, answerFields+" first_difference")
	var names []string
	for i, l := range all {
		names = append(names, l["expert"].(string))
		if first := l["first_difference"].(float64); (first < 0) != (l["text"] == all[0]["text"]) {
			t.Errorf("line %d: first difference %v between %q and %q", i, first, l["text"],
				all[0]["text"])
		}
	}
	if want := append([]string{"base"}, tinyExperts...); !slices.Equal(names, want) {
		t.Errorf("voices %v, want %v", names, want)
	}
	text := ok(t, "compare", "--model", tiny, "--expert", "math", "--prompt", question,
		"--max-tokens", "10")
	if !strings.Contains(text, markLeft) || !strings.Contains(text, "math") ||
		!strings.Contains(text, "base") {
		t.Errorf("no mark or no names in %q", text)
	}
	if strings.Contains(text, "\x1b[") {
		t.Errorf("colour off a terminal: %q", text)
	}
}

const evalFields = "model task split expert n seed accuracy ci95 gain? gain_ci95? against? in_style? " +
	"sha256? alpha? search?"

func TestEval(t *testing.T) {
	args := []string{"eval", "--model", tiny, "--json", "--task", "math", "--task",
		"reasoning-hard", "--n", "6",
		"--seed", "7", "--split", "valid", "--expert", "base", "--expert", "math", "--mix",
		"math=0.5,code=0.5"}
	first := ok(t, args...)
	all := lines(t, first, evalFields)
	if len(all) != 9 {
		t.Fatalf("%d lines, want 2 tasks and both together × 3 voices", len(all))
	}
	for i, l := range all {
		if i >= 6 {
			if l["task"] != "all" || l["n"] != 12.0 {
				t.Errorf("both tasks together: %v", l)
			}
			l["n"] = 6.0
		}
		ci := l["ci95"].([]any)
		if a := l["accuracy"].(float64); a < ci[0].(float64) || a > ci[1].(float64) {
			t.Errorf("accuracy %v outside its interval %v", a, ci)
		}
		if l["n"] != 6.0 || l["seed"] != 7.0 || l["split"] != "valid" || l["model"] != tiny {
			t.Errorf("%v", l)
		}
		if _, has := l["gain"]; has != (i%3 > 0) {
			t.Errorf("line %d: gain there: %v", i, has)
		}
	}
	if ok(t, args...) != first {
		t.Error("a second run gives other lines")
	}
}

func TestEvalAsksAllOfASmallSplit(t *testing.T) {
	style, _ := task.Lookup("shout")
	out := ok(t, "eval", "--model", tiny, "--json", "--task", "shout", "--n", "100000", "--split",
		"valid")
	if got := lines(t, out, evalFields)[0]["n"]; got != float64(style.Size(task.Valid)) {
		t.Errorf("n = %v, want the split's %d", got, style.Size(task.Valid))
	}
}

const spectrumFields = "name out in rank side arithmetic sigma_max sigma_median sigma_min effective_rank " +
	"residual orthogonality cached ms left_s"

func TestDecompose(t *testing.T) {
	cache := t.TempDir()
	run := func(args ...string) []map[string]any {
		return lines(t, ok(t, append([]string{"decompose", "--model", tiny, "--cache", cache,
			"--json"}, args...)...),
			spectrumFields)
	}
	for pass, cached := range []bool{false, true} {
		all := run()
		if want := 7 * tinyConfig.Layers; len(all) != want {
			t.Fatalf("%d matrices, want %d", len(all), want)
		}
		for _, l := range all {
			if l["cached"] != cached {
				t.Errorf("pass %d: %s cached: %v", pass, l["name"], l["cached"])
			}
			// A basis that is rounded to f32 is good to some 1e-7.
			if r, o := l["residual"].(float64), l["orthogonality"].(float64); r > 1e-5 || o > 1e-6 {
				t.Errorf("%s: residual %g, orthogonality %g", l["name"], r, o)
			}
		}
	}
	for _, l := range run("--exact", "--scope", "mlp:1") {
		if r, o := l["residual"].(float64), l["orthogonality"].(float64); r > 1e-12 || o > 1e-12 {
			t.Errorf("%s in f64: residual %g, orthogonality %g", l["name"], r, o)
		}
		if !strings.HasPrefix(l["name"].(string), "model.layers.1.mlp") {
			t.Errorf("%s is not in mlp:1", l["name"])
		}
	}
	text := ok(t, "decompose", "--model", tiny, "--scope", "q")
	if !strings.Contains(text, "layer 1 q") || !strings.Contains(text, "2/2") {
		t.Errorf("%q", text)
	}
}

func TestExperts(t *testing.T) {
	list := lines(t, ok(t, "experts", "list", "--model", tiny, "--json"),
		"expert task model base parametrisation scope seed numbers mean_abs training?")
	if len(list) != len(tinyExperts) || list[2]["expert"] != "math" || list[2]["scope"] != "all" {
		t.Errorf("%v", list)
	}
	inspected := lines(t, ok(t, "experts", "inspect", "math", "--model", tiny, "--json"),
		"expert task model base parametrisation scope seed numbers mean_abs training? matrices")[0]
	if n := len(inspected["matrices"].([]any)); n != 7*tinyConfig.Layers {
		t.Errorf("%d matrices", n)
	}
	diff := lines(t, ok(t, "experts", "diff", "math", "math", "--model", tiny, "--json"),
		"name cosine l2 max max_at")
	if last := diff[len(diff)-1]; last["name"] != "all" || last["l2"] != 0.0 ||
		last["cosine"].(float64) < 0.999999 {
		t.Errorf("an expert differs from itself: %v", last)
	}
	diff = lines(t, ok(t, "experts", "diff", "math", "code", "--model", tiny, "--json"),
		"name cosine l2 max max_at")
	if last := diff[len(diff)-1]; last["l2"].(float64) < 1 {
		t.Errorf("random experts of %v numbers are %v apart", list[2]["numbers"], last["l2"])
	}
	for _, args := range [][]string{{"list"}, {"inspect", "math"}, {"diff", "math", "code"},
		{"verify", "math"}} {
		text := ok(t, append(append([]string{"experts"}, args...), "--model", tiny)...)
		if len(strings.TrimSpace(text)) < 10 || json.Valid([]byte(text)) {
			t.Errorf("experts %v prints %q", args, text)
		}
	}
}

func TestExpertsMix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "both.safetensors")
	made := lines(t, ok(t, "experts", "mix", "math=0.7,code=0.3", "-o", file, "--model", tiny,
		"--json"),
		"expert file numbers")[0]
	if made["expert"] != "math=0.7,code=0.3" || made["file"] != file {
		t.Errorf("%v", made)
	}
	text := func(who ...string) any {
		return lines(t, ok(t, append([]string{"generate", "--model", tiny, "--json", "--prompt",
			question}, who...)...),
			answerFields)[0]["text"]
	}
	if text("--expert", file) != text("--mix", "math=0.7,code=0.3") {
		t.Error("the written mixture does not answer as the mixture")
	}
	before := must(os.ReadFile(file))
	refused(t, t2("", "experts", "mix", "math=1", "-o", file, "--model", tiny), file, "--force")
	if string(must(os.ReadFile(file))) != string(before) {
		t.Error("the file that was there is not what it was")
	}
	ok(t, "experts", "mix", "math=1", "-o", file, "--model", tiny, "--force")
	if string(must(os.ReadFile(file))) == string(before) {
		t.Error("--force did not replace the file")
	}
}

// An expert that is carried to a sibling is the sibling's, and a shuffled one is another.
func TestExpertsCarry(t *testing.T) {
	dir := t.TempDir()
	carried, shuffled := filepath.Join(dir, "c.safetensors"), filepath.Join(dir, "s.safetensors")
	carry := []string{"experts", "carry", "math", "--model", tiny, "--to", other, "-o"}
	made := lines(t, ok(t, append(carry, carried, "--json")...), "expert file numbers")[0]
	if made["expert"] != "math" || made["file"] != carried {
		t.Errorf("%v", made)
	}
	ok(t, append(carry, shuffled, "--shuffle", "1")...)
	ok(t, "experts", "verify", "--model", other, carried, shuffled)
	refused(t, t2("", "generate", "--model", tiny, "--prompt", "x", "--expert", carried),
		"another model")
	diff := func(a, b string) string {
		return ok(t, "experts", "diff", a, b, "--model", other, "--json")
	}
	if diff(carried, carried) == diff(carried, shuffled) {
		t.Error("--shuffle changed nothing")
	}
	refused(t, t2("", append(carry, carried)...), carried, "--force")
	refused(t, t2("", "experts", "carry", "base", "--model", tiny, "--to", other, "-o", carried),
		"no z to carry")
}

func TestExpertsVerify(t *testing.T) {
	bad := filepath.Join(other, "experts", "math.safetensors")
	r := t2("", "experts", "verify", "math", bad, "--model", tiny, "--json")
	all := lines(t, r.out, "expert ok base? error?")
	if r.code != exitError || len(all) != 2 || all[0]["ok"] != true || all[1]["ok"] != false {
		t.Errorf("exit %d, %v", r.code, all)
	}
	if !strings.Contains(r.err, "1 of 2") {
		t.Errorf("stderr %q", r.err)
	}
}

func TestInfo(t *testing.T) {
	out := ok(t, "info", "--model", tiny, "--look", "64", "--json")
	kinds := map[string]int{}
	for _, text := range strings.Split(strings.TrimSpace(out), "\n") {
		var l struct{ Kind string }
		check(json.Unmarshal([]byte(text), &l))
		kinds[l.Kind]++
		fields := map[string]string{
			"model":   "kind model parameters layers width vocabulary context fingerprint weights experts",
			"task":    "kind task label about items distinct looked",
			"machine": "kind device reason gpus forms processors go cache cache_files cache_bytes",
		}[l.Kind]
		lines(t, text, fields)
	}
	if kinds["model"] != 1 || kinds["task"] != len(task.Names()) || kinds["machine"] != 1 {
		t.Errorf("%v", kinds)
	}
	text := ok(t, "info", "--model", tiny, "--look", "64", "--kernels", "loops")
	for _, want := range append(task.Names(), "cpu loops", os.Getenv("T2_CACHE"),
		"classify code math") {
		if !strings.Contains(text, want) {
			t.Errorf("info does not say %q", want)
		}
	}
}

func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	t.Setenv(runAsT2, "1") // for the process that is started
	all := lines(t, ok(t, "bench", "--model", tiny, "--json", "--quick", "--only", "decode",
		"--only", "switch",
		"--only", "memory"), "name value unit against ratio want? note?")
	if len(all) < 4 {
		t.Fatalf("%d figures", len(all))
	}
	for _, l := range all {
		if l["value"].(float64) <= 0 || (l["against"] == "") != (l["ratio"] == nil) {
			t.Errorf("%v", l)
		}
	}
	if text := ok(t, "bench", "--model", tiny, "--quick", "--only",
		"decode"); !strings.Contains(text, "tokens/s") {
		t.Errorf("%q", text)
	}
}

// Every verb explains itself, with examples.
func TestHelp(t *testing.T) {
	for _, verb := range []string{"generate", "compare", "adapt", "chat", "train", "eval",
		"pretrain", "info", "plan", "decompose",
		"bench", "experts list", "experts inspect", "experts diff", "experts mix",
		"experts verify"} {
		text := ok(t, append(strings.Fields(verb), "--help")...)
		if !strings.Contains(text, "Examples:\n  t2 "+verb) || !strings.Contains(text, "--") {
			t.Errorf("t2 %s --help has no examples: %q", verb, text)
		}
		if !strings.Contains(ok(t), strings.Fields(verb)[0]) {
			t.Errorf("t2 does not list %s", verb)
		}
	}
}
