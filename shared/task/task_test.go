package task

import (
	"strings"
	"testing"
)

func allTasks() []Task { return tasks(Names()...) }

func TestWorkedAnswersScoreOne(t *testing.T) {
	for _, tk := range allTasks() {
		for _, s := range []Split{Train, Valid, Test} {
			for i := range 300 {
				it := tk.Item(s, i)
				if got := tk.Score(it, it.Worked); got != 1 {
					t.Fatalf("%s %v/%d: worked answer %q to %q scores %v", tk.Name(), s, i,
						it.Worked, it.Prompt, got)
				}
			}
		}
	}
}

func TestEmptyAnswersScoreZero(t *testing.T) {
	for _, tk := range allTasks() {
		it := tk.Item(Test, 0)
		for _, out := range []string{"", " ", "\n", "####", "()", "\xff\xfe"} {
			if got := tk.Score(it, out); got != 0 {
				t.Errorf("%s: %q scores %v", tk.Name(), out, got)
			}
		}
	}
}

func TestLookupNamesTheKnown(t *testing.T) {
	if _, err := Lookup("nope"); err == nil || !strings.Contains(err.Error(), "reasoning-hard") {
		t.Errorf("unknown task: %v", err)
	}
}
