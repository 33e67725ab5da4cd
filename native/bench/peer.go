package bench

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"transformer2/kernels/cpu"
)

//go:embed peer.py
var peerScript string

// missing is the error of a peer that is not installed.
type missing struct{ pkg string }

func (m missing) Error() string { return "Debian's " + m.pkg + " is not installed" }

// A peer is a process that measures what our figures are measured against. It is asked a line,
// "ID VERB ARGS", and answers a line (peer.py says how). Once it has failed it is not asked again.
type peer struct {
	in    io.WriteCloser
	lines chan string   // what it says; closed when it ends
	quit  chan struct{} // closed by close
	once  sync.Once
	kill  func()
	said  func() string // the last of what it wrote to stderr
	asked int
	dead  error
}

// newPeer speaks to a process by its stdin and stdout; kill ends it.
func newPeer(in io.WriteCloser, out io.Reader, kill func(), said func() string) *peer {
	p := &peer{in: in, lines: make(chan string), quit: make(chan struct{}), kill: kill, said: said}
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(out) // a line of more than 64 kB ends it
		for s.Scan() {
			select {
			case p.lines <- s.Text():
			case <-p.quit:
				return
			}
		}
	}()
	return p
}

// close ends the process.
func (p *peer) close() {
	p.once.Do(func() {
		close(p.quit)
		p.in.Close()
		p.kill()
	})
}

// ask sends a request and gives the answer to it. A peer that is dead, slow or talks nonsense is
// ended.
func (p *peer) ask(ctx context.Context, limit time.Duration, format string, args ...any) (
	answer, error) {
	if p.dead != nil {
		return answer{}, p.dead
	}
	p.asked++
	id := strconv.Itoa(p.asked)
	line, err := p.exchange(ctx, limit, id+" "+fmt.Sprintf(format, args...)+"\n")
	if err != nil {
		return answer{}, p.fail(err)
	}
	a, err := parseAnswer(id, line)
	if nonsense := (nonsenseError{}); errors.As(err, &nonsense) {
		return a, p.fail(err)
	}
	return a, err
}

func (p *peer) fail(err error) error {
	p.close()
	if said := strings.TrimSpace(p.said()); said != "" {
		last := said[strings.LastIndexByte(said, '\n')+1:]
		err = fmt.Errorf("%w (it said: %s)", err, cut(last))
	}
	p.dead = err
	return err
}

func (p *peer) exchange(ctx context.Context, limit time.Duration, request string) (string, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.in, request)
		sent <- err
	}()
	for {
		select {
		case err := <-sent:
			if err != nil {
				return "", fmt.Errorf("the peer does not listen: %w", err)
			}
			sent = nil
		case line, ok := <-p.lines:
			if !ok {
				return "", errors.New("the peer ended without an answer")
			}
			return line, nil
		case <-late.C:
			return "", fmt.Errorf("the peer gave no answer in %v", limit)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// answer is what a peer measured.
type answer struct {
	numbers []float64
	text    string
}

// seconds is the first number, which must be a time.
func (a answer) seconds() (float64, error) {
	if len(a.numbers) == 0 || a.numbers[0] <= 0 {
		return 0, fmt.Errorf("the peer measured %v, want seconds", a.numbers)
	}
	return a.numbers[0], nil
}

// nonsenseError is an answer that the protocol does not have.
type nonsenseError struct{ line string }

func (e nonsenseError) Error() string { return fmt.Sprintf("the peer answered %q", cut(e.line)) }

// cut is the beginning of a text that may be long.
func cut(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// parseAnswer reads the answer to request id:
//
//	ID ok NUMBER... [| TEXT]      ID missing PACKAGE      ID error TEXT
func parseAnswer(id, line string) (answer, error) {
	got, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	verb, rest, _ := strings.Cut(rest, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case got != id:
	case verb == "ok":
		return parseNumbers(line, rest)
	case verb == "missing" && rest != "":
		return answer{}, missing{rest}
	case verb == "error" && rest != "":
		return answer{}, errors.New(cut(rest))
	}
	return answer{}, nonsenseError{line}
}

func parseNumbers(line, rest string) (answer, error) {
	var a answer
	numbers, text, _ := strings.Cut(rest, "|")
	a.text = strings.TrimSpace(text)
	for word := range strings.FieldsSeq(numbers) {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return answer{}, nonsenseError{line}
		}
		a.numbers = append(a.numbers, v)
	}
	return a, nil
}

// systemPython is where Debian's packages for Python are seen from.
const systemPython = "/usr/bin/python3"

// startPython starts peer.py. When ctx ends the process is killed.
func startPython(ctx context.Context, env Env) (*peer, error) {
	python := env.Python
	if python == "" {
		python = systemPython
		if _, err := os.Stat(python); err != nil {
			python = "python3"
		}
	}
	path, err := exec.LookPath(python)
	if err != nil {
		return nil, missing{"python3"}
	}
	cmd := exec.CommandContext(ctx, path, "-I", "-W", "ignore", "-c", peerScript)
	cmd.Env = append(os.Environ(),
		fmt.Sprintf("OPENBLAS_NUM_THREADS=%d", env.threads()),
		fmt.Sprintf("OMP_NUM_THREADS=%d", env.threads()))
	// OpenBLAS does not know every processor with AVX-512 by its name.
	if slices.Contains(cpu.Forms(), "avx512") {
		cmd.Env = append(cmd.Env, "OPENBLAS_CORETYPE=SKYLAKEX")
	}
	return startPeer(cmd)
}

// startPeer starts a process that speaks the peers' protocol.
func startPeer(cmd *exec.Cmd) (*peer, error) {
	said := &tail{}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	kill := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	return newPeer(in, out, kill, said.String), nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
