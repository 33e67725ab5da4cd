package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake is a peer whose process is a function: it is given requests and says what it likes.
func fake(t *testing.T, process func(requests *bufio.Scanner, say func(string, ...any))) *peer {
	t.Helper()
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	go func() {
		process(bufio.NewScanner(requests), func(format string, args ...any) {
			fmt.Fprintf(answers, format+"\n", args...)
		})
		answers.Close()
	}()
	kill := func() { requests.Close(); out.Close() }
	p := newPeer(in, out, kill, func() string { return "first\nlast words\n" })
	t.Cleanup(p.close)
	return p
}

func TestPeerAnswers(t *testing.T) {
	p := fake(t, func(requests *bufio.Scanner, say func(string, ...any)) {
		for requests.Scan() {
			id, rest, _ := strings.Cut(requests.Text(), " ")
			switch rest {
			case "gemm 1 2":
				say("%s ok 0.5 3e-2 | some text", id)
			case "svd":
				say("%s missing python3-scipy", id)
			default:
				say("%s error unknown verb", id)
			}
		}
	})
	ctx := context.Background()
	for range 2 { // what is missing or refused does not end the process
		a, err := p.ask(ctx, time.Second, "gemm %d %d", 1, 2)
		if err != nil || !slices.Equal(a.numbers, []float64{0.5, 0.03}) || a.text != "some text" {
			t.Fatalf("%v, %v", a, err)
		}
		if s, err := a.seconds(); s != 0.5 || err != nil {
			t.Errorf("%v, %v", s, err)
		}
		var m missing
		_, err = p.ask(ctx, time.Second, "svd")
		if !errors.As(err, &m) || m.pkg != "python3-scipy" {
			t.Errorf("error %v", err)
		}
		if _, err = p.ask(ctx, time.Second, "what"); err == nil || err.Error() != "unknown verb" {
			t.Errorf("error %v", err)
		}
	}
}

// Whatever goes wrong with the process is an error in good time, and it is not asked again.
func TestPeerGoesWrong(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		process func(requests *bufio.Scanner, say func(string, ...any))
		want    string
	}{
		"dead at once": {func(*bufio.Scanner, func(string, ...any)) {}, "the peer"},
		"dead after the request": {func(r *bufio.Scanner, _ func(string, ...any)) { r.Scan() },
			"ended without an answer"},
		"slow": {func(r *bufio.Scanner, _ func(string, ...any)) { r.Scan(); r.Scan() },
			"no answer in"},
		"deaf": {func(*bufio.Scanner, func(string, ...any)) { select {} }, "no answer in"},
		"garbage": {func(r *bufio.Scanner, say func(string, ...any)) {
			r.Scan()
			say("Illegal instruction")
		}, `"Illegal instruction"`},
		"garbage before": {func(r *bufio.Scanner, say func(string, ...any)) {
			say("hello")
			r.Scan()
		}, `"hello"`},
		"another's answer": {func(r *bufio.Scanner, say func(string, ...any)) {
			r.Scan()
			say("7 ok 1")
		}, `"7 ok 1"`},
		"endless line": {func(r *bufio.Scanner, say func(string, ...any)) { r.Scan(); say(long) },
			"ended without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			p := fake(t, c.process)
			_, err := p.ask(context.Background(), 100*time.Millisecond, "blas")
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "last words") {
				t.Fatalf("error %v, want %q and what it said last", err, c.want)
			}
			begin := time.Now()
			if _, again := p.ask(context.Background(), time.Minute, "blas"); again != err {
				t.Errorf("second error %v, want the first", again)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the dead were asked for %v", took)
			}
		})
	}
}

func TestPeerEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := fake(t, func(r *bufio.Scanner, _ func(string, ...any)) { r.Scan(); cancel(); r.Scan() })
	if _, err := p.ask(ctx, time.Minute, "blas"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// The same with processes of the system.
func TestProcessGoesWrong(t *testing.T) {
	for role, want := range map[string]string{"garbage": "Traceback",
		"dead": "cannot open shared object", "hang": "no answer in"} {
		t.Run(role, func(t *testing.T) {
			t.Setenv(childRole, role)
			p, err := startPython(context.Background(), Env{Python: self(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			limit := 20 * time.Second
			if role == "hang" {
				limit = 50 * time.Millisecond
			}
			_, err = p.ask(context.Background(), limit, "blas")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestNoPython(t *testing.T) {
	var m missing
	_, err := startPython(context.Background(), Env{Python: "/nonexistent/python3"})
	if !errors.As(err, &m) || m.pkg != "python3" {
		t.Errorf("error %v, want that python3 is missing", err)
	}
}

func TestParseAnswer(t *testing.T) {
	for line, want := range map[string][]float64{
		"3 ok 1 2.5 | x | y": {1, 2.5}, "3 ok": nil, "3 ok | text": nil, " 3 ok 1e-3 ": {1e-3},
	} {
		a, err := parseAnswer("3", line)
		if err != nil || !slices.Equal(a.numbers, want) {
			t.Errorf("%q: %v, %v, want %v", line, a, err, want)
		}
	}
	for _, line := range []string{"", "3", "ok 1", "3 okay 1", "33 ok 1", "3 ok one", "3 ok NaN",
		"3 ok Inf", "3 ok 1e999", "3 missing", "3 error", "3 error  ", "\x00", "3\tok 1"} {
		a, err := parseAnswer("3", line)
		if nonsense := (nonsenseError{}); !errors.As(err, &nonsense) {
			t.Errorf("%q: %v, %v, want it called nonsense", line, a, err)
		}
	}
	for _, numbers := range [][]float64{nil, {0}, {-1}} {
		if s, err := (answer{numbers: numbers}).seconds(); err == nil {
			t.Errorf("%v are %v seconds", numbers, s)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, line := range []string{"1 ok 0.25 | OpenBLAS 0.3.21", "1 missing python3-numpy",
		"1 error x", "", "1 ok 1|", "1 ok nan", "2 ok 1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parseAnswer("1", line)
		if err == nil && !strings.HasPrefix(strings.TrimSpace(line), "1 ok") {
			t.Errorf("%q is %v", line, a)
		}
		if err != nil && (len(a.numbers) > 0 || err.Error() == "" || len(err.Error()) > 4096) {
			t.Errorf("%q: %v with error %v", line, a, err)
		}
		for _, v := range a.numbers {
			if v-v != 0 {
				t.Errorf("%q gave %v", line, v)
			}
		}
	})
}

func TestTail(t *testing.T) {
	var said tail
	for range 1000 {
		fmt.Fprintln(&said, "0123456789")
	}
	fmt.Fprintln(&said, "the end")
	if s := said.String(); len(s) != tailSize || !strings.HasSuffix(s, "the end\n") {
		t.Errorf("%d bytes that end in %q", len(s), s[max(0, len(s)-20):])
	}
}

// python starts the real peers, or skips the test where a module is not installed.
func python(t *testing.T, module string) *session {
	t.Helper()
	if testing.Short() {
		t.Skip("importing Python's libraries takes seconds")
	}
	if _, err := os.Stat(systemPython); err != nil {
		t.Skip("there is no " + systemPython)
	}
	look := "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
	if err := exec.Command(systemPython, "-I", "-c", look, module).Run(); err != nil {
		t.Skipf("Python has no %s", module)
	}
	s := newSession(context.Background(), Env{})
	t.Cleanup(s.close)
	return s
}

func TestPythonMeasures(t *testing.T) {
	s := python(t, "scipy")
	ctx := context.Background()
	if name := s.openBLAS(ctx); !strings.HasPrefix(name, "OpenBLAS ") {
		t.Errorf("BLAS is %q", name)
	}
	for _, request := range []string{"gemm 16 32 24 1 0.01", "svd 20 1"} {
		a, err := s.ask(ctx, "%s", request)
		if seconds, bad := a.seconds(); err != nil || bad != nil || seconds > 10 {
			t.Errorf("%s: %v, %v", request, a, err)
		}
	}
	for _, request := range []string{"gemm 16", "gemm a b c d e", "dance", "train_step"} {
		if a, err := s.ask(ctx, "%s", request); err == nil {
			t.Errorf("%s: %v, want an error", request, a)
		}
	}
	if _, err := s.ask(ctx, "svd 8 1"); err != nil {
		t.Errorf("after refused requests: %v", err)
	}
}

// PyTorch's model is ours: the same weights, tokens and optimizer give the same losses.
func TestTorchTrainsTheSameModel(t *testing.T) {
	s := python(t, "torch")
	env := tiny(t)
	env.session = s
	const steps = 4
	cfg := shape(2)
	cfg.Context = 32
	ours, err := newTraining(env, cfg, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.dev.Close()
	theirs := newTorch(env, cfg, 2, 1)
	for range steps {
		if _, err := ours.step(context.Background()); err != nil {
			t.Fatal(err)
		}
		if seconds, err := theirs.step(context.Background()); err != nil || seconds <= 0 {
			t.Fatalf("%v s, %v", seconds, err)
		}
	}
	if len(ours.losses) != steps || len(theirs.losses) != steps ||
		ours.losses[steps-1] > ours.losses[0]-0.1 {
		t.Fatalf("losses %v and %v, want %d that fall", ours.losses, theirs.losses, steps)
	}
	if apart := lossesApart(ours.losses, theirs.losses); !(apart < lossTie/10) {
		t.Errorf("losses %v and %v are %v apart", ours.losses, theirs.losses, apart)
	}
}

func TestLossesApart(t *testing.T) {
	if got := lossesApart([]float64{6, 5, 4, 3}, []float64{6, 5, 5, 9}); got != 0.2 {
		t.Errorf("%v, want 0.2, of the third step; later ones do not count", got)
	}
	if got := lossesApart(nil, []float64{1}); got != 0 {
		t.Errorf("%v of nothing", got)
	}
}
