package task

import (
	"strconv"
	"strings"
)

// Word problems in the manner of GSM8K: a start, one to three steps, a question. The worked
// answer writes each step as an equation and ends in "#### result".

func newMath() *suiteTask {
	return &suiteTask{
		name: "math", doc: "word problems of one to three steps; the number after ####",
		label: LabelMath, maxTokens: 48, sizes: usualSizes, cut: usualCut,
		draw: drawMath, score: exact,
	}
}

var (
	people = strings.Fields("Tom Ann Bob Eve Sam Kim Joe Liz Max Zoe Ben Ida Leo Mia Ned Una")
	things = strings.Fields("apples books cards coins shells stamps beads pens cakes nuts eggs keys")
	boxes  = strings.Fields("bags boxes bowls packs")
	gains  = []string{"gets", "buys", "finds", "picks up"}
	losses = []string{"loses", "sells", "gives away", "breaks"}
)

// Sizes of the numbers, kept small: the model's arithmetic is learnt from examples.
const (
	maxOperand = 40  // of a sum or difference
	maxResult  = 150 // of any step
	maxPack    = 12  // things in a bag
	maxFactor  = 9   // single-digit multipliers
)

// story is a word problem while it grows.
type story struct {
	text  []byte
	steps []byte // "12+7=19. "
	who   string
	what  string
	value int
	// prior is the value before the last step, near the result of a slip in it.
	prior, slip int
	nsteps      int
	shared      bool // ended by sharing: the question asks for each one's part
	// first is the first of two people, partner what that one has if the question is about both.
	first   string
	partner int
}

func (s *story) say(parts ...string) {
	if len(s.text) > 0 {
		s.text = append(s.text, ' ')
	}
	for _, p := range parts {
		s.text = append(s.text, p...)
	}
}

// step applies one operation and notes the equation and the slip that would go with it.
func (s *story) step(a int, op byte, b int) int {
	var y int
	switch op {
	case '+':
		y, s.slip = a+b, a-b
	case '-':
		y, s.slip = a-b, a+b
	case '*':
		y, s.slip = a*b, a+b
	case '/':
		y, s.slip = a/b, a-b
	}
	s.steps = strconv.AppendInt(s.steps, int64(a), 10)
	s.steps = append(s.steps, op)
	s.steps = strconv.AppendInt(s.steps, int64(b), 10)
	s.steps = append(s.steps, '=')
	s.steps = strconv.AppendInt(s.steps, int64(y), 10)
	s.steps = append(s.steps, ". "...)
	s.prior = a
	s.nsteps++
	return y
}

func drawMath(r *rng) draft {
	s := story{who: pick(r, people), what: pick(r, things),
		text: make([]byte, 0, 160), steps: make([]byte, 0, 48)}
	want := 1
	if u := r.unit(); u > 0.75 {
		want = 3
	} else if u > 0.3 {
		want = 2
	}
	s.start(r, want)
	for s.nsteps < want-s.together() && !s.shared {
		s.grow(r, want-s.together()-s.nsteps)
	}
	if s.partner > 0 {
		s.value = s.step(s.partner, '+', s.value)
	}
	sway := s.question(r)
	answer := strconv.Itoa(s.value)
	return draft{
		prompt: string(s.text), key: string(s.text), answer: answer, sway: sway,
		haste:    evenOdd(len(s.what)),
		worked:   string(s.steps) + marker + " " + answer,
		terse:    marker + " " + answer,
		sloppy:   marker + " " + strconv.Itoa(s.wrong(r)),
		confused: s.confused(),
	}
}

// together is the number of steps kept for the sum of two people's things.
func (s *story) together() int {
	if s.partner > 0 {
		return 1
	}
	return 0
}

