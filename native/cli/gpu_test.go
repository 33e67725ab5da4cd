package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"transformer2/native/bench"
	"transformer2/shared/llama"
	"transformer2/shared/train"
)

// What goes wrong with a GPU happens to whole processes, whose drivers are chosen by an environment
// that the Vulkan loader reads once.

// driversEnv names the drivers that the Vulkan loader offers.
const driversEnv = "VK_ICD_FILENAMES"

// drivers are those that play a GPU on the processor, by a part of their adapters' names.
func drivers(t *testing.T) map[string]string {
	t.Helper()
	if os.Getenv("TEST_GPU") == "" {
		t.Skip("a GPU that the processor plays takes a minute: make test-gpu")
	}
	found := map[string]string{}
	for name, pattern := range map[string]string{
		"llvmpipe":    "/usr/share/vulkan/icd.d/lvp_icd*.json",
		"SwiftShader": "/usr/lib/chromium/vk_swiftshader_icd.json"} {
		if files, _ := filepath.Glob(pattern); len(files) > 0 { // the patterns are well formed
			found[name] = files[0]
		}
	}
	if found["llvmpipe"] == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no lavapipe, which CI needs")
		}
		t.Skip("no lavapipe (Debian: apt-get install mesa-vulkan-drivers)")
	}
	return found
}

// process is t2 as a process of its own, with the drivers in files.
func process(t *testing.T, files string, args ...string) (cmd *exec.Cmd,
	out, stderr *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, must(os.Executable()), args...)
	cmd.Env = append(os.Environ(), runAsT2+"=1", driversEnv+"="+files, "XDG_RUNTIME_DIR="+t.TempDir())
	out, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, stderr
	return cmd, out, stderr
}

