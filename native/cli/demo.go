package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
	"transformer2/shared/svf"
	"transformer2/shared/task"
)

func (a *app) demoCmd() *cobra.Command {
	var model string
	var fast bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "a guided tour of two minutes: one model, several experts, and how it picks them",
		Long: `A guided tour in the terminal: a question, the base model's answer and an expert's,
what the expert changed, how the model picks an expert by itself, and experts whose effect is plain
to see. Nothing is recorded: all answers are computed while you read. It needs no keys; on a
terminal it pauses a little between the steps.`,
		Example: "  t2 demo\n  t2 demo --fast\n  t2 demo --model zoo:tako-b",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.json {
				return errors.New("t2 demo is for people: programs want t2 compare --json and t2 " +
					"adapt --json")
			}
			return a.withModel(model, func(s *session) error {
				d := &demo{app: a, s: s, ctx: cmd.Context(), out: look(a.out)}
				d.paced = d.out.tty && !fast
				return d.tour()
			})
		},
	}
	modelFlag(cmd, &model)
	cmd.Flags().BoolVar(&fast, "fast", false, "no pauses")
	return cmd
}

// demo is one tour.
type demo struct {
	*app
	s     *session
	ctx   context.Context
	out   *ui
	paced bool
	step  int
}

// tour runs the steps that the model has the experts for.
func (d *demo) tour() error {
	c := d.s.Model.LM.Config
	d.out.line("%s", d.out.title.Render("Transformer² in two minutes"))
	d.say("The model is %s: %.1f million parameters, %d layers, a Llama as large ones are. This "+
		"program trained "+
		"it from nothing on a small invented world. All that follows is computed now, on %s.",
		d.s.Model.Name, float64(c.NumParams())/1e6, c.Layers, d.s.dev.Name())
	steps := []struct {
		needs []string // experts
		show  func() error
	}{
		{[]string{"math"}, d.question},
		{[]string{"math"}, d.inside},
		{nil, d.twoPasses},
		{nil, d.plainToSee},
	}
	have := d.s.Model.ExpertNames()
	for _, s := range steps {
		lacks := func(name string) bool { return !slices.Contains(have, name) }
		if slices.ContainsFunc(s.needs, lacks) {
			continue
		}
		if err := s.show(); err != nil {
			return err
		}
	}
	d.next()
	return d.ctx.Err()
}

// heading begins a step.
func (d *demo) heading(format string, args ...any) {
	d.pause(2 * time.Second)
	d.step++
	d.out.line("\n%s", d.out.title.Render(fmt.Sprintf("%d  ", d.step)+fmt.Sprintf(format, args...)))
}

// say prints a paragraph.
func (d *demo) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.out.line("%s", fold(text, min(d.out.width, plainWidth)))
	d.pause(time.Duration(len(strings.Fields(text))) * perWord)
}

// perWord is how long a word takes to read.
const perWord = 200 * time.Millisecond

// pause waits where a person is watching.
func (d *demo) pause(t time.Duration) {
	if !d.paced {
		return
	}
	select {
	case <-time.After(t):
	case <-d.ctx.Done():
	}
}

// answer shows what a voice said.
func (d *demo) answer(voice, text, verdict string) {
	d.out.line("  %s %s", d.out.name.Render(fmt.Sprintf("%-10s", voice)),
		strings.TrimLeft(d.out.indent(d.out.text(text), 13), " ")+verdict)
	d.pause(800 * time.Millisecond)
}

// demoItems is how many questions the tour looks through for a telling one.
const demoItems = 60

