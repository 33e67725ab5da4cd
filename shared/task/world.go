package task

import "strings"

// The world: 24 animals, 12 plants, 12 places and 12 minerals, with 228 facts between them. It is
// small enough that a model of one or two million parameters can know it by heart, and its
// names are invented, so that nothing can be known from elsewhere.

type kind int

const (
	animal kind = iota
	plant
	place
	mineral
)

var kindNames = [...]string{"animal", "plant", "place", "mineral"}

type attr int

const (
	colour attr = iota
	home        // where an animal lives, a plant grows, a mineral is found
	food
	size
	cover
	taste
	climate
	land
	feel
	attrs // their number
)

// entityNames, by kind.
var entityNames = [...][]string{
	animal: strings.Fields("dorfin kafin lumex brapin tosker wexel murlo sivet zandor pellum " +
		"grofin hastik jimmo norvel ostrin pakul rindle sombat tavix ulmer vanto yorrin zebbit cludo"),
	plant: strings.Fields("pilu mosset carra drillip fenna gollow hexwort ispa juniba kolver " +
		"lantis marrel"),
	place: strings.Fields("Kelu Omari Sivo Tanu Bresk Dalor Fenrow Gorst Halim Irvo Jorva Lomba"),
	mineral: strings.Fields("azrite bolnite corvane dustril emberon flarine grelite halcyte ignor " +
		"jadrin kelvite lorium"),
}

// values of the attributes that are not themselves entities, with their French (masculine).
var values = [attrs][]string{
	colour:  strings.Fields("red blue green yellow black white grey brown"),
	size:    strings.Fields("tiny small big huge"),
	cover:   strings.Fields("fur scales feathers spines"),
	taste:   strings.Fields("sweet sour bitter salty"),
	climate: strings.Fields("hot warm cold icy"),
	land:    strings.Fields("forest desert swamp valley lake hill cave beach"),
	feel:    strings.Fields("soft hard smooth rough"),
}

// attrOf lists what is known of each kind.
var attrOf = [...][]attr{
	animal:  {colour, home, food, size, cover},
	plant:   {colour, home, taste, size},
	place:   {climate, land},
	mineral: {colour, home, feel},
}

type entity struct {
	id   int
	name string
	kind kind
	val  [attrs]int // index into values, or the id of a place (home) or a plant (food)
	has  [attrs]int // index of the fact + 1
}

// fact is one thing known about one entity, in words.
type fact struct {
	subject       int // entity id
	attr          attr
	value         string // "red", "Kelu"
	say           string // "The dorfin is red."
	french        string // "Le dorfin est rouge."
	frenchValue   string
	ask           []string // questions whose answer is value
	reverse       string   // question whose answer is the subject, "Which animal is red?"
	valueEntityID int      // id of the entity that value names, or -1
}

// worldModel is everything that is true.
type worldModel struct {
	entities []entity
	facts    []fact
	byKind   [4][]int // entity ids
}

const worldSeed = 20250109

// world is fixed for good by its seed.
var world = buildWorld(worldSeed)

func buildWorld(seed uint64) *worldModel {
	w := &worldModel{}
	r := newRNG(seed, 0)
	for k, names := range entityNames {
		for _, name := range names {
			e := entity{id: len(w.entities), name: name, kind: kind(k)}
			w.byKind[k] = append(w.byKind[k], e.id)
			w.entities = append(w.entities, e)
		}
	}
	for k := range entityNames {
		for _, a := range attrOf[k] {
			w.deal(&r, w.byKind[k], a)
		}
	}
	for i := range w.entities {
		e := &w.entities[i]
		for _, a := range attrOf[e.kind] {
			w.facts = append(w.facts, w.newFact(e, a))
			e.has[a] = len(w.facts)
		}
	}
	return w
}

