package cli

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"transformer2/shared/engine"
)

func TestChat(t *testing.T) {
	r := t2(strings.Join([]string{
		question, "/expert math", question, "/mix code=1", question, "/base", question, "",
		"/expert maths", "/frobnicate", "/turns x", "/mix math=-1", question, "/adapt prompt",
		question, "/adapt magic", question, "/base", question, "/quit", "never asked",
	}, "\n"), "chat", "--model", tiny, "--json", "--max-tokens", "8")
	if r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	all := lines(t, r.out, answerFields)
	var voices []string
	for _, l := range all {
		voices = append(voices, l["expert"].(string))
	}
	if got := strings.Join(voices, " "); got != "base math code=1 base base base base base" {
		t.Errorf("voices %s", got)
	}
	if all[0]["text"] != all[3]["text"] || all[0]["text"] == all[1]["text"] {
		t.Errorf("%v", all)
	}
	// A mistake is said, and the conversation goes on.
	for _, want := range []string{`"maths"`, "/frobnicate", "/turns", "negative", "magic"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("stderr %q does not say %s", r.err, want)
		}
	}
}

// The model sees earlier turns as --turns says, and the oldest give way when the context is full.
func TestChatHistory(t *testing.T) {
	ask := func(args ...string) []map[string]any {
		stdin := strings.Join([]string{question, question, "/clear", question}, "\n") + "\n" +
			strings.Repeat("one two three\n", 40)
		r := t2(stdin, append([]string{"chat", "--model", tiny, "--json", "--max-tokens", "20"},
			args...)...)
		if r.code != 0 || r.err != "" {
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		return lines(t, r.out, answerFields)
	}
	alone := ask()
	if len(alone) != 43 || alone[0]["text"] != alone[1]["text"] ||
		alone[3]["text"] != alone[42]["text"] {
		t.Error("without --turns a question is not answered on its own")
	}
	together := ask("--turns", "100")
	if together[0]["text"] == together[1]["text"] {
		t.Error("with --turns the second answer does not know of the first")
	}
	if together[0]["text"] != together[2]["text"] {
		t.Error("after /clear the conversation is remembered")
	}
}

// Ctrl-C ends an answer and keeps the conversation.
func TestChatInterrupt(t *testing.T) {
	var out, stderr bytes.Buffer
	a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &out, err: &stderr, json: true}
	s, err := a.open(tiny)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	how, err := askFlags{maxTokens: 200}.how()
	if err != nil {
		t.Fatal(err)
	}
	interrupts := make(chan os.Signal, 1)
	pressed := false
	how.OnText = func(string) {
		if !pressed {
			pressed = true
			interrupts <- os.Interrupt
			time.Sleep(100 * time.Millisecond) // more than it takes to hear of it
		}
	}
	c := &chat{app: a, s: s, how: how, voice: engine.Base(), out: look(&out)}
	questions := make(chan string)
	go func() {
		defer close(questions)
		questions <- question
		questions <- question
	}()
	if err := c.loop(context.Background(), questions, interrupts); err != nil {
		t.Fatal(err)
	}
	all := lines(t, out.String(), answerFields)
	if len(all) != 2 || all[0]["reason"] != "cancelled" || all[0]["tokens"].(float64) >= 200 ||
		all[1]["tokens"].(float64) < 2 || all[1]["reason"] == "cancelled" {
		t.Errorf("%v", all)
	}
}
