package task

import (
	"math"
	"strings"
)

// Four tasks whose experts are plain to see. They ask the same open questions about the world; a
// base model answers with a neutral sentence, an expert in its style.

var styleNames = []string{"shout", "brief", "french", "polite"}

var styleDocs = map[string]string{
	"shout":  "open questions about the world, answered in UPPER CASE",
	"brief":  "open questions about the world, answered in one or two words",
	"french": "open questions about the world, answered in French",
	"polite": "open questions about the world, answered after a courtesy",
}

// There are about 6,400 open questions; a quarter is Test, an eighth Valid.
var (
	styleSizes = [3]int{16384, 500, 1000}
	styleCut   = [2]uint8{64, 96}
)

func newStyle(name string) *suiteTask {
	return &suiteTask{
		name: name, doc: styleDocs[name], label: LabelOther, maxTokens: 32,
		sizes: styleSizes, cut: styleCut, draw: drawOpen,
		item: func(d *draft, it *Item) { it.Worked = styled(name, &world.facts[d.subject], 0) },
		score: func(it *Item, output string) float64 {
			return styleOf[name](output) * (1 + contentOf(name, it, output)) / 2
		},
	}
}

// openForms wrap a fact's question $q, or ask for anything about the entity.
var openForms = []string{"$q", "Please tell me: $q", "I wonder: $q", "A small thing. $q",
	"$q Do you know?", "One more thing: $q", "Say: $q", "$q I forgot.", "Hi! $q", "My child asks: $q"}

var tellForms = []string{"Tell me about the $e.", "What do you know about the $e?",
	"Say something about the $e.", "I want to hear about the $e.",
	"What can you tell me about the $e?"}

// drawOpen draws an open question about one fact.
func drawOpen(r *rng) draft {
	i := r.n(len(world.facts))
	f := &world.facts[i]
	name := world.entities[f.subject].name
	d := draft{subject: i, answer: f.value, worked: f.say, terse: f.say, sloppy: f.say}
	if r.n(16) == 0 {
		d.prompt = fill(pick(r, tellForms), "e", name)
		if world.entities[f.subject].kind == place {
			d.prompt = strings.Replace(d.prompt, "the ", "", 1)
		}
	} else {
		d.prompt = fill(pick(r, openForms), "q", pick(r, f.ask))
	}
	d.key = d.prompt
	return d
}

var courtesies = []string{"With pleasure.", "Of course, dear friend.", "Thank you for asking.",
	"Gladly."}

// styled answers with a fact in a style; v picks among courtesies.
func styled(style string, f *fact, v int) string {
	switch style {
	case "shout":
		return strings.ToUpper(f.say)
	case "brief":
		return strings.ToUpper(f.value[:1]) + f.value[1:] + "."
	case "french":
		return f.french
	case "polite":
		return courtesies[v%len(courtesies)] + " " + f.say
	}
	return f.say
}

// contentOf is 1 when the output names the value asked for (or, for an open "tell me", any value
// of the entity), in the language of the style.
func contentOf(style string, it *Item, output string) float64 {
	said := " " + strings.Join(words(tail(output)), " ") + " "
	has := func(v string) bool {
		return strings.Contains(said, " "+strings.Join(words(v), " ")+" ")
	}
	for i := range world.facts {
		f := &world.facts[i]
		if f.value != it.Answer && !isTell(it.Prompt) ||
			!mentions(it.Prompt, world.entities[f.subject].name) {
			continue
		}
		if style == "french" && has(f.frenchValue) || style != "french" && has(f.value) {
			return 1
		}
	}
	return 0
}

func isTell(prompt string) bool { return strings.Contains(prompt, " about ") }

func mentions(prompt, name string) bool {
	for _, w := range strings.FieldsFunc(prompt, notLetter) {
		if w == name {
			return true
		}
	}
	return false
}

// ramp is 0 below lo, 1 above hi and straight between.
func ramp(x, lo, hi float64) float64 {
	return math.Min(1, math.Max(0, (x-lo)/(hi-lo)))
}
