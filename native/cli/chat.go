package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"transformer2/shared/engine"
	"transformer2/shared/tokenizer"
)

func (a *app) chatCmd() *cobra.Command {
	var model string
	var ask askFlags
	var who voiceFlags
	var f adaptFlags
	var turns int
	var form string
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "talk with a model and change its expert while you do",
		Long: `Talk with a model. Each line is a prompt; a line that begins with / is a command:

` + chatHelp + `

Ctrl-C stops an answer, Ctrl-D leaves. Earlier turns are part of the prompt as far as the context
has room, the oldest are dropped first; --turns bounds how many (the models that ship were trained
on single questions, so 0 is usual for them).

With --json a line an answer: {"expert","prompt","text","tokens","reason"}.`,
		Example: `  t2 chat
  t2 chat --expert math --turns 3
  printf 'What does the kafin eat?\n/expert shout\nWhat does the kafin eat?\n' | t2 chat`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			how, err := ask.how()
			if err == nil {
				err = f.check()
			}
			if err == nil {
				err = a.adapting(form, 0)
			}
			if err != nil {
				return err
			}
			if turns < 0 {
				return fmt.Errorf("--turns is %d, want 0 or more", turns)
			}
			return a.withModel(model, func(s *session) error {
				v, err := who.only(cmd.Context(), cmd, s)
				if err != nil {
					return err
				}
				c := &chat{app: a, s: s, how: how, voice: v, turns: turns, out: look(a.out)}
				if f.adapts() {
					if v.Expert != nil {
						return errTwoChoices
					}
					f.seed = ask.seed
					if err := c.adapting(cmd.Context(), f); err != nil {
						return err
					}
				}
				defer c.become(engine.Base(), nil)
				return c.run(cmd.Context())
			})
		},
	}
	modelFlag(cmd, &model)
	who.add(cmd)
	f.add(cmd)
	formFlag(cmd, &form)
	ask.add(cmd, false)
	cmd.Flags().IntVar(&turns, "turns", 0, "earlier questions, with their answers, that the model "+
		"sees")
	return cmd
}

const chatHelp = `  /expert NAME   answer as an expert (a name or a file)
  /mix A=X,B=Y   answer as a mixture of experts
  /adapt [HOW]   pick the expert anew for each prompt: prompt, classifier, few-shot FILE
  /base          answer as the base model
  /experts       list the model's experts
  /turns N       how many earlier questions the model sees
  /clear         forget the conversation
  /help          this list
  /quit          leave`

// chat is one conversation.
type chat struct {
	*app
	s       *session
	how     engine.Request // without a prompt
	voice   engine.Voice
	auto    *engine.Adaptive // in the place of voice, where it is set
	turns   int
	history []tokenizer.Message
	out     *ui
}

// run reads lines until there are no more. Ctrl-C is the conversation's own: it ends an answer, and
// at the prompt it says how to leave.
func (c *chat) run(ctx context.Context) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer stop()
	if c.interactive() && !c.json {
		c.out.line("%s with %s. Ask something; /help lists commands, Ctrl-D leaves.",
			c.out.title.Render(c.s.Model.Name), strings.Join(c.s.Model.ExpertNames(), ", "))
	}
	return c.loop(ctx, c.lines(), interrupts)
}

// lines reads standard input line by line.
func (c *chat) lines() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(c.in)
		in.Buffer(nil, maxPrompt)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	return lines
}

