package desk

import (
	"fmt"
	"slices"
	"time"

	"transformer2/shared/engine"
	"transformer2/shared/engine/protocol"
	"transformer2/shared/sample"
	"transformer2/shared/tokenizer"
)

// spoken is what a voice said, with the logits that each token came from.
type spoken struct {
	prompt, tokens []int32     // the closing token included
	logits         [][]float32 // [tokens][V]; kept where they will be judged
}

func (j *job) generate(g protocol.Generate) (protocol.Compared, error) {
	result := protocol.Compared{FirstDifference: -1}
	if err := checkGenerate(g); err != nil {
		return result, err
	}
	voices, err := j.voices(g.Voices)
	if err != nil {
		return result, err
	}
	said := make([]spoken, len(voices))
	answers := make([]engine.Answer, len(voices))
	for i, v := range voices {
		keep := g.Score && i < 2 && len(voices) > 1
		if answers[i], said[i], err = j.speak(g, i, v, keep); err != nil {
			return result, err
		}
	}
	if len(voices) < 2 {
		return result, nil
	}
	result.FirstDifference = engine.FirstDifference(answers[0].Tokens, answers[1].Tokens)
	if g.Score {
		for i := range 2 {
			if err := j.judge(said[i], i, 1-i, voices[1-i], g.Top); err != nil {
				return result, err
			}
		}
	}
	return result, nil
}

func checkGenerate(g protocol.Generate) error {
	if err := checkText("prompt", g.Prompt); err != nil {
		return err
	}
	if err := checkText("system text", g.System); err != nil {
		return err
	}
	for _, t := range g.History {
		if t.Role != tokenizer.RoleUser && t.Role != tokenizer.RoleAssistant {
			return fmt.Errorf("a turn of the history is %q's, want %s or %s", t.Role,
				tokenizer.RoleUser, tokenizer.RoleAssistant)
		}
		if err := checkText("history", t.Text); err != nil {
			return err
		}
	}
	if err := within("the number of stop texts", len(g.Stop), 0, protocol.MaxStops); err != nil {
		return err
	}
	if slices.Contains(g.Stop, "") {
		return fmt.Errorf("a stop text is empty, it would end every answer before it begins")
	}
	if err := within("top", g.Top, 0, protocol.MaxTop); err != nil {
		return err
	}
	return checkLength(g.MaxTokens, g.Sampling)
}

// mostTokens bounds an answer; the context ends it sooner.
const mostTokens = 1 << 20

func checkLength(maxTokens int, s protocol.Sampling) error {
	if err := within("maxTokens", maxTokens, 1, mostTokens); err != nil {
		return err
	}
	return params(s).Validate()
}

func params(s protocol.Sampling) sample.Params {
	return sample.Params{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP}
}

// speak answers as voice number i and tells every token.
func (j *job) speak(g protocol.Generate, i int, v engine.Voice, keep bool) (engine.Answer, spoken,
	error) {
	var said spoken
	r := engine.Request{System: g.System, Prompt: g.Prompt, MaxTokens: g.MaxTokens,
		Sampling: params(g.Sampling), Stop: g.Stop, Seed: g.Seed}
	for _, t := range g.History {
		r.History = append(r.History, tokenizer.Message{Role: t.Role, Content: t.Text})
	}
	if keep {
		var err error
		if said.prompt, _, err = j.d.s.PromptTokens(r); err != nil {
			return engine.Answer{}, said, err
		}
	}
	begin := time.Now()
	if _, err := j.d.s.As(j.ctx, v); err != nil {
		return engine.Answer{}, said, err
	}
	switched := time.Since(begin)
	r.OnToken = func(t engine.Token, logits []float32, closing bool) {
		j.tell(protocol.EventToken, protocol.Token{Voice: i, Index: len(said.tokens), ID: t.ID,
			Text: t.Text, Closing: closing, Choice: choice(j.d.s.Model.Tok, logits, t.ID, g.Top)})
		said.tokens = append(said.tokens, t.ID)
		if keep {
			said.logits = append(said.logits, slices.Clone(logits))
		}
	}
	a, err := j.d.s.Generate(j.ctx, v, r)
	if err != nil {
		return a, said, err
	}
	j.tell(protocol.EventAnswer, answerOf(i, a, switched))
	return a, said, nil
}

func answerOf(voice int, a engine.Answer, switched time.Duration) protocol.Answer {
	return protocol.Answer{Voice: voice, Text: a.Text, Tokens: len(a.Tokens),
		Reason: string(a.Reason), PromptTokens: a.Prompt, Dropped: a.Dropped, Seconds: a.Seconds,
		SwitchMS: milliseconds(switched)}
}

func milliseconds(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }

// judge tells what the judge would have said after each word of another's answer.
func (j *job) judge(said spoken, voice, against int, judge engine.Voice, top int) error {
	scores := protocol.Scores{Voice: voice, Against: against, Tokens: []protocol.Score{}}
	if len(said.tokens) > 0 {
		n := len(said.tokens)
		read := slices.Concat(said.prompt, said.tokens[:n-1])
		err := j.d.s.Logits(j.ctx, judge, read, len(said.prompt), func(i int, logits []float32) {
			at := i - len(said.prompt)
			scores.Tokens = append(scores.Tokens, protocol.Score{
				Choice: choice(j.d.s.Model.Tok, logits, said.tokens[at], top),
				KL:     divergence(said.logits[at], logits)})
		})
		if err != nil {
			return err
		}
	}
	j.tell(protocol.EventScores, scores)
	return nil
}

// next gives the distributions of the token that comes next.
func (j *job) next(n protocol.Next) (protocol.Distributions, error) {
	var result protocol.Distributions
	begin := time.Now()
	if err := checkText("prompt", n.Prompt); err != nil {
		return result, err
	}
	if err := checkText("answer", n.Answer); err != nil {
		return result, err
	}
	if err := within("top", n.Top, 0, protocol.MaxTop); err != nil {
		return result, err
	}
	voices, err := j.voices(n.Voices)
	if err != nil {
		return result, err
	}
	tok := j.d.s.Model.Tok
	tokens, _, err := j.d.s.PromptTokens(engine.Request{Prompt: n.Prompt, MaxTokens: 1})
	if err != nil {
		return result, err
	}
	tokens = tok.AppendEncode(tokens, n.Answer)
	var first []float32
	for i, v := range voices {
		err := j.d.s.Logits(j.ctx, v, tokens, len(tokens), func(_ int, logits []float32) {
			id := max(sample.ArgMax(logits), 0)
			d := protocol.Distribution{Choice: choice(tok, logits, id, n.Top)}
			if i == 0 {
				first = slices.Clone(logits)
			} else {
				d.KL = divergence(logits, first)
			}
			result.Voices = append(result.Voices, d)
		})
		if err != nil {
			return result, err
		}
	}
	result.MS = milliseconds(time.Since(begin))
	return result, nil
}
