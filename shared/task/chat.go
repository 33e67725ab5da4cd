package task

import "strings"

// Small talk: what belongs to no expert. It makes the fourth class of the first pass, and the
// corpus holds it so that a base model has an answer.

// chatForms pair a prompt with its reply: N is a name, T a thing, D a day, W a word of praise.
var chatForms = [][2]string{
	{"Hello, I am N. How are you?", "Hello N! I am fine, thank you."},
	{"Good morning! It is N again, and it is D.", "Good morning, N! Have a nice D."},
	{"Can you tell me a joke about T?", "Why did the T laugh? Nobody knows."},
	{"I like T. Do you like T too?", "Yes, I like T as well."},
	{"Thank you, that was W. See you on D!", "You are welcome. See you on D!"},
	{"My friend N gave me T on D. Is that not W?", "Yes, that is W of N."},
	{"What should I do on D with N?", "You could look at T with N."},
	{"Please write a short poem about T for N.", "T for you, T for me, N is happy as can be."},
	{"I feel tired this D. Say something W.", "Rest well. D will be W."},
	{"Do you think that N would like T?", "I think that N would like T."},
	{"Wish N a W D for me.", "N, have a W D!"},
	{"Sorry, I forgot my T. What now?", "Never mind, we will find your T."},
}

var (
	days = strings.Fields("Monday Tuesday Wednesday Thursday Friday Saturday Sunday " +
		"Easter Christmas")
	praises = strings.Fields("nice kind great lovely good fun")
)

func drawChat(r *rng) draft {
	f := pick(r, chatForms)
	in := strings.NewReplacer("N", pick(r, people), "T", pick(r, things), "D", pick(r, days),
		"W", pick(r, praises))
	d := draft{prompt: in.Replace(f[0]), answer: LabelOther}
	d.worked = in.Replace(f[1])
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