// question shows the same question answered by the base and by the math expert.
func (d *demo) question() error {
	math, err := task.Lookup("math")
	if err != nil {
		return err
	}
	expert, err := d.s.Voice("math")
	if err != nil {
		return err
	}
	quiz := engine.Quiz{Task: math, Split: task.Test, N: demoItems, Seed: 1}
	base, err := d.s.Answers(d.ctx, engine.Base(), quiz)
	if err != nil {
		return err
	}
	better, err := d.s.Answers(d.ctx, expert, quiz)
	if err != nil {
		return err
	}
	at, found := telling(base, better)
	d.heading("A question")
	d.say("%s", quoted(base[at].Item.Prompt))
	d.verdict("base", base[at])
	d.verdict("math", better[at])
	d.out.line("")
	if found {
		d.say("Same weights on disk, same words in. The second answer comes from an expert: a "+
			"vector z, read from a "+
			"small file. Over %d questions that neither was trained on, the base gets %d right "+
			"and the expert %d; "+
			"the one above is the first on which they part that way.", len(base), right(base),
			right(better))
	} else {
		d.say("The second answer comes from an expert: a vector z, read from a small file. Over "+
			"%d questions that "+
			"neither was trained on, the base gets %d right and the expert %d.", len(base),
			right(base), right(better))
	}
	return nil
}

// telling is the first question that the expert alone gets right, or the first on which the two say
// something else.
func telling(base, expert []engine.Scored) (at int, found bool) {
	for i := range base {
		if base[i].Score == 0 && expert[i].Score == 1 {
			return i, true
		}
	}
	for i := range base {
		if base[i].Text != expert[i].Text {
			return i, false
		}
	}
	return 0, false
}

func right(all []engine.Scored) (n int) {
	for _, s := range all {
		if s.Score == 1 {
			n++
		}
	}
	return n
}

func (d *demo) verdict(voice string, s engine.Scored) {
	mark := d.out.bad.Render("  ✗ " + s.Item.Answer + " would be right")
	if s.Score == 1 {
		mark = d.out.good.Render("  ✓")
	}
	d.answer(voice, s.Text, mark)
}

func quoted(s string) string { return "“" + s + "”" }

// inside shows what z is: where it acts, and on one matrix how.
func (d *demo) inside() error {
	l, err := d.aboutExpert(d.ctx, d.s, "math")
	if err != nil {
		return err
	}
	v, err := d.s.Voice("math")
	if err != nil {
		return err
	}
	e, err := d.s.Effective(d.ctx, v.Expert)
	if err != nil {
		return err
	}
	bases, err := d.s.Bases(d.ctx, svf.ScopeOf(e.Names()...))
	if err != nil {
		return err
	}
	d.heading("What the expert is")
	d.say("Every weight matrix is a sum of directions, W = U diag(σ) Vᵀ: σ says how strong each "+
		"one is. An expert "+
		"holds one number z for each direction and makes it W' = U diag(σ·z) Vᵀ: louder where z > "+
		"1, softer where "+
		"z < 1, and where z = 1 the model is what it was. These are %d numbers, %s of the "+
		"parameters. "+
		"How far they are from 1, a row a layer, a column a matrix:", l.Numbers,
		percent(float64(l.Numbers)/float64(d.s.Model.LM.NumParams())))
	d.out.line("")
	d.out.grid(l.Matrices)
	most := slices.MaxFunc(l.Matrices, func(x, y matrixLine) int {
		return cmp.Compare(x.MeanAbs, y.MeanAbs)
	})
	if m, ok := bases.Matrix(most.Name); ok {
		d.say("\nThe strongest directions of %s, where z does most:\n", shortName(m.Name))
		d.spectrum(m, e.Z[m.Name])
	}
	return nil
}

// demoDirections is how many singular values the tour draws.
const demoDirections = 8

// spectrum draws σ before and after.
func (d *demo) spectrum(m *svf.Matrix, z []float32) {
	most := 0.0
	n := min(demoDirections, m.R)
	for i := range n {
		most = max(most, m.Sigma[i], m.Sigma[i]*math.Abs(float64(z[i])))
	}
	const width = 24
	d.out.line("  %s", d.out.faint.Render(fmt.Sprintf("    %-*s  %7s  %s", width+6, "σ", "z",
		"σ·z")))
	for i := range n {
		after := m.Sigma[i] * float64(z[i])
		style := d.out.good
		if z[i] < 1 {
			style = d.out.bad
		}
		d.out.line("  %2d  %-*s %5.2f  ×%6.3f  %s %5.2f", i+1, width, bar(m.Sigma[i], most, width),
			m.Sigma[i], z[i],
			style.Render(fmt.Sprintf("%-*s", width, bar(after, most, width))), after)
	}
	d.pause(1200 * time.Millisecond)
}

