package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"transformer2/shared/task"
)

// judgeUsage says what --judge takes.
const judgeUsage = "a command that scores the answers to a file of questions (see t2 info --help)"

// judgeLimit bounds the time for one answer.
const judgeLimit = time.Minute

// judge is a program of the user's that scores answers: it reads a line of JSON for each, and writes
// a line with a number from 0 to 1.
type judge struct {
	words  []string
	err    io.Writer
	limit  time.Duration
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan string // closed when the program ends
	failure error
}

// answerToJudge is what a judge reads.
type answerToJudge struct {
	Prompt  string          `json:"prompt"`
	Answer  string          `json:"answer"`  // the right one, or a program that is
	Output  string          `json:"output"`  // what the model said
	Program string          `json:"program"` // the first fenced block of it, or all
	Item    json.RawMessage `json:"item"`    // the item as it lies in the file
}

// judgeBy makes the judge that command starts, nil for none. What the command does from here on
// ends when the judge fails, and or says so.
func (a *app) judgeBy(cmd *cobra.Command, command string) (*judge, error) {
	if !cmd.Flags().Changed("judge") {
		return nil, nil
	}
	j := &judge{words: strings.Fields(command), err: a.err, limit: judgeLimit}
	if len(j.words) == 0 {
		return nil, errors.New("--judge is empty, want a command")
	}
	if _, err := exec.LookPath(j.words[0]); err != nil {
		return nil, fmt.Errorf("--judge: %w", err)
	}
	j.ctx, j.cancel = context.WithCancelCause(cmd.Context())
	cmd.SetContext(j.ctx)
	return j, nil
}

// options let the judge score, if there is one. The name is free of this machine's folders.
func (j *judge) options(format string) task.DataOptions {
	o := task.DataOptions{Format: format}
	if j != nil {
		var names []string
		for _, w := range j.words {
			names = append(names, filepath.Base(w))
		}
		o.Judge, o.JudgeName = j.score, strings.Join(names, " ")
	}
	return o
}

// end stops the program; err is the command's, or what the judge failed by.
func (j *judge) end(err error) error {
	if j == nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cancel(nil)
	if j.cmd != nil {
		_ = j.in.Close()
		for range j.lines { // until it has ended
		}
		_ = j.cmd.Wait() // it was told to end, and may say so by its exit code
	}
	if j.failure != nil {
		return fmt.Errorf("--judge %s: %w", j.words[0], j.failure)
	}
	return err
}

// score asks the judge. What goes wrong ends the command's context, so that no score of an answer
// that was not judged is ever used.
func (j *judge) score(it task.Item, output string) float64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure != nil || j.ctx.Err() != nil {
		return 0
	}
	score, err := j.ask(answerToJudge{Prompt: it.Prompt, Answer: it.Answer, Output: output,
		Program: task.Program(output), Item: it.Source})
	switch {
	case errors.Is(context.Cause(j.ctx), errSlow):
		j.failure = fmt.Errorf("%w than %v", errSlow, j.limit)
	case err != nil && j.ctx.Err() == nil:
		j.failure = err
		j.cancel(err)
	}
	return score
}

var errSlow = errors.New("an answer took it longer")

// ask gives the judge an answer, and ends it where it is slow, even in reading.
func (j *judge) ask(q answerToJudge) (float64, error) {
	defer time.AfterFunc(j.limit, func() { j.cancel(errSlow) }).Stop()
	if j.cmd == nil {
		if err := j.start(); err != nil {
			return 0, err
		}
	}
	if err := json.NewEncoder(j.in).Encode(q); err != nil {
		return 0, fmt.Errorf("it takes no more answers: %w", err)
	}
	select {
	case line, ok := <-j.lines:
		var score *float64
		switch err := json.Unmarshal([]byte(line), &score); {
		case !ok:
			return 0, errors.New("it ended before it had judged all answers")
		case err != nil || score == nil || *score < 0 || *score > 1:
			return 0, fmt.Errorf("it said %.60q, want a number from 0 to 1", line)
		}
		return *score, nil
	case <-j.ctx.Done():
		return 0, j.ctx.Err()
	}
}

func (j *judge) start() (err error) {
	cmd := exec.CommandContext(j.ctx, j.words[0], j.words[1:]...)
	cmd.Stderr, cmd.WaitDelay = j.err, time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	j.cmd, j.in, j.lines = cmd, in, make(chan string)
	go func() {
		defer close(j.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case j.lines <- lines.Text():
			case <-j.ctx.Done():
				return
			}
		}
	}()
	return nil
}