func (c *chat) loop(ctx context.Context, lines <-chan string, interrupts <-chan os.Signal) error {
	for {
		c.promptSign()
		select {
		case line, more := <-lines:
			if !more {
				if c.interactive() {
					c.out.line("")
				}
				return nil
			}
			leave, err := c.line(ctx, strings.TrimSpace(line), interrupts)
			if err != nil {
				c.warn("%v", err) // a conversation goes on after a mistake
			}
			if leave {
				return nil
			}
		case <-interrupts:
			c.out.line("")
			c.note("Ctrl-D or /quit leaves")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// promptSign shows who will answer.
func (c *chat) promptSign() {
	if c.interactive() && !c.json {
		fmt.Fprint(c.out.w, c.out.name.Render(c.who()), c.out.faint.Render(" > "))
	}
}

// who is the name of whoever answers next.
func (c *chat) who() string {
	if c.auto != nil {
		return c.auto.Name()
	}
	return c.voice.Name
}

func (c *chat) line(ctx context.Context, text string, interrupts <-chan os.Signal) (
	leave bool, err error) {
	switch {
	case text == "":
		return false, nil
	case strings.HasPrefix(text, "/"):
		verb, rest, _ := strings.Cut(text, " ")
		return c.command(ctx, verb, strings.TrimSpace(rest))
	}
	return false, c.answer(ctx, text, interrupts)
}

// answer answers a prompt and remembers both.
func (c *chat) answer(ctx context.Context, prompt string, interrupts <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-interrupts:
			stop()
		case <-done:
		}
	}()
	r := c.how
	r.Prompt = prompt
	r.History = c.history[max(0, len(c.history)-2*c.turns):]
	if !c.json {
		r.OnText = func(text string) { fmt.Fprint(c.out.w, c.out.text(text)) }
	}
	answer, note, err := c.say(ctx, r)
	if c.json && len(answer.Tokens) > 0 {
		c.print(lineOf(prompt, answer))
	} else if len(answer.Tokens) > 0 {
		c.out.line("")
	}
	if note != "" {
		c.note("%s", note)
	}
	if errors.Is(err, context.Canceled) {
		c.note("stopped")
		return nil
	}
	if err != nil {
		return err
	}
	if answer.Dropped > 0 {
		c.note("the context is full: the oldest %d turns were left out", answer.Dropped/2)
	}
	c.history = append(c.history, tokenizer.Message{Role: tokenizer.RoleUser, Content: prompt},
		tokenizer.Message{Role: tokenizer.RoleAssistant, Content: answer.Text})
	return nil
}

// say answers as whoever is chosen; an adaptive voice looks at the prompt alone. note tells what it
// found.
func (c *chat) say(ctx context.Context, r engine.Request) (
	answer engine.Answer, note string, err error) {
	if c.auto == nil {
		answer, err = c.s.Generate(ctx, c.voice, r)
		return answer, "", err
	}
	found, err := c.auto.Answer(ctx, r)
	if err == nil {
		note = describeFound(found)
	}
	return found.Answer, note, err
}

// command does what a line with a / says.
func (c *chat) command(ctx context.Context, verb, rest string) (leave bool, err error) {
	switch verb {
	case "/quit", "/exit":
		return true, nil
	case "/help":
		c.out.line("%s", chatHelp)
	case "/base":
		return false, c.become(engine.Base(), nil)
	case "/adapt":
		strategy, shots, _ := strings.Cut(rest, " ")
		return false, c.adapting(ctx, adaptFlags{strategy: strategy,
			shots: strings.TrimSpace(shots), seed: c.how.Seed})
	case "/clear":
		c.history = nil
	case "/experts":
		c.out.line("%s", strings.Join(c.s.Model.ExpertNames(), " "))
	case "/expert":
		if rest == "" {
			return false, errors.New("/expert wants a " +
				"name: " + strings.Join(c.s.Model.ExpertNames(), ", "))
		}
		return false, c.become(c.s.Voice(rest))
	case "/mix":
		return false, c.become(c.s.Mixture(ctx, rest))
	case "/turns":
		n := 0
		if _, err := fmt.Sscanf(rest, "%d", &n); err != nil || n < 0 {
			return false, fmt.Errorf("/turns %q: want a number, 0 or more", rest)
		}
		c.turns = n
	default:
		return false, fmt.Errorf("unknown command %s; /help lists those there are", verb)
	}
	return false, nil
}

// become changes who answers, unless finding them failed.
func (c *chat) become(v engine.Voice, err error) error {
	if err != nil {
		return err
	}
	if c.auto != nil {
		c.auto.Close()
	}
	c.voice, c.auto = v, nil
	return nil
}

// adapting has the expert picked anew for each prompt.
func (c *chat) adapting(ctx context.Context, f adaptFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	who, err := f.adaptive(ctx, c.app, c.s)
	if err != nil {
		return err
	}
	c.become(engine.Base(), nil)
	c.auto = who
	return nil
}
