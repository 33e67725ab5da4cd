package task

import "strings"

// frenchOf translates the values that are not names; they follow the masculine, as every invented
// animal, plant and mineral is "le".
var frenchOf = map[string]string{
	"red": "rouge", "blue": "bleu", "green": "vert", "yellow": "jaune", "black": "noir",
	"white": "blanc", "grey": "gris", "brown": "brun",
	"tiny": "minuscule", "small": "petit", "big": "grand", "huge": "énorme",
	"fur": "une fourrure", "scales": "des écailles", "feathers": "des plumes",
	"spines": "des épines",
	"sweet":  "sucré", "sour": "acide", "bitter": "amer", "salty": "salé",
	"hot": "chaud", "warm": "doux", "cold": "froid", "icy": "glacial",
	"forest": "une forêt", "desert": "un désert", "swamp": "un marais",
	"valley": "une vallée", "lake": "un lac", "hill": "une colline", "cave": "une grotte",
	"beach": "une plage",
	"soft":  "tendre", "hard": "dur", "smooth": "lisse", "rough": "rugueux",
}

// frenchSay holds one sentence an attribute; $e is the entity, $v the French value.
var frenchSay = map[kind]map[attr]string{
	animal: {
		colour: "Le $e est $v.", home: "Le $e vit à $v.", food: "Le $e mange le $v.",
		size: "Le $e est $v.", cover: "Le $e a $v.",
	},
	plant: {
		colour: "Le $e est $v.", home: "Le $e pousse à $v.", taste: "Le $e est $v.",
		size: "Le $e est $v.",
	},
	place: {climate: "Le pays de $e est $v.", land: "Le pays de $e est $v."},
	mineral: {
		colour: "Le $e est $v.", home: "Le $e se trouve à $v.", feel: "Le $e est $v.",
	},
}

// inFrench states a fact in French and gives the value's French.
func inFrench(e *entity, a attr, value string) (sentence, frenchValue string) {
	frenchValue = value
	if fr, ok := frenchOf[value]; ok {
		frenchValue = fr
	}
	return fill(frenchSay[e.kind][a], "e", e.name, "v", frenchValue), frenchValue
}

// frenchLexicon holds every French word of the suite in lower case, without the world's names.
var frenchLexicon = buildFrenchLexicon()

func buildFrenchLexicon() map[string]bool {
	lexicon := map[string]bool{"et": true, "la": true, "il": true, "de": true, "oui": true,
		"non": true, "merci": true, "dans": true, "elle": true}
	add := func(text string) {
		for _, w := range words(text) {
			lexicon[w] = true
		}
	}
	for _, fr := range frenchOf {
		add(fr)
	}
	for _, m := range frenchSay {
		for _, s := range m {
			add(fill(s, "e", "", "v", ""))
		}
	}
	return lexicon
}

// worldNames holds the names of all entities in lower case: they belong to no language.
var worldNames = func() map[string]bool {
	m := map[string]bool{}
	for _, names := range entityNames {
		for _, n := range names {
			m[strings.ToLower(n)] = true
		}
	}
	return m
}()
