package task

// Questions that need two facts, in the manner of ARC-Challenge: "What colour is the plant that
// the dorfin eats?"

func newReasoningHard() *suiteTask {
	return &suiteTask{
		name: "reasoning-hard", doc: "four choices over two facts of the world",
		label: LabelReasoning, maxTokens: 48, sizes: usualSizes, cut: usualCut,
		draw: func(r *rng) draft { return drawHop(r).lay(r) }, score: exact,
	}
}

// bridge leads from an entity to another by one fact; $e is the first entity.
var bridges = map[kind]map[attr][2]string{
	animal: {
		home: {"the place where the $e lives", "the home of the $e"},
		food: {"the plant that the $e eats", "the food of the $e"},
	},
	plant:   {home: {"the place where the $e grows", "the land of the $e"}},
	mineral: {home: {"the place where the $e is found", "the source of the $e"}},
}

// secondAsk asks for an attribute of what $b describes.
var secondAsk = map[kind]map[attr]string{
	plant: {colour: "What colour is $b?", home: "Where does $b grow?", taste: "How does $b taste?",
		size: "How big is $b?"},
	place: {climate: "How warm is $b?", land: "What kind of land is $b?"},
}

// neighbourAsk asks what else is at home in the place that $b describes.
var neighbourAsk = map[kind]string{
	plant: "Which plant grows in $b?", mineral: "Which mineral is found in $b?",
}

// hop is a two-fact question with its facts in place.
type hop struct {
	question string
	variant  int
	gold     string
	goldAttr attr
	goldKind kind // of the gold when it is a neighbour
	neigh    bool
	because  string
}

// hops holds every two-fact question of the world in both wordings.
var hops = buildHops()

func buildHops() []hop {
	var out []hop
	for i := range world.entities {
		e := &world.entities[i]
		for _, a := range attrOf[e.kind] {
			b, ok := bridges[e.kind][a]
			if !ok {
				continue
			}
			for v := range b {
				out = append(out, hopsFrom(e, a, fill(b[v], "e", e.name), v)...)
			}
		}
	}
	return out
}

// hopsFrom lists what can be asked behind one bridge.
func hopsFrom(e *entity, a attr, bridge string, v int) []hop {
	var out []hop
	first := world.factOf(e.id, a)
	mid := &world.entities[first.valueEntityID]
	for _, b := range attrOf[mid.kind] {
		f := world.factOf(mid.id, b)
		out = append(out, hop{question: fill(secondAsk[mid.kind][b], "b", bridge),
			variant: v, gold: f.value, goldAttr: b, because: first.say + " " + f.say})
	}
	if mid.kind != place {
		return out
	}
	for _, k := range []kind{plant, mineral} {
		for _, id := range world.byKind[k] {
			if k != e.kind && world.entities[id].val[home] == mid.id {
				out = append(out, hop{question: fill(neighbourAsk[k], "b", bridge),
					variant: v, gold: world.entities[id].name, goldKind: k, neigh: true,
					because: first.say + " " + world.factOf(id, home).say})
			}
		}
	}
	return out
}

func drawHop(r *rng) choice {
	h := &hops[r.n(len(hops))]
	c := choice{question: h.question, gold: h.gold, because: h.because, sway: 1 - 2*h.variant,
		haste: evenOdd(int(h.goldAttr))}
	if h.neigh {
		c.others = drawOthers(r, entityNames[h.goldKind], func(s string) bool { return s != h.gold })
		return c
	}
	c.others = otherValues(r, h.goldAttr, h.gold)
	return c
}