// start opens the story.
func (s *story) start(r *rng, want int) {
	switch u := r.n(10); {
	case u < 3: // k bags of a: one step
		k, a := r.between(2, maxFactor), r.between(2, maxPack)
		s.say(s.who, " has ", strconv.Itoa(k), " ", pick(r, boxes), " of ", strconv.Itoa(a), " ",
			s.what, ".")
		s.value = s.step(k, '*', a)
	case u < 5: // two people
		s.first = s.who
		for s.who == s.first {
			s.who = pick(r, people)
		}
		a, b := r.between(2, maxOperand), r.between(2, maxOperand)
		s.say(s.first, " has ", strconv.Itoa(a), " ", s.what, ".")
		if a > b && r.chance(0.5) {
			s.say(s.who, " has ", strconv.Itoa(b), " fewer.")
			s.value = s.step(a, '-', b)
		} else {
			s.say(s.who, " has ", strconv.Itoa(b), " more.")
			s.value = s.step(a, '+', b)
		}
		if want > 1 && r.chance(0.4) {
			s.partner = a
		}
	default:
		s.value = r.between(2, maxOperand)
		s.say(s.who, " has ", strconv.Itoa(s.value), " ", s.what, ".")
	}
}

// grow adds an event of one step, or of two when that many are left.
func (s *story) grow(r *rng, left int) {
	n := strconv.Itoa
	who := s.who
	if s.nsteps > 0 && r.chance(0.4) {
		who = "Then " + who
	}
	switch u := r.n(12); {
	case u < 4 && s.value+2 < maxResult:
		b := r.between(2, min(maxOperand, maxResult-s.value))
		s.say(who, " ", pick(r, gains), " ", n(b), " more.")
		s.value = s.step(s.value, '+', b)
	case u < 8 && s.value > 3:
		b := r.between(1, min(maxOperand, s.value-1))
		s.say(who, " ", pick(r, losses), " ", n(b), ".")
		s.value = s.step(s.value, '-', b)
	case u < 10 && left >= 2:
		k, b := r.between(2, maxFactor), r.between(2, maxPack)
		if s.value+k*b > maxResult {
			return
		}
		s.say(who, " ", pick(r, gains), " ", n(k), " ", pick(r, boxes), " of ", n(b), ".")
		s.value = s.step(s.value, '+', s.step(k, '*', b))
	case u == 10 && s.value < maxResult/2:
		k := r.between(2, min(4, maxResult/s.value))
		s.say(who, " ends up with ", n(k), " times as many.")
		s.value = s.step(s.value, '*', k)
	case u == 11 && left == 1 && s.partner == 0:
		k := r.between(2, maxFactor)
		if s.value%k != 0 || s.value == k {
			return
		}
		s.say(who, " shares them among ", n(k), " friends.")
		s.value = s.step(s.value, '/', k)
		s.shared = true
	}
}

// question closes the story. Its wording sways how carefully it tends to be answered.
func (s *story) question(r *rng) int {
	v := r.n(3)
	switch {
	case s.shared:
		s.say([]string{"How many does each friend get?", "How many are there for each?",
			"What does each friend get?"}[v])
	case s.partner > 0:
		s.say([]string{"How many do " + s.first + " and " + s.who + " have together?",
			"How many are there in all?", "What is the total for both?"}[v])
	default:
		s.say([]string{"How many " + s.what + " does " + s.who + " have now?",
			"How many " + s.what + " is that for " + s.who + "?",
			"What is the number of " + s.what + " of " + s.who + "?"}[v])
	}
	return 1 - v
}

// wrong is what a hurried reader answers: a step forgotten, the wrong operation, a slip of one or
// ten.
func (s *story) wrong(r *rng) int {
	w := s.value
	switch r.n(4) {
	case 0, 1:
		w = s.prior
	case 2:
		w = s.slip
	}
	if w == s.value || w < 0 {
		w = s.value + []int{1, -1, 10, 2}[r.n(4)]
	}
	if w < 0 {
		w = s.value + 1
	}
	return w
}

// confused: what is shared out looks like a question about people.
func (s *story) confused() string {
	if s.shared {
		return LabelReasoning
	}
	return ""
}
