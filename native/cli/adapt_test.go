package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const adaptFields = "task expert pass1_ms pass2_ms text prompt tokens strategy alpha " +
	"probabilities search?"

func TestAdapt(t *testing.T) {
	for strategy, passes := range map[string]int{"": 2, "prompt": 2, "classifier": 2, "none": 1} {
		args := []string{"adapt", "--model", tiny, "--json", "--prompt", question, "--max-tokens",
			"8"}
		if strategy != "" {
			args = append(args, "--adapt", strategy)
		}
		l := lines(t, ok(t, args...), adaptFields)[0]
		if passes == 1 {
			if l["task"] != "" || l["probabilities"] != nil || l["pass1_ms"] != 0.0 ||
				l["expert"] != "base" {
				t.Errorf("--adapt %s: %v", strategy, l)
			}
			continue
		}
		sum := 0.0
		for _, p := range l["probabilities"].(map[string]any) {
			sum += p.(float64)
		}
		if sum < 0.999 || sum > 1.001 || l["pass1_ms"].(float64) <= 0 ||
			l["pass2_ms"].(float64) <= 0 {
			t.Errorf("--adapt %s: %v", strategy, l)
		}
		// Who answered is who the first pass found: an expert, or the base for other.
		if l["task"] == "other" != (l["expert"] == "base") {
			t.Errorf("--adapt %s: taken for %v, answered by %v", strategy, l["task"], l["expert"])
		}
		said := lines(t, ok(t, "generate", "--model", tiny, "--json", "--prompt", question,
			"--max-tokens", "8",
			"--expert", l["expert"].(string)), answerFields)[0]
		also := lines(t, ok(t, append([]string{"generate"}, args[1:]...)...), answerFields)[0]
		if strategy != "" && (l["text"] != said["text"] || also["text"] != said["text"]) {
			t.Errorf("--adapt %s: adapt says %q, generate --adapt %q, the expert %q", strategy,
				l["text"], also["text"], said["text"])
		}
	}
	text := ok(t, "adapt", "--model", tiny, "--prompt", question, "--max-tokens", "8")
	for _, want := range []string{"pass 1", "pass 2", "reasoning", "%", "ms"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

// The oracle has the right expert answer, so it is that expert; every strategy reports what its
// first passes found.
func TestEvalAdapted(t *testing.T) {
	out := ok(t, "eval", "--model", tiny, "--json", "--task", "math", "--task", "code", "--n", "5",
		"--adapt", "oracle",
		"--adapt", "prompt", "--expert", "math")
	var confusions []string
	var plain []string
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		if strings.Contains(l, "confusion") {
			confusions = append(confusions, l)
		} else {
			plain = append(plain, l)
		}
	}
	for _, l := range lines(t, strings.Join(plain, "\n"), evalFields) {
		if l["task"] == "math" && l["expert"] == "adapt:oracle" {
			if ci := l["gain_ci95"].([]any); l["gain"] != 0.0 || ci[0] != 0.0 || ci[1] != 0.0 {
				t.Errorf("the oracle is not the math expert: %v", l)
			}
		}
	}
	all := lines(t, strings.Join(confusions, "\n"), "model expert n right confusion")
	if len(all) != 2 || all[0]["expert"] != "adapt:oracle" || all[0]["right"] != 1.0 ||
		all[1]["n"] != 10.0 {
		t.Errorf("%v", all)
	}
	text := ok(t, "eval", "--model", tiny, "--task", "math", "--n", "5", "--adapt", "oracle")
	if !strings.Contains(text, "gold") || !strings.Contains(text, "100.0% of 5 questions") {
		t.Errorf("no confusion matrix in %q", text)
	}
}

func TestFewShot(t *testing.T) {
	dir := t.TempDir()
	file, found := filepath.Join(dir, "shots.jsonl"), filepath.Join(dir, "found.safetensors")
	check(os.WriteFile(file, []byte(`{"prompt":"What is it?","answer":"e"}

{"prompt":"Who?","answer":"t","n":1}
`), 0o666))
	l := lines(t, ok(t, "adapt", "--model", tiny, "--json", "--adapt", "few-shot", "--shots", file,
		"--seed", "3", "--save", found,
		"--prompt", question, "--max-tokens", "8"), adaptFields)[0]
	search := l["search"].(map[string]any)
	if search["answers"].(float64) < 2 || search["generations"].(float64) < 1 ||
		search["seconds"].(float64) <= 0 {
		t.Errorf("search %v", search)
	}
	if len(l["alpha"].(map[string]any)) != 3 || l["task"] != "" || l["strategy"] != "few-shot" {
		t.Errorf("%v", l)
	}
	// What was saved answers as what was found.
	said := lines(t, ok(t, "generate", "--model", tiny, "--json", "--expert", found, "--prompt",
		question,
		"--max-tokens", "8"), answerFields)[0]
	if said["text"] != l["text"] {
		t.Errorf("the saved mixture says %q, the found one %q", said["text"], l["text"])
	}
	text := ok(t, "adapt", "--model", tiny, "--adapt", "few-shot", "--shots", "math:1", "--prompt",
		question)
	if !strings.Contains(text, "generations") || !strings.Contains(text, "examples right") {
		t.Errorf("%q", text)
	}
	eval := lines(t, ok(t, "eval", "--model", tiny, "--json", "--task", "math-hard", "--n", "4",
		"--adapt", "few-shot",
		"--shots", "1"), evalFields+" alpha search")
	if len(eval) != 1 || eval[0]["expert"] != "adapt:few-shot" {
		t.Errorf("%v", eval)
	}
}

func TestRefusedShots(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		put(t, dir, name, []byte(text))
		return filepath.Join(dir, name)
	}
	for name, c := range map[string]struct {
		shots string
		want  []string
	}{
		"none":      {"", []string{"--shots FILE", "TASK:COUNT"}},
		"no file":   {filepath.Join(dir, "none"), []string{"--shots", "none", "no such file"}},
		"no number": {"math:many", []string{`"many"`, "not a number"}},
		"too many":  {"math:100000", []string{"100000", "math"}},
		"no lines":  {file("empty", "\n"), []string{"empty", "no item"}},
		"no JSON":   {file("text", "hello"), []string{"text", "line 1"}},
		"no answer": {file("half", `{"prompt":"x"}`), []string{"half", "line 1", `"answer"`}},
		"twice": {file("twice",
			`{"prompt":"x","answer":"y"}`+"\n"+`{"prompt":"x","answer":"z"}`), []string{"twice"}},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, t2("", "adapt", "--model", tiny, "--adapt", "few-shot", "--shots", c.shots,
				"--prompt", "x"), c.want...)
		})
	}
	refused(t, t2("", "adapt", "--model", tiny, "--adapt", "few-shot", "--shots", "math:1",
		"--search", "wild", "--prompt", "x"),
		`"wild"`, "paper")
	refused(t, t2("", "adapt", "--model", tiny, "--save", "x", "--prompt", "x"), "--save",
		"few-shot")
	refused(t, t2("", "eval", "--model", tiny, "--adapt", "few-shot", "--split", "valid"),
		"validation split", "--split test")
}
