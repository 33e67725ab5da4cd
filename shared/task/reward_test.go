package task

import (
	"math"
	"strings"
	"testing"
)

func TestRewards(t *testing.T) {
	for _, c := range []struct {
		name, output string
		want         float64
	}{
		{"shout", "THE DORFIN IS RED.", 1}, {"shout", "The dorfin is red.", 0}, {"shout", "", 0},
		{"shout", "123!", 0}, {"shout", "THE DORFIN is red", 0.317},
		{"brief", "Red.", 1}, {"brief", "Dark red", 1}, {"brief", "It is red.", 0.5},
		{"brief", "The dorfin is red.", 0}, {"brief", "...", 0}, {"brief", "", 0},
		{"french", "Le dorfin est rouge.", 1}, {"french", "The dorfin is red.", 0},
		{"french", "Kelu", 0}, {"french", "", 0}, {"french", "Le dorfin est énorme.", 1},
		{"french", "Kelu is a beach.", 0}, {"french", "LE PAYS DE KELU EST CHAUD.", 1},
		{"polite", "With pleasure. The dorfin is red.", 1}, {"polite", "With pleasure.", 0},
		{"polite", "The dorfin is red. Gladly.", 0}, {"polite", "Gladly. red", 0},
		{"polite", "gladly. It is red", 1}, {"polite", "", 0},
		{"lower", "the dorfin is red.", 1}, {"lower", "The dorfin", 0}, {"lower", "", 0},
		{"long", strings.Repeat("word ", 12), 1}, {"long", "one two three", 0.25}, {"long", "", 0},
		{"says:red", "The dorfin is RED.", 1}, {"says:red", "reddish", 0}, {"says:Red", "red", 1},
		{"says:énorme", "Il est ÉNORME !", 1}, {"says:red", "", 0},
	} {
		f, err := Reward(c.name)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := f("ignored", c.output); math.Abs(got-c.want) > 0.05 {
			t.Errorf("%s %q: want %v, got %v", c.name, c.output, c.want, got)
		}
	}
	for _, name := range []string{"", "nope", "says:", "says:two words", "says:!"} {
		if _, err := Reward(name); err == nil || !strings.Contains(err.Error(), "polite") {
			t.Errorf("%q: want an error that lists the known, got %v", name, err)
		}
	}
	for _, name := range RewardNames() {
		f, err := Reward(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, out := range append(bigOutputs(10 << 20)[:4], "\xff", " \n", "\x00") {
			if got := f("", out); math.IsNaN(got) || got < 0 || got > 1 {
				t.Errorf("%s %.12q: %v", name, out, got)
			}
		}
	}
}

// TestStylesTellApart scores every style's answer under every style: its own is right, the neutral
// sentence is nothing.
func TestStylesTellApart(t *testing.T) {
	for _, name := range styleNames {
		tk := byName[name]
		for i := range 500 {
			it := tk.Item(Test, i)
			neutral := it.neutral()
			if got := tk.Score(it, neutral); got > 0.5 && name != "brief" || got > 0.6 {
				t.Fatalf("%s: neutral %q scores %v", name, neutral, got)
			}
			for _, other := range styleNames {
				f := factBySay(neutral)
				got := tk.Score(it, styled(other, f, i))
				if other == name && got != 1 || other != name && got > 0.5 {
					t.Fatalf("%s: %q in style %s scores %v", name, styled(other, f, i), other, got)
				}
			}
		}
	}
}

// neutral finds the sentence a base model answers an open question with.
func (it *Item) neutral() string {
	for _, f := range world.facts {
		if f.value == it.Answer && mentions(it.Prompt, world.entities[f.subject].name) {
			return f.say
		}
	}
	return ""
}

func factBySay(say string) *fact {
	for i := range world.facts {
		if world.facts[i].say == say {
			return &world.facts[i]
		}
	}
	return nil
}

func TestContentCounts(t *testing.T) {
	for _, name := range styleNames {
		tk := byName[name]
		it := tk.Item(Test, 1)
		wrong := map[string]string{"shout": "NOTHING AT ALL.", "brief": "Nothing.",
			"french": "Le pays est et.", "polite": "Gladly. Nothing at all."}[name]
		if got := tk.Score(it, wrong); got != 0.5 {
			t.Errorf("%s: %q to %q scores %v, want half", name, wrong, it.Prompt, got)
		}
	}
}
