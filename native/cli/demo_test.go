package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	dir := copyModel(t)
	for _, style := range []string{"french", "shout"} { // random ones will do
		put(t, dir, "experts/"+style+".safetensors", get(t, dir, "experts/math.safetensors"))
	}
	text := ok(t, "demo", "--model", dir)
	for _, want := range []string{"1  A question", "would be right", "2  What the expert is",
		"layer  q ", "σ·z",
		"3  The model picks its expert", "reasoning", "4  Experts that are plain to see",
		"french=0.6", "5  Your turn",
		"t2 compare"} {
		if !strings.Contains(text, want) {
			t.Errorf("the tour lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b[") {
		t.Error("colour off a terminal")
	}
	for _, l := range strings.Split(text, "\n") {
		if n := len([]rune(l)); n > 2*plainWidth && !strings.Contains(l, "�") {
			t.Errorf("a line of %d characters: %q", n, l)
		}
	}
}

// A model that lacks experts is shown as far as it goes.
func TestDemoWithoutExperts(t *testing.T) {
	dir := copyModel(t)
	check(os.RemoveAll(filepath.Join(dir, "experts")))
	text := ok(t, "demo", "--model", dir)
	if strings.Contains(text, "A question") || !strings.Contains(text, "1  Your turn") {
		t.Errorf("%q", text)
	}
	refused(t, t2("", "demo", "--model", dir, "--json"), "for people", "compare")
}
