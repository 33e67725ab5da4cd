package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transformer2/kernels/cpu"
	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
	"transformer2/shared/engine"
	"transformer2/shared/llama"
	"transformer2/shared/svf"
	"transformer2/shared/task"
	"transformer2/shared/tokenizer"
)

// The tests run the command line in process, on a tiny model of random weights with random
// experts: it knows nothing, but it answers, deterministically, and its experts answer otherwise.

// tinyConfig has the context for any question of the suite in the tiny vocabulary.
var tinyConfig = llama.Config{Vocab: 400, Dim: 32, Hidden: 48, Layers: 2, Heads: 4, KVHeads: 2,
	HeadDim: 8, Context: 256, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// tinyExperts are named after what the two-pass adaptation looks for.
var tinyExperts = []string{"classify", "code", "math", "reasoning"}

// runAsT2 tells the test binary that it was started as t2.
const runAsT2 = "T2_RUN"

// tiny and other are the directories of two models of the same shape.
var tiny, other string

func TestMain(m *testing.M) {
	if os.Getenv(runAsT2) != "" { // t2 bench starts its own executable
		os.Exit(Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if mode := os.Getenv(runAsJudge); mode != "" {
		os.Exit(beJudge(mode))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "t2")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		os.Setenv("T2_CACHE", filepath.Join(dir, "cache"))
		os.Setenv("T2_KERNELS", "")
		tiny, other = filepath.Join(dir, "tiny"), filepath.Join(dir, "other")
		writeModel(tiny, 1)
		writeModel(other, 2)
		return m.Run()
	}())
}

// must is for what cannot fail in a fixture.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// writeShape writes a model of random weights.
func writeShape(dir string, c llama.Config, scale float64, seed uint64) {
	check(os.MkdirAll(dir, 0o777))
	write := func(name string, f func(io.Writer) error) {
		check(checkpoint.AtomicWrite(filepath.Join(dir, name), f))
	}
	dev := must(cpu.New(cpu.Options{Threads: 1}))
	defer dev.Close()
	corpus := task.NewCorpus(1, task.DefaultMixture())
	tok := must(tokenizer.Train(func(yield func(string) bool) {
		for i := range int64(300) {
			d := corpus.Document(i)
			if !yield(d.Prompt) || !yield(d.Answer) {
				return
			}
		}
	}, tokenizer.TrainOptions{VocabSize: tinyConfig.Vocab, Specials: tokenizer.HouseSpecials()}))
	write("config.json", c.Write)
	write("tokenizer.json", tok.Write)
	m := must(llama.New(dev, c, compute.F32))
	rng := rand.New(rand.NewPCG(seed, 0))
	sizes := map[string]llama.TensorSpec{}
	for _, s := range c.Tensors() {
		sizes[s.Name] = s
	}
	check(m.Load(func(name string) ([]float32, error) {
		s := sizes[name]
		x := make([]float32, s.Rows*s.Cols)
		for i := range x {
			if x[i] = float32(rng.NormFloat64() * scale); s.Rows == 1 {
				x[i] = 1
			}
		}
		return x, nil
	}))
	write("model.safetensors", func(w io.Writer) error { return llama.WriteWeights(w, m) })
}

// writeModel writes a tiny model of random weights and its experts.
func writeModel(dir string, seed uint64) {
	writeShape(dir, tinyConfig, 0.3, seed)
	check(os.Mkdir(filepath.Join(dir, "experts"), 0o777))
	dev := must(cpu.New(cpu.Options{Threads: 1}))
	defer dev.Close()
	model := must(engine.Open(context.Background(), dev, engine.Source{Name: dir, Files: os.DirFS(dir)}, compute.F32))
	for i, name := range tinyExperts {
		e := svf.Random(must(model.Shapes()), svf.AllScope(), uint64(i), 0.5)
		e.Meta.Task, e.Meta.Model = name, filepath.Base(dir)
		path := filepath.Join(dir, "experts", name+".safetensors")
		check(checkpoint.AtomicWrite(path, func(w io.Writer) error { return svf.WriteExpert(w, e) }))
	}
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

// t2 runs a command line with text on its standard input.
func t2(stdin string, args ...string) result {
	var out, stderr bytes.Buffer
	code := Run(args, strings.NewReader(stdin), &out, &stderr)
	return result{code, out.String(), stderr.String()}
}

// ok runs a command line on the tiny model that has to succeed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := t2("", args...)
	if r.code != 0 {
		t.Fatalf("t2 %s: exit %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// lines decodes lines of JSON and checks that each has the fields, and no others but the optional
// ones, which are marked with a ? behind them.
func lines(t *testing.T, out string, fields string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, text := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in line %q", err, text)
		}
		known := strings.Fields(fields)
		for _, f := range known {
			name, optional := strings.CutSuffix(f, "?")
			if _, has := l[name]; !has && !optional {
				t.Errorf("line %s has no %q", text, name)
			}
		}
		for name := range l {
			if !slices.Contains(known, name) && !slices.Contains(known, name+"?") {
				t.Errorf("line %s has %q, which is not documented", text, name)
			}
		}
		all = append(all, l)
	}
	return all
}

// refused runs a command line that must fail: exit code 1, nothing on standard output, and one
// sentence on standard error that has all of the words.
func refused(t *testing.T, r result, words ...string) {
	t.Helper()
	if r.code != exitError {
		t.Errorf("exit code %d, want %d (stdout %q)", r.code, exitError, r.out)
	}
	if r.out != "" {
		t.Errorf("standard output is %q, want none", r.out)
	}
	r.err = strings.TrimPrefix(r.err, slowBuild())
	if !strings.HasPrefix(r.err, "t2: ") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("stderr is %q, want one line that begins with t2:", r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			t.Errorf("stderr is %q, want it to say %q", strings.TrimSpace(r.err), w)
		}
	}
}

// copyModel copies the tiny model, so that a test can break it.
func copyModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(os.CopyFS(dir, os.DirFS(tiny)))
	return dir
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	check(os.WriteFile(filepath.Join(dir, name), data, 0o666))
}

func get(t *testing.T, dir, name string) []byte {
	t.Helper()
	return must(os.ReadFile(filepath.Join(dir, name)))
}

// slowBuild is what a build without fast kernels says first of all.
func slowBuild() string {
	var b bytes.Buffer
	a := &app{err: &b}
	a.warnSlow()
	return b.String()
}
