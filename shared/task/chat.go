package task

import "strings"

// Small talk: what belongs to no expert. It makes the fourth class of the first pass, and the
// corpus holds it so that a base model has an answer.

// chatForms pair a prompt with its reply: $n is a name, $t a thing, $d a day, $w a word of praise.
var chatForms = [][2]string{
	{"Hello, I am $n. How are you?", "Hello $n! I am fine, thank you."},
	{"Good morning! It is $n again, and it is $d.", "Good morning, $n! Have a nice $d."},
	{"Can you tell me a joke about $t?", "Why did the $t laugh? Nobody knows."},
	{"I like $t. Do you like $t too?", "Yes, I like $t as well."},
	{"Thank you, that was $w. See you on $d!", "You are welcome. See you on $d!"},
	{"My friend $n gave me $t on $d. Is that not $w?", "Yes, that is $w of $n."},
	{"What should I do on $d with $n?", "You could look at $t with $n."},
	{"Please write a short poem about $t for $n.", "$t for you, $t for me, $n is happy as can be."},
	{"I feel tired this $d. Say something $w.", "Rest well. $d will be $w."},
	{"Do you think that $n would like $t?", "I think that $n would like $t."},
	{"Wish $n a $w $d for me.", "$n, have a $w $d!"},
	{"Sorry, I forgot my $t. What now?", "Never mind, we will find your $t."},
}

var (
	days = strings.Fields("Monday Tuesday Wednesday Thursday Friday Saturday Sunday " +
		"Easter Christmas")
	praises = strings.Fields("nice kind great lovely good fun")
)

func drawChat(r *rng) draft {
	f := pick(r, chatForms)
	slots := []string{"n", pick(r, people), "t", pick(r, things), "d", pick(r, days),
		"w", pick(r, praises)}
	d := draft{prompt: fill(f[0], slots...), answer: LabelOther}
	d.worked = fill(f[1], slots...)
	d.terse, d.sloppy, d.key = d.worked, d.worked, d.prompt
	if f[0][0] == 'D' { // "Do you think ...": looks like something to think about
		d.confused = LabelReasoning
	}
	return d
}

// describe is a plain statement of facts, the corpus's encyclopedia.
func describe(r *rng) Document {
	e := &world.entities[r.n(len(world.entities))]
	as := attrOf[e.kind]
	from := r.n(len(as))
	var b strings.Builder
	for i := range min(3, len(as)) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(world.factOf(e.id, as[(from+i)%len(as)]).say)
	}
	return Document{Prompt: "Describe the " + kindNames[e.kind] + " " + e.name + ".",
		Answer: b.String()}
}
