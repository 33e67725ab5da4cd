package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"transformer2/kernels/cpu"
)

// childRole makes the test's own executable play a process that benchmarks start.
const childRole = "T2_BENCH_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "":
		os.Exit(m.Run())
	case "garbage":
		fmt.Println("Traceback (most recent call last):")
		time.Sleep(time.Minute)
	case "dead":
		fmt.Fprintln(os.Stderr, "cannot open shared object")
		os.Exit(3)
	case "hang":
		time.Sleep(time.Minute)
	case "generate":
		block := make([]byte, 64<<20)
		for i := range block {
			block[i] = byte(i)
		}
		time.Sleep(50 * time.Millisecond)
		runtime.KeepAlive(block)
	case "refuse":
		fmt.Fprintln(os.Stderr, "t2: no such model")
		os.Exit(1)
	}
}

// self is the test's executable.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tiny is an Env in which everything is over in no time and there is no peer.
func tiny(t *testing.T) Env {
	return Env{
		Device: cpu.Options{Threads: 2}, Python: "/nonexistent/python3", Root: t.TempDir(),
		Command: []string{self(t)}, Quick: true,
		sizes: &sizes{gemm: [3]int{16, 32, 24}, matvec: [2]int{64, 96}, svd: []int{12, 17}, docs: 1,
			layers: 1, haste: 20},
	}
}

func TestRegistry(t *testing.T) {
	name, pkg := regexp.MustCompile(`^[a-z]+$`), regexp.MustCompile(`^[a-z0-9-]+( [a-z0-9-]+)*$`)
	seen := map[string]bool{}
	for _, b := range All() {
		if !name.MatchString(b.Name) || seen[b.Name] {
			t.Errorf("benchmark %q: want a new name in small letters", b.Name)
		}
		seen[b.Name] = true
		if len(b.Doc) < 20 || len(b.Doc) > 100 || b.Run == nil {
			t.Errorf("benchmark %s: doc %q, Run %v", b.Name, b.Doc, b.Run != nil)
		}
		if b.Needs != "" && !pkg.MatchString(b.Needs) {
			t.Errorf("benchmark %s needs %q, want names of packages", b.Name, b.Needs)
		}
	}
	if len(Names()) != len(seen) {
		t.Errorf("names %v, want %d", Names(), len(seen))
	}
}