// ended is how a process ended.
func ended(t *testing.T, err error, out, stderr *bytes.Buffer) result {
	t.Helper()
	r := result{out: out.String(), err: stderr.String()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}

func ran(t *testing.T, files string, args ...string) result {
	t.Helper()
	cmd, out, stderr := process(t, files, args...)
	return ended(t, cmd.Run(), out, stderr)
}

// TestNoDriver: whoever asks for a GPU is told that there is none; whoever leaves the choice gets
// the CPU, and hears why.
func TestNoDriver(t *testing.T) {
	args := []string{"generate", "--model", tiny, "--prompt", question, "--max-tokens", "2"}
	refused(t, ran(t, "/none.json", append(args, "--device", "gpu")...), "no GPU driver found",
		"--device cpu needs none")
	r := ran(t, "/none.json", append(args, "--device", "auto")...)
	if r.code != 0 || r.out == "" || !strings.Contains(r.err, "the CPU, since no GPU driver") {
		t.Errorf("auto: exit %d, %q, %q, want an answer and why the CPU gave it", r.code, r.out, r.err)
	}
	r = ran(t, drivers(t)["llvmpipe"], append(args, "--device", "auto")...)
	if r.code != 0 || r.out == "" || !strings.Contains(r.err, "llvmpipe") ||
		!strings.Contains(r.err, "runs on it too") {
		t.Errorf("auto with a driver on the processor: exit %d, %q, %q", r.code, r.out, r.err)
	}
}

// TestTwoDrivers: each can be chosen by a part of its name, and what there is is listed.
func TestTwoDrivers(t *testing.T) {
	found := drivers(t)
	if len(found) < 2 {
		if os.Getenv("CI") != "" {
			t.Fatal("no SwiftShader, which CI needs")
		}
		t.Skip("one driver here (Debian: apt-get install chromium)")
	}
	files := found["llvmpipe"] + ":" + found["SwiftShader"]
	for name := range found {
		r := ran(t, files, "info", "--model", tiny, "--look", "0", "--json", "--device",
			"gpu:"+strings.ToUpper(name))
		if r.code != 0 {
			t.Fatalf("gpu:%s: exit %d: %s", name, r.code, r.err)
		}
		for line := range strings.Lines(r.out) {
			var m machineLine
			if json.Unmarshal([]byte(line), &m) != nil || m.Kind != "machine" {
				continue
			}
			if !strings.Contains(m.Device, name) || len(m.GPUs) != 2 || m.Reason == "" {
				t.Errorf("gpu:%s is %q of %v because %q", name, m.Device, m.GPUs, m.Reason)
			}
		}
	}
	refused(t, ran(t, files, "generate", "--model", tiny, "--prompt", "x", "--device", "gpu:H200"),
		`"H200"`, "llvmpipe", "SwiftShader")
}

// hollow is a model of zeros, 15 million numbers a layer and the vocabulary's.
func hollow(t *testing.T, vocab, layers, context int) string {
	t.Helper()
	dir := t.TempDir()
	c := llama.Config{Vocab: vocab, Dim: 1024, Hidden: 4096, Layers: layers, Heads: 8, KVHeads: 2,
		HeadDim: 128, Context: context, RopeTheta: 10000, Eps: 1e-5}
	must(bench.WriteHollow(dir, c))
	return dir
}

// TestInterruptUpload: Ctrl-C while a model goes up to a GPU ends in a sentence.
func TestInterruptUpload(t *testing.T) {
	cmd, out, stderr := process(t, drivers(t)["llvmpipe"], "generate", "--model",
		hollow(t, 1024, 14, 64), "--prompt", "x", "--device", "gpu")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // opening takes less, the upload more
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	r := ended(t, cmd.Wait(), out, stderr)
	if r.code != exitInterrupt || r.err != "t2: interrupted\n" {
		t.Errorf("exit %d, %q, want it interrupted", r.code, r.err)
	}
}

// TestInterruptTraining: Ctrl-C in a training on a GPU loses nothing, and it goes on there.
func TestInterruptTraining(t *testing.T) {
	dir, driver := t.TempDir(), drivers(t)["llvmpipe"]
	cmd, _, stderr := process(t, driver, append(tinyTraining("reinforce", dir, "500"), "--device",
		"gpu")...)
	cmd.Stdout = nil
	events := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := new(bytes.Buffer)
	line := bufio.NewReader(io.TeeReader(events, out))
	for range 3 {
		if _, err := line.ReadString('\n'); err != nil {
			t.Fatalf("it ends before it is interrupted: %v, %q", err, stderr)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	must(io.Copy(io.Discard, line))
	r := ended(t, cmd.Wait(), out, stderr)
	if r.code != exitInterrupt || !strings.HasPrefix(r.err, "t2: interrupted after step") {
		t.Fatalf("exit %d, %q, want it interrupted after a step", r.code, r.err)
	}
	var last, first train.Event
	all := strings.Split(strings.TrimSpace(out.String()), "\n")
	check(json.Unmarshal([]byte(all[len(all)-1]), &last))
	r = ran(t, driver, append(tinyTraining("reinforce", dir, strconv.Itoa(last.Step+2)), "--device",
		"gpu")...)
	check(json.Unmarshal([]byte(strings.SplitN(r.out, "\n", 2)[0]), &first))
	if r.code != 0 || first.Kind != "resume" || first.Step < 1 {
		t.Errorf("exit %d, %q: it begins with %+v", r.code, r.err, first)
	}
}

// deviceTol bounds a loss of about 7 on a GPU against the processor's. Measured 6e-7.
const deviceTol = 2e-5

// TestTrainProjected: a projected training on a GPU has the losses of one on the processor.
func TestTrainProjected(t *testing.T) {
	var losses [2][]float64
	for i, device := range []string{"cpu", "gpu"} {
		r := ran(t, drivers(t)["llvmpipe"], append(tinyTraining("next-token", t.TempDir(), "4"), "--form",
			"projected", "--weights", "bf16", "--device", device)...)
		if r.code != 0 {
			t.Fatalf("%s: exit %d, %s", device, r.code, r.err)
		}
		for line := range strings.Lines(r.out) {
			var e train.Event
			if check(json.Unmarshal([]byte(line), &e)); e.Kind == "step" {
				losses[i] = append(losses[i], e.Metrics["loss"])
			}
		}
	}
	for n := range min(len(losses[0]), len(losses[1])) {
		if d := math.Abs(losses[0][n] - losses[1][n]); !(d <= deviceTol) {
			t.Errorf("step %d: the loss is %v on the processor, %v on a GPU", n+1, losses[0][n],
				losses[1][n])
		}
	}
	if len(losses[0]) != 4 || len(losses[1]) != 4 {
		t.Errorf("losses %v, want 4 each", losses)
	}
}

// TestTooLarge: a table and a head that no kernel sees whole are cut; a tensor that no kernel could
// see is refused by what it is for, its size and the most that there may be.
func TestTooLarge(t *testing.T) {
	driver := drivers(t)["llvmpipe"]
	ask := func(dir string) result { // in f32 the table is 156 MiB
		return ran(t, driver, "generate", "--model", dir, "--prompt", "x", "--device", "gpu",
			"--weights", "f32", "--context", "300000", "--max-tokens", "2")
	}
	if r := ask(hollow(t, 40000, 1, 64)); r.code != 0 || r.out == "" {
		t.Errorf("exit %d, %q, %q, want an answer", r.code, r.out, r.err)
	}
	refused(t, ask(hollow(t, 1024, 1, 300000)), "rotations of 300000 positions", "[300000 128]",
		"146 MiB", "128 MiB or less", "llvmpipe")
}
