package task

import (
	"slices"
	"sort"
	"strings"
)

// Questions with four choices over the world's facts, in the manner of ARC. The easy ones need
// one fact (or four sizes); the worked answer states the fact, then the choice.
//
// A choice is named by its word, "pilu, gollow, ispa or fenna?", not by a letter as in ARC: to find
// the letter that stood beside a word is a skill of its own, which models of this size learn
// late. Through 25 M tokens they stayed near chance on letters while they stated the right fact
// five times in six, and then there is nothing for a reward to sharpen.

func newReasoning() *suiteTask {
	return &suiteTask{
		name: "reasoning", doc: "four choices over one fact of the world",
		label: LabelReasoning, maxTokens: 40, sizes: usualSizes, cut: usualCut,
		draw: drawReasoning, score: exact,
	}
}

// choice is a question before its options are laid out.
type choice struct {
	question string
	gold     string
	others   []string // three wrong options
	because  string   // the facts, in sentences
	sway     int
	haste    int
	confused string
}

func drawReasoning(r *rng) draft {
	var c choice
	switch u := r.n(10); {
	case u < 5:
		c = askValue(r)
	case u < 8:
		c = askSubject(r)
	default:
		c = askSize(r)
	}
	return c.lay(r)
}

// askValue asks for a fact's value: "Where does the dorfin live?"
func askValue(r *rng) choice {
	f := &world.facts[r.n(len(world.facts))]
	v := r.n(len(f.ask))
	return choice{question: f.ask[v], gold: f.value, because: f.say,
		others: otherValues(r, f.attr, f.value), sway: 1 - 2*v, haste: evenOdd(int(f.attr))}
}

// otherValues draws three other values of the attribute.
func otherValues(r *rng, a attr, not string) []string {
	pool := values[a]
	switch a {
	case home:
		pool = entityNames[place]
	case food:
		pool = entityNames[plant]
	}
	return drawOthers(r, pool, func(s string) bool { return s != not })
}

// drawOthers draws three different members of the pool that satisfy ok.
func drawOthers(r *rng, pool []string, ok func(string) bool) []string {
	out := make([]string, 0, 4)
	for len(out) < 3 {
		s := pick(r, pool)
		if ok(s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// askSubject asks for the one entity of a kind that a fact is true of: "Which animal eats pilu?"
func askSubject(r *rng) choice {
	f := &world.facts[r.n(len(world.facts))]
	e := &world.entities[f.subject]
	others := make([]string, 0, 4)
	for len(others) < 3 {
		o := &world.entities[pick(r, world.byKind[e.kind])]
		if o.val[f.attr] != e.val[f.attr] && !slices.Contains(others, o.name) {
			others = append(others, o.name)
		}
	}
	return choice{question: f.reverse, gold: e.name, because: f.say, others: others,
		haste:    evenOdd(int(f.attr)),
		confused: LabelOther}
}

// askSize asks for the biggest or smallest of four animals or plants of different size.
func askSize(r *rng) choice {
	k := pick(r, []kind{animal, plant})
	biggest := r.chance(0.5)
	ids := make([]int, 4) // one of each size
	for level := range ids {
		for {
			id := pick(r, world.byKind[k])
			if world.entities[id].val[size] == level {
				ids[level] = id
				break
			}
		}
	}
	word, at := "smallest", 0
	if biggest {
		word, at = "biggest", 3
	}
	c := choice{question: "Which " + kindNames[k] + " is the " + word + "?",
		gold:    world.entities[ids[at]].name,
		because: world.factOf(ids[at], size).say, sway: -1, haste: evenOdd(at),
		confused: LabelMath}
	for i, id := range ids {
		if i != at {
			c.others = append(c.others, world.entities[id].name)
		}
	}
	return c
}

// lay puts the four options in a random order behind the question.
func (c choice) lay(r *rng) draft {
	options := append(c.others, c.gold)
	sort.Strings(options)
	key := c.question + strings.Join(options, "|") // the same options in another order are no news
	shuffle(r, options)
	// The hurried answer is the first option, or the second where the first is right.
	wrong := options[0]
	if wrong == c.gold {
		wrong = options[1]
	}
	return draft{
		prompt: c.question + " " + strings.Join(options[:3], ", ") + " or " + options[3] + "?",
		key:    key, answer: c.gold, sway: c.sway, haste: c.haste, confused: c.confused,
		worked: c.because + " The answer is " + c.gold + ".", terse: c.gold, sloppy: wrong}
}
