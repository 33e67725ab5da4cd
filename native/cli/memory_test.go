package cli

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"transformer2/shared/compute"
	"transformer2/shared/llama"
	"transformer2/shared/plan"
	"transformer2/shared/train"
)

// small is a model of 8 M parameters: more than the process itself.
var small = llama.Config{Vocab: 2000, Dim: 256, Hidden: 1024, Layers: 7, Heads: 4, KVHeads: 4,
	HeadDim: 64, Context: 1024, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// takes is what the plan says of a work, in GB as --memory has it.
func takes(t *testing.T, dir, work string, held compute.DType, context int) float64 {
	t.Helper()
	a := &app{context: context}
	m := must(planned(must(a.modelSource(dir))))
	m.Held = m.Stored.As(held)
	return float64(must(bytesOf(m, work))) / 1e9
}

func TestNothingStartsThatDoesNotFit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	writeShape(dir, small, 0.05, 1)
	ask := func(memory float64, more ...string) result {
		return t2("", append([]string{"generate", "--model", dir, "--prompt", "x", "--max-tokens", "1",
			"--memory", strconv.FormatFloat(memory, 'f', 6, 64)}, more...)...)
	}
	full := takes(t, dir, "serve", compute.BF16, 0) // as its file has it
	if r := ask(1.01 * full); r.code != 0 {
		t.Errorf("with enough memory: %s", r.err)
	}
	q8 := takes(t, dir, "serve", compute.Q8, 0)
	refused(t, ask(1.001*q8), "to serve it", "as bf16", size(int64(1e9*full)), size(int64(1.001e9*q8)),
		"--weights q8", "--force starts anyhow")
	if r := ask(1.01*q8, "--weights", "q8"); r.code != 0 {
		t.Errorf("with the weights that were proposed: %s", r.err)
	}
	short := takes(t, dir, "serve", compute.Q4, 256)
	refused(t, ask(1.01*short, "--weights", "q4"), "--context 256")
	if r := ask(1.01*short, "--weights", "q4", "--context", "256"); r.code != 0 {
		t.Errorf("with the context that was proposed: %s", r.err)
	}
	refused(t, ask(0.001), "no type of weights makes it fit")
	if r := ask(0.001, "--force"); r.code != 0 {
		t.Errorf("--force: %s", r.err)
	}
	for verb, args := range map[string][]string{
		"adapt": {"adapt", "--prompt", "x"}, "train": {"train", "--task", "math", "--out", dir + "/run"},
		"load": {"experts", "list"}, "decompose": {"decompose"}} {
		refused(t, t2("", append(args, "--model", dir, "--memory", "0.001")...), "to "+verb, "1.0 MB",
			"--force")
	}
	refused(t, t2("", "generate", "--prompt", "x", "--memory", "NaN"), "NaN")
}

// A training is measured by its own flags, and told of those that take less.
func TestTrainingThatDoesNotFit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	writeShape(dir, small, 0.05, 1)
	a := &app{}
	m := must(planned(must(a.modelSource(dir))))
	takes := func(form train.Form) float64 {
		m.Training = plan.Training{Scope: "q:0", Form: form, Answers: 2}
		return float64(must(bytesOf(m, "train"))) / 1e9
	}
	ask := func(memory float64, more ...string) result {
		return t2("", append([]string{"train", "--model", dir, "--task", "polite", "--scope", "q:0",
			"--prompts", "1", "--samples", "2", "--valid-items", "1", "--steps", "1", "--out",
			filepath.Join(dir, "run"), "--cache", dir, "--memory",
			strconv.FormatFloat(memory, 'f', 6, 64)}, more...)...)
	}
	projected := 1.001 * takes(train.Projected)
	if folded := takes(train.Folded); projected > 0.9*folded {
		t.Fatalf("%g GB projected, %g folded", projected, folded)
	}
	refused(t, ask(projected, "--weights", "q4", "--form", "folded"), "--form projected takes")
	refused(t, ask(projected, "--form", "projected", "--scope", "all", "--prompts", "40"),
		"to train it")
	if r := ask(projected, "--form", "projected"); r.code != 0 {
		t.Errorf("in the form that was proposed: %s", r.err)
	}
	refused(t, ask(0.01), "another --scope takes less")
}

// medium takes 170 MB in f32.
var medium = llama.Config{Vocab: 16000, Dim: 768, Hidden: 2048, Layers: 4, Heads: 12, KVHeads: 12,
	HeadDim: 64, Context: 256, RopeTheta: 10000, Eps: 1e-5, Tied: true}