// Every benchmark runs without Python, without a model and without the source, and says what it
// could not do.
func TestSmoke(t *testing.T) {
	t.Setenv(childRole, "generate")
	env := tiny(t)
	var said []string
	env.Progress = func(what string) { said = append(said, what) }
	var names []string
	err := Run(context.Background(), env, nil, func(f Figure) {
		names = append(names, f.Name)
		if f.Name == "" || f.Unit == "" {
			t.Errorf("figure %+v: want a name and a unit", f)
		}
		measured := f.Value > 0 && !math.IsInf(f.Value, 0)
		if !measured && !strings.HasPrefix(f.Note, "not measured: ") {
			t.Errorf("%s is %v with note %q", f.Name, f.Value, f.Note)
		}
		if f.Ratio == 0 && f.Want != "" && f.Note == "" {
			t.Errorf("%s has neither a ratio nor a reason", f.Name)
		}
		if _, err := json.Marshal(f); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(names, "\n")
	for _, want := range []string{"gemm f32 16x32x24, 1 thread", "portable simd form",
		"2 threads over 1", "WebAssembly", "matvec f32", "matvec bf16", "matvec q8", "pretrain", "6·parameters·tokens",
		"decode random weights", "outside matrix products", "projected", "folded",
		"peak resident memory", "svd 12x12, 1 thread", "svd 17x17, 2 threads",
		"svd 17x17, residual", "orthogonality", "decompose random weights, all 7 matrices"} {
		if !strings.Contains(all, want) {
			t.Errorf("no figure %q in\n%s", want, all)
		}
	}
	slices.Sort(names)
	if n := len(slices.Compact(names)); n != len(names) {
		t.Errorf("%d figures have %d names", len(names), n)
	}
	if len(said) < len(All()) {
		t.Errorf("progress said %d things: %q", len(said), said)
	}
}

func TestMissingPeersAreNamed(t *testing.T) {
	env := tiny(t)
	notes := map[string]string{}
	err := Run(context.Background(), env, []string{"gemm", "svd"}, func(f Figure) {
		notes[f.Name] = f.Note
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"gemm f32 16x32x24, 1 thread":         "no ratio: install Debian's python3",
		"svd 12x12, 1 thread":                 "no ratio: install Debian's python3",
		"gemm f32 16x32x24, 2 threads over 1": "",
	} {
		if notes[name] != want {
			t.Errorf("%s: note %q, want %q", name, notes[name], want)
		}
	}
}

func TestRunRefusesUnknownNames(t *testing.T) {
	err := Run(context.Background(), tiny(t), []string{"gemm", "speed"}, func(f Figure) {
		t.Errorf("measured %s", f.Name)
	})
	if err == nil || !strings.Contains(err.Error(), `"speed"`) ||
		!strings.Contains(err.Error(), "gemm wasm") {
		t.Errorf("error %v, want the name and the known ones", err)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	env := tiny(t)
	env.Progress = func(string) { cancel() }
	err := Run(ctx, env, nil, func(f Figure) { t.Errorf("measured %s after the end", f.Name) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// A benchmark that fails is reported and the others run.
func TestRunGoesOnAfterFailure(t *testing.T) {
	t.Setenv(childRole, "refuse")
	var got []string
	err := Run(context.Background(), tiny(t), []string{"memory", "decompose"}, func(f Figure) {
		got = append(got, f.Name)
	})
	if err == nil || !strings.Contains(err.Error(), "benchmark memory") ||
		!strings.Contains(err.Error(), "t2: no such model") {
		t.Errorf("error %v, want that of memory with what t2 said", err)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "decompose") {
		t.Errorf("figures %q, want that of decompose", got)
	}
}

// A benchmark can be run without Run, and leaves nothing behind.
func TestBenchOnItsOwn(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, b := range All() {
		if b.Name != "decompose" {
			continue
		}
		figures, err := b.Run(context.Background(), tiny(t))
		if err != nil || len(figures) != 1 {
			t.Fatalf("%v, %v", figures, err)
		}
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The peak is the child's own and not that of the process that started it.
func TestMemoryIsTheChilds(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system has no /proc")
	}
	t.Setenv(childRole, "generate")
	ours := make([]byte, 512<<20)
	for i := 0; i < len(ours); i += 4096 {
		ours[i] = 1
	}
	var mb float64
	err := Run(context.Background(), tiny(t), []string{"memory"}, func(f Figure) { mb = f.Value })
	runtime.KeepAlive(ours)
	if err != nil || mb < 64 || mb > 256 {
		t.Errorf("%v MB, %v; the child took 64 MB, we have 512", mb, err)
	}
}

func TestHighWater(t *testing.T) {
	for status, want := range map[string]float64{
		"Name:\tt2\nVmHWM:\t   12345 kB\nVmRSS:\t 1 kB\n": 12345 * 1024,
		"VmHWM:\t-5 kB\n": 0,
		"VmHWM:\n":        0,
		"Name:\tt2\n":     0,
		"":                0,
	} {
		if got := highWater(status); got != want {
			t.Errorf("highWater(%q) = %v, want %v", status, got, want)
		}
	}
}

func TestParseTurns(t *testing.T) {
	simd, loops, err := parseTurns("0.5 6\n0.25 4\n")
	if err != nil || !slices.Equal(simd.seconds, []float64{0.5, 0.25}) ||
		!slices.Equal(loops.seconds, []float64{6, 4}) {
		t.Errorf("%v, %v, %v", simd, loops, err)
	}
	for _, bad := range []string{"", "1", "1 2 3", "x 1", "0 1", "-1 2", "NaN 1",
		"1 2\nwarning", "1 Inf"} {
		if s, l, err := parseTurns(bad); err == nil {
			t.Errorf("parseTurns(%q) = %v, %v, want an error", bad, s, l)
		}
	}
}

func TestPlainVersion(t *testing.T) {
	for v, want := range map[string]string{"go1.27.2-X:simd": "go1.27.2",
		"go1.27.2 X:simd": "go1.27.2", "go1.27.2": "go1.27.2", "devel go1.28": "devel", "": ""} {
		if got := plainVersion(v); got != want {
			t.Errorf("plainVersion(%q) = %q, want %q", v, got, want)
		}
	}
}

func TestSumWords(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, n := range []int{0, 1, 7, 8, 9, 1<<17 + 5} {
		x := make([]uint64, n)
		for i := range x {
			x[i] = uint64(i)
		}
		if got, want := sumWords(dev, x), uint64(n)*uint64(max(n-1, 0))/2; got != want {
			t.Errorf("the sum of 0 to %d is %d, want %d", n-1, got, want)
		}
	}
}