// deal hands out an attribute's values evenly: every value occurs as often as every other, so
// that no answer is more likely before the question is read. Each place gets exactly one plant,
// one mineral and two animals, and so questions of two steps have one answer.
func (w *worldModel) deal(r *rng, ids []int, a attr) {
	deck := make([]int, len(ids))
	for i := range deck {
		switch a {
		case home:
			deck[i] = w.byKind[place][i%len(w.byKind[place])]
		case food:
			deck[i] = w.byKind[plant][i%len(w.byKind[plant])]
		default:
			deck[i] = i % len(values[a])
		}
	}
	shuffle(r, deck)
	for i, id := range ids {
		w.entities[id].val[a] = deck[i]
	}
}

func shuffle[T any](r *rng, xs []T) {
	for i := len(xs) - 1; i > 0; i-- {
		j := r.n(i + 1)
		xs[i], xs[j] = xs[j], xs[i]
	}
}

// factOf returns the fact about an entity's attribute; the entity's kind must have it.
func (w *worldModel) factOf(id int, a attr) *fact { return &w.facts[w.entities[id].has[a]-1] }

// valueName is the value of an attribute in words, and the entity it names, or -1.
func (w *worldModel) valueName(e *entity, a attr) (string, int) {
	if a == home || a == food {
		return w.entities[e.val[a]].name, e.val[a]
	}
	return values[a][e.val[a]], -1
}

// phrase holds the wordings of one attribute of one kind: $e is the entity, $v the value.
type phrase struct {
	say, reverse string
	ask          []string
}

var phrases = map[kind]map[attr]phrase{
	animal: {
		colour: {"The $e is $v.", "Which animal is $v?",
			[]string{"What colour is the $e?", "Which colour does the $e have?"}},
		home: {"The $e lives in $v.", "Which animal lives in $v?",
			[]string{"Where does the $e live?", "In which place does the $e live?"}},
		food: {"The $e eats $v.", "Which animal eats $v?",
			[]string{"What does the $e eat?", "Which plant does the $e eat?"}},
		size: {"The $e is $v.", "Which animal is $v?",
			[]string{"How big is the $e?", "What size is the $e?"}},
		cover: {"The $e has $v.", "Which animal has $v?",
			[]string{"What covers the $e?", "What does the $e have on its skin?"}},
	},
	plant: {
		colour: {"The $e is $v.", "Which plant is $v?",
			[]string{"What colour is the $e?", "Which colour does the $e have?"}},
		home: {"The $e grows in $v.", "Which plant grows in $v?",
			[]string{"Where does the $e grow?", "In which place does the $e grow?"}},
		taste: {"The $e tastes $v.", "Which plant tastes $v?",
			[]string{"How does the $e taste?", "What taste does the $e have?"}},
		size: {"The $e is $v.", "Which plant is $v?",
			[]string{"How big is the $e?", "What size is the $e?"}},
	},
	place: {
		climate: {"$e is $v.", "Which place is $v?",
			[]string{"How warm is it in $e?", "What is the weather like in $e?"}},
		land: {"$e is a $v.", "Which place is a $v?",
			[]string{"What kind of land is $e?", "What does one find in $e?"}},
	},
	mineral: {
		colour: {"The $e is $v.", "Which mineral is $v?",
			[]string{"What colour is the $e?", "Which colour does the $e have?"}},
		home: {"The $e is found in $v.", "Which mineral is found in $v?",
			[]string{"Where is the $e found?", "In which place is the $e found?"}},
		feel: {"The $e feels $v.", "Which mineral feels $v?",
			[]string{"How does the $e feel?", "What does the $e feel like?"}},
	},
}

func (w *worldModel) newFact(e *entity, a attr) fact {
	v, id := w.valueName(e, a)
	p := phrases[e.kind][a]
	f := fact{subject: e.id, attr: a, value: v, valueEntityID: id,
		say: fill(p.say, "e", e.name, "v", v), reverse: fill(p.reverse, "v", v)}
	for _, q := range p.ask {
		f.ask = append(f.ask, fill(q, "e", e.name))
	}
	f.french, f.frenchValue = inFrench(e, a, v)
	return f
}