// twoPasses shows the model pick its expert.
func (d *demo) twoPasses() error {
	who, err := (&adaptFlags{}).adaptive(d.ctx, d.app, d.s)
	if err != nil {
		return nil // a model without experts has nothing to pick from
	}
	defer who.Close()
	d.heading("The model picks its expert")
	d.say("Nobody has to name the expert. In a first pass the model reads the prompt and says " +
		"what kind of question it is; in a second the expert for that kind answers, and where " +
		"the kind is “other” the model itself.")
	prompts := []string{}
	for _, name := range []string{"math", "code", "reasoning"} {
		t, err := task.Lookup(name)
		if err != nil {
			return err
		}
		prompts = append(prompts, t.Item(task.Test, 0).Prompt)
	}
	for _, prompt := range append(prompts, smallTalk) {
		found, err := who.Answer(d.ctx, engine.Request{Prompt: prompt, MaxTokens: demoTokens})
		if err != nil {
			return err
		}
		d.out.line("\n%s", fold(quoted(prompt), min(d.out.width, plainWidth)))
		d.out.probabilities(found)
		d.answer(found.Voice, found.Text, d.out.faint.Render(fmt.Sprintf("  %.1f + %.1f ms",
			milliseconds(found.Pass1), milliseconds(found.Pass2))))
	}
	return nil
}

const (
	smallTalk  = "Hello, I am Ida. How are you?"
	demoTokens = 64 // of an answer
)

// plainToSee shows experts whose effect needs no explanation, and one of them by degrees.
func (d *demo) plainToSee() error {
	var names []string
	for _, t := range task.Styles() {
		if slices.Contains(d.s.Model.ExpertNames(), t.Name()) {
			names = append(names, t.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	prompt := task.Styles()[0].Item(task.Test, 0).Prompt
	d.heading("Experts that are plain to see")
	d.say("The same model, the same question, other vectors z:")
	d.out.line("\n%s", quoted(prompt))
	for _, name := range append([]string{engine.BaseName}, names...) {
		v, err := d.s.Voice(name)
		if err == nil {
			err = d.styled(v, prompt)
		}
		if err != nil {
			return err
		}
	}
	name := names[len(names)/2]
	d.say("\nA z can be turned up by degrees, z = 1 + α(z − 1), and those of several experts can "+
		"be mixed. "+
		"Here is α of %s going up; somewhere on the way the answer tips over:\n", name)
	for _, alpha := range []string{"0.2", "0.4", "0.6", "0.8", "1"} {
		v, err := d.s.Mixture(d.ctx, name+"="+alpha)
		if err == nil {
			err = d.styled(v, prompt)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// styled shows a voice's answer to an open question.
func (d *demo) styled(v engine.Voice, prompt string) error {
	answer, err := d.s.Generate(d.ctx, v, engine.Request{Prompt: prompt, MaxTokens: demoTokens})
	if err == nil {
		d.answer(v.Name, answer.Text, "")
	}
	return err
}

// next says what to try.
func (d *demo) next() {
	d.heading("Your turn")
	for _, try := range [][2]string{
		{`t2 compare "How big is the dorfin?"`,
			"every expert on one question, the first difference marked"},
		{"t2 chat", "talk, and change the expert with /expert NAME"},
		{"t2 experts inspect math", "where an expert does its work"},
		{"t2 decompose", "the singular values of every matrix"},
		{"t2 eval --task math --expert base --expert math",
			"how much an expert is worth, with its interval"},
		{"t2 train --task polite --steps 30 --out runs/polite", "train an expert of your own"},
	} {
		d.out.line("  %s\n      %s", d.out.name.Render(try[0]), d.out.faint.Render(try[1]))
	}
}