// A control group's limit is memory that there is not more of.
func TestControlGroup(t *testing.T) {
	group, limit := controlGroup(t)
	if group == "" {
		t.Skip("no control group can be made here")
	}
	const megabytes = 100 // which a process that has loaded nothing is far from
	check(os.WriteFile(limit, []byte(fmt.Sprint(megabytes<<20)), 0o666))
	dir := filepath.Join(t.TempDir(), "small")
	writeShape(dir, medium, 0.05, 1)
	cmd := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group,
		must(os.Executable()), "generate", "--model", dir, "--prompt", "x", "--max-tokens", "1",
		"--weights", "f32")
	cmd.Env = append(os.Environ(), runAsT2+"=1")
	out, err := cmd.CombinedOutput()
	if want := size(megabytes << 20); err == nil || !strings.Contains(string(out), want) ||
		!strings.Contains(string(out), "--weights") {
		t.Errorf("%v: %s, want a refusal that names %s", err, out, want)
	}
}

// controlGroup makes a group below this process's own, where that is allowed.
func controlGroup(t *testing.T) (group, limit string) {
	for _, line := range strings.Split(string(must(os.ReadFile("/proc/self/cgroup"))), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		for root, file := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes",
			"/sys/fs/cgroup": "memory.max"} {
			group = filepath.Join(root, parts[2], fmt.Sprintf("t2-test-%d", os.Getpid()))
			if err := os.Mkdir(group, 0o777); err != nil {
				continue
			}
			t.Cleanup(func() { os.Remove(group) })
			limit = filepath.Join(group, file)
			if _, err := os.Stat(limit); err == nil {
				return group, limit
			}
		}
	}
	return "", ""
}

// A decomposition that is killed goes on with the matrices that it had not done.
func TestDecomposeIsKilled(t *testing.T) {
	dir, cache := filepath.Join(t.TempDir(), "model"), t.TempDir()
	writeShape(dir, llama.Config{Vocab: 400, Dim: 512, Hidden: 1024, Layers: 2, Heads: 8, KVHeads: 8,
		HeadDim: 64, Context: 256, RopeTheta: 10000, Eps: 1e-5, Tied: true}, 0.05, 1)
	args := []string{"decompose", "--model", dir, "--cache", cache, "--json", "--workers", "2"}
	cmd := exec.Command(must(os.Executable()), args...)
	cmd.Env = append(os.Environ(), runAsT2+"=1")
	out := must(cmd.StdoutPipe())
	check(cmd.Start())
	first := must(bufio.NewReader(out).ReadString('\n'))
	check(cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Fatal("it had ended before it was killed")
	}
	done := map[any]bool{}
	for _, l := range lines(t, ok(t, args...), spectrumFields) {
		done[l["name"]] = l["cached"].(bool)
	}
	name := lines(t, first, spectrumFields)[0]["name"]
	if !done[name] || len(done) != 14 {
		t.Errorf("%d matrices, want 14, and %v, which was done, from the cache: %v", len(done), name,
			done[name])
	}
	// What it left half written is swept away once it is old.
	half := filepath.Join(cache, ".w.svf.safetensors.0.tmp")
	check(os.WriteFile(half, nil, 0o666))
	old := time.Now().Add(-2 * stale)
	for _, path := range must(filepath.Glob(filepath.Join(cache, ".*.tmp"))) {
		check(os.Chtimes(path, old, old))
	}
	ok(t, args...)
	if left := must(filepath.Glob(filepath.Join(cache, "*"))); len(left) != 14 {
		t.Errorf("the cache has %d files, want 14: %v", len(left), left)
	}
}

// The plan's bytes are what processes take, but for a sixth; its times depend on what else the
// machine does, so a test can only find that they are of the right order. t2 plan --measure prints
// both.
func TestPlanIsWhatProcessesTake(t *testing.T) {
	t.Setenv(runAsT2, "1")
	dir := filepath.Join(t.TempDir(), "model")
	writeShape(dir, medium, 0.05, 1)
	const near, order = 0.15, 20.0
	n := 0
	for _, l := range lines(t, ok(t, "plan", "--model", dir, "--json", "--weights", "bf16",
		"--measure", "load,serve,adapt,decompose"),
		"weights work bytes seconds unit fits? taken?") {
		if l["work"] == "train" { // minutes; shared/plan measures its bytes
			continue
		}
		took := l["taken"].(map[string]any)
		bytes := l["bytes"].(float64) / took["bytes"].(float64)
		seconds := l["seconds"].(float64) / took["seconds"].(float64)
		t.Logf("%v %v: plan over measured %.2f in bytes, %.2f in time", l["weights"], l["work"], bytes,
			seconds)
		if math.Abs(bytes-1) > near {
			t.Errorf("%v %v: planned %v bytes, took %v", l["weights"], l["work"], l["bytes"], took["bytes"])
		}
		if !(seconds < order && seconds > 1/order) {
			t.Errorf("%v %v: planned %v s, took %v", l["weights"], l["work"], l["seconds"], took["seconds"])
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d works were measured, want 4", n)
	}
}
